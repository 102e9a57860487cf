"""One replica at work: a core, its file, its clock and what it keeps, driven by an event loop.

    input -> core -> Ready: write (in a thread, many at once) -> send -> apply -> answer -> the core hears of the write

Inputs go on while the disk writes; what follows from them waits its turn.  What clients propose meanwhile is gathered,
and goes into the log together, with one write.  A replica that finds a fault of its own stops: nobody knows in which
state it has left the core.

Source: consensus/ready.py for the order; Ongaro's thesis 2014, section 10.2, for batching.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import NOTHING, ReadId, Ready, Refusal
from concerted.consensus.replica_group import tolerates
from concerted.consensus.replicated_log import Message, ReplicatedLog
from concerted.consensus.sessions import Answer
from concerted.errors import ConcertedError, Invalid, Unreachable
from concerted.replicas.file import ReplicaFile
from concerted.replicas.kept import Kept
from concerted.replicas.protocols.algorithms import Kind, Making, Membership, kind_of
from concerted.replicas.spec import Group
from concerted.replicas.wire import Change

__all__ = ["Heard", "Replica", "change_members", "membership_of"]

COMPACT_ENTRIES = 20_000  # the fewest applied since the last snapshot, after which there is another
COMPACT_BYTES = 100  # of a snapshot for which one entry more may be applied before the next
KEEP_ENTRIES = 5_000  # the fewest that stay in the log, so that who is only slow needs no snapshot
STALE_S = 1.0  # how old the time of a group that signs may be when a command comes
PROPOSED_COUNT = 1_000  # commands in one proposal, so that what is too much is refused in part


class Heard(Protocol):
    """Who is told what a replica does, on its loop."""

    def send(self, messages: Sequence[Message]) -> None:
        """Deliver messages to other replicas; they may be lost."""

    def answered(self, answer: Answer) -> None:
        """Hear what came of a command, whoever has proposed it."""

    def agreed(self, stream: str) -> None:
        """Hear that there is a value for an agreement outside the log, or that what was proposed cannot be one."""

    def refused(self, commands: Sequence[bytes], reason: str, leader: NodeId | None) -> None:
        """Hear that commands are not taken here."""

    def read(self, asked: ReadId, *, done: bool) -> None:
        """Hear that what is kept may be read now, or that this read must be asked for again."""

    def touched(self, streams: Sequence[str], settled: Sequence[str]) -> None:
        """Hear which objects have changed, and for which of them somebody's wait may be over."""

    def led_by(self, leader: NodeId | None, term: int) -> None:
        """Hear who leads, whenever that changes."""

    def accused(self, culprits: Sequence[NodeId]) -> None:
        """Hear that there is evidence that these replicas have lied."""

    def failed(self, error: ConcertedError) -> None:
        """Hear that the replica must stop."""


