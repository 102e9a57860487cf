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
from concerted.sim.cluster.replica import Beginning, Replica
from concerted.sim.pbft.keys import SimSigner

__all__ = ["PbftReplica", "Service", "Unwatched", "beginning_in"]


def beginning_in(group: Group) -> Callable[[Beginning], Pbft]:
    """Return what makes a core of a group."""

    def begin(beginning: Beginning) -> Pbft:
        node = beginning.node
        return Pbft(node, beginning.settings, beginning.stored, group=group, signer=SimSigner(node), now=beginning.now)

    return begin


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
        try:
            self.index, registers, answers = msgspec.msgpack.decode(snapshot.data)
        except (msgspec.DecodeError, TypeError, ValueError):
            raise AssertionError(f"the snapshot at {snapshot.index} is none: {snapshot.data!r}") from None
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

    @property
    def holding(self) -> Service:
        """What it keeps besides the log."""
        return self.service

    def ask(self, request: Request) -> PbftReady:
        """Take a client's request; one that was carried out is answered as before."""
        ready = self.give(Pbft.propose, [request.encode()], self.now)
        known = self.service.answers.of(request)
        if ready.refused is not None and ready.refused.reason == "done" and known is not None:
            self._tell(request, *known)
        return ready

    def _forget(self) -> None:
        self.service = Service()

    def _apply(self, ready: PbftReady) -> None:
        if ready.restore is not None:
            self._restore(ready.restore)
        for entry in ready.committed:
            request, result = self.service.apply(entry)
            self._tell(request, entry.index, result)

    def _tell(self, request: Request, index: int, result: bytes) -> None:
        reply = Reply(self.core.term, request.client, request.number, index, result, self.id)
        self.reply(sealed_reply(self.group.name, SimSigner(self.id), reply))
