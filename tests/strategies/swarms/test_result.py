"""What a swarm came to: curves that stay short, and outcomes."""

from typing import Any

from concerted.config.settings import Swarm
from concerted.strategies.swarms.result import CURVE, Course


class Note:
    """Stands in for a run that only writes down."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def record(self, kind: str, **facts: Any) -> None:
        self.rows.append((kind, facts))


def test_a_long_curve_keeps_its_beginning_and_its_newest_points() -> None:
    note = Note()
    course = Course(note, Swarm())  # type: ignore[arg-type]
    for at in range(3 * CURVE):
        course.evaluations = at
        course.improved({"x": at}, float(-at))
    assert len(course.curve) <= CURVE
    assert course.curve[0] == (0, 0.0)
    assert course.curve[-50:] == [(at, float(-at)) for at in range(3 * CURVE - 50, 3 * CURVE)]
    assert len(note.rows) == 3 * CURVE, "all of it is in the log"


def test_an_outcome_says_what_and_why() -> None:
    course = Course(Note(), Swarm(mode="select"))  # type: ignore[arg-type]
    assert course.outcome(success=False).reason == "it came to no answer"
    late = course.outcome(success=True, timed_out=True)
    assert (late.success, late.timed_out, late.reason) == (False, True, "its deadline came first")
    course.improved("b", 0.5)
    course.settle("one option is left")
    whole = course.outcome(success=True)
    assert (whole.success, whole.reason) == (True, "")
    assert (whole.result.answer, whole.result.settled) == ("b", "one option is left")
