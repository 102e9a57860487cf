"""What a phaser tells: results, whom events concern, and for whom a caller waits."""

from typing import Any

import pytest

from concerted.machine import EVERYBODY, Event, Look, Lost, Wake
from concerted.sync.absence import NAMED_MAX
from concerted.sync.phasers.phaser import (
    KINDS,
    Arrive,
    ArriveAndAwait,
    Await,
    Create,
    Deregister,
    Phaser,
    Register,
    Request,
    answer,
    decide,
    evolve,
    topic,
    waits,
    wakes,
)
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def after(state: Phaser | None, *requests: Request, now: float = 1.0) -> Phaser:
    for request in requests:
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
    assert state is not None
    return state


def made(*parties: AgentId, **terms: Any) -> Phaser:
    return after(None, Create("build", ANN, parties or (ANN, BOB, CY), **terms))


def test_a_look_shows_how_it_stands_and_waits_for_nothing() -> None:
    state = after(made(name="b", metadata={"k": 1}, late_after_s=9.0), Arrive(BOB, "x"), Lost(CY, "killed"))
    told = answer(state, Look(), 5.0)
    assert (told.pending, told.status, told.phase, told.arrived_count, told.party_count) == (False, "waiting", 0, 1, 3)
    assert (told.missing, told.lost, told.data, told.deadline_at) == (
        ("ann", "cy"),
        {"cy": "killed"},
        {"bob": "x"},
        10.0,
    )
    assert (told.name, told.created_by, told.created_at, told.metadata) == ("b", "ann", 1.0, {"k": 1})


def test_the_wait_time_runs_until_the_verdict_and_not_longer() -> None:
    state = after(made(ANN, BOB), ArriveAndAwait(ANN), now=10.0)
    assert answer(state, ArriveAndAwait(ANN), 14.0).wait_s == 4.0
    state = after(state, Arrive(BOB), now=15.0)
    assert answer(state, ArriveAndAwait(ANN), 99.0).wait_s == 5.0


def test_who_has_left_has_no_registration() -> None:
    told = answer(after(made(), Deregister(BOB)), Deregister(BOB), 2.0)
    assert (told.registration, told.registered_count) == (None, 2)


def test_an_arrival_waits_for_those_who_are_missing_and_names_the_gone() -> None:
    state = after(made(), ArriveAndAwait(ANN), Lost(CY, "no heartbeat for 20 s"), now=10.0)
    wait = waits(state, ArriveAndAwait(ANN), 11.0)
    assert wait is not None
    assert wait.waiting_for == (
        "phase 0 of phaser build: 1 of 3 have arrived; waits for cy, who is gone: no heartbeat for 20 s; bob"
    )
    assert (wait.since, wait.deadline, wait.unblocked_by, wait.needed) == (10.0, None, ("bob", "cy"), 2)


def test_a_policy_that_acts_gives_the_wait_a_deadline() -> None:
    state = after(made(policy="shrink", late_after_s=5.0), ArriveAndAwait(ANN))
    wait = waits(state, ArriveAndAwait(ANN), 2.0)
    assert wait is not None
    assert wait.deadline == 6.0


def test_the_late_are_waited_for_as_late() -> None:
    state = after(made(ANN, BOB, late_after_s=5.0), ArriveAndAwait(ANN))
    wait = waits(after(state, Wake(), now=6.0), ArriveAndAwait(ANN), 7.0)
    assert wait is not None
    assert wait.waiting_for.endswith("waits for bob, late since the phase's time is over")


def test_who_awaits_a_phase_to_come_is_told_what_comes_before() -> None:
    state = made(ANN)
    wait = waits(state, Await(CY, 2), 2.0)
    assert wait is not None
    assert wait.waiting_for == "phase 2, after phase 0 of phaser build: 0 of 1 have arrived; waits for ann"
    assert wait.since == 1.0


def test_a_phaser_without_parties_waits_for_somebody_to_register() -> None:
    state = after(made(ANN, ends_when_empty=False), Deregister(ANN))
    wait = waits(state, Await(CY, 0), 2.0)
    assert wait is not None
    assert wait.waiting_for.endswith("waits for somebody to register")
    assert (wait.unblocked_by, wait.needed) == ((), 1)


def test_of_very_many_missing_only_the_gone_are_named() -> None:
    many = tuple(AgentId(f"a{number:04}") for number in range(NAMED_MAX + 2))
    state = after(made(*many), ArriveAndAwait(many[0]), Lost(many[7], "killed"))
    wait = waits(state, ArriveAndAwait(many[0]), 2.0)
    assert wait is not None
    assert wait.waiting_for.endswith(f"waits for a0007, who is gone: killed; and {NAMED_MAX} more")
    assert wait.unblocked_by == ()


@pytest.mark.parametrize("request_", [Look(), Wake(), Register(ANN), Arrive(ANN)])
def test_nothing_else_waits(request_: Request) -> None:
    assert waits(after(made(), Arrive(ANN)), request_, 2.0) is None


def test_the_end_of_a_phase_concerns_everybody_and_an_arrival_nobody() -> None:
    assert [kind for kind in KINDS if EVERYBODY in wakes(Event(kind, ANN))] == [
        "phaser.advanced", "phaser.broken", "phaser.terminated",
    ]  # fmt: skip
    assert tuple(wakes(Event("phaser.arrived", ANN))) == ()


def test_each_agent_waits_under_its_own_name_and_a_look_under_none() -> None:
    assert (topic(ArriveAndAwait(ANN)), topic(Await(BOB, 1)), topic(Look())) == ("ann", "bob", "")
