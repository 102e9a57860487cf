"""The invariants of PBFT, looked at after every step of every honest replica and at every message that leaves one.

What is checked against what: what is decided and carried out, against everything that ever was anywhere; a commitment,
against the disks of all honest replicas at that instant; a message, against its sender's disk and all that it has
ever said; evidence, against who lies; a request, against all that clients have signed.

Source: Castro & Liskov 1999, sections 4.2 to 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.pbft.evidence import is_proof
from concerted.consensus.pbft.group import Group
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
    Statement,
    Status,
    Transfer,
    ViewChange,
    Vote,
    encoded,
    read_request,
)
from concerted.consensus.pbft.node import Pbft, PbftReady
from concerted.consensus.pbft.seal import Seal
from concerted.consensus.pbft.storage import Contents
from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import Evidence
from concerted.consensus.sessions import Answer
from concerted.sim.cluster.checks import Broken, Checks
from concerted.sim.cluster.replica import Replica
from concerted.sim.pbft.keys import SimSigner

__all__ = ["PbftChecks"]


class PbftChecks(Checks[Pbft]):
    """Everything that was ever decided, carried out or said by honest replicas.

    honest: all that do not lie.  signed: the requests that clients have made.  chosen: the entries, in order.  decided:
    digests by sequence number.  accused: the liars of whom there is evidence.
    """

    def __init__(self, honest: Mapping[NodeId, Replica[Pbft]], group: Group) -> None:
        super().__init__(honest)
        self.honest = honest
        self.group = group
        self.signed: set[Request] = set()
        self.decided: dict[int, bytes] = {}
        self.views = 0
        self.accused: set[NodeId] = set()
        self._states: dict[int, bytes] = {}
        self._carried_out: dict[tuple[str, int], int] = {}
        self._looked: dict[NodeId, int] = {}  # up to which number each was looked at
        self._said: dict[tuple[object, ...], object] = {}

    def stepped(self, replica: Replica[Pbft], ready: PbftReady) -> None:
        """Check one replica after one input."""
        self.steps += 1
        state = replica.core.replica
        self.views = max(self.views, state.view if state.active else 0)
        if state.slots and max(state.slots) > state.stable + state.settings.window:
            raise Broken(f"watermarks: replica {replica.id} has {max(state.slots)}, and is stable at {state.stable}")
        if state.waiting and state.done.has(*next(iter(state.waiting))):
            raise Broken(f"patience: replica {replica.id} waits for what is carried out, or too old to ever be")
        if state.executed != self._looked.get(replica.id, 0):
            self._one_batch_per_number(replica)
        if ready.restore is not None:
            self._restored(replica, ready.restore)
        for entry in ready.committed:
            self._one_order(replica, entry)
        for evidence in ready.evidence:
            self._evidence_is_true(replica, evidence)

    def sends(self, replica: Replica[Pbft], message: Message) -> None:
        """Nothing is sent before that on which it rests is durable, and nothing that contradicts what was said."""
        body = message.body
        if isinstance(body, Proposal):
            body = body.pre_prepare
        if isinstance(body, Relay | Stable | Transfer | Piece | Status | Fetch) or body.source != replica.id:
            return  # it promises nothing, or somebody else has signed it
        disk = replica.disk.contents
        match body:
            case PrePrepare() | Prepare() | Commit():
                self._once((body.source, body.view, body.seq), body.digest, body)
                there = body.seq <= disk.held.seq or _rests(body, disk)
                if disk.view_change is not None and disk.view_change.view > body.view:
                    raise Broken(f"left: {body} leaves replica {replica.id}, which has left that view")
            case ViewChange():
                self._once((body.source, body.view, "left"), encoded(body), body)
                there = disk.view_change == body or (disk.new_view is not None and disk.new_view.view >= body.view)
            case NewView():
                self._once((body.source, body.view, "entered"), encoded(body), body)
                there = disk.new_view == body
            case Checkpoint():
                self._once(("state", body.seq), body.digest, body)
                self._states[body.seq] = body.digest
                state = disk.states.get(body.seq)
                size = replica.settings.piece_bytes
                there = body.seq <= disk.held.seq or (state is not None and state.outline(size).digest() == body.digest)
        if not there:
            raise Broken(f"not persisted: {body} leaves replica {replica.id}, and its disk does not have it")

    def applied(self, replica: Replica[Pbft], entry: Entry, answer: Answer | None) -> None:
        """See nothing more: what is handed out is looked at already."""

    def acknowledged(self, request: Request, index: int) -> None:
        """What f + 1 replicas have answered is in the log, where they say, and stays there."""
        if index > len(self.chosen) or self.chosen[index - 1].command != request.encode():
            raise Broken(f"acknowledged and lost: {request} was said to be at {index}, and honest replicas have not")

    # What is decided

    def _one_batch_per_number(self, replica: Replica[Pbft]) -> None:
        """No two honest replicas commit different batches at a sequence number (4.2)."""
        state = replica.core.replica
        last = min(self._looked.get(replica.id, 0), state.executed)
        self._looked[replica.id] = state.executed
        for seq in range(last + 1, state.executed + 1):
            slot = state.slots.get(seq)
            if slot is None or slot.committed is None:
                continue  # a state of others was taken over
            if seq not in self.decided:
                self._held_by_honest(replica, seq, slot.committed)
            if self.decided.setdefault(seq, slot.committed) != slot.committed:
                raise Broken(f"agreement: replica {replica.id} commits another batch at {seq} than others have")

    def _held_by_honest(self, replica: Replica[Pbft], seq: int, digest: bytes) -> None:
        """committed(m, v, n): it is prepared at f + 1 honest replicas at least, durably (4.2)."""
        holders = [
            node
            for node, disk in ((node, each.disk.contents) for node, each in self.honest.items())
            if node == replica.id  # its own write goes before what it hands out
            or disk.held.seq >= seq
            or (seq in disk.prepared and disk.prepared[seq].pre_prepare.digest == digest)
        ]
        if len(holders) < self.group.weak:
            raise Broken(f"committed too early: at {seq} by replica {replica.id}, prepared on the disks of {holders}")

    def _one_order(self, replica: Replica[Pbft], entry: Entry) -> None:
        """The logs of honest replicas are prefixes of one log, of requests that clients have signed, each once."""
        if entry.index <= len(self.chosen):
            if self.chosen[entry.index - 1] != entry:
                raise Broken(f"order: {replica.id} carries out {entry}, others {self.chosen[entry.index - 1]}")
            return
        if entry.index != len(self.chosen) + 1:
            raise Broken(f"order: replica {replica.id} carries out {entry} after {len(self.chosen)}")
        assert entry.command is not None
        request = read_request(entry.command)
        if request not in self.signed:
            raise Broken(f"forged: replica {replica.id} carries out {request}, which no client has signed")
        first = self._carried_out.setdefault(request.key, entry.index)
        if first != entry.index:
            raise Broken(f"carried out twice: {request}, at {first} and at {entry.index}")
        self.chosen.append(entry)

    def _restored(self, replica: Replica[Pbft], snapshot: Snapshot) -> None:
        state = replica.core.replica.held.state
        index = snapshot.index
        known = self._states.get(state.seq)
        outline = state.outline(replica.core.replica.settings.piece_bytes)
        if known != outline.digest() or index > len(self.chosen):
            raise Broken(f"state transfer: replica {replica.id} takes a state at {state.seq} that no honest one had")

    # What is said

    def _once(self, matter: tuple[object, ...], said: object, statement: Statement) -> None:
        first = self._said.setdefault(matter, said)
        if first != said:
            raise Broken(f"contradiction: {statement} leaves an honest replica, which said otherwise before")

    def _evidence_is_true(self, replica: Replica[Pbft], evidence: Evidence) -> None:
        if evidence.culprit in self.honest:
            raise Broken(f"evidence: replica {replica.id} says that {evidence.culprit} lies, who is honest")
        first, second = (_read(evidence.first), _read(evidence.second))
        if not is_proof(evidence, first, second, Seal(replica.id, self.group, SimSigner(replica.id))):
            raise Broken(f"evidence: what replica {replica.id} has of {evidence.culprit} proves nothing")
        self.accused.add(evidence.culprit)


def _rests(vote: Vote, disk: Contents) -> bool:
    """Say whether a disk has what a vote says was accepted, or prepared."""
    if isinstance(vote, Commit):
        prepared = disk.prepared.get(vote.seq)
        header = None if prepared is None else prepared.pre_prepare
    else:
        accepted = disk.accepted.get((vote.seq, vote.digest))
        header = None if accepted is None else accepted.pre_prepare
    return header is not None and (header.view, header.digest) == (vote.view, vote.digest)


def _read(said: bytes) -> Statement:
    return _statements.decode(said)


_statements: msgspec.msgpack.Decoder[Statement] = msgspec.msgpack.Decoder(Statement)
