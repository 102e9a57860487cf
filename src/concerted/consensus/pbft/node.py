"""PBFT: one replica as a value that is fed inputs and gives back what is to be done.

    group = Group("ledger", (1, 2, 3, 4), Ed25519Verifier(replicas, clients))
    pbft = Pbft(1, Settings(), Stored(), group=group, signer=Ed25519Signer(private), now=clock())
    ready = pbft.receive(message, now=clock())

Each input has a method; each returns one `Ready`, in which the order of things is part of the promise.  The core has no
clock, disk, network or dice: `now` is an instant of this replica's own monotonic clock, in seconds.  It asks to be
woken at `next_deadline` and needs nothing in between, so an idle replica costs nothing.

Commands are requests that clients have signed (`Request.encode()`); each becomes an entry of its own, once.  An entry's
`term` is the sequence number of its batch: the same at every replica, unlike the view in which it was decided.

Where what stands (Castro & Liskov 1999): clients (4.1) in `clients`; normal operation (4.2) in `agreement`; checkpoints
and state transfer (4.3) in `checkpoints`; view changes (4.4) in `view_changes`, what they prove in `certificates`;
timeouts (4.5.2) in `view_changes`; what makes up for lost messages (thesis 5.2) in `catching_up`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from concerted.consensus.entries import Snapshot
from concerted.consensus.pbft import agreement, catching_up, checkpoints, view_changes
from concerted.consensus.pbft.done import Done
from concerted.consensus.pbft.group import Group, Signer
from concerted.consensus.pbft.messages import (
    Checkpoint,
    Commit,
    Fetch,
    Message,
    NewView,
    Piece,
    Prepare,
    PrePrepare,
    Proposal,
    Relay,
    Request,
    Stable,
    Status,
    Transfer,
    ViewChange,
    read_request,
)
from concerted.consensus.pbft.replica import Output, Replica
from concerted.consensus.pbft.restart import restored
from concerted.consensus.pbft.seal import Seal
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import Stored, Write
from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import NOTHING, ReadId, Ready, Refusal

__all__ = ["Pbft", "PbftReady"]

PbftReady = Ready[Message, Write]


class Pbft:
    """One replica.  Restarted, it is made anew from what its disk holds; nothing else outlives it.

    Raises:
        Invalid: it is not in the group, or its key is not the one by which the others know it.
    """

    def __init__(
        self, node: NodeId, settings: Settings, stored: Stored, *, group: Group, signer: Signer, now: float
    ) -> None:
        done = Done.load(settings.numbers_count, stored.state.done)
        self._replica = Replica(node, group, settings, Seal(node, group, signer), now, stored.held, done)
        self._number = 0
        restored(self._replica, stored)

    # What there is to see

    @property
    def id(self) -> NodeId:
        """Its id."""
        return self._replica.id

    @property
    def term(self) -> int:
        """The view that it is in, or wants to be in."""
        return self._replica.view

    @property
    def leader(self) -> NodeId | None:
        """The primary of its view; None while it is in no view."""
        return self._replica.primary if self._replica.active else None

    @property
    def replica(self) -> Replica:
        """Its state, to be looked at."""
        return self._replica

    @property
    def next_deadline(self) -> float:
        """When to call `wake`, if no input comes before that changes it."""
        return min(self._replica.status_at, view_changes.timer(self._replica))

    # Inputs

    def receive(self, message: Message, now: float) -> PbftReady:
        """Take a message from the network; one that is not what it should be does nothing."""
        replica = self._begin(now)
        assert message.to == replica.id, f"a message for replica {message.to} came to {replica.id}"
        body = message.body
        if getattr(body, "source", None) == replica.id:
            return self._ready()  # somebody plays back what was said here
        if isinstance(body, PrePrepare | Prepare | Commit | Status):
            catching_up.note_view(replica, body)
        match body:
            case Proposal():
                catching_up.note_view(replica, body.pre_prepare)
                agreement.take_proposal(replica, body)
            case Prepare():
                agreement.take_prepare(replica, body)
            case Commit():
                agreement.take_commit(replica, body)
            case Relay():
                agreement.take_relay(replica, body)
            case Checkpoint():
                checkpoints.take_checkpoint(replica, body)
            case Stable():
                checkpoints.take_stable(replica, body)
            case Fetch():
                checkpoints.take_fetch(replica, body)
            case Transfer():
                checkpoints.take_transfer(replica, body)
            case Piece():
                checkpoints.take_piece(replica, body)
            case ViewChange():
                view_changes.take_view_change(replica, body)
            case NewView():
                view_changes.take_new_view(replica, body)
            case Status():
                catching_up.take_status(replica, body)
        return self._ready()

    def propose(self, commands: Sequence[bytes], now: float) -> PbftReady:
        """Have requests of clients carried out, at any replica; a backup relays them and watches over the primary.

        Whoever asked learns that by an entry with this command among `committed`, here or elsewhere; after a while
        without an answer a client asks all replicas, and asks again.
        """
        replica = self._begin(now)
        assert commands, "a proposal of nothing"
        requests = [_read(command) for command in commands]
        known = [request for request in requests if request is not None]
        if len(known) < len(requests) or not all(replica.seal.is_valid(request) for request in known):
            return self._ready(Refusal("unsigned", self.leader))
        if all(replica.done.has(*request.key) for request in known):
            return self._ready(Refusal("done", self.leader))
        if len(replica.waiting) + len(known) > replica.settings.waiting_count:
            return self._ready(Refusal("overloaded", self.leader))
        agreement.submit(replica, known)
        return self._ready()

    def read(self, asked: Sequence[ReadId], now: float) -> PbftReady:
        """Refuse: no replica alone can be believed, and 2f + 1 equal answers from states that differ in age can be
        older than what f + 1 have acknowledged already.  Whoever wants to read puts a request into the log."""
        self._begin(now)
        return self._ready(Refusal("ordered", self.leader), lost_reads=tuple(asked))

    def compact(self, index: int, data: bytes, now: float) -> PbftReady:
        """Take the snapshot that a Ready has asked for (4.3).  One that was not asked for does nothing.

        data: the state machine's state after the entry at `index`; it must be the same bytes at every replica.
        """
        replica = self._begin(now)
        if replica.compacting and index == replica.index:
            checkpoints.take_snapshot(replica, data)
        return self._ready()

    def wake(self, now: float) -> PbftReady:
        """Do what is due.  Waking too early does nothing."""
        replica = self._begin(now)
        if now >= view_changes.timer(replica):
            view_changes.time_out(replica)
        if now >= replica.status_at:
            replica.status_at = float("inf")
            catching_up.repeat(replica)
        return self._ready()

    def written(self, number: int, now: float) -> PbftReady:  # noqa: ARG002
        """Take note that a write is durable; nothing waits for that but what the same Ready sends."""
        self._begin(now)
        return NOTHING

    # How an input begins and ends

    def _begin(self, now: float) -> Replica:
        assert now >= self._replica.now, f"time of replica {self.id} went back from {self._replica.now} to {now}"
        self._replica.now = now
        return self._replica

    def _ready(self, refused: Refusal | None = None, lost_reads: tuple[ReadId, ...] = ()) -> PbftReady:
        """Hand out everything that has come up since the last Ready."""
        replica = self._replica
        if catching_up.is_waiting(replica):
            replica.status_at = min(replica.status_at, replica.now + replica.settings.retry_interval_s)
        elif replica.status_at > replica.now:
            replica.status_at = float("inf")
        out, replica.out = replica.out, Output()
        write = self._write(out)
        if not (write or out.messages or out.committed or out.evidence or refused or out.compact_at is not None):
            return NOTHING
        restore = None
        if out.restore is not None:
            state = out.restore
            restore = Snapshot(state.index, state.seq, Configuration.of(replica.group.ids), state.data)
        return Ready(
            write=write,
            messages=tuple(out.messages),
            restore=restore,
            committed=tuple(out.committed),
            lost_reads=lost_reads,
            refused=refused,
            compact_at=out.compact_at,
            evidence=tuple(out.evidence),
        )

    def _write(self, out: Output) -> Write | None:
        """Return what must be durable before this Ready's messages leave; None if all of it is already handed out."""
        if not (out.view_change or out.new_view or out.snapshot or out.accepted or out.prepared or out.states):
            return None
        self._number += 1
        low = 0 if out.snapshot is None else out.snapshot.seq
        states = tuple(state for state in out.states if state.seq > low)
        return Write(
            self._number, out.view_change, out.new_view, out.snapshot, tuple(out.accepted), tuple(out.prepared), states
        )


def _read(command: bytes) -> Request | None:
    try:
        return read_request(command)
    except msgspec.DecodeError:
        return None
