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

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.raft.messages import Message
from concerted.consensus.raft.node import Raft
from concerted.consensus.raft.ready import NOTHING, ReadId, Ready, Settings, Stored, Write
from concerted.consensus.raft.storage import Contents, begin, frame, recover
from concerted.consensus.sessions import Answer, Sessions

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
    """One server's file, and what it must come to.  What is read back from the bytes is compared with that.

    Each write is synced before the next one begins.
    """

    def __init__(self, node: NodeId, configuration: Configuration) -> None:
        self.node = node
        self.contents = Contents(Stored(snapshot=Snapshot(configuration=configuration)))
        self.file = bytearray(begin(node, self.contents.stored()))

    def write(self, write: Write) -> None:
        """Take a write, all of it; one with a snapshot makes a new file."""
        self.contents.take(write)
        if write.snapshot is not None:
            self.file = bytearray(begin(self.node, self.contents.stored()))
        else:
            self.file += frame(write, len(self.file))

    def tear(self, write: Write, share: float) -> None:
        """Take only so much of a write: the server dies while its disk writes."""
        if write.snapshot is None:  # a new file gets its name when it is whole
            data = frame(write, len(self.file))
            self.file += data[: int(share * len(data))]

    def read(self) -> Stored:
        """Return what a server finds when it starts; what was torn is cut off."""
        found = recover(self.node, bytes(self.file))
        assert found.stored == self.contents.stored(), f"the file of server {self.node} is not what was written"
        del self.file[found.size_bytes :]
        return found.stored


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

    def die_writing(self, share: float) -> None:
        """Die while the disk writes; so much of the oldest Ready's write is on it.  share: 0 <= share < 1."""
        if self.waiting and self.waiting[0].write is not None:
            self.disk.tear(self.waiting[0].write, share)
        self.die()

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
