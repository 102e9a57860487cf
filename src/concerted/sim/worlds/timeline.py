"""Virtual time without an event loop: what is to happen, in the order of its instants; of equals, as it was asked for.

A cluster has no coroutines, so it needs no asyncio: an instant costs one tuple on a heap.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

__all__ = ["Life", "Timeline"]


class Life:
    """One life of something that can die: what it has asked for does not happen any more when it is over."""

    __slots__ = ("over",)

    def __init__(self) -> None:
        self.over = False


class Timeline:
    """A queue of instants.  now: in seconds since it began."""

    __slots__ = ("_births", "_queue", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Life, Callable[..., object], tuple[Any, ...]]] = []
        self._births = itertools.count()

    def time(self) -> float:
        """Return the virtual time."""
        return self.now

    def at(self, when: float, life: Life, act: Callable[..., object], *args: Any) -> None:
        """Have `act(*args)` happen at an instant, or at once if that has gone by, if this life lasts until then."""
        heapq.heappush(self._queue, (when, next(self._births), life, act, args))

    def run(self, life: Life) -> None:
        """Let everything happen until this life is over, or nothing is left to happen."""
        queue, pop = self._queue, heapq.heappop
        while queue and not life.over:
            when, _, owner, act, args = pop(queue)
            if owner.over:
                continue
            self.now = when if when > self.now else self.now  # `max` would cost as much as the rest of this loop
            act(*args)
