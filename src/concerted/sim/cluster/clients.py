"""The clients of a simulated cluster: they write and read registers, and ask again until they are answered.

What they are told is checked as they are told it: an answer rests on a prefix of the log, and that prefix must have in
it everything that anybody was told before this was asked.  With state-machine safety this makes all reads and writes
linearizable; the history is there to be judged by others as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.consensus.ready import ReadId, Ready, Refusal
from concerted.consensus.sessions import Answer, Command
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.replica import Replica

__all__ = ["Asked", "Client", "Clients"]

REGISTERS = ("x", "y")
Give = Callable[..., Ready[Any, Any]]

READS = 0.4  # the share of reads


@dataclass(slots=True)
class Asked:
    """What a client has asked, and what it was told.

    op: open, write or read.  began, ended: instants of the simulation; None: never answered.  least: the index that its
    answer must rest on at least.
    """

    client: int
    op: str
    register: str
    value: int | None
    began: float
    least: int
    ended: float | None = None
    result: Any = None


@dataclass(slots=True)
class Client:
    """Does one thing after the other.  session: 0 until it has one.  reads: the ids under which it has asked."""

    id: int
    session: int = 0
    number: int = 0
    asked: Asked | None = None
    command: bytes = b""
    reads: list[ReadId] = field(default_factory=list)


class Clients:
    """All clients of one cluster.

    history: all reads and writes, in the order in which they were begun.  on_end: told that a client waits no more.
    """

    def __init__(
        self, rng: random.Random, count: int, on_end: Callable[[Client], None] = lambda _client: None
    ) -> None:  # fmt: skip
        self._rng = rng
        self._on_end = on_end
        self.all = [Client(number) for number in range(1, count + 1)]
        self.history: list[Asked] = []
        self.answered_count = 0
        self._told = 0  # the highest index on which an answer has rested
        self._read_ids = 0
        self._values = 0

    def any(self) -> Client:
        """Choose one."""
        return self._rng.choice(self.all)

    def ask(self, client: Client, replica: Replica[Any], at: float, give: Give | None = None) -> Refusal | None:
        """Ask a server for what the client wants; the same again, if it was not answered.

        at: the instant.  give: gives the server its input.
        """
        give = give or replica.give
        if client.asked is None:
            self._think(client, at)
        asked = client.asked
        assert asked is not None
        if asked.op != "read":
            return give(lambda core: core.propose([client.command], replica.now)).refused
        self._read_ids += 1
        read = ReadId(self._read_ids)
        client.reads.append(read)
        return give(lambda core: core.read([read], replica.now)).refused

    def _think(self, client: Client, at: float) -> None:
        """Decide what to ask next; first of all, for a session."""
        op = "open" if not client.session else "read" if self._rng.random() < READS else "write"
        self._values += 1
        register, value = self._rng.choice(REGISTERS), self._values if op == "write" else None
        client.number = self._values if op == "open" else client.number + (op == "write")
        client.asked = Asked(client.id, op, register, value, at, self._told)
        client.reads.clear()
        if op != "open":
            self.history.append(client.asked)
        body = _encode((register, value))
        done = 0 if op == "open" else client.number - 1
        client.command = Command(client.session, client.number, body, done).encode()

    def answered(self, replica: Replica[Any], answer: Answer, at: float) -> None:
        """Tell a client what became of its command; whichever server has applied it may be the one that was asked."""
        for client in self.all:
            asked = client.asked
            if asked is None or asked.op == "read":
                continue
            if asked.op == "open":
                if answer.number == client.number and answer.status == "opened":
                    client.session, client.number = answer.session, 0
                    self._end(client, replica, at, None)
            elif answer.number == client.number and answer.session == client.session:
                if answer.status == "done":
                    self._end(client, replica, at, None)
                else:
                    client.session, client.asked = 0, None  # nobody can say what became of it
                    self._on_end(client)

    def was_read(self, replica: Replica[Any], read: ReadId, registers: dict[str, Any], at: float) -> None:
        """Tell a client what it has read."""
        for client in self.all:
            if client.asked is not None and read in client.reads:
                self._end(client, replica, at, registers.get(client.asked.register))
                client.reads.clear()

    def _end(self, client: Client, replica: Replica[Any], at: float, result: Any) -> None:
        asked, client.asked = client.asked, None
        assert asked is not None
        index = replica.machine.index
        if index < asked.least:
            raise Broken(
                f"linearizability: {asked} is answered by server {replica.id} as of entry {index}, "
                f"and before it was asked somebody was told something of entry {asked.least}"
            )
        asked.ended, asked.result = at, result
        self._told = max(self._told, index)
        self.answered_count += 1
        self._on_end(client)


_encode = msgspec.msgpack.Encoder().encode
