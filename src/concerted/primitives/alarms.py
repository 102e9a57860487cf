"""When primitives must be looked at even if nothing happens: one timer for all of them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from concerted.ports.clock import Clock
from concerted.values import Instant

__all__ = ["Alarms"]


class Alarms:
    """Calls `due(stream)` when its time has come.  Setting one replaces the one before."""

    def __init__(self, clock: Clock, due: Callable[[str], None]) -> None:
        self._clock = clock
        self._due = due
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[Instant, str]] = []
        self._at: dict[str, Instant] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, stream: str, at: Instant | None) -> None:
        """Wake this stream at an instant, or not at all."""
        if self._at.get(stream) == at:
            return
        if at is None:
            del self._at[stream]
            return
        self._at[stream] = at
        heapq.heappush(self._heap, (at, stream))
        if len(self._heap) > 64 + 4 * len(self._at):
            self._heap = [(at, stream) for stream, at in self._at.items()]
            heapq.heapify(self._heap)
        if self._heap[0][1] == stream:
            self._arm()

    def stop(self) -> None:
        """Wake nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._heap.clear()
        self._at.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._heap:
            delay = max(0.0, self._heap[0][0] - self._clock.now())
            self._timer = self._loop.call_later(delay, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            at, stream = heapq.heappop(self._heap)
            if self._at.get(stream) == at:
                del self._at[stream]
                self._due(stream)
        self._arm()
