"""What leases and permits have in common: tokens that grow, bounds, what is due, events one on the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.board.holding import (
    CONFIRM_MAX_S,
    ENDED_KEPT,
    PURPOSE_LETTERS,
    TTL_MAX_S,
    Course,
    check_purpose,
    check_ticket,
    check_times,
    due,
    slot,
    sooner,
    token,
)
from concerted.errors import Invalid
from concerted.machine import Event, Priority
from concerted.values import AgentId, Instant

ANN = AgentId("ann")


@given(st.integers(1, 10**15), st.integers(1, 10**15))
def test_tokens_grow_as_strings_as_their_numbers_do(one: int, other: int) -> None:
    assert (token(one) < token(other)) == (one < other)


def test_as_many_ended_holdings_are_remembered_as_the_bound_says() -> None:
    assert len({slot(token(number)) for number in range(5, 5 + ENDED_KEPT)}) == ENDED_KEPT
    assert slot(token(5)) == slot(token(5 + ENDED_KEPT))


@pytest.mark.parametrize(
    ("one", "other", "first"),
    [(None, None, None), (1.0, None, 1.0), (None, 2.0, 2.0), (1.0, 2.0, 1.0), (2.0, 1.0, 1.0)],
)
def test_the_sooner_of_two_instants(one: Instant | None, other: Instant | None, first: Instant | None) -> None:
    assert sooner(one, other) == first


# bounds


@pytest.mark.parametrize("name", ["", " t", "t\n", "x" * 201, "\ud800"])
def test_a_ticket_and_a_holder_have_names(name: str) -> None:
    with pytest.raises(Invalid, match="cannot name a ticket"):
        check_ticket(name, ANN, "medium")
    with pytest.raises(Invalid, match="cannot name a holder"):
        check_ticket("t", AgentId(name), "medium")


def test_an_unknown_priority_is_refused_with_those_that_there_are() -> None:
    urgent: Priority = "urgent"  # type: ignore[assignment]
    with pytest.raises(Invalid, match="no priority 'urgent'; there are low, medium, high, critical"):
        check_ticket("t", ANN, urgent)


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, 0.09, TTL_MAX_S + 1, float("nan"), float("inf")])
def test_a_time_to_live_has_bounds(ttl_s: float) -> None:
    with pytest.raises(Invalid, match=r"ttl_s is .*; it must be 0\.1 to 604800 seconds"):
        check_times("t", ttl_s, None)


@pytest.mark.parametrize("confirm_s", [0.0, -1.0, CONFIRM_MAX_S + 1, float("nan")])
def test_the_time_for_a_confirmation_has_bounds(confirm_s: float) -> None:
    with pytest.raises(Invalid, match="confirm_s is"):
        check_times("t", 1.0, confirm_s)


def test_a_purpose_has_a_bound() -> None:
    check_purpose("t", "x" * PURPOSE_LETTERS)
    with pytest.raises(Invalid, match="its purpose has 201 characters, at most 200"):
        check_purpose("t", "x" * (PURPOSE_LETTERS + 1))


# what is due


def test_the_later_of_what_the_log_and_the_store_say_counts() -> None:
    logged = [("a", 10.0), ("b", 10.0), ("c", 20.0)]
    assert due(logged, {"b": 30.0, "c": 5.0}, 12.0) == ([(10.0, "a")], 20.0)


def test_time_is_over_at_the_very_instant() -> None:
    assert due([("a", 10.0)], {}, 10.0) == ([(10.0, "a")], None)
    assert due([("a", 10.0)], {}, 9.999) == ([], 10.0)


def test_who_was_over_first_ends_first() -> None:
    over, rest = due([("c", 3.0), ("b", 1.0), ("a", 1.0)], {"zz": 9.0}, 5.0)
    assert over == [(1.0, "a"), (1.0, "b"), (3.0, "c")]
    assert rest is None


# events one on the other


def count(state: int | None, event: Event, at: Instant) -> int:
    return (state or 0) + int(event.data["by"] * at)


def test_each_event_of_a_course_is_seen_in_the_state_after_it() -> None:
    course = Course(count, 1, 2.0)
    course.events.append(Event("x", data={"by": 3}))
    assert (course.seen, len(course.unseen)) == (1, 1)
    assert course.state == 7
    assert (course.seen, course.unseen) == (7, [])
    course.events += [Event("x", data={"by": 1}), Event("x", data={"by": 1})]
    assert course.state == 11
