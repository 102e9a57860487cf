"""What a latch tells: results, whom events concern, and for whom a caller waits."""

from typing import Any

import pytest

from concerted.board.latches.answers import TAKEN_SHOWN
from concerted.board.latches.latch import (
    KINDS,
    Await,
    CountDown,
    Create,
    Latch,
    Request,
    Take,
    answer,
    decide,
    evolve,
    topic,
    waits,
    wakes,
)
from concerted.machine import EVERYBODY, Event, Look, Lost, Wake
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def after(count: int, *requests: Request, now: float = 1.0, **terms: Any) -> Latch:
    state = None
    for request in (Create("docs", ANN, count, **terms), *requests):
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
    assert state is not None
    return state


def test_a_look_shows_who_holds_what() -> None:
    state = after(3, Take(BOB, "t2", 5.0), Take(ANN, "t1", 9.0), CountDown(CY, "t0"), name="d", timeout_s=60.0)
    told = answer(state, Look(), 4.0)
    assert [(held.ticket, held.agent, held.expires_at) for held in told.taken] == [
        ("t1", "ann", 10.0),
        ("t2", "bob", 6.0),
    ]
    assert (told.remaining, told.total, told.available, told.taken_count) == (2, 3, 0, 2)
    assert (told.pending, told.status, told.deadline_at, told.duration_s, told.name) == (
        False,
        "closed",
        61.0,
        3.0,
        "d",
    )


def test_very_many_obligations_are_counted_and_the_first_shown() -> None:
    n = TAKEN_SHOWN + 1
    state = after(n, *(Take(AgentId(f"a{number:03}"), f"t{number:03}", 5.0) for number in range(n)))
    assert len(answer(state, Look(), 2.0).taken) == TAKEN_SHOWN
    assert answer(state, Await(ANN), 2.0).taken == ()
    wait = waits(state, Await(ANN), 2.0)
    assert wait is not None
    assert wait.waiting_for == f"{n} of {n} counts of latch docs: {n} tickets are held"
    assert wait.unblocked_by == ()


def test_who_awaits_waits_for_all_who_hold_what_remains() -> None:
    state = after(3, Take(BOB, "t2", 5.0), Take(ANN, "t1", 9.0), CountDown(CY, "t0"), timeout_s=60.0)
    wait = waits(state, Await(CY), 2.0)
    assert wait is not None
    assert wait.waiting_for == "2 of 3 counts of latch docs: t1 is held by ann; t2 is held by bob"
    assert (wait.since, wait.unblocked_by, wait.needed, wait.deadline) == (1.0, ("ann", "bob"), 2, 61.0)


def test_what_nobody_has_taken_anybody_can_count() -> None:
    wait = waits(after(3, Take(BOB, "t2", 5.0)), Await(CY), 2.0)
    assert wait is not None
    assert wait.waiting_for == "3 of 3 counts of latch docs: t2 is held by bob; 2 are free for anybody"
    assert (wait.unblocked_by, wait.needed) == ((), 1)


def test_what_came_back_from_a_dead_worker_is_named() -> None:
    wait = waits(after(1, Take(BOB, "t1", 5.0), Lost(BOB, "killed")), Await(CY), 2.0)
    assert wait is not None
    assert wait.waiting_for == (
        "1 of 1 counts of latch docs: 1 is free for anybody; t1 came back from bob, who is gone: killed"
    )


@pytest.mark.parametrize("request_", [Look(), Wake(), CountDown(ANN, "t1")])
def test_nothing_else_waits(request_: Request) -> None:
    assert waits(after(2), request_, 2.0) is None


def test_nobody_waits_at_an_open_latch() -> None:
    assert waits(after(1, CountDown(ANN, "t1")), Await(CY), 2.0) is None


def test_only_the_end_concerns_who_waits() -> None:
    assert [kind for kind in KINDS if EVERYBODY in wakes(Event(kind, ANN))] == [
        "latch.opened", "latch.expired", "latch.cancelled",
    ]  # fmt: skip
    assert tuple(wakes(Event("latch.counted", ANN))) == ()


def test_each_agent_waits_under_its_own_name_and_a_look_under_none() -> None:
    assert (topic(Await(ANN)), topic(Look())) == ("ann", "")
