"""A budget: spending, reserving, settling, giving back, its limit and shares, and every wrong turn."""

from dataclasses import replace
from typing import Any

import pytest

from concerted.board.budgets.budget import (
    AMOUNT_MAX,
    KINDS,
    Budget,
    BudgetResult,
    BudgetView,
    Create,
    Find,
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
    topic,
    wakes,
)
from concerted.errors import (
    ConcertedError,
    Conflict,
    Invalid,
    NotAllowed,
    NotFound,
    Overloaded,
    TimedOut,
    WrongPhase,
)
from concerted.machine import Event, Found, Look, Lost, Result, Step, Wake
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


# creation


def test_it_is_created_with_all_that_was_said_of_it() -> None:
    play = Play()
    (event,) = play.step.events
    assert (event.kind, event.agent) == ("budget.created", "ann")
    assert event.data == {
        "id": "llm", "limit": 100.0, "limit_micros": 100_000_000, "unit": "USD", "period_s": 3600.0, "window": "fixed",
        "share": None, "name": "LLM calls", "metadata": {"team": 7}, "status": "active",
    }  # fmt: skip
    view = play.view()
    assert (view.id, view.limit, view.unit, view.left, view.resets_at) == ("llm", 100.0, "USD", 100.0, 3600.0)
    assert (view.creator, view.created_at, view.metadata) == ("ann", 0.0, {"team": 7})


def test_creating_it_again_changes_nothing_also_after_a_resize() -> None:
    play = Play()
    assert play.ask(replace(HOURLY, by=BOB)) == []
    play.ask(Resize(ANN, 5))
    assert play.ask(HOURLY) == []


@pytest.mark.parametrize(
    "other",
    [
        replace(HOURLY, limit=99.0),
        replace(HOURLY, unit="EUR"),
        replace(HOURLY, period_s=None),
        replace(HOURLY, window="sliding"),
        replace(HOURLY, share=0.5),
        replace(HOURLY, name=""),
        replace(HOURLY, metadata={}),
    ],
)
def test_creating_it_otherwise_is_a_conflict(other: Create) -> None:
    Play().refused(Conflict, "budget llm was created by ann otherwise, with 100 USD", other)


@pytest.mark.parametrize(
    ("create", "why"),
    [
        (replace(HOURLY, id=""), "cannot name a budget"),
        (replace(HOURLY, unit=" "), "cannot name a unit"),
        (replace(HOURLY, limit=0.0), "the amount is 0.0; it must be above 0"),
        (replace(HOURLY, limit=float("nan")), "the amount is nan"),
        (replace(HOURLY, limit=AMOUNT_MAX * 2), "at most 1e"),
        (replace(HOURLY, period_s=0.0), "period_s is 0.0; it must be 0.1 s to ten years"),
        (replace(HOURLY, period_s=1e10), "period_s is"),
        (replace(HOURLY, window="rolling"), "no window 'rolling'; there are fixed and sliding"),  # type: ignore[arg-type]
        (replace(HOURLY, share=0.0), "share is 0.0; it must be above 0, at most 1"),
        (replace(HOURLY, share=1.1), "share is 1.1"),
        (replace(HOURLY, metadata={"x": "y" * 70_000}), "metadata of budget llm is over 65,536 bytes"),
    ],
)
def test_a_malformed_budget_is_refused(create: Create, why: str) -> None:
    Play(None).refused(Invalid, why, create)


def test_what_does_not_exist_is_created_first() -> None:
    play = Play(None)
    for request in (spend("t", ANN, 1), reserve("t", ANN, 1), Settle("t", ANN, 1), Look(), Find(), Resize(ANN, 2)):
        play.refused(NotFound, "there is no such budget; create it first", request)
    for request in (Wake(), Lost(ANN, "x"), Found(ANN)):
        assert play.ask(request) == []
    assert answer(None, Look(), 0.0) == Result()


# spending


def test_what_is_left_can_be_spent() -> None:
    play = Play()
    result = play.told(spend("t1", ANN, 30.0, purpose="draft"), 5.0)
    assert (result.granted, result.success, result.status, result.actual) == (True, True, "spent", 30.0)
    assert (result.spent, result.reserved, result.left, result.limit, result.unit) == (30.0, 0.0, 70.0, 100.0, "USD")
    assert (result.resets_at, result.purpose, result.pending) == (3600.0, "draft", False)
    assert play.told(spend("t2", BOB, 70.0)).left == 0.0


