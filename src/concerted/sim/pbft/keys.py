"""Keys of a simulation: a signature is a keyed hash, a hundred times as quick as a real one.

Whoever holds a `SimSigner` can sign for its owner and for nobody else; a liar is given its own.  The verifier knows all
secrets, and is the simulation's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from concerted.consensus.pbft.group import Identity

__all__ = ["SimSigner", "SimVerifier"]

SIGNATURE_BYTES = 16


class SimSigner:
    """Holds the secret of one replica or client."""

    def __init__(self, who: Identity) -> None:
        self.who = who
        self._secret = f"secret of {who!r}".encode()

    def sign(self, data: bytes) -> bytes:
        """Sign bytes."""
        return hashlib.blake2b(data, key=self._secret, digest_size=SIGNATURE_BYTES).digest()


class SimVerifier:
    """Verifies what was signed with a `SimSigner`."""

    def __init__(self, everybody: Sequence[Identity]) -> None:
        self._signers = {who: SimSigner(who) for who in everybody}

    def knows(self, who: Identity) -> bool:
        """Say whether there is a key of theirs."""
        return who in self._signers

    def is_signed(self, who: Identity, data: bytes, signature: bytes) -> bool:
        """Say whether the holder of their key has signed these bytes."""
        signer = self._signers.get(who)
        return signer is not None and signer.sign(data) == signature
