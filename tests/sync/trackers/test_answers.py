"""What callers of a progress tracker are told, who is woken by what, and what those who wait wait for."""

from typing import Any

import pytest

from concerted.machine import EVERYBODY, Event, Look, Lost, Wake
from concerted.sync.absence import NAMED_MAX
from concerted.sync.trackers.answers import LOOKED_AT, SHOWN, STEPS_WOKEN, answer, is_reached, topic, waits, wakes
from concerted.sync.trackers.progress import Await, Cancel, Create, ProgressTracker, Request, Update, decide, evolve
from concerted.values import AgentId, Instant

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def tracker(*requests: Request, **changes: Any) -> ProgressTracker:
    """Return a tracker made at 100, after requests at 110, 120 ..."""
    usual: dict[str, Any] = {"id": "p1", "by": ANN, "name": "index", "total_steps": 10, "participants": (BOB, CY)}
    state = evolve(None, decide(None, Create(**{**usual, **changes}), 100.0).events[0], 100.0)
    for number, request in enumerate(requests, 1):
        state = taken(state, request, 100.0 + 10 * number)
    return state


def taken(state: ProgressTracker, request: Request, now: Instant) -> ProgressTracker:
    for event in decide(state, request, now).events:
        state = evolve(state, event, now)
    return state


def many(count: int) -> tuple[AgentId, ...]:
    return tuple(AgentId(f"a{number:05}") for number in range(count))


def woken(state: ProgressTracker, request: Request) -> set[str]:
    return {name for event in decide(state, request, 200.0).events for name in wakes(event)}


# answers


def test_an_answer_says_how_far_it_is_and_how_fast_it_goes() -> None:
    state = tracker(
        Update(BOB, 4, {"x": 1}), Update(CY, 2), Update(ANN, 5, "half"), description="all", metadata={"r": 1}
    )
    result = answer(state, Update(ANN, 5, "half"), 130.0)
    assert (result.pending, result.status, result.success, result.reason) == (False, "active", False, None)
    assert (result.current_step, result.total_steps, result.percentage) == (5, 10, 0.3)
    assert (result.total, result.finished, result.participant_progress) == (2, 0, {"bob": 4, "cy": 2})
    assert result.laggard == "cy"
    assert result.rate == pytest.approx(0.1)
    assert result.estimated_end_at == pytest.approx(200.0)
    assert result.step_data == {4: {"x": 1}, 5: "half"}
    assert (result.updated_at, result.created_at, result.created_by, result.duration_s) == (130.0, 100.0, "ann", 30.0)
    assert (result.description, result.metadata) == ("all", {"r": 1})


def test_of_equals_the_first_by_id_lags() -> None:
    assert answer(tracker(Update(BOB, 1), Update(CY, 1)), Look(), 130.0).laggard == "bob"


def test_who_has_finished_does_not_lag() -> None:
    assert answer(tracker(Update(BOB, 10)), Look(), 130.0).laggard == "cy"
    assert answer(tracker(Update(BOB, 10), Update(CY, 10)), Look(), 130.0).laggard is None
    assert answer(tracker(participants=()), Look(), 130.0).laggard is None


def test_after_the_end_the_rate_and_the_duration_are_those_at_the_end() -> None:
    result = answer(tracker(Update(ANN, 10), participants=()), Look(), 500.0)
    assert (result.status, result.success, result.completed_at, result.completed_by) == (
        "completed",
        True,
        110.0,
        "ann",
    )
    assert (result.rate, result.estimated_end_at, result.duration_s) == (1.0, None, 10.0)


def test_a_cancelled_tracker_says_why() -> None:
    result = answer(tracker(Cancel(ANN, "rain")), Look(), 500.0)
    assert (result.status, result.success, result.reason) == ("cancelled", False, "rain")


def test_a_stalled_tracker_says_since_when() -> None:
    result = answer(taken(tracker(stalled_after_s=30.0), Wake(), 150.0), Look(), 150.0)
    assert (result.is_stalled, result.stalled_at, result.stalled_after_s) == (True, 130.0, 30.0)


def test_of_many_participants_only_a_look_shows_each() -> None:
    agents = many(SHOWN + 1)
    state = tracker(Update(agents[0], 3), Lost(agents[5], "killed"), participants=agents)
    told = answer(state, Update(agents[0], 3), 130.0)
    assert (told.participant_progress, told.laggard, told.total) == ({}, None, SHOWN + 1)
    shown = answer(state, Look(), 130.0)
    assert (len(shown.participant_progress), shown.laggard, shown.lost_agents) == (SHOWN + 1, agents[1], (agents[5],))


def test_even_a_look_shows_only_so_many() -> None:
    agents = many(LOOKED_AT + 1)
    shown = answer(tracker(*(Update(agent, 5) for agent in agents[:-1]), participants=agents), Look(), 1e6)
    assert tuple(shown.participant_progress) == agents[:LOOKED_AT]
    assert shown.laggard == agents[-1]


# awaiting


def test_who_awaits_the_end_waits_until_it_has_ended() -> None:
    assert answer(tracker(Update(ANN, 9)), Await(), 130.0).pending
    assert not answer(tracker(Update(ANN, 10)), Await(), 130.0).pending


