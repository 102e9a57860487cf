"""The table of protocols: how the core of each is made, kept and put on a wire.  A new one is one line here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from concerted.consensus.keeping import Replicated
from concerted.consensus.quorum import NodeId
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.storage import Storage
from concerted.replicas.protocols.entering import Entering
from concerted.replicas.spec import Group

__all__ = ["ALGORITHMS", "Kind", "Making", "Membership", "kind_of"]

ALGORITHMS: dict[Replicated, str] = {
    "raft": "concerted.replicas.protocols.raft",
    "paxos": "concerted.replicas.protocols.paxos",
    "pbft": "concerted.replicas.protocols.pbft",
}


@dataclass(frozen=True, slots=True)
class Making:
    """What a core is made of.

    dice: gives a number 0 <= x < 1.  private: its key, where replicas sign.  may_be_agreed: whether a value may be
    chosen for an agreement, where that needs no log.
    """

    group: Group
    node: NodeId
    stored: Any
    dice: Callable[[], float]
    now: float
    private: str = ""
    may_be_agreed: Callable[[str, bytes], bool] = lambda _stream, _value: True


@dataclass(frozen=True, slots=True)
class Membership:
    """Who belongs to a group, as one replica knows it.

    members: all to whom the log is sent; voters: those of them whose majority decides.  last_id: the highest id that
    was ever given.  is_settled: this is committed, and no change is under way.
    """

    members: tuple[NodeId, ...]
    voters: tuple[NodeId, ...]
    last_id: NodeId
    is_settled: bool

    def has_left(self, node: NodeId) -> bool:
        """Say whether a replica was a member, and never will be again."""
        return node <= self.last_id and node not in self.members


@dataclass(frozen=True, slots=True)
class Kind:
    """One protocol.

    storage: how a replica's file is written.  first: what a replica of a group begins with.  core: makes a replica
    from what its file holds.  messages: the type of what they say to each other.  membership: who belongs to it, as a
    core knows it; None: that never changes.

    entering: how what is proposed goes into the log, and how it is read there.  is_signed: everybody signs, no replica
    alone is believed, reads are entries, and the core says itself when it wants a snapshot.
    """

    storage: Storage[Any, Any]
    first: Callable[[Group, NodeId], Any]
    core: Callable[[Making], ReplicatedLog[Any, Any]]
    messages: Any
    entering: Callable[[Group, NodeId, str], Entering] = lambda _group, node, _private: Entering(node)
    is_signed: bool = False
    membership: Callable[[Any], Membership] | None = None

    def decoder(self) -> msgspec.msgpack.Decoder[Any]:
        """Return what reads a frame of messages."""
        return msgspec.msgpack.Decoder(list[self.messages])  # type: ignore[name-defined]


def kind_of(algorithm: Replicated) -> Kind:
    """Return a protocol; its module is imported when it is first needed."""
    return cast(Kind, importlib.import_module(ALGORITHMS[algorithm]).KIND)
