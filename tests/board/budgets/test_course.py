"""A budget in the course of time: periods, deadlines, warnings, agents that are gone."""

from dataclasses import replace
from typing import Any

import pytest

from concerted.board.budgets.budget import (
    KINDS,
    Budget,
    BudgetResult,
    BudgetView,
    Create,
    Refund,
    Request,
    Reserve,
    Resize,
    Settle,
    Spend,
    Withdraw,
    answer,
    decide,
    evolve,
)
from concerted.errors import (
    ConcertedError,
)
from concerted.machine import Found, Look, Lost, Step, Wake
from concerted.values import AgentId, Instant

ANN, BOB, CY, DAN = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("dan")
HOURLY = Create("llm", ANN, 100.0, "USD", 3600.0, name="LLM calls", metadata={"team": 7})
ONCE = Create("once", ANN, 100.0)


class Play:
    """A budget that is asked one thing after the other."""

    def __init__(self, create: Create | None = HOURLY) -> None:
        self.state: Budget | None = None
        self.step = Step()
        self.now: Instant = 0.0
        if create is not None:
            self.ask(create)

    def ask(self, request: Request, at: Instant | None = None) -> list[tuple[str, str | None]]:
        """Return the events: kind without its first word, and agent."""
        self.now = self.now if at is None else at
        self.step = decide(self.state, request, self.now)
        for event in self.step.events:
            assert event.kind in KINDS
            self.state = evolve(self.state, event, self.now)
        return [(event.kind.removeprefix("budget."), event.agent) for event in self.step.events]

    def told(self, request: Request, at: Instant | None = None) -> BudgetResult:
        """Ask, and return the answer."""
        self.ask(request, at)
        result = answer(self.state, request, self.now)
        assert isinstance(result, BudgetResult)
        return result

    def view(self, request: Request | None = None) -> BudgetView:
        result = answer(self.state, request or Look(), self.now)
        assert isinstance(result, BudgetView)
        return result

    def refused(self, error: type[ConcertedError], why: str, request: Request, at: Instant | None = None) -> None:
        self.now = self.now if at is None else at
        with pytest.raises(error, match=why):
            decide(self.state, request, self.now)


def spend(ticket: str, holder: AgentId, amount: float, **more: Any) -> Spend:
    return Spend(ticket, holder, amount, **more)


def reserve(ticket: str, holder: AgentId, amount: float, **more: Any) -> Reserve:
    return Reserve(ticket, holder, amount, **more)


# time


def test_when_a_period_is_over_those_who_wait_are_served_in_order() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 90.0))
    play.ask(spend("t2", BOB, 60.0), 1.0)
    play.ask(reserve("t3", CY, 60.0), 2.0)
    assert play.step.wake_at == 3600.0
    assert play.ask(Wake(), 3600.0) == [("spent", "bob")]
    assert play.step.wake_at == 7200.0
    assert play.ask(Wake(), 7200.0) == [("reserved", "cy")]
    assert play.step.wake_at == 7260.0


def test_nobody_who_comes_after_the_period_is_over_is_served_before_those_who_waited() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 90.0))
    play.ask(spend("t2", BOB, 60.0))
    assert play.ask(spend("t3", CY, 60.0), 3600.0) == [("spent", "bob"), ("queued", "cy")]


def test_while_nobody_waits_the_end_of_a_period_wakes_nobody() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 50.0))
    assert play.step.wake_at is None
    assert play.view().left == 50.0
    play.ask(Wake(), 3600.0)
    assert play.view().left == 100.0
    assert play.view().resets_at == 7200.0


def test_a_sliding_window_gives_back_bit_by_bit() -> None:
    play = Play(replace(HOURLY, window="sliding"))
    play.ask(spend("t1", ANN, 60.0), 0.0)
    play.ask(spend("t2", ANN, 40.0), 1800.0)
    play.ask(spend("t3", BOB, 60.0), 1900.0)
    play.ask(spend("t4", CY, 40.0), 1901.0)
    assert play.step.wake_at == 3660.0
    assert play.ask(Wake(), 3659.0) == []
    assert play.ask(Wake(), 3660.0) == [("spent", "bob")]
    assert play.step.wake_at == 5460.0
    assert play.ask(Wake(), 5460.0)[0] == ("spent", "cy")


def test_what_is_reserved_over_the_end_of_a_period_counts_in_the_next() -> None:
    play = Play()
    play.ask(reserve("t1", ANN, 60.0, ttl_s=7200.0), 3500.0)
    assert play.ask(spend("t2", BOB, 50.0), 3600.0) == [("queued", "bob")]
    play.ask(Settle("t1", ANN, 40.0))
    assert (play.view().spent, play.view().left) == (90.0, 10.0)


