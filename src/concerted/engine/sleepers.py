"""Idle runs: let go from memory, woken by their next timer or input."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from concerted.engine.active import Active
from concerted.engine.alarms import next_look
from concerted.engine.takeover import revive
from concerted.errors import NotFound, Unreachable, WrongPhase
from concerted.ports.store import RunRecord
from concerted.runs.instance import Input
from concerted.values import RunId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Sleepers"]


class Sleepers:
    """The evicted runs of one coordinator."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self.dormant: dict[RunId, RunRecord] = {}
        self._alarms: dict[RunId, asyncio.TimerHandle] = {}
        self._waking: dict[RunId, asyncio.Task[Active]] = {}

    def stop(self) -> None:
        """Wake nobody any more."""
        for alarm in self._alarms.values():
            alarm.cancel()

    async def evict_idle(self) -> None:
        """Evict every run to which nothing has happened for `manager.idle_eviction`."""
        idle_since = self._of.clock.now() - float(self._of.config.manager.idle_eviction)
        for active in list(self._of.rounds.live.values()):
            if active.touched_at < idle_since and _is_idle(active):
                record = await self._of.store.get(RunRecord, active.id)
                is_live = self._of.rounds.live.get(active.id) is active  # it may have ended meanwhile
                if record is not None and is_live and _is_idle(active):
                    self.evict(active, record)

    async def reach(self, run: RunId) -> Active:
        """Return a run that is going on, waking it if it has been evicted.

        Raises:
            NotFound, WrongPhase: there is none, or it is over.  Unreachable: its strategy is not known here.
        """
        self._of.check()
        waking = self._waking.get(run)
        if waking is not None:
            await asyncio.wait([waking])  # until then it has not lived through its history
            return await self.reach(run)
        active = self._of.rounds.live.get(run)
        if active is not None:
            return active
        record = self.dormant.get(run)
        if record is not None:
            return await self._wake(run, record)
        found = await self._of.store.get(RunRecord, run)
        if found is None:
            raise NotFound(f"there is no run {run!r}; `concerted status --all` lists them", run=run)
        if found.ended_at is None and run in self._of.foreign:
            raise Unreachable(
                f"run {run} waits for a coordinator that has its strategy: {self._of.foreign[run]}", run=run
            )
        raise WrongPhase(f"run {run} is {found.status}", run=run, status=found.status)

    async def _wake(self, run: RunId, record: RunRecord) -> Active:
        """Revive a run once, however many want it: who reads its history late would bring it back as it was."""
        alarm = self._alarms.pop(run, None)
        if alarm is not None:
            alarm.cancel()
        waking = self._waking[run] = asyncio.ensure_future(revive(self._of, record))
        waking.add_done_callback(lambda _: self._waking.pop(run, None))
        return await asyncio.shield(waking)

    async def post(self, run: RunId, given: Input) -> None:
        """Give a run an input, waking it if it sleeps; one that is over needs none."""
        with contextlib.suppress(NotFound, WrongPhase):  # it has ended meanwhile
            self._of.rounds.post(await self.reach(run), given)

    def evict(self, active: Active, record: RunRecord) -> None:
        """Let an idle run go from memory; its next timer or input brings it back."""
        due = next_look(active)
        self._of.rounds.forget(active)
        self.dormant[active.id] = record
        if due is not None:
            delay = max(0.0, due - self._of.clock.now())
            self._alarms[active.id] = self._of.loop.call_later(delay, self._alarm, active.id)

    def _alarm(self, run: RunId) -> None:
        self._alarms.pop(run, None)
        self._of.errand(self._awaken(run))

    async def _awaken(self, run: RunId) -> None:
        if run in self.dormant:
            self._of.rounds.touch(await self.reach(run))


def _is_idle(active: Active) -> bool:
    """Say whether a run may be evicted: started, nothing on its way, nothing asked of agents or threads."""
    instance = active.instance
    return (
        instance.started_at is not None
        and not (active.inbox or active.late or active.in_flight or active.acks)
        and not (instance.calls or instance.works or instance.watchers)
    )