def test_too_little_left_is_waited_for_or_refused() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 90.0))
    result = play.told(spend("t2", BOB, 20.0), 1.0)
    assert (result.pending, result.status, result.position, result.left) == (True, "waiting", 1, 10.0)
    assert result.reason == "it waits for 20 USD"
    result = play.told(spend("t3", CY, 5.0, wait=False))
    assert (play.step.events, result.status, result.pending, result.granted) == ((), "refused", False, False)
    assert result.reason == "10 of 100 USD are left, and 1 wait already"
    assert (result.amount, result.holder, result.resets_at) == (5.0, "cy", 3600.0)


def test_more_than_the_limit_is_refused_at_once() -> None:
    play = Play()
    play.refused(Invalid, "ticket t1 asks for 100.5 USD of llm, whose limit is 100", spend("t1", ANN, 100.5))
    play.refused(Invalid, "asks for 101 USD", reserve("t1", ANN, 101))


@pytest.mark.parametrize("amount", [0.0, -1.0, float("nan"), float("inf")])
def test_an_amount_is_above_nothing(amount: float) -> None:
    play = Play()
    for request in (spend("t1", ANN, amount), reserve("t1", ANN, amount), Resize(ANN, amount)):
        play.refused(Invalid, "the amount is", request)


def test_tickets_and_times_are_checked() -> None:
    play = Play()
    play.refused(Invalid, "cannot name a ticket", spend("", ANN, 1))
    play.refused(Invalid, "ttl_s is 0", reserve("t", ANN, 1, ttl_s=0))
    play.refused(Invalid, "its purpose has 201", spend("t", ANN, 1, purpose="x" * 201))
    play.refused(Invalid, "its purpose has 201", reserve("t", ANN, 1, purpose="x" * 201))
    play.refused(TimedOut, "ticket t had passed", spend("t", ANN, 1, deadline_at=5.0), 5.0)


def test_sums_of_small_amounts_are_exact() -> None:
    play = Play(replace(ONCE, limit=1.0))
    for number in range(10):
        assert play.told(spend(f"t{number}", ANN, 0.1)).granted
    assert (play.view().spent, play.view().left) == (1.0, 0.0)
    assert not play.told(spend("more", ANN, 0.000_001)).granted


def test_the_smallest_amount_is_never_for_nothing() -> None:
    play = Play()
    assert play.told(spend("t1", ANN, 1e-12)).actual == 1e-6


def test_the_same_ticket_again_is_spent_once_and_never_stands_for_another() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 30.0))
    assert play.told(spend("t1", ANN, 30.0)).status == "spent"
    assert (play.step.events, play.view().spent) == ((), 30.0)
    for other in (spend("t1", ANN, 31.0), spend("t1", BOB, 30.0), reserve("t1", ANN, 30.0)):
        play.refused(Conflict, "ticket t1 stands for 30 USD that ann wants to spend", other)


def test_who_wants_little_does_not_overtake_who_wants_much() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 50.0))
    play.ask(spend("t2", BOB, 80.0))
    assert play.ask(spend("t3", CY, 1.0)) == [("queued", "cy")]
    assert play.ask(spend("t4", DAN, 1.0, priority="critical")) == [("spent", "dan")]


# reserving


def test_what_is_reserved_counts_until_the_truth_is_settled() -> None:
    play = Play()
    result = play.told(reserve("t1", ANN, 60.0, ttl_s=30.0), 5.0)
    assert (result.status, result.granted, result.reserved, result.left) == ("reserved", True, 60.0, 40.0)
    assert (result.expires_at, play.step.wake_at) == (35.0, 35.0)
    play.ask(spend("t2", BOB, 70.0), 6.0)
    result = play.told(Settle("t1", ANN, 20.0), 10.0)
    assert (result.success, result.status, result.actual) == (True, "settled", 20.0)
    assert [event.kind for event in play.step.events] == ["budget.settled", "budget.spent", "budget.warned"]
    assert (play.step.events[0].data["estimate"], play.step.events[0].data["late"]) == (60.0, False)
    assert play.step.events[1].data["waited_s"] == 4.0
    assert (play.view().spent, play.view().reserved, play.view().left) == (90.0, 0.0, 10.0)
    assert play.step.wake_at is None


def test_what_is_settled_is_settled_once() -> None:
    play = Play()
    play.ask(reserve("t1", ANN, 60.0))
    play.ask(Settle("t1", ANN, 20.0))
    assert play.ask(Settle("t1", ANN, 20.0)) == []
    play.refused(Conflict, "ticket t1 was settled with 20, not 21", Settle("t1", ANN, 21.0))


