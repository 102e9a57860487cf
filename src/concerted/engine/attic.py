"""Old runs: their streams are moved into files of their own some time after they have ended."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from concerted.kinds import ENDINGS, run_stream
from concerted.ports.store import RunRecord
from concerted.values import Instant, RunId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Attic"]

AT_ONCE = 20  # runs archived at one look
PAGE = 10_000
OVER = tuple(status for status in ENDINGS.values() if status != "parked")


class Attic:
    """Archives for one coordinator.  after_s: how long after its end; None: only when told to."""

    def __init__(self, coordinator: Coordinator, after_s: float | None) -> None:
        self._of = coordinator
        self._after_s = after_s
        self._ended: list[tuple[Instant, RunId]] = []

    async def open(self) -> None:
        """Find the runs that have ended and are not archived yet."""
        if self._after_s is None:
            return
        last: tuple[str, ...] = ()
        while page := await self._of.store.find(RunRecord, {"status": OVER, "archived": False}, limit=PAGE, after=last):
            self._ended += [(run.ended_at or 0.0, run.id) for run in page]
            last = (page[-1].id,)
        heapq.heapify(self._ended)

    def run_ended(self, run: RunId, at: Instant) -> None:
        """Take note of a run that has just ended."""
        if self._after_s is not None:
            heapq.heappush(self._ended, (at, run))

    async def sweep(self) -> None:
        """Archive what has been over for long enough, a few runs at a time."""
        if self._after_s is None:
            return
        cutoff = self._of.clock.now() - self._after_s
        for _ in range(AT_ONCE):
            if not self._ended or self._ended[0][0] > cutoff:
                return
            _, run = heapq.heappop(self._ended)
            await self._of.store.archive(run_stream(run))
