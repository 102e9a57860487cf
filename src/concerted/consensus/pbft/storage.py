"""What one PBFT replica keeps on its disk, and its bytes: what it has signed and must not contradict.

The paper's replicas do not forget; these restart.  So what lies behind each statement is durable before it leaves: the
pre-prepares that were accepted with their batches, what is prepared, the view-change and new-view messages, the last
stable checkpoint with its proof, and the states after it whose digests were signed: others may have nobody else to get
them from (4.3).

A batch is written once, in however many views it is accepted at its number: later on its pre-prepare alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from concerted.consensus.entries import Snapshot
from concerted.consensus.pbft.messages import Checkpoint, NewView, Prepared, Proposal, State, ViewChange
from concerted.consensus.quorum import Configuration
from concerted.consensus.storage import Storage

__all__ = ["STORAGE", "Contents", "Held", "Stored", "Write"]


class Held(msgspec.Struct, frozen=True, array_like=True):
    """A stable checkpoint: the state and its proof.  At 0, before everything, there is none and none is needed."""

    state: State = State()
    proof: tuple[Checkpoint, ...] = ()

    @property
    def seq(self) -> int:
        """Its sequence number, the low watermark."""
        return self.state.seq


EMPTY = Held()


@dataclass(frozen=True, slots=True)
class Stored:
    """What a replica reads back from its disk when it starts.

    view_change: what it left its view with, if it is in no view now.  new_view: what its view began with, if that is
    not the first.  accepted: of each number each batch once, with its newest pre-prepare; the older first.  prepared:
    the newest of each number.  states: its own at checkpoints that were not stable yet, ascending.
    """

    view_change: ViewChange | None = None
    new_view: NewView | None = None
    held: Held = EMPTY
    accepted: tuple[Proposal, ...] = ()
    prepared: tuple[Prepared, ...] = ()
    states: tuple[State, ...] = ()

    @property
    def view(self) -> int:
        """The view that it is in, or wants to be in."""
        if self.view_change is not None:
            return self.view_change.view
        return 0 if self.new_view is None else self.new_view.view

    @property
    def state(self) -> State:
        """The newest state of its own."""
        return self.states[-1] if self.states else self.held.state

    @property
    def snapshot(self) -> Snapshot:
        """What its state machine begins with."""
        state = self.state
        return Snapshot(state.index, state.seq, Configuration(), state.data)


@dataclass(frozen=True, slots=True)
class Write:
    """What goes to the disk, at once.

    view_change, new_view: how it leaves a view, or enters one.  accepted, prepared: what has come about since the last
    write; a batch that was written before at its number is left out.  snapshot: replaces all that lies at or below it.
    states: whose digests it is about to sign.
    """

    number: int
    view_change: ViewChange | None = None
    new_view: NewView | None = None
    snapshot: Held | None = None
    accepted: tuple[Proposal, ...] = ()
    prepared: tuple[Prepared, ...] = ()
    states: tuple[State, ...] = ()


class Contents:
    """What a sequence of writes comes to."""

    def __init__(self, stored: Stored) -> None:
        self.view_change, self.new_view, self.held = stored.view_change, stored.new_view, stored.held
        self.accepted = {(each.pre_prepare.seq, each.pre_prepare.digest): each for each in stored.accepted}
        self.prepared = {each.pre_prepare.seq: each for each in stored.prepared}
        self.states = {each.seq: each for each in stored.states}

    def take(self, write: Write) -> None:
        """Take the next write."""
        self.view_change = write.view_change or self.view_change
        self.new_view = write.new_view or self.new_view
        if self.view_change is not None and self.new_view is not None and self.new_view.view >= self.view_change.view:
            self.view_change = None  # it has entered the view that it left for
        for proposal in write.accepted:
            self._accept(proposal)
        for prepared in write.prepared:
            self.prepared[prepared.pre_prepare.seq] = prepared
        for state in write.states:
            self.states[state.seq] = state
        if write.snapshot is not None:
            self.held = write.snapshot
            low = write.snapshot.seq
            self.accepted = {place: each for place, each in self.accepted.items() if place[0] > low}
            self.prepared = {seq: each for seq, each in self.prepared.items() if seq > low}
            self.states = {seq: each for seq, each in self.states.items() if seq > low}

    def _accept(self, proposal: Proposal) -> None:
        """Keep each batch of a number once, with its newest pre-prepare; the newest last."""
        header = proposal.pre_prepare
        known = self.accepted.pop((header.seq, header.digest), None)
        if known is not None:
            proposal = Proposal(header, known.batch)
        self.accepted[header.seq, header.digest] = proposal

    def stored(self) -> Stored:
        """Return what a replica finds when it starts."""
        return Stored(
            self.view_change,
            self.new_view,
            self.held,
            tuple(self.accepted.values()),
            tuple(self.prepared[seq] for seq in sorted(self.prepared)),
            tuple(self.states[seq] for seq in sorted(self.states)),
        )


class _Payload(msgspec.Struct, frozen=True, array_like=True):
    """A write without its number.  Files of version 1 have no states; those before version 3 write each batch again."""

    view_change: ViewChange | None
    new_view: NewView | None
    snapshot: Held | None
    accepted: tuple[Proposal, ...]
    prepared: tuple[Prepared, ...]
    states: tuple[State, ...] = ()


def _encode(write: Write) -> bytes:
    return _encoder.encode(
        _Payload(write.view_change, write.new_view, write.snapshot, write.accepted, write.prepared, write.states)
    )


def _decode(payload: bytes) -> Write:
    return Write(0, *msgspec.structs.astuple(_payloads.decode(payload)))


def _whole(stored: Stored) -> Write:
    return Write(0, stored.view_change, stored.new_view, stored.held, stored.accepted, stored.prepared, stored.states)


_encoder = msgspec.msgpack.Encoder()
_payloads = msgspec.msgpack.Decoder(_Payload)

STORAGE: Storage[Stored, Write] = Storage("concerted pbft log", 3, Stored(), Contents, _encode, _decode, _whole)