def test_who_awaits_a_step_waits_until_the_creator_has_reached_it() -> None:
    assert answer(tracker(Update(ANN, 4), Update(BOB, 9)), Await(step=5), 130.0).pending
    assert not answer(tracker(Update(ANN, 5)), Await(step=5), 130.0).pending
    assert not answer(tracker(), Await(step=0), 130.0).pending


def test_who_awaits_a_percentage_waits_until_it_is_done() -> None:
    assert answer(tracker(Update(BOB, 8)), Await(percentage=0.5), 130.0).pending
    assert not answer(tracker(Update(BOB, 10)), Await(percentage=0.5), 130.0).pending


def test_the_end_ends_every_wait() -> None:
    assert not answer(tracker(Cancel(ANN)), Await(step=5), 130.0).pending


def test_what_was_reached_counts_though_the_work_went_back_since() -> None:
    state = tracker(Update(ANN, 5), Update(ANN, 3), Update(BOB, 6), Update(BOB, 0), may_go_back=True)
    assert is_reached(state, Await(step=5))
    assert is_reached(state, Await(percentage=0.3))
    assert not is_reached(state, Await(step=6))


# who is woken


def test_each_step_and_percent_that_is_awaited_has_a_topic_of_its_own() -> None:
    assert topic(Await(step=5)) == "step:5"
    assert topic(Await(percentage=0.301)) == "percent:31"
    assert topic(Await()) == topic(Update(BOB, 1)) == ""


def test_an_update_wakes_those_whose_step_or_percentage_it_has_passed() -> None:
    state = tracker(Update(ANN, 3), Update(BOB, 1))
    assert woken(state, Update(ANN, 5)) == {"step:4", "step:5"}
    assert woken(state, Update(CY, 1)) == {f"percent:{percent}" for percent in range(5, 11)}
    assert woken(tracker(Update(ANN, 3), may_go_back=True), Update(ANN, 1)) == set()


@pytest.mark.parametrize("level", [0.07, 0.1, 0.29, 0.3, 1 / 3, 0.57, 0.58, 0.999, 1.0])
def test_whoever_awaits_a_percentage_is_woken_by_the_update_that_reaches_it(level: float) -> None:
    state = tracker(participants=(BOB,), total_steps=100_000)
    for step in range(0, 100_001, 1_000):
        awaited = Await(percentage=level)
        moved = taken(state, Update(BOB, step), 200.0)
        if is_reached(moved, awaited) and not is_reached(state, awaited):
            assert topic(awaited) in woken(state, Update(BOB, step))
            return
        state = moved
    pytest.fail("it was never reached")


def test_a_leap_over_very_many_steps_wakes_everybody() -> None:
    state = tracker(total_steps=10 * STEPS_WOKEN, participants=())
    assert EVERYBODY in woken(state, Update(ANN, STEPS_WOKEN + 1))
    assert EVERYBODY not in woken(state, Update(ANN, STEPS_WOKEN))


def test_the_end_wakes_everybody() -> None:
    assert EVERYBODY in woken(tracker(), Update(ANN, 10))
    assert woken(tracker(), Cancel(ANN)) == {EVERYBODY}
    assert list(wakes(Event("progress.stalled"))) == []


# what they wait for


def test_a_wait_for_a_step_names_the_creator() -> None:
    wait = waits(tracker(Update(ANN, 3)), Await(step=5), 130.0)
    assert wait is not None
    assert wait.waiting_for == "progress of index, at step 3 of 10 (0%), to reach step 5; reported by ann"
    assert (wait.since, wait.unblocked_by, wait.needed, wait.deadline) == (110.0, ("ann",), 1, None)


def test_a_wait_for_a_percentage_names_those_who_are_not_done() -> None:
    wait = waits(tracker(Update(BOB, 10)), Await(percentage=0.75), 130.0)
    assert wait is not None
    assert wait.waiting_for == "progress of index, at step 0 of 10 (50%), to reach 75%; reported by cy"
    assert (wait.unblocked_by, wait.needed) == (("cy",), 1)


def test_a_wait_for_the_end_names_whoever_completes_it() -> None:
    by_creator = waits(tracker(), Await(), 130.0)
    by_all = waits(tracker(completes_with="participants"), Await(), 130.0)
    assert by_creator is not None
    assert by_all is not None
    assert (by_creator.unblocked_by, by_creator.needed) == (("ann",), 1)
    assert (by_all.unblocked_by, by_all.needed) == (("bob", "cy"), 2)


def test_who_is_gone_is_named_as_the_reason() -> None:
    wait = waits(tracker(Lost(ANN, "no heartbeat for 20 s")), Await(step=5), 130.0)
    assert wait is not None
    assert wait.waiting_for.endswith("reported by ann, who is gone: no heartbeat for 20 s")


def test_a_stall_is_said() -> None:
    wait = waits(taken(tracker(stalled_after_s=30.0), Wake(), 150.0), Await(), 160.0)
    assert wait is not None
    assert wait.waiting_for.endswith("it is stalled: no update for 60.0 s")


def test_very_many_are_not_named() -> None:
    wait = waits(tracker(participants=many(NAMED_MAX + 1)), Await(percentage=0.5), 130.0)
    assert wait is not None
    assert wait.unblocked_by == ()


def test_who_need_not_wait_waits_for_nothing() -> None:
    assert waits(tracker(), Look(), 130.0) is None
    assert waits(tracker(Update(ANN, 5)), Await(step=5), 130.0) is None