class Replica:
    """A replica of a group, from `start` to `stop`.  heard: is told what it does."""

    def __init__(
        self,
        group: Group,
        node: NodeId,
        file: ReplicaFile[Any, Any],
        heard: Heard,
        *,
        compact_entries: int,
        private: str = "",
    ) -> None:
        self.group = group
        self.node = node
        count = len(group.replicas)
        self.kind: Kind = kind_of(group.algorithm)
        self.entering = self.kind.entering(group, node, private)
        honest = tolerates("pbft", count) + 1 if self.kind.is_signed else 1
        self.kept = Kept(group.algorithm, honest, self.entering, group.bounds)
        self._file = file
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix=f"replica-{node}-disk")
        self._waiting: deque[Ready[Any, Any]] = deque()  # not carried out yet, oldest first
        self._writing: list[Ready[Any, Any]] = []  # those whose writes are on their way to the disk
        self._proposals: list[bytes] = []
        self._reads: list[ReadId] = []
        self._flushing = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._clock = Clock(self)
        self._snapshots = Snapshots(compact_entries, file.stored.snapshot.index)
        self._leader: NodeId | None = None
        self._said_at = 0.0
        self._stopped = False
        self._alive = Alive(self)
        stored = file.stored
        if stored.snapshot.index:
            self.kept.restore(stored.snapshot)
        making = Making(group, node, stored, random.random, self._loop.time(), private, self.kept.may_be_agreed)
        self.core: ReplicatedLog[Any, Any] = self.kind.core(making)
        for each in getattr(stored, "instances", ()):
            if each.is_chosen:
                self.kept.agreed(each.key, each.value, each.rounds)

    def start(self) -> None:
        """Begin to keep time."""
        self._set_alarm()
        if self.kind.is_signed:
            self.propose(b"")

    async def stop(self) -> None:
        """Do nothing more, and let go of the file."""
        self._stopped = True
        self._clock.stop()
        if self._alarm is not None:
            self._alarm.cancel()
        await self._loop.run_in_executor(None, self._disk.shutdown)
        self._file.close()

    # Inputs

    def receive(self, messages: Sequence[Message]) -> None:
        """Take what another replica says."""
        with self._alive:
            for message in messages:
                self._take(self.core.receive(message, self._loop.time()))
            self._go_on()

    def propose(self, command: bytes) -> None:
        """Have a session's command put into the log, together with what else comes now."""
        if self.kind.is_signed and command and time.time() - max(self.kept.now, self._said_at) > STALE_S:
            self._said_at = time.time()
            self._proposals.append(b"")
        self._proposals.append(command)
        self._flush_soon()

    def read(self, asked: ReadId) -> None:
        """Ask for a read, under an id that was never used here: `Heard.read` says when."""
        self._reads.append(asked)
        self._flush_soon()

    def agree(self, stream: str, given: bytes) -> None:
        """Propose a value for an agreement, with no leader and no log: `Heard.agreed` says what was chosen."""
        value = self.entering.wrap([given], self.core.term)[0]
        ready = self.give(lambda now: self.core.agree(stream, value, now))  # type: ignore[attr-defined]
        if ready.refused is not None:
            self._heard.agreed(stream)

    def give(self, input: Callable[[float], Ready[Any, Any]]) -> Ready[Any, Any]:
        """Give the core an input, and do what follows; return what it said."""
        with self._alive:
            ready = input(self._loop.time())
            self._take(ready)
            self._go_on()
        return ready

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Ask the core for what has gathered; while the disk writes, more commands gather."""
        self._flushing = False
        if self._stopped:
            return
        with self._alive:
            if self._reads:
                self._read()
            while self._proposals and not self._writing:
                self._propose()
            self._go_on()

    def _read(self) -> None:
        asked, self._reads = self._reads, []
        ready = self.core.read(asked, self._loop.time())
        self._take(ready)
        if ready.refused is not None:
            for each in asked:
                self._heard.read(each, done=False)

    def _propose(self) -> None:
        commands, self._proposals = self._proposals[:PROPOSED_COUNT], self._proposals[PROPOSED_COUNT:]
        ready = self.core.propose(self.entering.wrap(commands, self.core.term), self._loop.time())
        self._take(ready)
        if ready.refused is not None:
            self._heard.refused(commands, ready.refused.reason, ready.refused.leader)

    # What follows

    def _take(self, ready: Ready[Any, Any]) -> None:
        if ready is not NOTHING:
            self._waiting.append(ready)

    def _go_on(self) -> None:
        """Carry out what can be carried out now; begin to write what must be written first."""
        while self._waiting and not self._writing and not self._stopped:
            if self._waiting[0].write is None:
                self._carry_out(self._waiting.popleft())
                continue
            self._writing = list(self._waiting)
            self._waiting.clear()
            writes = [ready.write for ready in self._writing if ready.write is not None]
            self._disk.submit(self._file.write, writes).add_done_callback(self._on_disk)
        self._set_alarm()
        if self.core.leader != self._leader:
            self._leader = self.core.leader
            self._heard.led_by(self._leader, self.core.term)
            if self.kind.is_signed and self._leader is not None:
                self.propose(b"")  # so that the view, which no entry has by itself, is said

    def _on_disk(self, done: Future[None]) -> None:
        """Go back to the loop, from the disk's thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._written, done)

    def _written(self, done: Future[None]) -> None:
        """Carry out what was written, all of it durable now."""
        if self._stopped:
            return
        error = done.exception()
        if isinstance(error, ConcertedError):
            self.fail(error)
            return
        with self._alive:
            done.result()
            written, self._writing = self._writing, []
            number = 0
            for ready in written:
                if ready.write is not None:
                    number = ready.write.number
                self._carry_out(ready)
            self._take(self.core.written(number, self._loop.time()))
            self._go_on()
        if self._proposals:
            self._flush()

    def fail(self, error: ConcertedError) -> None:
        """Do nothing more, and say why."""
        if not self._stopped:
            self._stopped = True
            self._heard.failed(error)

    def _carry_out(self, ready: Ready[Any, Any]) -> None:
        """Send, apply and answer; what was to be written is."""
        if ready.messages:
            self._heard.send(ready.messages)
        if ready.restore is not None:
            self.kept.restore(ready.restore)
            self._snapshots.restored(ready.restore.index)
            self._heard.touched(self.kept.touched, self.kept.settled)
        kept = self.kept
        for entry in ready.committed:
            answer = kept.apply(entry)
            if kept.touched:
                self._heard.touched(kept.touched, kept.settled)
            if answer is not None:
                self._heard.answered(answer)
        for each in ready.chosen:
            kept.agreed(each.key, each.value, each.rounds)
            self._heard.touched(kept.touched, kept.settled)
            self._heard.agreed(each.key)
        for asked in ready.reads:
            self._heard.read(asked, done=True)
        for asked in ready.lost_reads:
            self._heard.read(asked, done=False)
        if ready.committed:
            self._clock.set()
        if ready.compact_at is not None:
            self._take(self.core.compact(ready.compact_at, kept.dump(), self._loop.time()))
        elif ready.committed and not self.kind.is_signed:
            self._compact()
        if ready.evidence:
            self._heard.accused([each.culprit for each in ready.evidence])

    def _compact(self) -> None:
        due = self._snapshots.due(self.kept)
        if due is not None:
            index, data = due
            self._take(self.core.compact(index, data, self._loop.time()))

    # Time

    def _set_alarm(self) -> None:
        at = self.core.next_deadline
        if self._stopped or (self._alarm is not None and at == self._alarm_at):
            return
        if self._alarm is not None:
            if at > self._alarm_at > self._loop.time():
                return  # it rings too early, and is set anew then: cheaper than at every message
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self._loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        if self._stopped:
            return
        self.give(self.core.wake)

    @property
    def says_time(self) -> bool:
        """Whether the time is for it to say: it leads, or all say it."""
        return not self._stopped and (self.kind.is_signed or self.core.leader == self.node)


