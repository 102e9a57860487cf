"""What those who ask a budget are told: tickets, pages, and what they wait for."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from concerted.board.budgets.budget import (
    KINDS,
    Budget,
    BudgetResult,
    BudgetView,
    Create,
    Find,
    Refund,
    Request,
    Reserve,
    Settle,
    Spend,
    Withdraw,
    answer,
    decide,
    evolve,
    waits,
)
from concerted.errors import (
    ConcertedError,
)
from concerted.machine import Look, Result, Step, Wait, Wake
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


def test_one_waits_for_time_and_for_nobody() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 70.0))
    play.ask(reserve("t2", ANN, 20.0))
    play.ask(spend("t3", BOB, 20.0), 3.0)
    play.ask(reserve("t4", CY, 5.5, deadline_at=50.0), 4.0)
    assert waits(play.state, spend("t3", BOB, 20.0), 5.0) == Wait(
        "20 USD of llm, 10 of 100 left; 20 are reserved", 3.0, (), 1, None
    )
    wish = reserve("t4", CY, 5.5, deadline_at=50.0)
    assert waits(play.state, wish, 5.0) == Wait(
        "5.5 USD of llm, 10 of 100 left; 20 are reserved; 1 before it in the queue", 4.0, (), 1, 50.0
    )
    assert waits(play.state, wish, 50.0) is None


def test_who_waits_for_its_share_is_told_so() -> None:
    play = Play(replace(ONCE, share=0.5))
    play.ask(spend("t1", ANN, 45.0))
    play.ask(spend("t2", ANN, 10.0))
    wait = waits(play.state, spend("t2", ANN, 10.0), 0.0)
    assert wait is not None
    assert wait.waiting_for == "10 tokens of once, 55 of 100 left, 5 of them for ann"


def test_who_has_what_it_wants_or_never_asked_waits_for_nothing() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 5.0))
    for request in (spend("t1", ANN, 5.0), spend("t9", ANN, 5.0), Look(), Settle("t1", ANN, 1.0)):
        assert waits(play.state, request, 0.0) is None
    assert waits(None, spend("t1", ANN, 5.0), 0.0) is None


def test_a_ticket_that_waits_is_answered_with_all_there_is_to_know() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 90.0))
    wish = reserve("t2", BOB, 20.0, purpose="draft", priority="high", deadline_at=99.0)
    play.ask(wish, 2.0)
    result = play.told(wish, 7.0)
    assert (result.ticket, result.holder, result.verb, result.amount) == ("t2", "bob", "reserve", 20.0)
    assert (result.purpose, result.priority, result.since, result.wait_s) == ("draft", "high", 2.0, 5.0)
    assert (result.deadline_at, result.position, result.pending, result.actual) == (99.0, 1, True, 0.0)
    assert answer(play.state, replace(wish, wait=False), 7.0) == msgspec.structs.replace(result, pending=False)


def test_a_ticket_that_nobody_remembers_is_unknown_and_not_pending() -> None:
    play = Play()
    for request in (spend("t9", ANN, 1.0), Settle("t9", ANN, 1.0), Refund("t9", ANN), Withdraw("t9", ANN)):
        result = answer(play.state, request, 0.0)
        assert isinstance(result, BudgetResult)
        assert (result.status, result.pending, result.success, result.left) == ("unknown", False, False, 100.0)
    assert answer(play.state, Wake(), 0.0) == Result()


def test_a_withdrawal_that_was_overtaken_by_a_grant_says_so() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 5.0))
    result = answer(play.state, Withdraw("t1", ANN), 0.0)
    assert isinstance(result, BudgetResult)
    assert (result.status, result.success) == ("spent", False)


def test_a_look_shows_what_is_reserved_and_who_waits_page_by_page() -> None:
    play = Play()
    for number in range(5):
        play.ask(reserve(f"r{number}", ANN, 20.0, purpose="draft"))
    for number in range(4):
        play.ask(spend(f"w{number}", BOB, 20.0))
    seen, queued, request = [], [], Find(limit=2)
    while True:
        view = play.view(request)
        assert (view.reservation_count, view.waiting_count) == (5, 4)
        seen += [(one.ticket, one.holder, one.amount, one.purpose, one.expires_at) for one in view.reservations]
        queued += [(one.ticket, one.position, one.verb) for one in view.waiting]
        if view.after is None and view.after_position is None:
            break
        request = Find(view.after, view.after_position, 2)
    assert seen == [(f"r{number}", "ann", 20.0, "draft", 60.0) for number in range(5)]
    assert queued == [(f"w{number}", number + 1, "spend") for number in range(4)]
