"""The circuit breaker: an agent that keeps failing is not asked for a while.

closed --`failures` in a row--> open --`cooldown_s` later--> half open --one probe--> closed | open

Source: Nygard, Release It!, 2nd ed. 2018, "Circuit Breaker".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["Breaker"]


@dataclass(frozen=True, slots=True)
class Breaker:
    """One agent's breaker.  Instants are of a monotonic clock, in seconds.

    in_a_row: failures since the last success.  opened_at: None while closed.  probed_at: when the probe of
    the half-open state was sent; one that is not heard of again is followed by another a cooldown later.
    """

    failures: int = 5
    cooldown_s: float = 30.0
    in_a_row: int = 0
    opened_at: float | None = None
    probed_at: float | None = None

    def admits(self, now: float) -> bool:
        """Say whether a command may pass now."""
        return self.retry_at is None or now >= self.retry_at

    def passed(self, now: float) -> Breaker:
        """Take note that a command has passed; in the half-open state it is the probe."""
        if self.opened_at is None or not self.admits(now):
            return self
        return replace(self, probed_at=now)

    def failed(self, now: float) -> Breaker:
        """Count a failure: the last of a row, or that of the probe, opens.

        While it is open and no probe is on its way, a failure is that of an older command and changes nothing.
        """
        if self.opened_at is not None and self.probed_at is None:
            return self
        in_a_row = self.in_a_row + 1
        opens = self.opened_at is not None or in_a_row >= self.failures
        return replace(self, in_a_row=in_a_row, opened_at=now if opens else None, probed_at=None)

    def succeeded(self) -> Breaker:
        """Take note of an answer: closed again."""
        if self.in_a_row == 0 and self.opened_at is None:
            return self
        return replace(self, in_a_row=0, opened_at=None, probed_at=None)

    @property
    def retry_at(self) -> float | None:
        """When the next probe may pass, None while closed."""
        since = self.opened_at if self.probed_at is None else self.probed_at
        return None if since is None else since + self.cooldown_s
