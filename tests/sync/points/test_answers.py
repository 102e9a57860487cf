"""What callers of a sync point are told, at every moment, and what those who wait wait for."""

from typing import Any

import pytest

from concerted.machine import EVERYBODY, Event, Found, Look, Lost, Wake
from concerted.sync.absence import NAMED_MAX
from concerted.sync.points.answers import SyncResult, answer, topic, waits, wakes
from concerted.sync.points.predicate import MAJORITY, Condition
from concerted.sync.points.state import SHOWN
from concerted.sync.points.sync_point import (
    Add,
    Arrive,
    Await,
    Cancel,
    Complete,
    Create,
    Request,
    SyncPoint,
    decide,
    evolve,
)
from concerted.values import AgentId, Instant

ANN, BOB, CY, DEE = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("dee")


def point(*requests: Request, at: Instant = 10.0, **changes: Any) -> SyncPoint:
    """Return a point made at 1.0, after requests that come `at` one instant."""
    usual: dict[str, Any] = {"id": "s1", "by": ANN, "name": "stand-up", "participants": (BOB, CY, DEE)}
    create = Create(**{**usual, **changes})
    state = evolve(None, decide(None, create, 1.0).events[0], 1.0)
    for request in requests:
        for event in decide(state, request, at).events:
            state = evolve(state, event, at)
    return state


def many(count: int) -> tuple[AgentId, ...]:
    return tuple(AgentId(f"a{number:05}") for number in range(count))


def counts(result: SyncResult) -> tuple[int, int, int | None]:
    return result.arrived, result.total, result.needed


def lists(result: SyncResult) -> tuple[Any, ...]:
    return result.arrived_agents, result.missing, result.lost_agents, result.sync_data


# answers


def test_whoever_arrives_waits_and_is_told_how_many_have_come() -> None:
    result = answer(point(Arrive(BOB, 1), condition=MAJORITY), Arrive(BOB), 12.5)
    assert (result.pending, result.status, result.success, result.reason) == (True, "waiting", False, None)
    assert counts(result) == (1, 3, 2)
    assert lists(result) == ((), (), (), {})
    assert (result.wait_s, result.duration_s) == (2.5, 11.5)


def test_after_the_completion_everybody_is_told_who_was_there_and_what_they_brought() -> None:
    state = point(Arrive(CY, {"x": 1}), Arrive(BOB), description="daily", metadata={"room": 3}, condition=MAJORITY)
    result = answer(state, Arrive(BOB), 99.0)
    assert (result.pending, result.status, result.success, result.reason) == (False, "completed", True, None)
    assert (result.arrived_agents, result.missing, result.sync_data) == (("bob", "cy"), ("dee",), {"cy": {"x": 1}})
    assert (result.created_at, result.created_by, result.completed_at, result.completed_by) == (1.0, "ann", 10.0, None)
    assert (result.duration_s, result.wait_s, result.deadline_at) == (9.0, 0.0, None)
    assert (result.description, result.metadata, result.condition) == ("daily", {"room": 3}, MAJORITY)


def test_after_the_deadline_the_reason_is_timeout() -> None:
    state = point(Arrive(BOB), deadline_at=60.0)
    for event in decide(state, Wake(), 75.0).events:
        state = evolve(state, event, 75.0)
    result = answer(state, Arrive(BOB), 80.0)
    assert (result.pending, result.status, result.success, result.reason) == (False, "expired", False, "timeout")
    assert (result.arrived_agents, result.missing) == (("bob",), ("cy", "dee"))
    assert (result.completed_at, result.duration_s, result.wait_s) == (60.0, 59.0, 50.0)


def test_after_a_cancellation_the_reason_is_the_one_that_was_given() -> None:
    result = answer(point(Arrive(BOB), Cancel(ANN, "rain")), Arrive(BOB), 80.0)
    assert (result.status, result.success, result.reason, result.completed_by) == ("cancelled", False, "rain", "ann")


