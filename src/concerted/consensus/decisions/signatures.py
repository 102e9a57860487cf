"""Signed ballots: Ed25519 over what was voted on, by whom, and how; takes the extra [pbft].

Keys and signatures travel as hexadecimal text: 64 digits a key, 128 a signature.  A ballot's signature covers the
digest of the whole opening, so that it counts for no other decision, electorate or rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from concerted.errors import Invalid
from concerted.values import AgentId, encode

__all__ = [
    "KEY_DIGITS", "ballot_bytes", "is_key", "is_signed", "new_key", "public_key", "sha256", "sign", "signing",
    "verifying",
]  # fmt: skip

KEY_DIGITS, SIGNATURE_DIGITS = 64, 128


def sha256(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON (sorted keys, no spaces), in hexadecimal."""
    return hashlib.sha256(encode(msgspec.to_builtins(value))).hexdigest()


def ballot_bytes(opening_digest: str, voter: AgentId, choice: str, reason: str) -> bytes:
    """Return what a voter signs."""
    return encode({"ballot": 1, "choice": choice, "opening": opening_digest, "reason": reason, "voter": voter})


def new_key(seed: bytes) -> str:
    """Return the private key of a seed of 32 random bytes.

    Raises:
        Invalid: it is no such seed.
    """
    if len(seed) != KEY_DIGITS // 2:
        raise Invalid(f"a key is made from {KEY_DIGITS // 2} random bytes, not {len(seed)}")
    return seed.hex()


def public_key(private: str) -> str:
    """Return the public key that belongs to a private one.

    Raises:
        Invalid: it is no key, or the extra is missing.
    """
    return str(_private(private).public_key().public_bytes_raw().hex())


def sign(private: str, data: bytes) -> str:
    """Sign bytes.

    Raises:
        Invalid: it is no key, or the extra is missing.
    """
    return signing(private)(data).hex()


def signing(private: str) -> Callable[[bytes], bytes]:
    """Return what signs bytes with a private key, in 64 bytes; for whoever signs much.

    Raises:
        Invalid: it is no key, or the extra is missing.
    """
    key = _private(private)
    return lambda data: bytes(key.sign(data))


def verifying(public: str) -> Callable[[bytes, bytes], bool]:
    """Return what says whether the second bytes are the key's signature of the first; for whoever verifies much.

    Raises:
        Invalid: it is no key, or the extra is missing.
    """
    if not is_key(public):
        raise Invalid(f"a public key is {KEY_DIGITS} hexadecimal digits")
    holder = _ed25519().Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    from cryptography.exceptions import InvalidSignature

    def is_its(data: bytes, signature: bytes) -> bool:
        try:
            holder.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    return is_its


def is_key(text: str) -> bool:
    """Say whether a text has the form of a key."""
    return _is_hexadecimal(text, KEY_DIGITS)


def is_signed(public: str, data: bytes, signature: str) -> bool:
    """Say whether the holder of the private key has signed these bytes.

    Raises:
        Invalid: the extra is missing.
    """
    if not (is_key(public) and _is_hexadecimal(signature, SIGNATURE_DIGITS)):
        return False
    return verifying(public)(data, bytes.fromhex(signature))


def _private(key: str) -> Any:
    if not is_key(key):
        raise Invalid(f"a private key is {KEY_DIGITS} hexadecimal digits")
    return _ed25519().Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))


def _is_hexadecimal(text: str, digits: int) -> bool:
    return len(text) == digits and all(character in "0123456789abcdef" for character in text)


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise Invalid(
            "signed ballots take the package cryptography: pip install 'concerted[pbft]'", extra="pbft"
        ) from error
    return ed25519
