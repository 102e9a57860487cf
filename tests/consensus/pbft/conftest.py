"""A PBFT replica alone on a table, and a group in a room where everything arrives, under all invariants."""

import random
from collections.abc import Callable, Iterable

import msgspec
import pytest

from concerted.consensus.pbft.certificates import chosen
from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import (
    Body,
    Checkpoint,
    Commit,
    Message,
    NewView,
    Piece,
    Prepare,
    Prepared,
    PrePrepare,
    Proposal,
    Request,
    State,
    Statement,
    Transfer,
    ViewChange,
    batch_digest,
)
from concerted.consensus.pbft.node import Pbft
from concerted.consensus.pbft.seal import Seal, sealed_request
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import Contents, Stored
from concerted.consensus.ready import NOTHING, Ready
from concerted.sim.pbft.cluster import Client, PbftCluster
from concerted.sim.pbft.keys import SimSigner, SimVerifier
from concerted.sim.pbft.replica import PbftReplica

CLIENTS = ("ann", "bob")


class Words:
    """What replicas and clients of a group of four, or more, could say, each signed by whom it names."""

    def __init__(self, size: int = 4):
        ids = tuple(range(1, size + 1))
        self.group = Group("test", ids, SimVerifier((*ids, *CLIENTS)))

    def signed(self, statement: Statement) -> Statement:
        return Seal(statement.source, self.group, SimSigner(statement.source)).sign(statement)

    def request(self, number: int = 1, client: str = "ann", body: bytes | None = None) -> Request:
        request = Request(client, number, b"%d" % number if body is None else body)
        return sealed_request("test", SimSigner(client), request)

    def pre_prepare(self, seq: int = 1, batch: Iterable[Request] = (), view: int = 0) -> PrePrepare:
        return self.signed(PrePrepare(view, seq, batch_digest(tuple(batch)), self.group.primary(view)))

    def proposal(self, seq: int = 1, *batch: Request, view: int = 0) -> Proposal:
        batch = batch or (self.request(seq),)
        return Proposal(self.pre_prepare(seq, batch, view), batch)

    def prepare(self, source: int, proposal: Proposal) -> Prepare:
        header = proposal.pre_prepare
        return self.signed(Prepare(header.view, header.seq, header.digest, source))

    def commit(self, source: int, proposal: Proposal) -> Commit:
        header = proposal.pre_prepare
        return self.signed(Commit(header.view, header.seq, header.digest, source))

    def prepared(self, proposal: Proposal, sources: Iterable[int] = ()) -> Prepared:
        primary = proposal.pre_prepare.source
        count = 2 * self.group.faulty
        sources = tuple(sources) or [node for node in self.group.ids if node != primary][:count]
        return Prepared(proposal.pre_prepare, tuple(self.prepare(node, proposal) for node in sources))

    def stable(self, state: State, sources: Iterable[int] = (1, 2, 3), size: int = 1 << 20) -> tuple[Checkpoint, ...]:
        digest = state.outline(size).digest()
        return tuple(self.signed(Checkpoint(state.seq, digest, node)) for node in sources)

    def view_change(self, source: int, view: int, *prepared: Prepared, proof=()) -> ViewChange:
        stable = proof[0].seq if proof else 0
        return self.signed(ViewChange(view, stable, tuple(proof), tuple(prepared), source))

    def new_view(self, view: int, *view_changes: ViewChange) -> NewView:
        primary = self.group.primary(view)
        headers = [self.signed(PrePrepare(view, seq, digest, primary)) for seq, digest in chosen(view_changes)]
        return self.signed(NewView(view, tuple(view_changes), tuple(headers), primary))


