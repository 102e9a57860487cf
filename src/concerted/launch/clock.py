"""The clocks: this machine's, and a database's that several machines share."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from concerted.values import Instant

__all__ = ["DatabaseClock", "SystemClock"]


class SystemClock:
    """`ports.clock.Clock` over this machine's clocks: set by the wall clock once, carried forward by a steady one.

    So a wall clock that is set, forward or back, moves nothing while this process lives: no lease ends early.
    Time in which the machine sleeps counts.
    """

    def __init__(self) -> None:
        self._began_at = time.time() - _steady()

    def now(self) -> Instant:
        """Return the time, seconds since the epoch, UTC."""
        return self._began_at + _steady()

    def monotonic(self) -> float:
        """Return the steady clock, seconds."""
        return time.monotonic()


class DatabaseClock:
    """`ports.clock.Clock` over a database's clock, carried forward by the steady one of this machine.

    So nodes that share a database agree on the time however their own wall clocks stand, and a wall clock
    that jumps moves nothing.  It never goes back: if it is found to be ahead it runs at half speed until the
    other has caught up; if behind, it jumps.  The error is at most what a question and its answer take.

    ask: gives the database's time at some instant between the question and the answer.
    """

    def __init__(self, ask: Callable[[], Awaitable[Instant]], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._measured_at: float | None = None  # on the steady clock
        self._read = 0.0  # what we said then
        self._ahead_s = 0.0  # by how much that was too late

    async def adjust(self) -> None:
        """Measure anew: before the clock is first read, and from then on with every heartbeat."""
        before = self._monotonic()
        earliest = await self._ask()
        after = self._monotonic()
        latest = earliest + (after - before)
        read = self._at(after) if self._measured_at is not None else (earliest + latest) / 2
        is_right = earliest <= read <= latest  # as far as can be told
        ahead = 0.0 if is_right else read - (earliest + latest) / 2
        self._measured_at = after
        self._read = read - min(ahead, 0.0)
        self._ahead_s = max(ahead, 0.0)

    def now(self) -> Instant:
        """Return the database's time, seconds since the epoch, UTC."""
        return self._at(self._monotonic())

    def monotonic(self) -> float:
        """Return this machine's steady clock, seconds."""
        return self._monotonic()

    def _at(self, monotonic: float) -> Instant:
        assert self._measured_at is not None, "a database's clock is adjusted before it is read"
        passed = monotonic - self._measured_at
        return self._read + passed - min(self._ahead_s, passed / 2)


def _steady() -> float:
    """Return a clock that nobody sets and that goes on while the machine sleeps, where the system has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