def test_who_completed_it_by_hand_is_the_reason() -> None:
    result = answer(point(Complete(ANN)), Complete(ANN), 80.0)
    assert (result.success, result.reason, result.completed_by) == (True, "completed by ann", "ann")


@pytest.mark.parametrize("request_", [Create("s1", ANN, "stand-up", (BOB, CY)), Add(ANN, (BOB,)), Look()])
def test_only_who_arrives_or_awaits_has_to_wait(request_: Request) -> None:
    assert not answer(point(), request_, 12.0).pending
    assert answer(point(), Await(), 12.0).pending


def test_a_look_shows_everything_while_it_waits() -> None:
    result = answer(point(Arrive(BOB, 1), Lost(CY, "killed")), Look(), 12.0)
    assert lists(result) == (("bob",), ("cy", "dee"), ("cy",), {"bob": 1})
    assert (result.pending, result.wait_s) == (False, 0.0)


def test_a_look_at_or_after_the_deadline_sees_it_expired_though_nobody_has_noticed() -> None:
    result = answer(point(Arrive(BOB), deadline_at=60.0), Look(), 60.0)
    assert (result.status, result.reason, result.completed_at) == ("expired", "timeout", 60.0)


def test_of_very_many_participants_only_a_look_shows_names_the_first() -> None:
    agents = many(SHOWN + 10)
    state = point(*(Arrive(agent, 1) for agent in agents), participants=agents)
    assert lists(answer(state, Arrive(agents[0]), 12.0)) == ((), (), (), {})
    shown = answer(state, Look(), 12.0)
    assert (shown.arrived_agents, len(shown.sync_data)) == (agents[:SHOWN], SHOWN)
    assert shown.arrived == SHOWN + 10


def test_all_who_are_answered_share_the_same_lists() -> None:
    agents = many(SHOWN)
    state = point(*(Arrive(agent, 1) for agent in agents), participants=agents)
    first, last = answer(state, Arrive(agents[0]), 12.0), answer(state, Arrive(agents[-1]), 12.0)
    assert first.arrived_agents is last.arrived_agents
    assert first.sync_data is last.sync_data


def test_a_clock_that_was_set_back_makes_no_negative_times() -> None:
    result = answer(point(Arrive(BOB)), Arrive(BOB), 0.5)
    assert (result.duration_s, result.wait_s) == (0.0, 0.0)


# who is woken


def test_the_end_wakes_everybody_and_an_arrival_nobody() -> None:
    for kind in ("completed", "expired", "cancelled"):
        assert list(wakes(Event(f"sync_point.{kind}"))) == [EVERYBODY]
    for kind in ("created", "arrived", "participants_added", "participant_lost", "predicate_failed"):
        assert list(wakes(Event(f"sync_point.{kind}"))) == []
    assert topic(Arrive(BOB)) == topic(Await(ANN)) == ""


# what they wait for


def test_a_wait_says_for_whom_since_when_and_until_when() -> None:
    wait = waits(point(Arrive(BOB), deadline_at=60.0), Arrive(BOB), 12.0)
    assert wait is not None
    assert wait.waiting_for == "sync point stand-up: 1 of 3 have arrived and 3 are needed; missing: cy, dee"
    assert (wait.since, wait.unblocked_by, wait.needed, wait.deadline) == (10.0, ("cy", "dee"), 2, 60.0)


def test_of_a_majority_any_of_the_missing_will_do() -> None:
    wait = waits(point(Arrive(BOB), condition=MAJORITY), Arrive(BOB), 12.0)
    assert wait is not None
    assert (wait.unblocked_by, wait.needed) == (("cy", "dee"), 1)


def test_who_is_gone_is_named_as_the_reason() -> None:
    wait = waits(point(Arrive(BOB), Lost(DEE, "no heartbeat for 20 s")), Arrive(BOB), 12.0)
    assert wait is not None
    assert wait.waiting_for == (
        "sync point stand-up: 1 of 3 have arrived and 3 are needed; missing: dee, who is gone: no heartbeat for "
        "20 s; cy; it cannot complete without those who are gone"
    )


