"""What a step gives back: everything to be written, sent, applied and answered, in this order.

Whoever drives a server carries out its `Ready`s one after the other, in the order in which they came:

    1. write: make `write` durable, all of it or nothing, and only then
    2. send `messages`; they may be lost, doubled, delayed and overtaken
    3. apply: give `restore` to the state machine in the place of its state, then `committed`, in order
    4. answer `reads` from the state as it is now; tell whoever waits for `lost_reads` to ask again
    5. if `compact_at` is not None, give `compact` the state machine's state as it is now, after the entry at this index
    6. if there was a write, call `written(write.number)`, whose Ready comes after all that are waiting already

A server may be given further inputs before an earlier Ready is carried out.  One that dies forgets those that are not.

Source: etcd-io/raft, struct Ready, for the shape; Ongaro & Ousterhout 2014, figure 2, for what is persistent.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, NewType, TypeVar

import msgspec

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import NodeId

__all__ = ["NOTHING", "Agreed", "Evidence", "ReadId", "Ready", "Refusal"]

ReadId = NewType("ReadId", int)
M = TypeVar("M")  # the messages of a protocol
W = TypeVar("W")  # what it writes
Reason = Literal[
    "not_leader", "transferring", "overloaded", "changing", "behind", "no_target",
    "unsigned", "done", "ordered", "invalid",
]  # fmt: skip


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """Why what was asked is not done; a refusal changes nothing.  leader: whom to ask, if that is known.

    not_leader: another one may be.  transferring: the leader is handing over.  overloaded: too much is waiting.
    changing: a change of members is under way, or the leader has committed nothing in its term yet.  behind: a
    learner must catch up before it votes, and a voter before it leads.  no_target: there is no such voter.
    unsigned: it is no request that a known client has signed.  done: it was carried out before, and its answer stands.
    ordered: whoever wants to read puts a request into the log.  invalid: the value must not be agreed on.
    """

    reason: Reason
    leader: NodeId | None = None


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """That a replica has lied: two statements with its signature, of which an honest one makes at most one."""

    culprit: NodeId
    first: bytes
    second: bytes


class Agreed(msgspec.Struct, frozen=True, gc=False):
    """The one value that was chosen for a key, for ever.  rounds: of ballots that were tried, as far as is known."""

    key: str
    value: bytes
    rounds: int = 1


class Ready(msgspec.Struct, Generic[M, W], frozen=True):
    """What follows from one input, in any protocol.

    refused: the input itself was.  index: where the last of the proposed stands, if that is known already.
    compact_at: the core wants a snapshot, and hands out nothing more to be applied before it has it.
    evidence: of replicas that lie.
    chosen: single values, each when it is learnt and whenever it is asked for again; told to whoever waits, in step 4.
    """

    write: W | None = None
    messages: tuple[M, ...] = ()
    restore: Snapshot | None = None
    committed: tuple[Entry, ...] = ()
    reads: tuple[ReadId, ...] = ()
    lost_reads: tuple[ReadId, ...] = ()
    refused: Refusal | None = None
    index: int | None = None
    compact_at: int | None = None
    evidence: tuple[Evidence, ...] = ()
    chosen: tuple[Agreed, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be done."""
        return self is NOTHING


NOTHING: Ready[Any, Any] = Ready()