class Alone:
    """One replica of four whose disk is quick and whose peers are the test."""

    def __init__(self, node: int = 2, stored: Stored | None = None, words: Words | None = None, **how):
        self.words = words or Words()
        self.now = 0.0
        self.node = node
        self.settings = Settings(**how)
        self.contents = Contents(stored or Stored())
        self.ready: list[Ready] = []
        self.begin()

    def begin(self) -> "Alone":
        """Start, or start again, with what is on the disk."""
        self.pbft = Pbft(
            self.node, self.settings, self.contents.stored(), group=self.words.group, signer=SimSigner(self.node),
            now=self.now,
        )  # fmt: skip
        return self

    def _do(self, ready: Ready) -> Ready:
        if ready is not NOTHING:
            self.ready.append(ready)
            if ready.write is not None:
                self.contents.take(ready.write)
                assert self.pbft.written(ready.write.number, self.now) is NOTHING
        return ready

    def hears(self, body: Body, source: int | None = None, after_s: float = 0.0) -> Ready:
        self.now += after_s
        source = source or getattr(body, "source", 1)
        message = msgspec.msgpack.decode(msgspec.msgpack.encode(Message(self.node, source, body)), type=Message)
        return self._do(self.pbft.receive(message, self.now))

    def gets(self, state: State, source: int) -> Ready:
        """Be sent a state, its outline and then each piece; return what came of the last."""
        size = self.settings.piece_bytes
        outline = state.outline(size)
        ready = self.hears(Transfer(outline), source=source)
        for number in range(1, len(outline.pieces) + 1):
            ready = self.hears(Piece(state.seq, number, state.piece(number, size)), source=source)
        return ready

    def is_asked(self, *requests: Request) -> Ready:
        return self._do(self.pbft.propose([request.encode() for request in requests], self.now))

    def wakes(self, after_s: float | None = None) -> Ready:
        self.now = max(self.now, self.pbft.next_deadline) if after_s is None else self.now + after_s
        return self._do(self.pbft.wake(self.now))

    def times_out(self) -> Ready:
        """Be woken until it leaves its view."""
        view = self.pbft.term
        for _ in range(200):
            ready = self.wakes()
            if self.pbft.term != view:
                return ready
        raise AssertionError(f"replica {self.node} stays in view {view}")

    def compacts(self, data: bytes = b"") -> Ready:
        [index] = [ready.compact_at for ready in self.ready[-1:]]
        return self._do(self.pbft.compact(index, data, self.now))

    def commits(self, proposal: Proposal) -> Ready:
        """Let all others agree to a batch."""
        primary = proposal.pre_prepare.source
        if self.node != primary:
            self.hears(proposal)
        for node in self.words.group.ids:
            if node not in {self.node, primary}:
                self.hears(self.words.prepare(node, proposal))
        first = len(self.ready)
        for node in self.words.group.ids:
            if node != self.node:
                self.hears(self.words.commit(node, proposal))
        return next((ready for ready in self.ready[first:] if ready.committed), NOTHING)

    def said(self, kind: type, ready: Ready | None = None) -> list:
        """Return what it has sent of one kind, each once, in one Ready or in all."""
        bodies = [message.body for each in ([ready] if ready else self.ready) for message in each.messages]
        return [body for place, body in enumerate(bodies) if isinstance(body, kind) and body not in bodies[:place]]

    def carried_out(self) -> list[bytes]:
        return [msgspec.msgpack.decode(entry.command)[2] for ready in self.ready for entry in ready.committed]


class Room:
    """A group in which all that is sent arrives, in order, unless it was cut off; invariants are looked at always."""

    def __init__(self, size: int = 4, liars: Iterable[int] = (), **how):
        self.network: list[Message] = []
        self.cut: set[tuple[int, int]] = set()
        self.loses: Callable[[Message], bool] = lambda _: False
        self.settings = Settings(**how)
        self.cluster = PbftCluster(size, frozenset(liars), self.settings, random.Random(7), self.network.append)
        self.replicas = self.cluster.replicas
        self.sent: list[Message] = []

    def __getitem__(self, node: int) -> Pbft:
        return self.replicas[node].core

    def alive(self) -> list[PbftReplica]:
        return self.cluster.alive()

    def settle(self) -> "Room":
        """Let everything arrive, and all that follows from it."""
        while self.network or any(replica.waiting for replica in self.alive()):
            for replica in self.alive():
                while replica.waiting:
                    replica.carry_out()
            messages, self.network[:] = self.network[:], []
            self.sent += messages
            for message in messages:
                if (message.source, message.to) in self.cut or self.loses(message) or message.to not in self.replicas:
                    continue
                if self.replicas[message.to].running is not None:
                    self.replicas[message.to].receive(message)
        return self

    def ask(self, *nodes: int, client: int = 0) -> Client:
        """Let a client ask these replicas, or all."""
        asks = self.cluster.clients[client]
        request = self.cluster.want(asks)
        for replica in self.alive():
            if not nodes or replica.id in nodes:
                replica.ask(request)
        self.settle()
        return asks

    def pass_time(self, seconds: float) -> "Room":
        """Let time go by for all, with everything that comes due."""
        until = max(replica.now for replica in self.replicas.values()) + seconds
        while True:
            due = min(replica.core.next_deadline for replica in self.alive())
            now = min(max(due, *(replica.now for replica in self.alive())), until)
            for replica in self.replicas.values():
                replica.now = now
            if due > until:
                return self
            for replica in self.alive():
                if replica.now >= replica.core.next_deadline:
                    replica.wake()
            self.settle()

    def cut_off(self, *nodes: int) -> "Room":
        """Cut all ways between these and the others."""
        rest = [node for node in self.cluster.group.ids if node not in nodes]
        self.cut |= {way for a in nodes for b in rest for way in ((a, b), (b, a))}
        return self

    def heal(self) -> "Room":
        self.cut.clear()
        self.loses = lambda _: False
        return self

    def restart(self, node: int) -> "Room":
        self.replicas[node].die()
        self.replicas[node].start()
        return self

    @property
    def answered(self) -> int:
        return self.cluster.answered_count

    def executed(self) -> dict[int, int]:
        return {replica.id: replica.core.replica.executed for replica in self.alive()}

    def views(self) -> dict[int, int | None]:
        """Return the view of each replica that is in one, else None."""
        return {replica.id: replica.core.term if replica.core.leader is not None else None for replica in self.alive()}


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def alone() -> type[Alone]:
    return Alone


@pytest.fixture
def room() -> type[Room]:
    return Room
