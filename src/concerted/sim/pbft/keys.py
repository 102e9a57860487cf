"""Keys of a simulation: a signature is a keyed hash, a hundred times as quick as a real one.

Whoever holds a `SimSigner` can sign for its owner and for nobody else; a liar is given its own.  The verifier knows all
secrets, and is the simulation's.  As with real keys, the holder can sign the same twice so that it looks different, and
nobody else can make one good signature of another: a variant goes into the hash, and stands behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from concerted.consensus.pbft.group import Identity

__all__ = ["SimSigner", "SimVerifier"]

SIGNATURE_BYTES = 16
VARIANT_BYTES = 16


class SimSigner:
    """Holds the secret of one replica or client.  variant: which of its good signatures it makes, in 16 bytes at most;
    who is honest has one of each content."""

    def __init__(self, who: Identity, variant: bytes = b"") -> None:
        self.who = who
        self._secret = f"secret of {who!r}".encode()
        self._variant = variant

    def sign(self, data: bytes) -> bytes:
        """Sign bytes."""
        return self.signature(data, self._variant)

    def signature(self, data: bytes, variant: bytes) -> bytes:
        """Return one of the good signatures of these bytes."""
        return hashlib.blake2b(data, key=self._secret, digest_size=SIGNATURE_BYTES, salt=variant).digest() + variant


class SimVerifier:
    """Verifies what was signed with a `SimSigner`."""

    def __init__(self, everybody: Sequence[Identity]) -> None:
        self._signers = {who: SimSigner(who) for who in everybody}

    def knows(self, who: Identity) -> bool:
        """Say whether there is a key of theirs."""
        return who in self._signers

    def is_signed(self, who: Identity, data: bytes, signature: bytes) -> bool:
        """Say whether the holder of their key has signed these bytes."""
        signer, variant = self._signers.get(who), signature[SIGNATURE_BYTES:]
        return signer is not None and len(variant) <= VARIANT_BYTES and signer.signature(data, variant) == signature
