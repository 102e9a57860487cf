"""What a double barrier tells: whom events concern, and for whom a caller waits."""

import pytest

from concerted.machine import EVERYBODY, Event, Look, Lost, Wake
from concerted.sync.double_barriers.double_barrier import (
    KINDS,
    Cancel,
    Create,
    DoubleBarrier,
    Enter,
    Leave,
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

ANN, BOB = AgentId("ann"), AgentId("bob")


def after(*requests: Request, now: float = 1.0) -> DoubleBarrier:
    state = None
    for request in (
        Create("stage", ANN, participants=(ANN, BOB), timeout_s=60.0, name="s", metadata={"k": 1}),
        *requests,
    ):
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
    assert state is not None
    return state


def test_a_look_shows_how_it_stands() -> None:
    told = answer(after(Enter(BOB, "x")), Look(), 2.0)
    assert (told.status, told.gate, told.entered_count, told.left_count, told.missing) == (
        "entering", "enter", 1, 0, ("ann",),
    )  # fmt: skip
    assert (told.name, told.created_by, told.metadata, told.data, told.deadline_at) == (
        "s", "ann", {"k": 1}, {"bob": "x"}, 61.0,
    )  # fmt: skip
    inside = answer(after(Enter(BOB), Enter(ANN), Leave(ANN)), Look(), 2.0)
    assert (inside.status, inside.gate, inside.entered_count, inside.left_count) == ("inside", "leave", 2, 1)
    assert inside.missing == ("bob",)


def test_who_waits_to_enter_waits_for_those_who_have_not() -> None:
    wait = waits(after(Enter(ANN), Lost(BOB, "killed")), Enter(ANN), 2.0)
    assert wait is not None
    assert wait.waiting_for == (
        "gate enter of generation 0 of barrier stage: 1 of 2 have arrived; waits for bob, who is gone: killed"
    )
    assert (wait.unblocked_by, wait.needed, wait.since, wait.deadline) == (("bob",), 1, 1.0, 61.0)


def test_who_waits_to_leave_waits_for_those_who_are_inside() -> None:
    wait = waits(after(Enter(ANN), Enter(BOB), Leave(BOB)), Leave(BOB), 2.0)
    assert wait is not None
    assert wait.waiting_for.startswith("gate leave of generation 0")
    assert wait.unblocked_by == ("ann",)


@pytest.mark.parametrize("request_", [Look(), Wake(), Cancel(ANN)])
def test_nothing_else_waits(request_: Request) -> None:
    assert waits(after(), request_, 2.0) is None


def test_nobody_waits_who_is_through() -> None:
    assert waits(after(Enter(ANN), Enter(BOB)), Enter(ANN), 2.0) is None


def test_a_verdict_concerns_everybody_and_an_arrival_nobody() -> None:
    assert [kind for kind in KINDS if EVERYBODY in wakes(Event(kind, ANN))] == [
        f"double_barrier.{name}" for name in ("begun", "finished", "timed_out", "broken", "cancelled", "removed")
    ]
    assert tuple(wakes(Event("double_barrier.entered", ANN))) == ()


def test_each_agent_waits_under_its_own_name_and_a_look_under_none() -> None:
    assert (topic(Enter(ANN)), topic(Leave(BOB)), topic(Look())) == ("ann", "bob", "")
