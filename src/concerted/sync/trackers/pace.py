"""How fast work goes, and when it will be done at that pace: computed from its last changes.

The rate is that from the oldest of the last WINDOW changes to this moment: steps won, through seconds gone.
While nothing changes it sinks, and the estimated end moves away instead of lying in the past.
"""

from __future__ import annotations

from dataclasses import dataclass

from concerted.values import Instant

__all__ = ["WINDOW", "Mark", "estimated_end_at", "marked", "rate"]

WINDOW = 32  # changes that are remembered


@dataclass(frozen=True, slots=True)
class Mark:
    """How many steps were done at an instant; parts of a step count."""

    at: Instant
    steps: float


def marked(marks: tuple[Mark, ...], at: Instant, steps: float) -> tuple[Mark, ...]:
    """Return the marks with this one, if it changes anything; the oldest may have to go."""
    if marks and marks[-1].steps == steps:
        return marks
    return (*marks[-WINDOW:], Mark(at, steps))


def rate(marks: tuple[Mark, ...], now: Instant) -> float | None:
    """Return the steps per second; None before the first change, or if no time has gone since the oldest mark."""
    if len(marks) < 2 or now <= marks[0].at:
        return None
    return (marks[-1].steps - marks[0].steps) / (now - marks[0].at)


def estimated_end_at(marks: tuple[Mark, ...], total_steps: float, now: Instant) -> Instant | None:
    """Return when all steps will be done at this rate; None if it has none, or goes backwards."""
    steps_s = rate(marks, now)
    if steps_s is None or steps_s <= 0:
        return None
    return now + max(0.0, total_steps - marks[-1].steps) / steps_s
