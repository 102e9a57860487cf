"""A group: who its replicas are, how many of them may lie, and who holds which key.

    n = 3f + 1:    f may do anything; 2f + 1 are a quorum, any two of which have an honest replica in common;
                   f + 1 have at least one honest replica among them

Signing and verifying come in as arguments.  `Ed25519Signer` and `Ed25519Verifier` are the real ones.

Source: Castro & Liskov 1999, sections 2 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from concerted.consensus.decisions.signatures import signing, verifying
from concerted.consensus.quorum import NodeId
from concerted.errors import Invalid

__all__ = ["Ed25519Signer", "Ed25519Verifier", "Group", "Identity", "Signer", "Verifier"]

SIZES = (4, 7, 10, 13)

Identity = NodeId | str
"""Who signs: a replica, by its number, or a client, by its name."""


class Signer(Protocol):
    """Holds one private key."""

    def sign(self, data: bytes) -> bytes:
        """Sign bytes."""


class Verifier(Protocol):
    """Knows the public keys of all replicas and clients."""

    def knows(self, who: Identity) -> bool:
        """Say whether there is a key of theirs."""

    def is_signed(self, who: Identity, data: bytes, signature: bytes) -> bool:
        """Say whether the holder of their key has signed these bytes."""


class Ed25519Signer:
    """Signs with an Ed25519 key; takes the extra [pbft].  private: 64 hexadecimal digits."""

    def __init__(self, private: str) -> None:
        self._sign = signing(private)

    def sign(self, data: bytes) -> bytes:
        """Sign bytes."""
        return self._sign(data)


class Ed25519Verifier:
    """Verifies with Ed25519 keys, each of 64 hexadecimal digits; takes the extra [pbft]."""

    def __init__(self, replicas: Mapping[NodeId, str], clients: Mapping[str, str]) -> None:
        self._holders: dict[Identity, Callable[[bytes, bytes], bool]] = {
            **{node: verifying(public) for node, public in replicas.items()},
            **{client: verifying(public) for client, public in clients.items()},
        }

    def knows(self, who: Identity) -> bool:
        """Say whether there is a key of theirs."""
        return who in self._holders

    def is_signed(self, who: Identity, data: bytes, signature: bytes) -> bool:
        """Say whether the holder of their key has signed these bytes."""
        return who in self._holders and self._holders[who](data, signature)


@dataclass(frozen=True, slots=True)
class Group:
    """The replicas of one log.  name: nothing that is signed in one group counts in another.  ids: ascending."""

    name: str
    ids: tuple[NodeId, ...]
    verifier: Verifier

    def __post_init__(self) -> None:
        if len(self.ids) not in SIZES:
            raise Invalid(
                f"group {self.name} has {len(self.ids)} replicas; PBFT takes 3f + 1 to survive f that lie: "
                "name 4, 7, 10 or 13"
            )
        if tuple(sorted(set(self.ids))) != self.ids or self.ids[0] < 1:
            raise Invalid(f"group {self.name}: the ids {list(self.ids)} must ascend from 1 on, each once")
        missing = [node for node in self.ids if not self.verifier.knows(node)]
        if missing:
            raise Invalid(f"group {self.name}: the public keys of replicas {missing} are missing; name one of each")

    @property
    def faulty(self) -> int:
        """f: how many may lie."""
        return (len(self.ids) - 1) // 3

    @property
    def quorum(self) -> int:
        """2f + 1."""
        return 2 * self.faulty + 1

    @property
    def weak(self) -> int:
        """f + 1: one of so many is honest."""
        return self.faulty + 1

    def primary(self, view: int) -> NodeId:
        """Return the primary of a view: p = v mod |R| (section 4)."""
        return self.ids[view % len(self.ids)]