def membership_of(replica: Replica) -> Membership | None:
    """Return who belongs to the group, as far as is known here; None: that never changes."""
    return None if replica.kind.membership is None else replica.kind.membership(replica.core)


def change_members(replica: Replica, asked: Change) -> Refusal | Invalid | None:
    """Have the core begin to change the members; return why that is refused, or cannot be."""
    if replica.kind.membership is None:
        return Invalid(f"the members of a group of {replica.group.algorithm} are those that it began with")
    wrong: list[Invalid] = []

    def change(now: float) -> Ready[Any, Any]:
        try:
            ready: Ready[Any, Any] = replica.core.change_members(asked.voters, asked.learners, now)  # type: ignore[attr-defined]
        except Invalid as error:
            wrong.append(error)
            return NOTHING
        return ready

    refused = replica.give(change).refused
    return wrong[0] if wrong else refused


class Clock:
    """Puts the time into the log when something that is kept waits for it."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._loop = asyncio.get_running_loop()
        self._ringing: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Look anew at what is waited for."""
        self.stop()
        at = self._replica.kept.next_wake()
        if at is not None:
            self._ringing = self._loop.call_later(max(0.0, at - time.time()), self._ring)

    def stop(self) -> None:
        """Ring no more."""
        if self._ringing is not None:
            self._ringing.cancel()
            self._ringing = None

    def _ring(self) -> None:
        """Say the time, if that is for us; look again later whether it has passed."""
        if self._replica.says_time:
            self._replica.propose(b"")
        self._ringing = self._loop.call_later(self._replica.group.heartbeat_interval_s, self.set)


class Snapshots:
    """When to take one, and when to let it take the place of the log: when others have had time to read that.

    fewest: entries between two.  index: that of the newest.
    """

    def __init__(self, fewest: int, index: int) -> None:
        self._fewest = self._interval = fewest
        self._keep = min(KEEP_ENTRIES, fewest)
        self._index = index
        self._newest: tuple[int, bytes] | None = None  # while it has not taken the place of the log yet

    def restored(self, index: int) -> None:
        """Take note of one that came from somebody else."""
        self._index, self._newest = index, None

    def due(self, kept: Kept) -> tuple[int, bytes] | None:
        """Return what is to take the place of the log up to an index now, if anything is; take the next in time."""
        index = kept.index
        if self._newest is None and index - self._index >= self._interval:
            data = kept.dump()
            self._index, self._newest = index, (index, data)
            self._interval = max(self._fewest, len(data) // COMPACT_BYTES)
        if self._newest is None or index - self._index < self._keep:
            return None
        due, self._newest = self._newest, None
        return due


class Alive:
    """The while in which a replica's core is at work: if that fails, the replica does nothing more."""

    __slots__ = ("_replica",)

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        """Let the error go on, and the replica not."""
        if kind is not None:
            self._replica.fail(
                Unreachable(
                    f"replica {self._replica.node} has found a fault in itself and does not go on: {error!r}; what it "
                    "has promised is in its file"
                )
            )
