"""What a barrier tells: results, whom events concern, and for whom a caller waits."""

from typing import Any

import pytest

from concerted.machine import EVERYBODY, Event, Look, Lost, Wake
from concerted.sync.absence import NAMED_MAX
from concerted.sync.barriers.barrier import (
    KINDS,
    Action,
    ActionDone,
    Arrive,
    Cancel,
    Create,
    Request,
    answer,
    decide,
    evolve,
    topic,
    waits,
    wakes,
)
from concerted.sync.barriers.state import Barrier
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def after(state: Barrier | None, *requests: Request, now: float = 1.0) -> Barrier:
    for request in requests:
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
    assert state is not None
    return state


def made(**terms: Any) -> Barrier:
    return after(None, Create("build", ANN, **{"participants": (ANN, BOB, CY), **terms}))


def test_a_look_shows_how_it_stands_and_waits_for_nothing() -> None:
    state = after(made(name="nightly", timeout_s=9.0, metadata={"k": 1}), Arrive(BOB, "x"), Lost(CY, "killed"))
    told = answer(state, Look(), 5.0)
    assert not told.pending
    assert (told.status, told.arrived_count, told.participant_count, told.deadline_at) == ("waiting", 1, 3, 10.0)
    assert (told.arrived, told.missing, told.lost, told.data) == (
        ("bob",),
        ("ann", "cy"),
        {"cy": "killed"},
        {"bob": "x"},
    )
    assert (told.name, told.created_by, told.created_at, told.metadata) == ("nightly", "ann", 1.0, {"k": 1})


def test_a_look_at_a_barrier_that_is_over_shows_its_verdict() -> None:
    told = answer(after(made(cyclic=False), Arrive(ANN), Arrive(BOB), Arrive(CY)), Look(), 5.0)
    assert (told.status, told.success, told.generation, told.released_at) == ("released", True, 0, 1.0)


def test_the_wait_time_runs_until_the_verdict_and_not_longer() -> None:
    state = after(made(), Arrive(ANN), now=10.0)
    assert answer(state, Arrive(ANN), 14.0).wait_s == 4.0
    state = after(state, Arrive(BOB), Arrive(CY), now=15.0)
    assert answer(state, Arrive(ANN), 99.0).wait_s == 5.0


def test_an_arrival_of_which_nothing_is_known_does_not_wait() -> None:
    state = after(made(), Cancel(ANN, "enough"))
    told = answer(state, Arrive(ANN), 2.0)
    assert (told.pending, told.status, told.success, told.reason) == (False, "cancelled", False, "enough")
    assert answer(made(), Arrive(ANN), 2.0).reason == "nothing is known of an arrival of ann"


def test_each_agent_waits_under_its_own_name_and_a_look_under_none() -> None:
    assert (topic(Arrive(ANN)), topic(Look()), topic(ActionDone(ANN, 0, 1))) == ("ann", "", "")


@pytest.mark.parametrize("kind", ["released", "timed_out", "broken", "cancelled", "removed"])
def test_a_verdict_concerns_everybody(kind: str) -> None:
    assert tuple(wakes(Event(f"barrier.{kind}"))) == (EVERYBODY,)


def test_an_election_concerns_the_elected_and_an_arrival_nobody() -> None:
    assert tuple(wakes(Event("barrier.action_started", ANN))) == ("ann",)
    assert tuple(wakes(Event("barrier.action_started", None))) == ()
    assert [kind for kind in KINDS if EVERYBODY in wakes(Event(kind, ANN))] == [
        "barrier.released", "barrier.timed_out", "barrier.broken", "barrier.cancelled", "barrier.removed",
    ]  # fmt: skip


def test_an_arrival_waits_for_those_who_are_missing_and_names_the_gone() -> None:
    state = after(made(timeout_s=60.0), Arrive(ANN), Lost(CY, "no heartbeat for 20 s"), now=10.0)
    wait = waits(state, Arrive(ANN), 11.0)
    assert wait is not None
    assert wait.waiting_for == (
        "generation 0 of barrier build: 1 of 3 have arrived; waits for cy, who is gone: no heartbeat for 20 s; bob"
    )
    assert (wait.since, wait.deadline, wait.unblocked_by, wait.needed) == (10.0, 70.0, ("bob", "cy"), 2)


def test_without_names_whoever_comes_ends_the_wait() -> None:
    state = after(made(participants=(), participant_count=3), Arrive(ANN))
    wait = waits(state, Arrive(ANN), 2.0)
    assert wait is not None
    assert wait.waiting_for.endswith("1 of 3 have arrived; waits for 2 parties")
    assert (wait.unblocked_by, wait.needed, wait.deadline) == ((), 2, None)


def test_of_very_many_missing_only_the_gone_are_named() -> None:
    many = tuple(AgentId(f"a{number:04}") for number in range(NAMED_MAX + 2))
    state = after(made(participants=many), Arrive(many[0]), Lost(many[7], "killed"))
    wait = waits(state, Arrive(many[0]), 2.0)
    assert wait is not None
    assert wait.waiting_for.endswith(f"waits for a0007, who is gone: killed; and {NAMED_MAX} more")
    assert wait.unblocked_by == ()


def test_while_the_action_is_done_all_wait_for_who_does_it() -> None:
    state = after(made(action=Action("elected", "merge")), Arrive(BOB), Arrive(ANN), Arrive(CY))
    wait = waits(state, Arrive(CY), 2.0)
    assert wait is not None
    assert wait.waiting_for == "generation 0 of barrier build: bob does its action merge, attempt 1"
    assert wait.unblocked_by == ("bob",)
    assert waits(state, Arrive(BOB), 2.0) is None
    by_us = after(made(action=Action("coordinator", "merge")), Arrive(BOB), Arrive(ANN), Arrive(CY))
    wait = waits(by_us, Arrive(CY), 2.0)
    assert wait is not None
    assert wait.unblocked_by == ()


@pytest.mark.parametrize("request_", [Look(), Wake(), Cancel(ANN)])
def test_nothing_else_waits(request_: Request) -> None:
    assert waits(made(), request_, 2.0) is None
