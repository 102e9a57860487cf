"""Replicas that lie: each is an honest core, or two of them under one key, whose words are twisted on their way out.

A liar can sign with its own key only; what it has heard it can play back.  Which kinds of lies it tells is drawn:

    silent        says nothing, most of the time
    selective     says some things to some only
    equivocating  gives one number to different batches, votes and signs checkpoints for different digests
    twin          is there twice, under one key, each hearing some of the others
    yes           votes for everything, at once
    forging       signs for others with its own key, plays back what it has heard, changes what others have signed
    changing      leaves out or invents what was prepared, begins views that do not follow, leaves views without need
    garbage       hands out states, proofs and statuses that are not so
    smuggling     orders requests that no client has signed, that are done, or that lie outside of the watermarks
    forgetful     starts again with an empty disk
    repeating     signs the same twice, so that it looks different

Source: Castro & Liskov 1999, section 2, for what a faulty replica may do; Bano et al., Twins, OPODIS 2021, for twins.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from concerted.consensus.pbft.certificates import chosen
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
    Piece,
    Prepare,
    Prepared,
    PrePrepare,
    Proposal,
    Relay,
    Request,
    Stable,
    State,
    Status,
    Transfer,
    ViewChange,
    batch_digest,
)
from concerted.consensus.pbft.node import Pbft
from concerted.consensus.pbft.seal import Seal
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import STORAGE, Stored
from concerted.consensus.quorum import NodeId
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.replica import Replica
from concerted.sim.pbft.checks import PbftChecks
from concerted.sim.pbft.keys import SimSigner

__all__ = ["KINDS", "Den", "Liar"]

KINDS = (
    "silent", "selective", "equivocating", "twin", "yes", "forging", "changing", "garbage", "smuggling", "forgetful",
    "repeating",
)  # fmt: skip
HEARD = 60  # messages that it can play back


class Den(Protocol):
    """A group in which somebody lies."""

    @property
    def group(self) -> Group:
        """Who is in it."""

    @property
    def settings(self) -> Settings:
        """How its replicas are set."""

    @property
    def checks(self) -> PbftChecks:
        """What the honest are held to; it knows what clients have signed."""

    def make(self, node: NodeId, post: Callable[[Message], None]) -> Replica[Pbft]:
        """Make a replica that nobody watches.  post: takes what leaves it."""


class Liar:
    """One replica that lies.  kinds: how.  send: takes what leaves."""

    def __init__(
        self, den: Den, node: NodeId, rng: random.Random, kinds: Sequence[str],
        send: Callable[[Message], None],
    ) -> None:  # fmt: skip
        self.id = node
        self.kinds = tuple(kinds)
        self._den = den
        self._rng = rng
        self._send = send
        self._seal = Seal(node, den.group, SimSigner(node))
        self._heard: list[Body] = []
        self._batches: dict[tuple[int, int], list[Batch]] = {}
        self._choice: dict[tuple[object, ...], Any] = {}
        self.cores = [den.make(node, self._say) for _ in range(2 if "twin" in kinds else 1)]
        for core in self.cores:
            core.start()

    # What happens to it

    def receive(self, message: Message) -> None:
        """Hear something."""
        body = message.body
        self._heard = [*self._heard[-HEARD:], body]
        if isinstance(body, Proposal):
            self._note(body)
        for place, core in enumerate(self.cores):
            if len(self.cores) == 1 or self._stays("hears", place, message.source, odds=0.6):
                self._do(core, lambda core: core.receive(message))

    def ask(self, request: Request) -> None:
        """Take a client's request."""
        for core in self.cores:
            self._do(core, lambda core: core.give(Pbft.propose, [request.encode()], core.now))

    def go_on(self, now: float) -> None:
        """Carry out what it would do if it were honest, as far as it is due."""
        for core in self.cores:
            core.now = max(core.now, now)
            if core.running is not None and core.core.next_deadline <= core.now:
                self._do(core, lambda core: core.wake())
            while core.waiting:
                self._do(core, lambda core: core.carry_out())

    def scheme(self) -> None:
        """Do something that nobody has asked for."""
        rng = self._rng
        if "forgetful" in self.kinds and rng.random() < 0.1:
            for core in self.cores:
                begin_anew(core)
        if "forging" in self.kinds and self._heard:
            self._post(rng.choice(self._den.group.ids), self._forged(rng.choice(self._heard)))
        if "garbage" in self.kinds:
            self._offer_garbage()
        view = max(core.core.term for core in self.cores)
        if "changing" in self.kinds and rng.random() < 0.3:
            left = ViewChange(view + rng.choice((1, 1, 2, 5)), 0, (), (), self.id)
            self._post(rng.choice(self._den.group.ids), self._seal.sign(left))
        if "smuggling" in self.kinds:
            self._smuggle(view)

    def _do(self, core: Replica[Pbft], act: Callable[[Replica[Pbft]], object]) -> None:
        """Let an honest core act; one that is confused by what its owner has done begins anew."""
        try:
            act(core)
        except AssertionError:
            begin_anew(core)

    # What it says

    def _say(self, message: Message) -> None:
        rng = self._rng
        if "silent" in self.kinds and rng.random() < 0.7:
            return
        if "selective" in self.kinds and not self._stays("says", type(message.body), message.to, odds=0.5):
            return
        for body in self._twisted(message.to, message.body):
            self._post(message.to, body)
            if "repeating" in self.kinds and rng.random() < 0.7:
                self._post(message.to, signed_again(body, self.id, self._den.group))

    def _post(self, to: NodeId, body: Body) -> None:
        if to != self.id:
            self._send(Message(to, self.id, body))

    def _twisted(self, to: NodeId, body: Body) -> list[Body]:
        match body:
            case Proposal() if body.pre_prepare.source == self.id:
                return self._proposals(to, body)
            case Prepare() | Commit() if "equivocating" in self.kinds and self._rng.random() < 0.4:
                return [self._seal.sign(replace(body, digest=self._another(body.view, body.seq, body.digest)))]
            case Checkpoint() if "equivocating" in self.kinds and body.source == self.id and self._rng.random() < 0.5:
                return [self._seal.sign(replace(body, digest=NULL))]
            case ViewChange() if "changing" in self.kinds and body.source == self.id:
                return [self._left(body)]
            case NewView() if "changing" in self.kinds and body.source == self.id:
                return [self._began(body)]
            case Transfer() | Piece() | Stable() | Status() if "garbage" in self.kinds:
                return [self._garbage(body)]
        return [body]

    def _proposals(self, to: NodeId, proposal: Proposal) -> list[Body]:
        """Give the number to one batch for some, and to another one for others, and stand by both."""
        self._note(proposal)
        if "equivocating" not in self.kinds:
            return [proposal]
        header, batch = proposal.pre_prepare, proposal.batch
        place = (header.view, header.seq)
        other = self._choice.setdefault((place, "batch"), self._other_batch(batch))
        if self._stays(place, "side", to, odds=0.5):
            return [proposal]
        twisted = Proposal(self._seal.sign(replace(header, digest=batch_digest(other))), other)
        self._note(twisted)
        commit = Commit(header.view, header.seq, twisted.pre_prepare.digest, self.id)
        return [twisted, self._seal.sign(commit)]

    def _other_batch(self, batch: Batch) -> Batch:
        requests = signed_by_clients(self._den.checks)
        mine = (self._rng.choice(requests),) if requests else ()
        return self._rng.choice((batch[::-1], batch[:1], (*batch, *batch), mine))

    def _left(self, said: ViewChange) -> ViewChange:
        """Twist what was prepared."""
        rng = self._rng
        prepared = list(said.prepared)
        match rng.choice(("true", "nothing", "less proof", "invented", "checkpoint")):
            case "nothing":
                prepared = []
            case "less proof":
                prepared = [replace(each, prepares=each.prepares[:-1]) for each in prepared]
            case "invented":
                prepared = [self._invented(each.pre_prepare.seq, said.view) for each in prepared]
                prepared = prepared or [self._invented(said.stable + 1, said.view)]
            case "checkpoint":
                said = replace(said, stable=said.stable + self._den.settings.checkpoint_interval)
        return self._seal.sign(replace(said, prepared=tuple(prepared)))

    def _invented(self, seq: int, view: int) -> Prepared:
        """Make a proof of what was never prepared, as far as its own key goes."""
        from_view = view - 1
        group = self._den.group
        other = self._other_batch(())
        header = PrePrepare(from_view, seq, batch_digest(other), group.primary(from_view))
        votes = [Prepare(from_view, seq, header.digest, node) for node in group.ids if node != header.source]
        return Prepared(self._seal.sign(header), tuple(self._seal.sign(vote) for vote in votes[: 2 * group.faulty]))

    def _began(self, said: NewView) -> NewView:
        """Begin a view with an O that does not follow, or with other view-changes for each."""
        rng = self._rng
        headers = list(said.pre_prepares)
        match rng.choice(("true", "nothing", "other", "fewer", "fewer")):
            case "nothing":
                headers = [self._seal.sign(replace(each, digest=NULL)) for each in headers]
            case "other":
                other = batch_digest(self._other_batch(()))
                headers = [self._seal.sign(replace(each, digest=other)) for each in headers]
            case "fewer":  # f + 1 view-changes: its own without anything, and those of who has prepared least
                bare = self._seal.sign(ViewChange(said.view, 0, (), (), self.id))
                others = [each for each in said.view_changes if each.source != self.id]
                least = sorted(others, key=lambda each: len(each.prepared))[: self._den.group.faulty]
                said = replace(said, view_changes=(bare, *least))
                headers = [
                    self._seal.sign(PrePrepare(said.view, seq, digest, self.id))
                    for seq, digest in chosen(said.view_changes)
                ]
        return self._seal.sign(replace(said, pre_prepares=tuple(headers)))

    def _garbage(self, body: Transfer | Piece | Stable | Status) -> Body:
        match body:
            case Transfer() | Piece():
                return _spoilt(body, self._rng)
            case Stable():
                return Stable(body.proof[:1] * len(body.proof))
            case Status():
                return self._seal.sign(replace(body, executed=body.executed + 7, stable=0, lacks=tuple(range(40))))

    def _forged(self, body: Body) -> Body:
        """Play it back, or change it, or claim that somebody else has said it."""
        rng = self._rng
        match rng.choice(("again", "other", "claim")):
            case "other" if isinstance(body, Prepare | Commit):
                return replace(body, digest=self._another(body.view, body.seq, body.digest))
            case "claim" if isinstance(body, Prepare | Commit | Checkpoint):
                claimed = replace(body, source=rng.choice(self._den.group.ids))
                return replace(claimed, signature=self._seal.sign(claimed).signature)
        return body

    # What it makes up

    def _smuggle(self, view: int) -> None:
        """Order what must not be ordered."""
        rng = self._rng
        core = self.cores[0].core.replica
        seq = core.executed + rng.choice((1, 2, 3, core.settings.window, core.settings.window + 1, 10_000))
        requests = signed_by_clients(self._den.checks)
        if not requests:
            return
        request = rng.choice(requests)
        match rng.choice(("true", "forged", "changed", "nothing")):
            case "forged":
                request = replace(request, number=(request.number + 50) % 2**64, signature=b"")
            case "changed":
                request = replace(request, body=request.body + b"!")
        batch = rng.choice(((request,), (request, request), ()))
        proposal = Proposal(self._seal.sign(PrePrepare(view, seq, batch_digest(batch), self.id)), batch)
        self._note(proposal)
        for node in self._den.group.ids:
            self._post(node, proposal)
            self._post(node, self._seal.sign(Commit(view, seq, proposal.pre_prepare.digest, self.id)))

    def _offer_garbage(self) -> None:
        """Claim a state that nobody ever had, prove it with its own key as far as that goes, and hand it out."""
        rng = self._rng
        core = self.cores[0].core.replica
        interval = core.settings.checkpoint_interval
        seq = (core.executed // interval + rng.choice((1, 2))) * interval
        outline = replace(_garbage_at(seq), index=core.index + rng.choice((1, 5)), done=core.done.dump())
        checkpoint = self._seal.sign(Checkpoint(seq, outline.digest(), self.id))
        to = rng.choice(self._den.group.ids)
        self._post(to, rng.choice((checkpoint, Stable((checkpoint,) * core.group.quorum))))
        self._post(to, Transfer(outline))
        self._post(to, Piece(seq, 1, b"garbage"))

    def _note(self, proposal: Proposal) -> None:
        """Remember a batch, and say yes to it."""
        header = proposal.pre_prepare
        known = self._batches.setdefault((header.view, header.seq), [])
        if proposal.batch in known:
            return
        known.append(proposal.batch)
        if "yes" in self.kinds:
            for node in self._den.group.ids:
                if header.source != self.id:
                    self._post(node, self._seal.sign(Prepare(header.view, header.seq, header.digest, self.id)))
                self._post(node, self._seal.sign(Commit(header.view, header.seq, header.digest, self.id)))

    def _another(self, view: int, seq: int, digest: bytes) -> bytes:
        known = [batch_digest(batch) for batch in self._batches.get((view, seq), ())]
        others = [each for each in known if each != digest]
        return self._rng.choice(others) if others else digest

    def _stays(self, *what: object, odds: float) -> bool:
        """Toss a coin once for each matter, and stay with it."""
        if what not in self._choice:
            self._choice[what] = self._rng.random() < odds
        return bool(self._choice[what])


def _spoilt(body: Transfer | Piece, rng: random.Random) -> Body:
    if isinstance(body, Piece):
        return replace(body, data=b"garbage")
    index = body.outline.index + rng.choice((0, 1))
    return Transfer(replace(body.outline, pieces=_garbage_at(1).pieces, index=index))


def _garbage_at(seq: int) -> Outline:
    return State(seq, data=b"garbage").outline(1 << 20)


def begin_anew(core: Replica[Pbft]) -> None:
    """Start again with an empty disk."""
    core.die()
    core.disk = Disk(STORAGE, core.id, Stored())
    core.start()


def signed_by_clients(checks: PbftChecks) -> list[Request]:
    """Return all requests that clients have signed, in one order."""
    return sorted(checks.signed, key=lambda request: (*request.key, request.body, request.signature))


def signed_again(body: Body, node: NodeId, group: Group) -> Body:
    """Return the same under another good signature, as far as it is a replica's own to sign."""
    if isinstance(body, Proposal):
        again = signed_again(body.pre_prepare, node, group)
        return Proposal(again, body.batch) if isinstance(again, PrePrepare) else body
    if isinstance(body, Relay | Stable | Transfer | Piece) or body.source != node:
        return body
    return Seal(node, group, SimSigner(node, b"again")).sign(body)
