"""The machine's clock."""

from __future__ import annotations

import time

from concerted.values import Instant

__all__ = ["SystemClock"]


class SystemClock:
    """`ports.clock.Clock` over the operating system's two clocks."""

    def now(self) -> Instant:
        """Return the wall clock, seconds since the epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return the steady clock, seconds."""
        return time.monotonic()