def test_a_budget_without_a_period_is_spent_once() -> None:
    play = Play(ONCE)
    play.ask(spend("t1", ANN, 100.0))
    play.ask(spend("t2", BOB, 1.0))
    assert play.step.wake_at is None
    assert play.ask(Wake(), 1e12) == []
    assert play.view().resets_at is None


def test_a_clock_that_goes_back_does_not_free_anything_sooner() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 90.0), 3700.0)
    play.ask(spend("t2", BOB, 90.0), 3500.0)
    assert play.ask(Wake(), 3600.0) == []
    assert play.step.wake_at == 7200.0
    assert play.ask(Wake(), 7200.0)[0] == ("spent", "bob")


def test_a_clock_that_goes_back_for_long_does_not_put_anything_into_an_earlier_period() -> None:
    play = Play()
    for number, at in enumerate((3700.0, 3500.0, 3550.0)):
        play.ask(spend(f"t{number}", ANN, 30.0), at)
    assert play.told(spend("t9", ANN, 20.0), 3601.0).status == "waiting"


def test_a_ticket_is_given_up_at_its_deadline() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 90.0))
    late = spend("t2", BOB, 60.0, deadline_at=20.0)
    play.ask(late, 1.0)
    play.ask(spend("t3", CY, 10.0), 2.0)
    assert play.step.wake_at == 20.0
    result = answer(play.state, late, 20.0)
    assert isinstance(result, BudgetResult)
    assert (result.status, result.pending) == ("abandoned", False)
    assert play.ask(Wake(), 20.0) == [("abandoned", "bob"), ("spent", "cy"), ("warned", None)]
    assert play.step.events[0].data["give_up_at"] == 20.0
    assert (play.told(late, 30.0).status, play.step.events) == ("abandoned", ())


def test_who_withdraws_leaves_no_timer_behind() -> None:
    play = Play(ONCE)
    play.ask(spend("t1", ANN, 90.0))
    play.ask(spend("t2", BOB, 60.0, deadline_at=20.0))
    play.ask(Withdraw("t2", BOB))
    assert play.step.wake_at is None


# warnings


def test_its_creator_is_warned_at_each_level_once_in_a_period() -> None:
    play = Play()
    play.ask(spend("t1", BOB, 79.0))
    assert play.step.sends == ()
    assert play.ask(spend("t2", BOB, 1.0)) == [("spent", "bob"), ("warned", None)]
    (send,) = play.step.sends
    assert (send.to, send.type) == (("ann",), "BUDGET_WARNING")
    assert send.content == {
        "id": "llm", "name": "LLM calls", "level": 0.8, "spent": 80.0, "reserved": 0.0, "limit": 100.0, "unit": "USD",
        "resets_at": 3600.0,
    }  # fmt: skip
    assert play.ask(spend("t3", BOB, 10.0)) == [("spent", "bob")]
    play.ask(spend("t4", BOB, 10.0))
    assert [send.content["level"] for send in play.step.sends] == [1.0]
    play.ask(spend("t5", BOB, 100.0), 3600.0)
    assert [send.content["level"] for send in play.step.sends] == [0.8, 1.0]


def test_a_budget_without_a_period_warns_once_and_again_after_a_resize() -> None:
    play = Play(ONCE)
    play.ask(spend("t1", BOB, 80.0))
    play.ask(Refund("t1", BOB))
    play.ask(spend("t2", BOB, 80.0), 1e9)
    assert play.step.sends == ()
    play.ask(Resize(ANN, 110.0))
    play.ask(spend("t3", BOB, 10.0))
    assert [send.content["level"] for send in play.step.sends] == [0.8]


def test_what_is_only_reserved_warns_nobody() -> None:
    play = Play()
    play.ask(reserve("t1", BOB, 100.0))
    assert play.step.sends == ()
    play.ask(Settle("t1", BOB, 100.0))
    assert [send.content["level"] for send in play.step.sends] == [0.8, 1.0]


# agents that are gone


def test_who_is_gone_waits_no_longer_and_what_it_reserved_returns_in_time() -> None:
    play = Play()
    play.ask(reserve("t1", BOB, 50.0))
    play.ask(spend("t2", BOB, 60.0))
    play.ask(spend("t3", CY, 10.0))
    assert play.ask(Lost(BOB, "killed")) == [("dropped", "bob"), ("spent", "cy")]
    assert play.ask(Lost(BOB, "killed")) == []
    assert play.ask(Found(BOB)) == []
    assert play.view().reserved == 50.0
    assert play.ask(spend("t2", BOB, 60.0)) == [("queued", "bob")]
    assert play.ask(Wake(), 60.0) == [("returned", "bob"), ("spent", "bob")]
