"""Rounds: inputs are gathered, applied, written in one transaction, and only then acted upon.

    post(input) -> [all runs with inputs apply them] -> store.append -> perform the effects -> next round

A run whose rows are being written takes no further input until they are; other runs go on, and the
store's writer groups what is in flight.  If a write is fenced the run is let go: somebody else has it.
If the store fails, everything is let go: nobody goes on in doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from concerted.engine.calls import Effect
from concerted.engine.runs import Input, Instance
from concerted.engine.watchdog import Watchdog
from concerted.errors import ConcertedError, Diverged, LeaseLost, NotAllowed, WrongPhase
from concerted.ports.clock import Clock
from concerted.ports.store import Fenced, Row, Store, Write
from concerted.values import Instant, RunId, TaskId

__all__ = ["Active", "Rounds", "Stage"]

LATE_ROWS = 1_000  # answers that came too late, kept per run


@dataclass(slots=True, eq=False)
class Active:
    """A run that this coordinator has in memory, and what is on its way to it."""

    instance: Instance
    epoch: int
    inbox: list[Input] = field(default_factory=list)
    late: list[Row] = field(default_factory=list)
    late_count: int = 0
    closed: dict[int, tuple[TaskId, int]] = field(default_factory=dict)  # claims that are over, by command number
    acks: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)  # told when so many inputs are written
    in_flight: bool = False
    is_new: bool = False
    holds_slot: bool = False
    timer: asyncio.TimerHandle | None = None
    timer_due: Instant = 0.0
    touched_at: Instant = 0.0

    @property
    def id(self) -> RunId:
        """The run's id."""
        return self.instance.id


@dataclass(slots=True)
class _Written:
    """A run whose rows are being written.  write: the place of its write in the append."""

    active: Active
    effects: list[Effect]
    acks: list[asyncio.Future[None]]
    write: int

    def acknowledge(self, error: ConcertedError | None = None) -> None:
        for ack in self.acks:
            if not ack.done():
                ack.set_result(None) if error is None else ack.set_exception(error)


class Stage(Protocol):
    """What the rounds need of the coordinator."""

    def born(self, parent: Active, effects: Sequence[Effect]) -> list[Active]:
        """Return the children that these effects start, created and not yet written."""

    def perform(self, done: Sequence[tuple[Active, list[Effect]]]) -> None:
        """Act upon what is written now."""

    def ended(self, active: Active) -> None:
        """Take note that the run's ending is written."""

    def fenced(self, active: Active) -> None:
        """Take note that somebody else has the run now."""

    def store_failed(self, error: ConcertedError) -> None:
        """Take note that the outcome of a commit is unknown; everything is given up."""


