"""One replica's state: its log of sequence numbers, its view, its checkpoints, and what it has to say.

    active in view v --its timer expires, or f + 1 want later views--> without a view, wanting v + 1
    without a view --NEW-VIEW, or it is the primary and has 2f + 1 VIEW-CHANGEs--> active
    without a view --2f + 1 have left, and no NEW-VIEW comes in time--> without a view, wanting the next one

A sequence number that is between the watermarks has a slot; `executed` is the last whose batch was handed out.

    stable <= executed,  stable < slots <= stable + window

The other modules of this package are functions over it, one for each section of the paper.

Source: Castro & Liskov 1999, section 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from concerted.consensus.entries import Entry
from concerted.consensus.pbft.done import Done
from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import (
    NULL,
    Batch,
    Body,
    Checkpoint,
    Commit,
    Message,
    NewView,
    Outline,
    Prepare,
    Prepared,
    PrePrepare,
    Proposal,
    Request,
    State,
    ViewChange,
)
from concerted.consensus.pbft.seal import Seal
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import Held
from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import Evidence

__all__ = [
    "Arriving", "Handed", "Output", "Replica", "Slot", "Waiting", "outline_of", "say_to_all", "slot_at",
    "timeout_s",
]  # fmt: skip

Key = tuple[str, int]
MOST_DOUBLINGS = 60  # of a timeout, which has a bound of its own


@dataclass(slots=True)
class Slot:
    """What is known of one sequence number.

    pre_prepare: of this view, if one is known; accepted: its batch is here and was looked at.  prepares, commits: of
    this view, the first of each replica, by replica.  prepared: the newest proof, of whatever view.  committed: the
    digest of what is decided; it never changes.  batches: by digest, all that were accepted here.
    """

    seq: int
    pre_prepare: PrePrepare | None = None
    accepted: bool = False
    prepares: dict[NodeId, Prepare] = field(default_factory=dict)
    commits: dict[NodeId, Commit] = field(default_factory=dict)
    prepared: Prepared | None = None
    committed: bytes | None = None
    batches: dict[bytes, Batch] = field(default_factory=lambda: {NULL: ()})

    def is_prepared(self, view: int) -> bool:
        """Say whether prepared(m, v, n, i) is true for a view."""
        return self.prepared is not None and self.prepared.pre_prepare.view == view

    def leave(self) -> None:
        """Forget what belongs to one view."""
        self.pre_prepare, self.accepted = None, False
        self.prepares.clear()
        self.commits.clear()


@dataclass(slots=True)
class Waiting:
    """A request that was not carried out yet.  since: when it began to wait, in this view."""

    request: Request
    since: float


@dataclass(slots=True)
class Arriving:
    """A state that is fetched.  outline: as it was proved.  pieces: the first of it, each as the outline has it."""

    outline: Outline
    pieces: list[bytes] = field(default_factory=list)

    @property
    def next(self) -> int:
        """The number of the first piece that is missing; 0: none is."""
        return len(self.pieces) + 1 if len(self.pieces) < len(self.outline.pieces) else 0


@dataclass(slots=True)
class Handed:
    """What a replica was sent of states lately.  since: from when on.  places: (number, piece)."""

    since: float
    places: set[tuple[int, int]] = field(default_factory=set)


@dataclass(slots=True)
class Output:
    """What goes out with the next Ready."""

    messages: list[Message] = field(default_factory=list)
    accepted: list[Proposal] = field(default_factory=list)
    prepared: list[Prepared] = field(default_factory=list)
    view_change: ViewChange | None = None
    new_view: NewView | None = None
    snapshot: Held | None = None
    states: list[State] = field(default_factory=list)
    restore: State | None = None
    committed: list[Entry] = field(default_factory=list)
    compact_at: int | None = None
    evidence: list[Evidence] = field(default_factory=list)


@dataclass(slots=True)
class Replica:
    """The state of one replica.  now: the instant of the input that is looked at.

    held: the last stable checkpoint.  executed, index, done: how far the log was handed out, entries that came of it,
    and whose requests these were.  compacting: the snapshot after `executed` was asked for and has not come.
    snapshots: own states at checkpoints that are not stable yet.  checkpoints: by replica and number, what it says of
    its state.  target: a stable checkpoint that this replica is behind.  asked: how many were asked for its state;
    arriving: what is here of it.  outlines: of own states, by number.  handed: what others were sent of these.

    view_changes: of each replica the one for the latest view.  new_view: what this view began with; None in the first.
    view_until: when to give up waiting for a new view.  attempts: view changes in a row without anything carried out.
    waiting: requests, those that wait longest first.  queue: those that this primary gave no number yet.  next_seq: the
    next number of this primary.  highest: the highest number that was heard of in this view.  status_at: when to say
    what is here.  seen_views: the latest view in which each replica was heard.  convicted: of whom there is evidence.
    """

    id: NodeId
    group: Group
    settings: Settings
    seal: Seal
    now: float
    held: Held
    done: Done
    view: int = 0
    active: bool = True
    executed: int = 0
    index: int = 0
    compacting: bool = False
    slots: dict[int, Slot] = field(default_factory=dict)
    snapshots: dict[int, State] = field(default_factory=dict)
    checkpoints: dict[NodeId, dict[int, Checkpoint]] = field(default_factory=dict)
    target: tuple[Checkpoint, ...] = ()
    asked: int = 0
    arriving: Arriving | None = None
    outlines: dict[int, Outline] = field(default_factory=dict)
    handed: dict[NodeId, Handed] = field(default_factory=dict)
    view_changes: dict[NodeId, ViewChange] = field(default_factory=dict)
    new_view: NewView | None = None
    view_until: float | None = None
    attempts: int = 0
    waiting: dict[Key, Waiting] = field(default_factory=dict)
    queue: dict[Key, Request] = field(default_factory=dict)
    next_seq: int = 1
    highest: int = 0
    status_at: float = 0.0
    seen_views: dict[NodeId, int] = field(default_factory=dict)
    convicted: set[NodeId] = field(default_factory=set)
    out: Output = field(default_factory=Output)

    @property
    def others(self) -> Sequence[NodeId]:
        """All but itself."""
        return [node for node in self.group.ids if node != self.id]

    @property
    def primary(self) -> NodeId:
        """The primary of its view."""
        return self.group.primary(self.view)

    @property
    def leads(self) -> bool:
        """Whether it is the primary, and active."""
        return self.active and self.primary == self.id

    @property
    def stable(self) -> int:
        """h: the low watermark, the number of the last stable checkpoint (4.3)."""
        return self.held.seq

    def is_between_watermarks(self, seq: int) -> bool:
        """Say whether h < n <= H (4.2, 4.3)."""
        return self.stable < seq <= self.stable + self.settings.window


def slot_at(replica: Replica, seq: int) -> Slot:
    """Return the slot of a number that lies between the watermarks."""
    assert replica.is_between_watermarks(seq), f"{seq} lies outside the watermarks of replica {replica.id}"
    replica.highest = max(replica.highest, seq)
    return replica.slots.setdefault(seq, Slot(seq))


def say_to_all(replica: Replica, body: Body) -> None:
    """Send the same to all others."""
    replica.out.messages += [Message(node, replica.id, body) for node in replica.others]


def outline_of(replica: Replica, state: State) -> Outline:
    """Return the outline of a state of this replica's own, which is computed once.  O(its data)."""
    if state.seq not in replica.outlines:
        replica.outlines[state.seq] = state.outline(replica.settings.piece_bytes)
    return replica.outlines[state.seq]


def timeout_s(replica: Replica) -> float:
    """Return how long to wait now: twice as long for each view change in a row after the first (4.5.2)."""
    settings = replica.settings
    doublings = min(max(replica.attempts - 1, 0), MOST_DOUBLINGS)
    return min(settings.request_timeout_s * 2.0**doublings, settings.longest_timeout_s)
