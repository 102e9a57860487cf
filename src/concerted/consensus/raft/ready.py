"""What a step gives back: everything to be written, sent, applied and answered, in this order.

Whoever drives a server carries out its `Ready`s one after the other, in the order in which they came:

    1. write: make `write` durable, all of it or nothing, and only then
    2. send `messages`; they may be lost, doubled, delayed and overtaken
    3. apply: give `restore` to the state machine in the place of its state, then `committed`, in order
    4. answer `reads` from the state as it is now; tell whoever waits for `lost_reads` to ask again
    5. if there was a write, call `Raft.written(write.number)`, whose Ready comes after all that are waiting already

A server may be given further inputs before an earlier Ready is carried out.  One that dies forgets those that are not.

Source: etcd-io/raft, struct Ready, for the shape; Ongaro & Ousterhout 2014, figure 2, for what is persistent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import NodeId
from concerted.consensus.raft.messages import Message

__all__ = ["NOTHING", "ReadId", "Ready", "Refusal", "Settings", "Stored", "Write"]

ReadId = NewType("ReadId", int)
Reason = Literal["not_leader", "transferring", "overloaded", "changing", "behind", "no_target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a server behaves.  All servers of a cluster have the same election timeout.

    election_timeout_s: a follower that hears nothing for one to two of these stands for election.
    heartbeat_interval_s: how often an idle leader is heard; much less than the former.  batch_count, batch_bytes: of
    entries in one message.  window: messages with entries under way to one follower.  uncommitted_count: entries
    beyond which proposals are refused.  reads_count: reads that may wait.
    """

    election_timeout_s: float = 10.0
    heartbeat_interval_s: float = 2.0
    batch_count: int = 100
    batch_bytes: int = 1 << 20
    window: int = 64
    uncommitted_count: int = 10_000
    reads_count: int = 10_000

    def __post_init__(self) -> None:
        assert 0 < self.heartbeat_interval_s < self.election_timeout_s, f"{self}: heartbeats must come in time"
        assert min(self.batch_count, self.batch_bytes, self.window, self.uncommitted_count, self.reads_count) > 0


EMPTY = Snapshot()


@dataclass(frozen=True, slots=True)
class Stored:
    """What a server reads back from its disk when it starts (figure 2, persistent state)."""

    term: int = 0
    vote: NodeId | None = None
    snapshot: Snapshot = EMPTY
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """What goes to the disk, at once.  term, vote: as they are from now on.

    snapshot: replaces all entries up to its index; if it came from the leader (`restores`), all entries there are.
    entries: replace whatever stands at the index of the first of them and after it.
    """

    number: int
    term: int
    vote: NodeId | None
    snapshot: Snapshot | None = None
    restores: bool = False
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why what was asked is not done; a refusal changes nothing.  leader: whom to ask, if that is known.

    not_leader: another one may be.  transferring: the leader is handing over.  overloaded: too much is waiting.
    changing: a change of members is under way, or the leader has committed nothing in its term yet.  behind: a
    learner must catch up before it votes, and a voter before it leads.  no_target: there is no such voter.
    """

    reason: Reason
    leader: NodeId | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """What follows from one input.  refused: the input itself was.  index: where the last of the proposed stands."""

    write: Write | None = None
    messages: tuple[Message, ...] = ()
    restore: Snapshot | None = None
    committed: tuple[Entry, ...] = ()
    reads: tuple[ReadId, ...] = ()
    lost_reads: tuple[ReadId, ...] = ()
    refused: Refusal | None = None
    index: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done."""
        return self is NOTHING


NOTHING = Ready()
