"""What a swarm came to, whatever its mode, and what all modes share while they run: the curve, and the events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.config.settings import Swarm
from concerted.run import Run
from concerted.values import Outcome

__all__ = ["Course", "SwarmResult"]

CURVE = 200  # points of the curve that the result repeats; all are in the log


class SwarmResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run.

    answer: the best point, the stops in order, the option chosen, the number agreed upon; None if there is none.
    value: what it is worth: the value of the point, the length of the trip, the option's score, how far the numbers
    still are apart.  evaluations: answers that counted.  curve: (evaluations, value) at each improvement.
    """

    mode: str
    answer: Any = None
    value: float | None = None
    evaluations: int = 0
    rounds: int = 0
    settled: str = ""
    curve: tuple[tuple[int, float], ...] = ()
    details: dict[str, Any] = {}


@dataclass
class Course:
    """Where a swarm stands.  settled: why it has come to an end, '' as long as it has not."""

    run: Run
    rules: Swarm
    answer: Any = None
    value: float | None = None
    evaluations: int = 0
    rounds: int = 0
    settled: str = ""
    curve: list[tuple[int, float]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def improved(self, answer: Any, value: float) -> None:
        """Take a better answer, and write it down."""
        self.answer, self.value = answer, value
        self.curve.append((self.evaluations, value))
        if len(self.curve) > CURVE:  # every second one of the older half
            del self.curve[1 : CURVE // 2 : 2]
        self.run.record("swarm.improved", evaluations=self.evaluations, value=value, answer=answer)

    def measured(self, **facts: Any) -> None:
        """Write down where the swarm stands: how far it is spread, how far apart its values are."""
        self.run.record("swarm.measured", evaluations=self.evaluations, round=self.rounds, best=self.value, **facts)

    def settle(self, reason: str) -> None:
        """Come to the end."""
        self.settled = reason
        self.run.record("swarm.settled", reason=reason, evaluations=self.evaluations, value=self.value)

    def outcome(self, *, success: bool, reason: str = "", timed_out: bool = False) -> Outcome:
        """Return what it came to."""
        result = SwarmResult(
            mode=self.rules.mode, answer=self.answer, value=self.value, evaluations=self.evaluations,
            rounds=self.rounds, settled=self.settled, curve=tuple(self.curve), details=self.details,
        )  # fmt: skip
        why = reason or ("" if success else "it came to no answer")
        if timed_out:
            why = f"its deadline came first; {why}" if why else "its deadline came first"
        return Outcome(success=success and not timed_out, result=result, reason=why, timed_out=timed_out)
