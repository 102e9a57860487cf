"""How fast it goes: the rate over the last changes, and the end that follows from it."""

import pytest

from concerted.sync.trackers.pace import WINDOW, Mark, estimated_end_at, marked, rate

BEGUN = (Mark(100.0, 0.0),)


def test_before_the_first_change_there_is_no_rate_and_no_end() -> None:
    assert rate(BEGUN, 200.0) is None
    assert estimated_end_at(BEGUN, 10, 200.0) is None


def test_the_rate_is_what_was_done_through_the_time_it_took() -> None:
    marks = marked(marked(BEGUN, 110.0, 1.0), 120.0, 4.0)
    assert rate(marks, 120.0) == pytest.approx(0.2)
    assert estimated_end_at(marks, 10, 120.0) == pytest.approx(150.0)


def test_while_nothing_changes_it_gets_slower_and_the_end_stays_ahead() -> None:
    marks = marked(BEGUN, 110.0, 5.0)
    assert rate(marks, 150.0) == pytest.approx(0.1)
    assert estimated_end_at(marks, 10, 150.0) == pytest.approx(200.0)


def test_when_all_is_done_the_end_is_now() -> None:
    assert estimated_end_at(marked(BEGUN, 110.0, 10.0), 10, 120.0) == 120.0


def test_what_goes_back_has_no_end() -> None:
    marks = marked(marked((Mark(100.0, 5.0),), 110.0, 6.0), 120.0, 4.0)
    assert rate(marks, 120.0) == pytest.approx(-0.05)
    assert estimated_end_at(marks, 10, 120.0) is None


def test_no_change_is_no_mark() -> None:
    assert marked(BEGUN, 110.0, 0.0) is BEGUN


def test_only_the_last_changes_count() -> None:
    marks = BEGUN
    for number in range(1, WINDOW + 11):
        marks = marked(marks, 100.0 + number, float(number))
    assert len(marks) == WINDOW + 1
    assert marks[0] == Mark(110.0, 10.0)
    assert rate(marks, marks[-1].at) == pytest.approx(1.0)


@pytest.mark.parametrize("now", [100.0, 99.0])
def test_without_time_gone_there_is_no_rate(now: float) -> None:
    assert rate((Mark(100.0, 0.0), Mark(100.0, 3.0)), now) is None