def test_a_loss_that_leaves_enough_is_not_the_reason() -> None:
    wait = waits(point(Arrive(BOB), Lost(DEE, "killed"), condition=MAJORITY), Arrive(BOB), 12.0)
    assert wait is not None
    assert "cannot complete" not in wait.waiting_for
    again = waits(point(Arrive(BOB), Lost(DEE, "killed"), Found(DEE)), Arrive(BOB), 12.0)
    assert again is not None
    assert "gone" not in again.waiting_for


def test_very_many_who_are_missing_are_counted_and_only_the_gone_named() -> None:
    agents = many(NAMED_MAX + 2)
    wait = waits(point(Arrive(agents[0]), Lost(agents[9], "killed"), participants=agents), Arrive(agents[0]), 12.0)
    assert wait is not None
    assert "missing: a00009, who is gone: killed; and 256 more" in wait.waiting_for
    assert (wait.unblocked_by, wait.needed) == ((), NAMED_MAX + 1)


def test_who_awaits_without_arriving_waits_since_the_creation() -> None:
    wait = waits(point(), Await(ANN), 12.0)
    assert wait is not None
    assert wait.since == 1.0


@pytest.mark.parametrize("request_", [Look(), Complete(ANN), Wake()])
def test_who_need_not_wait_waits_for_nothing(request_: Request) -> None:
    assert waits(point(), request_, 12.0) is None


def test_nobody_waits_for_what_is_over() -> None:
    assert waits(point(Arrive(BOB), Cancel(ANN)), Arrive(BOB), 12.0) is None


def test_a_predicate_says_that_it_does_not_hold_or_why_it_failed() -> None:
    state = point(condition=Condition("predicate", text="data.bob.ok"))
    wait = waits(state, Await(), 12.0)
    assert wait is not None
    assert wait.waiting_for.endswith("missing: bob, cy, dee; its predicate does not hold")
    assert (wait.unblocked_by, wait.needed) == (("bob", "cy", "dee"), 1)
    failed = waits(point(Arrive(CY), condition=Condition("predicate", text="data.bob.ok")), Arrive(CY), 12.0)
    assert failed is not None
    assert failed.waiting_for.endswith("its predicate failed with: no such member in mapping: 'bob' (column 1)")


def test_nobody_in_particular_can_end_a_wait_for_time() -> None:
    wait = waits(point(condition=Condition("predicate", text="now > 99.0")), Await(), 12.0)
    assert wait is not None
    assert wait.unblocked_by == ()


def test_when_all_are_there_and_the_predicate_still_does_not_hold_only_the_creator_can_end_it() -> None:
    state = point(Arrive(BOB), Arrive(CY), Arrive(DEE), condition=Condition("predicate", text="size(arrived) > 3"))
    wait = waits(state, Arrive(BOB), 12.0)
    assert wait is not None
    assert (wait.unblocked_by, wait.needed) == ((ANN,), 1)


def test_a_function_that_this_process_does_not_know_is_the_reason() -> None:
    created = Event("sync_point.created", ANN, None, {
        "id": "s1", "name": "stand-up", "description": "", "participants": ["bob", "cy"],
        "condition": {"type": "function", "name": "gone", "version": 3}, "deadline_at": None, "metadata": {},
        "check_interval_s": 0.1,
    })  # fmt: skip
    state = evolve(None, created, 1.0)
    step = decide(state, Arrive(BOB), 2.0)
    assert [event.kind for event in step.events] == ["sync_point.arrived", "sync_point.predicate_failed"]
    wait = waits(evolve(state, step.events[0], 2.0), Arrive(BOB), 3.0)
    assert wait is not None
    assert (
        "its function cannot be looked at: no condition gone, version 3 is registered in this process"
        in wait.waiting_for
    )
