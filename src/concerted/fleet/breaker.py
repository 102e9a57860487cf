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

    in_a_row: failures since the last success.  opened_at: None while closed.  probing: the one probe of
    the half-open state is on its way.
    """

    failures: int = 5
    cooldown_s: float = 30.0
    in_a_row: int = 0
    opened_at: float | None = None
    probing: bool = False

    def admits(self, now: float) -> bool:
        """Say whether a command may pass now."""
        if self.opened_at is None:
            return True
        return not self.probing and now >= self.opened_at + self.cooldown_s

    def passed(self, now: float) -> Breaker:
        """Take note that a command has passed; in the half-open state it is the probe."""
        if self.opened_at is None or not self.admits(now):
            return self
        return replace(self, probing=True)

    def failed(self, now: float) -> Breaker:
        """Count a failure: the last of a row, or a failed probe, opens."""
        in_a_row = self.in_a_row + 1
        if self.opened_at is not None:
            return replace(self, in_a_row=in_a_row, opened_at=now, probing=False) if self.probing else self
        return replace(self, in_a_row=in_a_row, opened_at=now if in_a_row >= self.failures else None)

    def succeeded(self) -> Breaker:
        """Take note of an answer: closed again."""
        if self.in_a_row == 0 and self.opened_at is None:
            return self
        return replace(self, in_a_row=0, opened_at=None, probing=False)

    @property
    def retry_at(self) -> float | None:
        """When the next probe may pass, None while closed."""
        return None if self.opened_at is None else self.opened_at + self.cooldown_s