def test_nothing_may_have_been_spent() -> None:
    play = Play()
    play.ask(reserve("t1", ANN, 60.0))
    assert play.told(Settle("t1", ANN, 0.0)).actual == 0.0
    assert play.view().left == 100.0
    play.refused(WrongPhase, "nothing was spent under ticket t1", Refund("t1", ANN))


def test_more_than_estimated_is_told_and_exceeds_the_budget_until_it_has_come_back() -> None:
    play = Play()
    play.ask(reserve("t1", ANN, 90.0))
    assert play.told(Settle("t1", ANN, 130.0)).spent == 130.0
    assert play.view().left == 0.0
    assert play.ask(spend("t2", BOB, 1.0)) == [("queued", "bob")]
    assert play.ask(Wake(), 3600.0) == [("spent", "bob")]


def test_what_is_not_settled_in_time_returns_and_may_be_settled_late() -> None:
    play = Play()
    play.ask(reserve("t1", ANN, 60.0, ttl_s=30.0))
    play.ask(spend("t2", BOB, 70.0), 1.0)
    assert play.ask(Wake(), 30.0) == [("returned", "ann"), ("spent", "bob")]
    assert play.step.events[0].data["expires_at"] == 30.0
    result = play.told(reserve("t1", ANN, 60.0, ttl_s=30.0))
    assert (result.status, result.granted, result.reason) == ("returned", False, "it was not settled in time")
    result = play.told(Settle("t1", ANN, 40.0), 40.0)
    assert (result.status, result.spent, play.step.events[0].data["late"]) == ("settled", 110.0, True)


def test_a_settlement_at_the_very_end_is_late_even_if_no_timer_fired() -> None:
    play = Play()
    play.ask(reserve("t1", ANN, 60.0, ttl_s=30.0))
    assert play.ask(Settle("t1", ANN, 60.0), 30.0) == [("returned", "ann"), ("settled", "ann")]


def test_one_settles_what_one_has_reserved() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 90.0))
    play.ask(reserve("t2", BOB, 50.0))
    play.refused(WrongPhase, "ticket t1 has nothing to settle: it was spent", Settle("t1", ANN, 1.0))
    play.refused(WrongPhase, "ticket t2 has reserved nothing yet; withdraw it", Settle("t2", BOB, 1.0))
    play.refused(NotAllowed, "ticket t2 is bob's, not ann's", Settle("t2", ANN, 1.0))
    play.refused(NotFound, "there is no ticket t9 at llm", Settle("t9", ANN, 1.0))
    play.refused(Invalid, "the amount is -1", Settle("t2", BOB, -1.0))


# giving back


def test_what_was_spent_can_come_back_once() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 60.0))
    play.ask(spend("t2", BOB, 60.0))
    result = play.told(Refund("t1", ANN, 25.0))
    assert (result.success, result.status, result.actual, result.refunded) == (True, "refunded", 60.0, 25.0)
    assert [event.kind for event in play.step.events] == ["budget.refunded", "budget.spent", "budget.warned"]
    assert play.ask(Refund("t1", ANN, 25.0)) == []
    play.refused(Conflict, "of ticket t1 25 USD came back already", Refund("t1", ANN, 26.0))
    play.refused(Conflict, "came back already", Refund("t1", ANN))


def test_no_more_comes_back_than_was_spent_and_to_nobody_else() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 60.0))
    play.refused(Invalid, "ticket t1 has spent 60 USD; 61 cannot come back", Refund("t1", ANN, 61.0))
    play.refused(NotAllowed, "ticket t1 is ann's", Refund("t1", BOB))
    play.ask(reserve("t2", ANN, 10.0))
    play.refused(WrongPhase, "nothing was spent under ticket t2", Refund("t2", ANN))
    assert play.told(Refund("t1", ANN)).refunded == 60.0
    assert play.view().left == 90.0


def test_what_comes_back_of_an_earlier_period_does_not_enlarge_this_one() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 60.0))
    play.ask(spend("t2", ANN, 10.0), 3600.0)
    play.ask(Refund("t1", ANN))
    assert (play.view().spent, play.view().left) == (10.0, 90.0)


