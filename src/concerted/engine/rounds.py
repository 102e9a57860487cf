"""Rounds: inputs are gathered, applied, written in one transaction, and only then acted upon.

    post(input) -> [all runs with inputs apply them] -> store.append -> perform the effects -> next round

A run whose rows are being written takes no further input until they are; other runs go on, and the
store's writer groups what is in flight.  If a write is fenced the run is let go: somebody else has it.
If the store fails, everything is let go: nobody goes on in doubt.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from concerted.engine.active import Active
from concerted.engine.alarms import Alarms
from concerted.engine.news import News
from concerted.engine.watchdog import Watchdog
from concerted.errors import ConcertedError, Diverged, Invalid, LeaseLost, NotAllowed, WrongPhase
from concerted.kinds import run_stream
from concerted.ports.clock import Clock
from concerted.ports.store import Fenced, Row, Store, Write
from concerted.runs.calls import Effect
from concerted.runs.instance import Input
from concerted.values import RunId, encode

__all__ = ["Active", "Rounds", "Stage"]

LATE_ROWS = 1_000  # answers that came too late, kept per run


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
        self._acks: dict[asyncio.Future[None], None] = {}
        self._dirty: dict[RunId, Active] = {}
        self._scheduled = False
        self._writing: set[asyncio.Task[None]] = set()
        self.alarms = Alarms(clock, self.touch)
        self.live: dict[RunId, Active] = {}
        self.commits = 0
        self.news = News()
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
        self._acks[ack] = None
        ack.add_done_callback(self._acks.pop)
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

    async def write(self, rows: Sequence[Row], of: Active | None = None) -> None:
        """Write rows beside the rounds; `of` is the run that they belong to, if they belong to one."""
        await self.append(Write(rows=rows) if of is None else Write(rows=rows, run=of.id, epoch=of.epoch))

    async def append(self, write: Write) -> bool:
        """Write beside the rounds, and wake whoever follows the log; False says that it was refused as overtaken.

        Raises:
            Unreachable: the store failed; everything is given up.  Invalid: it cannot be kept; nothing was done.
        """
        if self.stopped:
            return False
        try:
            (answer,) = await self._store.append([write])
        except Invalid:
            raise
        except ConcertedError as error:
            self.stop(error)
            self._stage.store_failed(error)
            raise
        if isinstance(answer, int):
            self.news.tell(answer)
        return isinstance(answer, int)

    async def quiet(self) -> None:
        """Wait until nothing is being written."""
        while self._writing or self._scheduled:
            if self._writing:
                await asyncio.wait(set(self._writing))
            await asyncio.sleep(0)

    def stop(self, error: ConcertedError | None = None) -> None:
        """Apply and write nothing more; whoever waits for a write is told why not."""
        self.stopped = True
        _refuse(list(self._acks), error or WrongPhase("this coordinator is closed; open another"))
        self._dirty.clear()
        for active in self.live.values():
            self.alarms.disarm(active)
            active.instance.abandon()

    def _round(self) -> None:
        self._scheduled = False
        if self.stopped:
            return
        try:
            self._apply_and_write()
        except Exception as bug:  # ours, not the strategy's: stop loudly rather than go on in doubt
            error = ConcertedError(f"a round failed: {type(bug).__name__}: {bug}")
            self.stop(error)
            self._stage.store_failed(error)
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

        def step() -> None:
            nonlocal heard
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

        watch = self._watchdog.over(active.id, step)
        if watch.bit:
            instance.park(watch.verdict)
        rows = instance.journal.take() + active.late
        active.late = []
        effects, instance.effects = instance.effects, []
        return rows, effects, heard

    async def _commit(self, written: list[_Written], writes: list[Write]) -> None:
        try:
            answers = await self._store.append(writes)
        except Invalid as error:  # nothing was done
            if len(writes) > 1:  # find whose it is
                for place, write in enumerate(writes):
                    own = [dataclasses.replace(each, write=0) for each in written if each.write == place]
                    await self._commit(own, [write])
            else:
                await self._put_away(written, writes[0], error)
            return
        except ConcertedError as error:
            self.stop(error)
            self._stage.store_failed(error)
            return
        if self.stopped:
            return
        self.commits += 1
        kept = []
        self.news.tell(max((answer for answer in answers if isinstance(answer, int)), default=0))
        for each in written:
            active, answer = each.active, answers[each.write]
            if isinstance(answer, Fenced):
                self.forget(active)
                each.acknowledge(LeaseLost(f"run {active.id} belongs to epoch {answer.epoch} now", run=active.id))
                self._stage.fenced(active)
            else:
                kept.append(each)
        self._acted(kept)

    async def _put_away(self, written: list[_Written], write: Write, error: Invalid) -> None:
        """Park a run that wants to write what cannot be kept; a new one was never there."""
        for each in written:
            self.forget(each.active)
            each.acknowledge(error)
        first = written[0].active
        if write.creates is None:
            row = Row(stream=run_stream(first.id), at=self._clock.now(), kind="run.parked",
                      data=encode({"reason": f"it wants to write what cannot be kept: {error.message}"}))  # fmt: skip
            await self.write([row], first)
        for each in written:
            self._stage.fenced(each.active)

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
            if self.live.get(active.id) is active:
                self.forget(active)
                self._stage.ended(active)
        elif active.inbox or active.late or active.acks:
            self.touch(active)
        else:
            self.alarms.arm(active)

    def forget(self, active: Active) -> None:
        """Let a run go from memory."""
        self.alarms.disarm(active)
        if self.live.get(active.id) is active:
            del self.live[active.id]
            self._dirty.pop(active.id, None)
        active.instance.abandon()
        _refuse([ack for _, ack in active.acks], _too_late(active))
        active.acks.clear()


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
