"""One replica of PBFT in a simulation: a real core over a simulated disk, and a state machine that answers clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.pbft.clients import Answers, Reply, sealed_reply
from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import Message, Request
from concerted.consensus.pbft.node import Pbft, PbftReady
from concerted.consensus.sessions import Answer
from concerted.errors import StoreDamaged
from concerted.sim.cluster.replica import Beginning, Part, Replica
from concerted.sim.pbft.keys import SimSigner

__all__ = ["PbftReplica", "Service", "Unwatched"]


class Service:
    """The state machine: registers by name.  A write is answered with the count of all writes, a read with a value."""

    def __init__(self) -> None:
        self.answers = Answers()
        self.registers: dict[str, Any] = {}
        self.index = 0

    def apply(self, entry: Entry) -> tuple[Request, bytes]:
        """Apply the next entry."""
        assert entry.index == self.index + 1, f"entry {entry.index} is applied after {self.index}"
        self.index = entry.index
        return self.answers.apply(entry, self._carry_out)

    def _carry_out(self, body: bytes) -> bytes:
        register, value = msgspec.msgpack.decode(body)
        if value is None:
            return msgspec.msgpack.encode(self.registers.get(register))
        self.registers[register] = value
        count = self.registers.get("writes", 0) + 1
        self.registers["writes"] = count
        return msgspec.msgpack.encode(count)

    def dump(self) -> bytes:
        """Return everything, for a snapshot, in one form only."""
        return msgspec.msgpack.encode((self.index, sorted(self.registers.items()), self.answers.dump()))

    def restore(self, snapshot: Snapshot) -> None:
        """Become what another one was."""
        self.index, registers, answers = msgspec.msgpack.decode(snapshot.data)
        assert self.index == snapshot.index, f"a snapshot of {self.index} under the name {snapshot.index}"
        self.registers = dict(registers)
        self.answers = Answers.load(answers)


class Unwatched:
    """Watches nothing: whoever lies may do anything."""

    def stepped(self, replica: Replica[Pbft], ready: PbftReady) -> None:
        """See nothing."""

    def wrote(self, replica: Replica[Pbft], write: Any) -> None:
        """See nothing."""

    def sends(self, replica: Replica[Pbft], message: Message) -> None:
        """See nothing."""

    def applied(self, replica: Replica[Pbft], entry: Entry, answer: Answer | None) -> None:
        """See nothing."""


@dataclass(slots=True, kw_only=True)
class PbftReplica(Replica[Pbft]):
    """One replica's process.  reply: takes what clients are told."""

    group: Group
    reply: Callable[[Reply], None]
    service: Service = field(default_factory=Service)

    def start(self) -> None:
        """Begin a life with what the disk holds, unless that is damaged: then it is lost for ever."""
        try:
            stored = self.disk.read()
        except StoreDamaged:
            if not self.disk.is_damaged:
                raise
            self.is_lost = True
            return
        self.running = self.begin(Beginning(self.id, self.settings, stored, self.dice, self.now))
        self.service = Service()
        if stored.held.seq:
            self.service.restore(stored.snapshot)

    def ask(self, request: Request) -> PbftReady:
        """Take a client's request; one that was carried out is answered as before."""
        ready = self.give(Pbft.propose, [request.encode()], self.now)
        known = self.service.answers.of(request)
        if ready.refused is not None and ready.refused.reason == "done" and known is not None:
            self._tell(request, *known)
        return ready

    def carry_out(self, die_behind: Part | None = None) -> None:
        """Carry out the oldest Ready; or die behind a part of it.  A snapshot that it asks for is taken last."""
        index = self.waiting[0].compact_at
        Replica.carry_out(self, die_behind)
        if index is not None and self.running is not None:
            self.give(Pbft.compact, index, self.service.dump(), self.now)

    def _apply(self, ready: PbftReady) -> None:
        if ready.restore is not None:
            self.service.restore(ready.restore)
        for entry in ready.committed:
            request, result = self.service.apply(entry)
            self._tell(request, entry.index, result)

    def _tell(self, request: Request, index: int, result: bytes) -> None:
        reply = Reply(self.core.term, request.client, request.number, index, result, self.id)
        self.reply(sealed_reply(self.group.name, SimSigner(self.id), reply))