def test_who_withdraws_lets_those_behind_pass() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 50.0))
    play.ask(spend("t2", BOB, 80.0))
    play.ask(spend("t3", CY, 10.0))
    result = play.told(Withdraw("t2", BOB))
    assert (result.status, result.success) == ("withdrawn", True)
    assert [(event.kind, event.agent) for event in play.step.events] == [
        ("budget.withdrawn", "bob"), ("budget.spent", "cy")
    ]  # fmt: skip
    assert play.ask(Withdraw("t2", BOB)) == []
    play.ask(reserve("t4", DAN, 5.0))
    play.refused(WrongPhase, "ticket t1 was granted; refund it", Withdraw("t1", ANN))
    play.refused(WrongPhase, "ticket t4 was granted; settle it", Withdraw("t4", DAN))


# its limit


def test_a_higher_limit_is_granted_at_once() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 90.0))
    play.ask(spend("t2", BOB, 30.0))
    assert play.ask(Resize(ANN, 200.0)) == [("resized", "ann"), ("spent", "bob")]
    assert play.ask(Resize(ANN, 200.0)) == []


def test_who_waits_for_more_than_a_lower_limit_is_dropped() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 40.0))
    play.ask(spend("t2", BOB, 70.0))
    play.ask(spend("t3", CY, 10.0))
    assert play.ask(Resize(ANN, 60.0)) == [("resized", "ann"), ("dropped", "bob"), ("spent", "cy"), ("warned", None)]
    result = answer(play.state, spend("t2", BOB, 70.0), 0.0)
    assert isinstance(result, BudgetResult)
    assert result.reason == "it asks for 70 USD, and at most 60 can be had now"


def test_its_creator_or_an_administrator_resizes_it() -> None:
    play = Play()
    play.refused(NotAllowed, "bob may not resize llm; its creator ann or an administrator can", Resize(BOB, 9))
    assert play.ask(Resize(BOB, 9, is_admin=True)) == [("resized", "bob")]


# shares


def test_no_holder_has_more_than_its_share() -> None:
    play = Play(replace(ONCE, share=0.4))
    play.refused(Invalid, "asks for 41 tokens of once, of which one holder may have 40", spend("t1", ANN, 41.0))
    play.ask(spend("t1", ANN, 25.0))
    play.ask(reserve("t2", ANN, 10.0))
    assert play.ask(spend("t3", ANN, 10.0)) == [("queued", "ann")]
    assert play.told(spend("t4", BOB, 40.0)).granted
    assert play.ask(Settle("t2", ANN, 5.0)) == [("settled", "ann"), ("spent", "ann"), ("warned", None)]


def test_who_has_used_up_its_share_does_not_hold_up_the_others() -> None:
    play = Play(replace(ONCE, share=0.5))
    play.ask(spend("t1", ANN, 50.0))
    play.ask(spend("t2", ANN, 10.0))
    play.ask(spend("t3", BOB, 50.0))
    assert play.ask(reserve("t4", CY, 40.0)) == [("queued", "cy")]
    assert play.ask(Refund("t3", BOB, 40.0)) == [("refunded", "bob"), ("reserved", "cy")]


def test_a_share_is_whole_again_in_the_next_period() -> None:
    play = Play(replace(HOURLY, share=0.5))
    play.ask(spend("t1", ANN, 50.0))
    play.ask(spend("t2", ANN, 50.0), 1.0)
    assert play.step.wake_at == 3600.0
    assert play.ask(Wake(), 3600.0) == [("spent", "ann")]


# what the engine reads off, and bounds


def test_the_engine_learns_who_is_concerned() -> None:
    play = Play()
    play.ask(spend("t1", ANN, 5.0))
    assert [list(wakes(event)) for event in play.step.events] == [["t1"]]
    assert list(wakes(Event("budget.resized", data={"limit": 1}))) == []
    assert (topic(spend("t1", ANN, 5.0)), topic(reserve("t2", ANN, 5.0)), topic(Look())) == ("t1", "t2", "")


def test_reservations_and_tickets_that_wait_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concerted.board.budgets.budget.RESERVATIONS_MAX", 1)
    monkeypatch.setattr("concerted.board.budgets.budget.QUEUE_MAX", 1)
    play = Play()
    play.ask(reserve("t1", ANN, 50.0))
    play.refused(Overloaded, "1 reservations are open; settle some", reserve("t2", ANN, 1.0))
    play.ask(spend("t3", ANN, 60.0))
    play.refused(Overloaded, "1 tickets wait for llm", spend("t4", ANN, 60.0))
