"""What Paxos replicas say to each other: seven messages about the log, and six about single values.

The names are the paper's.  All are frozen.  Every message carries the ballot that it is about, and every reply the
`session` of what it answers as well: the number that the asker gave to this campaign or attempt.  A reply about another
ballot or session is not counted.

Source: Lamport, Paxos made simple, 2001, sections 2.2, 2.3 and 3.
"""

from __future__ import annotations

import msgspec

from concerted.consensus.entries import Entry
from concerted.consensus.paxos.ballot import Ballot
from concerted.consensus.pieces import Piece
from concerted.consensus.quorum import NodeId

__all__ = [
    "Accept",
    "AcceptValue",
    "Accepted",
    "AcceptedValue",
    "Arrived",
    "Chosen",
    "InstallSnapshot",
    "Message",
    "Prepare",
    "PrepareValue",
    "Promise",
    "PromiseValue",
    "Proposal",
    "Refused",
    "RefusedValue",
    "ValueMessage",
]


class Proposal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value with a number, for one slot of the log: what acceptors accept (2.2)."""

    ballot: Ballot
    entry: Entry


# The log


class Prepare(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Phase 1a, for all slots after `after` at once (3).  pre: only asks whether a promise would be given."""

    to: NodeId
    source: NodeId
    ballot: Ballot
    session: int
    after: int
    pre: bool = False


class Promise(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Phase 1b: the promise, and what was accepted in the slots after `after` up to `upto`; `is_last` ends it.

    commit: up to here everything is chosen.
    """

    to: NodeId
    source: NodeId
    ballot: Ballot
    session: int
    after: int
    upto: int
    commit: int
    accepted: tuple[Proposal, ...] = ()
    is_last: bool = True
    pre: bool = False


class Refused(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """Neither promised nor accepted.  ballot: what was refused.  promised: the highest that was promised.

    "It is probably a good idea to abandon a proposal if some proposer has begun trying to issue a higher-numbered
    one", so acceptors tell (2.3).
    """

    to: NodeId
    source: NodeId
    ballot: Ballot
    session: int
    promised: Ballot


class Accept(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Phase 2a, for the slots after `after`; without any, a heartbeat.

    commit: how far all is chosen.  round: the newest round of heartbeats, for reads and the lease.
    """

    to: NodeId
    source: NodeId
    ballot: Ballot
    session: int
    after: int
    commit: int
    round: int = 0
    entries: tuple[Entry, ...] = ()


class Accepted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Phase 2b, the answer to Accept and InstallSnapshot; it means "stored", never "approved".

    index: everything up to here is accepted in this ballot, or chosen.  after: of the message that is answered; if that
    is beyond `index`, slots between them are missing.
    """

    to: NodeId
    source: NodeId
    ballot: Ballot
    session: int
    index: int
    after: int
    round: int = 0


class InstallSnapshot(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """A piece of the leader's snapshot, for a replica that lacks what the leader's log holds no more."""

    to: NodeId
    source: NodeId
    ballot: Ballot
    session: int
    piece: Piece
    round: int = 0


class Arrived(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=13):
    """The answer to InstallSnapshot while the snapshot is not whole; when it is, that is Accepted.

    index: of the snapshot; offset: of the piece that is answered.  arrived_bytes: how much of the snapshot is here.
    """

    to: NodeId
    source: NodeId
    ballot: Ballot
    session: int
    index: int
    offset: int
    arrived_bytes: int
    round: int = 0


# Single values


class PrepareValue(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """Phase 1a for one key."""

    to: NodeId
    source: NodeId
    key: str
    ballot: Ballot
    session: int


class PromiseValue(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """Phase 1b: the promise, and the highest-numbered proposal that was accepted; its ballot is 0 if none was."""

    to: NodeId
    source: NodeId
    key: str
    ballot: Ballot
    session: int
    accepted: Ballot
    value: bytes


class AcceptValue(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """Phase 2a for one key."""

    to: NodeId
    source: NodeId
    key: str
    ballot: Ballot
    session: int
    value: bytes


class AcceptedValue(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """Phase 2b for one key."""

    to: NodeId
    source: NodeId
    key: str
    ballot: Ballot
    session: int


class RefusedValue(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """Neither promised nor accepted; a higher ballot was promised for this key."""

    to: NodeId
    source: NodeId
    key: str
    ballot: Ballot
    session: int
    promised: Ballot


class Chosen(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=12):
    """What was chosen for a key: to all learners (2.3), and to whoever still proposes."""

    to: NodeId
    source: NodeId
    key: str
    ballot: Ballot
    session: int
    value: bytes


ValueMessage = PrepareValue | PromiseValue | AcceptValue | AcceptedValue | RefusedValue | Chosen
Message = Prepare | Promise | Refused | Accept | Accepted | InstallSnapshot | Arrived | ValueMessage
