"""A budget as a state: its events alone make it, it survives being written down, and it stays bounded."""

from dataclasses import replace
from typing import Any, get_args, get_origin

import msgspec
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
from concerted.board.budgets.state import (
    HOLDERS_KEPT,
    TICKETS_KEPT,
    Past,
    Reservation,
    Waiting,
    find,
    left,
    left_to,
    spent,
    units,
)
from concerted.errors import (
    ConcertedError,
)
from concerted.machine import Event, Look, Lost, Step, Wake
from concerted.persistent import Map
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


EVENTFUL: list[tuple[Request, float]] = [
    (replace(HOURLY, share=0.6), 0.0),
    (spend("t1", ANN, 50.0, purpose="draft", priority="high"), 1.0),
    (reserve("t2", BOB, 40.0, ttl_s=30.0), 2.0),
    (spend("t3", CY, 20.0, deadline_at=10.0), 3.0),
    (reserve("t4", CY, 20.0), 4.0),
    (spend("t5", DAN, 55.0), 5.0),
    (Withdraw("t5", DAN), 6.0),
    (Wake(), 10.0),
    (Wake(), 40.0),
    (Settle("t2", BOB, 35.0), 41.0),
    (Settle("t4", CY, 1.0), 42.0),
    (spend("t6", DAN, 30.0), 43.0),
    (Lost(DAN, "killed"), 44.0),
    (Refund("t1", ANN, 5.0), 45.0),
    (Resize(ANN, 90.0), 46.0),
    (spend("t7", ANN, 30.0), 4000.0),
]


def lived() -> tuple[list[tuple[Event, float]], list[Budget]]:
    """Return the events of a life, with their instants, and the states after each request."""
    state: Budget | None = None
    log: list[tuple[Event, float]] = []
    states: list[Budget] = []
    for request, at in EVENTFUL:
        for event in decide(state, request, at).events:
            state = evolve(state, event, at)
            log.append((event, at))
        assert state is not None
        states.append(state)
    return log, states


def plain(value: Any) -> Any:
    assert isinstance(value, Map)
    return dict(value)


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


def test_the_events_alone_make_the_state() -> None:
    log, states = lived()
    again = None
    for event, at in log:
        data = msgspec.json.decode(msgspec.json.encode(event.data))
        again = evolve(again, Event(event.kind, event.agent, event.ref, data), at)
    assert again == states[-1]
    assert {event.kind for event, _ in log} == set(KINDS)


def test_it_survives_being_written_down_at_any_time() -> None:
    for state in lived()[1]:
        data = msgspec.json.encode(msgspec.to_builtins(state, enc_hook=plain))
        assert msgspec.convert(msgspec.json.decode(data), Budget, dec_hook=typed) == state


def test_a_ticket_can_be_found_as_what_has_become_of_it() -> None:
    states = lived()[1]
    assert isinstance(find(states[2], "t2"), Reservation)
    assert isinstance(find(states[3], "t3"), Waiting)
    assert isinstance(find(states[-1], "t1"), Past)
    assert find(states[-1], "t9") is None


def test_what_is_over_leaves_nothing_behind_but_what_is_remembered() -> None:
    last = lived()[1][-1]
    assert (last.reserved, len(last.reservations), len(last.waiting), len(last.queue), len(last.timers)) == (
        0, 0, 0, 0, 0
    )  # fmt: skip
    assert (units(spent(last, 4000.0)), units(left(last, 4000.0)), units(left_to(last, ANN, 4000.0))) == (30, 60, 24)


def test_only_so_many_tickets_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concerted.board.budgets.state.TICKETS_KEPT", 50)
    play = Play(replace(ONCE, limit=1e6))
    for number in range(52):
        play.ask(spend(f"t{number}", ANN, 1.0))
    assert play.state is not None
    assert (len(play.state.past), len(play.state.endings)) == (50, 50)
    assert [find(play.state, ticket) is None for ticket in ("t0", "t1", "t2")] == [True, True, False]
    assert TICKETS_KEPT > 1_000


def test_a_ticket_that_ends_again_and_again_is_remembered_by_its_newest_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concerted.board.budgets.state.TICKETS_KEPT", 50)
    play = Play(ONCE)
    play.ask(spend("t0", ANN, 100.0))
    for _ in range(52):
        play.ask(spend("t1", BOB, 1.0))
        play.ask(Lost(BOB, "killed"))
    assert play.state is not None
    assert (len(play.state.past), len(play.state.endings)) == (1, 50)


def test_holders_whose_spending_counts_no_longer_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concerted.board.budgets.state.HOLDERS_KEPT", 5)
    play = Play(replace(HOURLY, share=0.5))
    for number in range(5):
        play.ask(spend(f"t{number}", AgentId(f"agent {number}"), 1.0))
    play.ask(spend("t9", ANN, 1.0), 3600.0)
    assert play.state is not None
    assert list(play.state.shares) == ["ann"]
    assert HOLDERS_KEPT > 1_000


def test_an_event_of_another_kind_changes_nothing_but_the_clock() -> None:
    play = Play()
    assert play.state is not None
    assert evolve(play.state, Event("task.done"), 0.0) == play.state