class Rounds:
    """Applies and writes, in groups.  `commits` counts appends, `live` holds the runs in memory."""

    def __init__(self, store: Store, clock: Clock, stage: Stage, watchdog: Watchdog) -> None:
        self._store = store
        self._clock = clock
        self._stage = stage
        self._watchdog = watchdog
        self._loop = asyncio.get_running_loop()
        self._dirty: dict[RunId, Active] = {}
        self._scheduled = False
        self._writing: set[asyncio.Task[None]] = set()
        self.live: dict[RunId, Active] = {}
        self.commits = 0
        self.last_seq = 0
        self._news: asyncio.Future[None] | None = None
        self.stopped = False

    def post(self, active: Active, *inputs: Input) -> None:
        """Give a run inputs; they are applied in this order in the next round."""
        active.inbox.extend(inputs)
        self.touch(active)

    async def written(self, active: Active, *inputs: Input) -> None:
        """Give a run inputs and wait until they are written.

        Raises:
            LeaseLost, Unreachable: they are not, because the run or the store was lost.
            WrongPhase: they are not, because the run was over before they came.
        """
        ack: asyncio.Future[None] = self._loop.create_future()
        self.post(active, *inputs)
        active.acks.append((len(active.inbox), ack))
        await ack

    def late(self, active: Active, row: Row) -> None:
        """Keep evidence of an answer that came too late; at most a thousand a run."""
        active.late_count += 1
        if active.late_count <= LATE_ROWS:
            active.late.append(row)
            self.touch(active)

    def touch(self, active: Active) -> None:
        """See to it that a round comes."""
        if self.stopped:
            return
        self._dirty[active.id] = active
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._round)

    async def write(self, rows: Sequence[Row]) -> None:
        """Write rows that belong to no run.

        Raises:
            Unreachable: the store failed; everything is given up.
        """
        if self.stopped:
            return
        try:
            (answer,) = await self._store.append([Write(rows=rows)])
        except ConcertedError as error:
            self.stop()
            self._stage.store_failed(error)
            raise
        if isinstance(answer, int):
            self._tell(answer)

    async def news(self, after: int, wait_s: float) -> bool:
        """Wait at most `wait_s` for an entry after sequence number `after`."""
        until = self._loop.time() + wait_s
        while self.last_seq <= after:
            left = until - self._loop.time()
            if left <= 0 or self.stopped:
                return False
            if self._news is None:
                self._news = self._loop.create_future()
            await asyncio.wait([self._news], timeout=left)
        return True

    def _tell(self, seq: int) -> None:
        self.last_seq = max(self.last_seq, seq)
        if self._news is not None:
            news, self._news = self._news, None
            news.set_result(None)

    async def quiet(self) -> None:
        """Wait until nothing is being written."""
        while self._writing or self._scheduled:
            if self._writing:
                await asyncio.wait(set(self._writing))
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Apply and write nothing more."""
        self.stopped = True
        self._dirty.clear()
        for active in self.live.values():
            self.disarm(active)
            active.instance.abandon()

    def _round(self) -> None:
        self._scheduled = False
        if self.stopped:
            return
        try:
            self._apply_and_write()
        except Exception as bug:  # ours, not the strategy's: stop loudly rather than go on in doubt
            self.stop()
            self._stage.store_failed(ConcertedError(f"a round failed: {type(bug).__name__}: {bug}"))
            raise

    def _apply_and_write(self) -> None:
        written: list[_Written] = []
        idle: list[_Written] = []
        writes: list[Write] = []
        for active in [active for active in self._dirty.values() if not active.in_flight]:
            if active.in_flight:  # a child, taken along with its parent a moment ago
                continue
            is_new, first = active.is_new, len(written)
            rows = self._go_on(active, len(writes), written)
            if not rows:  # nothing to write: a run just taken over, whose open commands are to be sent again
                idle += written[first:]
                del written[first:]
            elif is_new:
                writes.append(Write(rows=rows, creates=active.id))
            else:
                writes.append(Write(rows=rows, run=active.id, epoch=active.epoch))
        if idle:
            self._acted(idle)
        if writes:
            task = self._loop.create_task(self._commit(written, writes))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    def _go_on(self, active: Active, write: int, written: list[_Written]) -> list[Row]:
        """Apply a run's inputs, and those of the children that it starts; return all their rows."""
        self._dirty.pop(active.id, None)
        acks, active.acks = active.acks, []
        rows, effects, heard = self._apply(active)
        written.append(_Written(active, effects, [ack for place, ack in acks if place <= heard], write))
        _refuse([ack for place, ack in acks if place > heard], _too_late(active))
        for child in self._stage.born(active, effects):
            rows += self._go_on(child, write, written)
        return rows

    def _apply(self, active: Active) -> tuple[list[Row], list[Effect], int]:
        """Apply what is in the inbox; return the rows to write, what is to be done then, how many inputs counted."""
        instance = active.instance
        active.in_flight = True
        active.touched_at = self._clock.now()
        inputs, active.inbox, heard = active.inbox, [], 0
        with self._watchdog.over(active.id) as watch:
            try:
                for given in inputs:
                    if instance.ending is not None:
                        break  # it is over: what comes now is not written and does not count
                    heard += 1
                    instance.apply(given)
            except Diverged as error:
                instance.park(error.message)
            except NotAllowed as error:  # it never settles
                instance.park(error.message)
        if watch.bit:
            instance.park(watch.verdict)
        rows = instance.journal.take() + active.late
        active.late = []
        effects, instance.effects = instance.effects, []
        return rows, effects, heard

    async def _commit(self, written: list[_Written], writes: list[Write]) -> None:
        try:
            answers = await self._store.append(writes)
        except ConcertedError as error:
            self.stop()
            for each in written:
                each.acknowledge(error)
            self._stage.store_failed(error)
            return
        if self.stopped:
            return
        self.commits += 1
        kept = []
        self._tell(max((answer for answer in answers if isinstance(answer, int)), default=0))
        for each in written:
            active, answer = each.active, answers[each.write]
            if isinstance(answer, Fenced):
                self.forget(active)
                each.acknowledge(LeaseLost(f"run {active.id} belongs to epoch {answer.epoch} now", run=active.id))
                self._stage.fenced(active)
            else:
                kept.append(each)
        self._acted(kept)

    def _acted(self, written: list[_Written]) -> None:
        """Act upon what is written, and see what comes next."""
        for each in written:
            each.active.in_flight = each.active.is_new = False
            each.acknowledge()
        self._stage.perform([(each.active, each.effects) for each in written])
        for each in written:
            self._after(each.active)

    def _after(self, active: Active) -> None:
        if active.instance.ending is not None and not active.late:
            if active.id in self.live:
                self.forget(active)
                self._stage.ended(active)
        elif active.inbox or active.late:
            self.touch(active)
        else:
            self.arm(active)

    def forget(self, active: Active) -> None:
        """Let a run go from memory."""
        self.disarm(active)
        self.live.pop(active.id, None)
        self._dirty.pop(active.id, None)
        active.instance.abandon()
        _refuse([ack for _, ack in active.acks], _too_late(active))
        active.acks.clear()

    # the runs' own timers

    def arm(self, active: Active) -> None:
        """Wake the run when its earliest timer is due."""
        first = active.instance.loop.next_due()
        due = first[0] if first is not None else None
        if active.timer is not None:
            if due == active.timer_due:
                return
            active.timer.cancel()
            active.timer = None
        if due is not None and active.instance.ending is None:
            active.timer_due = due
            active.timer = self._loop.call_later(max(0.0, due - self._clock.now()), self._due, active)

    def disarm(self, active: Active) -> None:
        """Do not wake the run any more."""
        if active.timer is not None:
            active.timer.cancel()
            active.timer = None

    def _due(self, active: Active) -> None:
        active.timer = None
        now = self._clock.now()
        timers = active.instance.loop.due_by(now)
        for due, number in timers:
            data = b'{"due":%s}' % repr(due).encode()
            active.inbox.append(Input("timer.fired", now, ref=str(number), data=data))
        if timers:
            self.touch(active)
        else:  # the wall clock has gone back a little
            self.arm(active)


def _refuse(acks: Sequence[asyncio.Future[None]], error: ConcertedError) -> None:
    for ack in acks:
        if not ack.done():
            ack.set_exception(error)


def _too_late(active: Active) -> ConcertedError:
    """Say why an input does not count any more."""
    ending = active.instance.ending
    if ending is None:
        return LeaseLost(f"run {active.id} is in other hands now", run=active.id)
    return WrongPhase(f"run {active.id} is {ending.status}", run=active.id, status=ending.status)
