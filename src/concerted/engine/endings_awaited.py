"""Callers that wait for the end of a run, wherever it ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from concerted.errors import ConcertedError
from concerted.ports.store import RunRecord
from concerted.values import RunId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["EndingsAwaited"]


class EndingsAwaited:
    """Who waits for which run, in this process."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._waiters: dict[RunId, list[asyncio.Future[None]]] = {}

    async def wait(self, run: RunId, wait_s: float) -> bool:
        """Wait at most `wait_s` for a run to leave this coordinator's hands (ended, parked or taken over)."""
        self._of.check()
        if run not in self._of.rounds.live and run not in self._of.sleepers.dormant and not await self._elsewhere(run):
            return True
        waiter: asyncio.Future[None] = self._of.loop.create_future()
        self._waiters.setdefault(run, []).append(waiter)
        try:
            await asyncio.wait_for(waiter, wait_s)
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiters.get(run, []):
                self._waiters[run].remove(waiter)
        return True

    def tell(self, run: RunId) -> None:
        """Wake who waits for this run."""
        for waiter in self._waiters.pop(run, []):
            if not waiter.done():
                waiter.set_result(None)

    def refuse(self, error: ConcertedError) -> None:
        """Tell everybody why there is nothing to wait for."""
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
        self._waiters.clear()

    async def _elsewhere(self, run: RunId) -> bool:
        """Say whether another process on a shared store may have this run in hand."""
        record = await self._of.store.get(RunRecord, run) if self._of.store.shared else None
        return record is not None and record.ended_at is None and record.status != "parked"
