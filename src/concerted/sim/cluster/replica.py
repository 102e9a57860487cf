"""One replica in a simulation: a real core over a disk that forgets what was not synced.

Who drives it decides when anything happens: when a message arrives, when a disk has written, who dies where.  Each
replica carries out its `Ready`s in order, as a real one must, and can die between any two of their parts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import NOTHING, ReadId, Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.sessions import Answer
from concerted.errors import StoreDamaged
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.machine import Machine

__all__ = ["Beginning", "Part", "Replica", "Watch"]

Part = str  # of a Ready, behind which its server dies: "write", "send" or "apply"

C = TypeVar("C", bound=ReplicatedLog[Any, Any])
AnyReady = Ready[Any, Any]


class Watch(Protocol[C]):
    """Who is shown everything that happens, and raises if it must not."""

    def stepped(self, replica: Replica[C], ready: AnyReady) -> None:
        """See what a server made of an input."""

    def wrote(self, replica: Replica[C], write: Any) -> None:
        """See what is on a server's disk from now on."""

    def sends(self, replica: Replica[C], message: Any) -> None:
        """See a message that leaves a server now."""

    def applied(self, replica: Replica[C], entry: Entry, answer: Answer | None) -> None:
        """See what a state machine made of an entry."""


class Holding(Protocol):
    """A state machine."""

    index: int

    def dump(self) -> bytes:
        """Return everything, for a snapshot."""

    def restore(self, snapshot: Snapshot) -> None:
        """Become what another one was."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a core is made from.  stored: what its disk holds.  dice: give 0 <= x < 1.  now: its own clock."""

    node: NodeId
    settings: Any
    stored: Any
    dice: Callable[[], float]
    now: float


@dataclass(slots=True)
class Replica(Generic[C]):
    """One server's process: its core while it lives, its disk for ever, and the Readys that are not carried out yet.

    begin: make a core.  now: its own clock.  send: takes what leaves.  on_answer, on_read: tell whoever has asked;
    None: the read is lost.  running: the core; None in one that is dead.  is_lost: its disk is
    damaged.
    """

    id: NodeId
    begin: Callable[[Beginning], C]
    settings: Any
    disk: Disk
    watch: Watch[C]
    dice: Callable[[], float]
    send: Callable[[Any], None]
    sessions_limit: int = 1000
    on_answer: Callable[[Replica[C], Answer], None] = lambda _replica, _answer: None
    on_read: Callable[[Replica[C], ReadId, dict[str, Any] | None], None] = lambda _replica, _read, _registers: None
    now: float = 0.0
    running: C | None = None
    machine: Machine = field(default_factory=lambda: Machine(1))
    is_lost: bool = False
    waiting: deque[AnyReady] = field(default_factory=deque)

    @property
    def holding(self) -> Holding:
        """What it keeps besides the log: that follows from the entries."""
        return self.machine

    @property
    def core(self) -> C:
        """The core of a server that lives."""
        assert self.running is not None, f"server {self.id} is dead"
        return self.running

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
        self._forget()
        if stored.snapshot.index:
            self._restore(stored.snapshot)

    def die(self) -> None:
        """Forget all but the disk."""
        self.running = None
        self.waiting.clear()

    def give(self, act: Callable[..., AnyReady], *args: Any) -> AnyReady:
        """Give the core an input, `act(core, *args)`; what follows from it waits until it is carried out."""
        return self._take(act(self.core, *args))

    def receive(self, message: Any) -> None:
        """Take a message."""
        core = self.running
        assert core is not None, f"server {self.id} is dead"
        self._take(core.receive(message, self.now))

    def wake(self) -> None:
        """Do what is due."""
        self._take(self.core.wake(self.now))

    def compact(self, upto: int) -> None:
        """Put a snapshot of the machine in the place of the log, if there is anything to win.  upto: one is there."""
        index = self.holding.index
        if index > upto:
            self.give(lambda core: core.compact(index, self.holding.dump(), self.now))

    def die_writing(self, share: float) -> None:
        """Die while the disk writes; so much of the oldest Ready's write is on it.  share: 0 <= share < 1."""
        if self.waiting and self.waiting[0].write is not None:
            self.disk.tear(self.waiting[0].write, share)
        self.die()

    def carry_out(self, die_behind: Part | None = None) -> None:
        """Carry out the oldest Ready; or die behind a part of it.  A death while sending loses the later messages.

        Where there is no room for a write, the server dies: what of it is on the disk nobody knows.  A snapshot that is
        asked for is taken last.
        """
        write = self.waiting[0].write
        if write is not None and self.disk.is_full:
            return self.die_writing(self.dice())
        ready = self.waiting.popleft()
        if write is not None:
            self.disk.write(write)
            self.watch.wrote(self, write)
        if die_behind == "write":
            return self.die()
        if ready.messages:
            self._send(ready.messages if die_behind != "send" else ready.messages[: len(ready.messages) // 2])
        if die_behind == "send":
            return self.die()
        if ready.committed or ready.restore is not None:
            self._apply(ready)
        if die_behind == "apply":
            return self.die()
        for read in ready.reads:
            self.on_read(self, read, self.machine.registers)
        for read in ready.lost_reads:
            self.on_read(self, read, None)
        if write is not None:
            core = self.running
            assert core is not None, f"server {self.id} died while it wrote"
            self._take(core.written(write.number, self.now))
        at = ready.compact_at
        if at is not None and self.running is not None:
            self.give(lambda core: core.compact(at, self.holding.dump(), self.now))
        return None

    def _forget(self) -> None:
        """Keep what there is before the first entry."""
        self.machine = Machine(self.sessions_limit)

    def _restore(self, snapshot: Snapshot) -> None:
        """Keep what somebody kept at a snapshot."""
        self.holding.restore(snapshot)

    def _take(self, ready: AnyReady) -> AnyReady:
        """Have what follows from an input looked at, and wait until it is carried out."""
        self.watch.stepped(self, ready)
        if ready is not NOTHING:
            self.waiting.append(ready)
        return ready

    def _send(self, messages: Sequence[Any]) -> None:
        watch, send = self.watch.sends, self.send
        for message in messages:
            watch(self, message)
            send(message)

    def _apply(self, ready: AnyReady) -> None:
        if ready.restore is not None:
            self._restore(ready.restore)
        for entry in ready.committed:
            answer = self.machine.apply(entry)
            self.watch.applied(self, entry, answer)
            if answer is not None:
                self.on_answer(self, answer)
