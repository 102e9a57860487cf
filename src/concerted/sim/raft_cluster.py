"""A cluster of Raft servers in a simulation: real cores over disks that forget what was not synced, and clients.

Who drives it decides when anything happens: when a message arrives, when a disk has written, who dies where.  Each
server carries out its `Ready`s in order, as a real one must, and can die between any two of their parts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.raft.messages import Entry, Message, Snapshot
from concerted.consensus.raft.node import Raft
from concerted.consensus.raft.ready import NOTHING, ReadId, Ready, Settings, Stored, Write
from concerted.consensus.raft.sessions import Answer, Sessions

__all__ = ["Disk", "Machine", "Part", "Replica", "Watch"]

Part = str  # of a Ready, behind which its server dies: "write", "send" or "apply"


class Watch(Protocol):
    """Who is shown everything that happens, and raises if it must not."""

    def stepped(self, replica: Replica, before: Before, ready: Ready) -> None:
        """See what a server made of an input."""

    def sends(self, replica: Replica, message: Message) -> None:
        """See a message that leaves a server now."""

    def applied(self, replica: Replica, entry: Entry, answer: Answer | None) -> None:
        """See what a state machine made of an entry."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a server was before an input."""

    is_leader: bool
    term: int
    last_index: int


class Disk:
    """What is durable of one server: the writes that were synced, folded."""

    def __init__(self, configuration: Configuration) -> None:
        self.term = 0
        self.vote: NodeId | None = None
        self.snapshot = Snapshot(configuration=configuration)
        self.entries: list[Entry] = []

    def write(self, write: Write) -> None:
        """Take a write, all of it."""
        self.term, self.vote = write.term, write.vote
        if write.snapshot is not None:
            gone = len(self.entries) if write.restores else write.snapshot.index - self.snapshot.index
            self.snapshot = write.snapshot
            del self.entries[:gone]
        if write.entries:
            del self.entries[write.entries[0].index - self.snapshot.index - 1 :]
            assert write.entries[0].index == self.last_index + 1, f"a gap on the disk before {write.entries[0].index}"
            self.entries += write.entries

    @property
    def last_index(self) -> int:
        """Up to where there is anything."""
        return self.snapshot.index + len(self.entries)

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry; None if it is not there (any more)."""
        offset = index - self.snapshot.index
        if offset == 0:
            return self.snapshot.term
        return self.entries[offset - 1].term if 0 < offset <= len(self.entries) else None

    def read(self) -> Stored:
        """Return what a server finds when it starts."""
        return Stored(self.term, self.vote, self.snapshot, tuple(self.entries))


class Machine:
    """The state machine: registers by name, behind sessions.  A write is answered with the count of all writes."""

    def __init__(self, limit: int) -> None:
        self.sessions = Sessions(limit)
        self.registers: dict[str, Any] = {}
        self.index = 0

    def apply(self, entry: Entry) -> Answer | None:
        """Apply the next entry."""
        assert entry.index == self.index + 1, f"entry {entry.index} is applied after {self.index}"
        self.index = entry.index
        return self.sessions.apply(entry, self._carry_out)

    def _carry_out(self, body: bytes) -> bytes:
        register, value = msgspec.msgpack.decode(body)
        self.registers[register] = value
        count = self.registers.get("writes", 0) + 1
        self.registers["writes"] = count
        return msgspec.msgpack.encode(count)

    def dump(self) -> bytes:
        """Return everything, for a snapshot."""
        return msgspec.msgpack.encode((self.index, self.registers, self.sessions.dump()))

    def restore(self, snapshot: Snapshot) -> None:
        """Become what another machine was."""
        self.index, self.registers, sessions = msgspec.msgpack.decode(snapshot.data)
        assert self.index == snapshot.index, f"a snapshot of {self.index} under the name {snapshot.index}"
        self.sessions = Sessions.load(sessions)


@dataclass(slots=True)
class Replica:
    """One server's process: its core while it lives, its disk for ever, and the Readys that are not carried out yet.

    now: its own clock.  send: takes what leaves.  on_answer, on_read: tell whoever has asked; None: the read is lost.
    """

    id: NodeId
    settings: Settings
    disk: Disk
    watch: Watch
    dice: Callable[[], float]
    send: Callable[[Message], None]
    sessions_limit: int = 1000
    on_answer: Callable[[Replica, Answer], None] = lambda _replica, _answer: None
    on_read: Callable[[Replica, ReadId, dict[str, Any] | None], None] = lambda _replica, _read, _registers: None
    now: float = 0.0
    raft: Raft | None = None
    machine: Machine = field(default_factory=lambda: Machine(1))
    waiting: deque[Ready] = field(default_factory=deque)

    @property
    def core(self) -> Raft:
        """The core of a server that lives."""
        assert self.raft is not None, f"server {self.id} is dead"
        return self.raft

    def start(self) -> None:
        """Begin a life with what the disk holds."""
        stored = self.disk.read()
        self.raft = Raft(self.id, self.settings, stored, dice=self.dice, now=self.now)
        self.machine = Machine(self.sessions_limit)
        if stored.snapshot.index:
            self.machine.restore(stored.snapshot)

    def die(self) -> None:
        """Forget all but the disk."""
        self.raft = None
        self.waiting.clear()

    def give(self, act: Callable[[Raft], Ready]) -> Ready:
        """Give the core an input; what follows from it waits until it is carried out."""
        raft = self.core
        before = Before(raft.role == "leader", raft.term, raft.log.last_index)
        ready = act(raft)
        self.watch.stepped(self, before, ready)
        if ready is not NOTHING:
            self.waiting.append(ready)
        return ready

    def receive(self, message: Message) -> None:
        """Take a message."""
        self.give(lambda raft: raft.receive(message, self.now))

    def wake(self) -> None:
        """Do what is due."""
        self.give(lambda raft: raft.wake(self.now))

    def compact(self) -> None:
        """Put a snapshot of the machine in the place of the log, if there is anything to win."""
        index = self.machine.index
        if index > self.core.log.snapshot.index:
            self.give(lambda raft: raft.compact(index, self.machine.dump(), self.now))

    def carry_out(self, die_behind: Part | None = None) -> None:
        """Carry out the oldest Ready; or die behind a part of it.  A death while sending loses the later messages."""
        ready = self.waiting.popleft()
        if ready.write is not None:
            self.disk.write(ready.write)
        if die_behind == "write":
            return self.die()
        count = len(ready.messages)
        for message in ready.messages[: count // 2 if die_behind == "send" else count]:
            self.watch.sends(self, message)
            self.send(message)
        if die_behind == "send":
            return self.die()
        self._apply(ready)
        if die_behind == "apply":
            return self.die()
        for read in ready.reads:
            self.on_read(self, read, self.machine.registers)
        for read in ready.lost_reads:
            self.on_read(self, read, None)
        if ready.write is not None:
            number = ready.write.number
            self.give(lambda raft: raft.written(number, self.now))
        return None

    def _apply(self, ready: Ready) -> None:
        if ready.restore is not None:
            self.machine.restore(ready.restore)
        for entry in ready.committed:
            answer = self.machine.apply(entry)
            self.watch.applied(self, entry, answer)
            if answer is not None:
                self.on_answer(self, answer)
