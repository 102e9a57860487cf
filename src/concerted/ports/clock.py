"""The clock port: what time it is for the log, and how long things take."""

from __future__ import annotations

from typing import Protocol

from concerted.values import Instant

__all__ = ["Clock"]


class Clock(Protocol):
    """Two readings, never mixed: instants go into the log, lengths of time are measured."""

    def now(self) -> Instant:
        """Return the wall clock: seconds since the epoch, UTC.  It may jump."""

    def monotonic(self) -> float:
        """Return a steady clock in seconds, for lengths of time only."""
