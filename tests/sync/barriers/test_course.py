"""How a generation goes on by itself: when it must be looked at, who is elected, when an action is given up."""

from typing import Any

import pytest

from concerted.machine import Lost, Step, Wake
from concerted.sync.barriers.barrier import Action, Arrive, Create, decide, evolve
from concerted.sync.barriers.course import (
    ACTION_ATTEMPTS,
    Ending,
    after,
    break_for_the_lost,
    elect,
    end,
    overdue,
    wake_at,
)
from concerted.sync.barriers.state import Barrier
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def made(*arrived: AgentId, now: float = 1.0, **terms: Any) -> Barrier:
    state = None
    for request in (Create("build", ANN, **{"participant_count": 3, **terms}), *map(Arrive, arrived)):
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
    assert state is not None
    return state


def test_nothing_is_due_without_a_deadline() -> None:
    state = made(ANN)
    assert wake_at(state) is None
    assert overdue(state, 1e9) == Step()


def test_nothing_is_due_before_its_time() -> None:
    state = made(ANN, timeout_s=10.0)
    assert wake_at(state) == 11.0
    assert overdue(state, 10.999) == Step()
    assert [event.kind for event in overdue(state, 11.0).events] == ["barrier.timed_out"]


def test_the_deadline_of_the_generation_counts_before_that_of_the_action() -> None:
    state = made(ANN, BOB, CY, timeout_s=10.0, action=Action("elected", "merge", timeout_s=4.0))
    assert [event.kind for event in overdue(state, 5.0).events] == ["barrier.action_started"]
    assert [event.kind for event in overdue(state, 11.0).events] == ["barrier.timed_out"]


def test_whoever_is_next_in_the_order_of_arrival_is_elected() -> None:
    state = made(CY, ANN, BOB, action=Action("elected", "merge"))
    elected = []
    while state.acting is not None:
        elected.append(state.acting.by)
        state = after(state, elect(state, 2.0, "no answer"), 2.0)
    assert elected == ["cy", "ann", "bob"]
    assert state.verdicts[0].reason == "nobody is left to do the action merge: no answer"


def test_the_action_of_the_coordinator_is_given_up_after_some_tries() -> None:
    state, now, epochs = made(ANN, BOB, CY, action=Action("coordinator", "snapshot")), 1.0, []
    while state.acting is not None:
        epochs.append(state.acting.epoch)
        now = state.acting.deadline_at
        state = after(state, decide(state, Wake(), now), now)
    assert epochs == list(range(1, ACTION_ATTEMPTS + 1))
    assert state.verdicts[0].status == "broken"


def test_after_a_long_sleep_each_party_still_gets_its_full_time() -> None:
    state = made(ANN, BOB, CY, action=Action("elected", "merge", timeout_s=20.0))
    state = after(state, overdue(state, 1000.0), 1000.0)
    assert state.acting is not None
    assert (state.acting.by, state.acting.deadline_at) == ("bob", 1020.0)


def test_nobody_is_told_when_a_generation_ends_in_which_nobody_waits() -> None:
    assert end(made(), 2.0, Ending("broken", "no")).sends == ()


def test_a_party_that_has_arrived_breaks_nothing_by_being_lost() -> None:
    state = made(ANN, participants=(ANN, BOB, CY))
    assert break_for_the_lost(lost(state, ANN), 2.0) == Step()
    assert [event.kind for event in break_for_the_lost(lost(state, BOB), 2.0).events] == ["barrier.broken"]


def lost(state: Barrier, agent: AgentId) -> Barrier:
    return after(state, decide(state, Lost(agent, "killed"), 1.0), 1.0)
