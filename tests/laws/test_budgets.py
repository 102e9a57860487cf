"""Laws of budgets: no period is overspent by a grant, sums are exact, nobody starves, the events make the state."""

from typing import Any, get_args, get_origin

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from concerted.board.budgets.budget import (
    Budget,
    BudgetResult,
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
    waits,
)
from concerted.board.budgets.state import MICROS, left, left_to, share_of, spent
from concerted.errors import ConcertedError
from concerted.machine import Event, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId

AGENTS = [AgentId(name) for name in ("ann", "bob", "cy")]
agents = st.sampled_from(AGENTS)
amounts = st.sampled_from([0.1, 0.3, 1.0, 2.5, 4.0])
tickets = st.sampled_from([f"t{number}" for number in range(16)])
priorities = st.sampled_from(["low", "medium", "critical"])
waiting = st.sampled_from([True, True, False])
wishes = st.one_of(
    st.builds(Spend, tickets, agents, amounts, priority=priorities, wait=waiting),
    st.builds(Reserve, tickets, agents, amounts, st.sampled_from([5.0, 70.0]), priority=priorities, wait=waiting),
)
PERIOD_S = 60.0
LIMIT = 5.0


def plain(value: Any) -> Any:
    assert isinstance(value, Map)
    return dict(value)


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


class Budgeting(RuleBasedStateMachine):
    """Agents that spend, reserve, settle, give back, wait and vanish, in any order, while periods come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.log: list[tuple[Event, float]] = []
        self.wake_at: float | None = None
        self.state: Budget = None  # type: ignore[assignment]
        self.spendings: list[tuple[float, int]] = []  # what was spent and when, settlements beyond the estimate aside
        self.exceeded = False

    @initialize(
        period_s=st.sampled_from([None, PERIOD_S]),
        window=st.sampled_from(["fixed", "sliding"]),
        share=st.sampled_from([None, 0.8]),
    )
    def create(self, period_s: float | None, window: Any, share: float | None) -> None:
        self.ask(Create("llm", AGENTS[0], LIMIT, "USD", period_s, window, share))

    def ask(self, request: Request) -> list[Event]:
        step = decide(self.state, request, self.now)
        for event in step.events:
            if event.kind in ("budget.spent", "budget.reserved"):
                assert event.agent is not None
                assert event.data["micros"] <= left(self.state, self.now)
                assert event.data["micros"] <= left_to(self.state, event.agent, self.now)
            if event.kind in ("budget.spent", "budget.settled"):
                self.spendings.append((self.now, event.data["micros"]))
                self.exceeded |= event.data.get("late", False)
            self.state = evolve(self.state, event, self.now)
            self.log.append((event, self.now))
        self.wake_at = step.wake_at
        return list(step.events)

    @rule(wish=wishes)
    def ask_for(self, wish: Spend | Reserve) -> None:
        try:
            self.ask(wish)
        except ConcertedError:
            return
        result = answer(self.state, wish, self.now)
        assert isinstance(result, BudgetResult)
        assert result.pending == (waits(self.state, wish, self.now) is not None and wish.wait)

    @rule(which=st.integers(0, 20), part=st.sampled_from([0.0, 0.5, 1.0]))
    @precondition(lambda self: self.state.reservations)
    def settle(self, which: int, part: float) -> None:
        reservation = list(self.state.reservations.values())[which % len(self.state.reservations)]
        ask = reservation.ask
        self.ask(Settle(ask.ticket, ask.holder, round(ask.micros * part) / MICROS))

    @rule(ticket=tickets, part=st.sampled_from([None, 0.05]))
    def refund(self, ticket: str, part: float | None) -> None:
        known = self.state.past.get(ticket)
        try:
            self.ask(Refund(ticket, known.ask.holder if known else AGENTS[0], part))
        except ConcertedError:
            return
        self.exceeded = True  # what came back may be spent again: the plain sum of spendings says no more

    @rule(which=st.integers(0, 20))
    @precondition(lambda self: self.state.waiting)
    def withdraw(self, which: int) -> None:
        ticket = list(self.state.waiting)[which % len(self.state.waiting)]
        try:
            self.ask(Withdraw(ticket, self.state.waiting[ticket].ask.holder))
        except ConcertedError:  # it was granted in this very step
            self.ask(Wake())

    @rule(agent=agents)
    def lose(self, agent: AgentId) -> None:
        self.ask(Lost(agent, "killed"))
        assert not any(one.ask.holder == agent for one in self.state.waiting.values())

    @rule(limit=st.sampled_from([LIMIT, 4.0, 4.5]))
    def resize(self, limit: float) -> None:
        self.ask(Resize(AGENTS[0], limit))

    @rule(seconds=st.sampled_from([0.4, 1.0, 29.0, 61.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes, and the budget is woken whenever it wants to be."""
        until = self.now + seconds
        while self.wake_at is not None and self.wake_at <= until:
            assert self.wake_at >= self.now
            self.now = self.wake_at
            self.ask(Wake())
            assert self.wake_at is None or self.wake_at > self.now
        self.now = until
        assert self.ask(Wake()) == [], "it ought to have been woken sooner"

    @rule()
    @precondition(lambda self: self.state.window.period_s is not None)
    def let_periods_pass(self) -> None:
        """Everybody settles, and periods pass: as many as there are tickets are enough for everybody."""
        for _ in range(2 * len(self.state.waiting) + 1):
            for reservation in list(self.state.reservations.values()):
                self.ask(Settle(reservation.ask.ticket, reservation.ask.holder, 0.0))
            self.pass_time(61.0)
        for reservation in list(self.state.reservations.values()):
            self.ask(Settle(reservation.ask.ticket, reservation.ask.holder, 0.0))
        assert not self.state.waiting

    @rule()
    def write_and_read(self) -> None:
        data = msgspec.json.encode(msgspec.to_builtins(self.state, enc_hook=plain))
        again = msgspec.convert(msgspec.json.decode(data), Budget, dec_hook=typed)
        assert again == self.state
        self.state = again

    @invariant()
    @precondition(lambda self: self.state is not None)
    def no_period_is_overspent(self) -> None:
        if self.exceeded:
            return
        limit = round(LIMIT * MICROS)
        window = self.state.window
        for begin, _ in self.spendings:
            if window.period_s is None:
                assert sum(micros for _, micros in self.spendings) <= limit
            elif window.kind == "fixed":
                period = begin // PERIOD_S
                assert sum(micros for at, micros in self.spendings if at // PERIOD_S == period) <= limit
            else:
                within = [micros for at, micros in self.spendings if begin <= at <= begin + PERIOD_S]
                assert sum(within) <= limit

    @invariant()
    @precondition(lambda self: self.state is not None)
    def the_sums_are_what_they_are_made_of(self) -> None:
        state = self.state
        assert state.reserved == sum(one.ask.micros for one in state.reservations.values())
        assert spent(state, self.now) >= 0
        if state.share is not None:
            for agent in AGENTS:
                kept = left_to(state, agent, self.now) + sum(
                    one.ask.micros for one in state.reservations.values() if one.ask.holder == agent
                )
                assert kept <= share_of(state)
            assert sum(share.reserved for share in state.shares.values()) == state.reserved
            everybody = sum(share_of(state) - left_to(state, agent, self.now) for agent in AGENTS)
            assert everybody == spent(state, self.now) + state.reserved

    @invariant()
    @precondition(lambda self: self.state is not None)
    def who_is_first_waits_only_while_too_little_is_left(self) -> None:
        for _, _, ticket in self.state.queue:
            ask = self.state.waiting[ticket].ask
            if ask.micros <= left_to(self.state, ask.holder, self.now):
                assert ask.micros > left(self.state, self.now)
                return

    def teardown(self) -> None:
        again: Budget | None = None
        for event, at in self.log:
            again = evolve(again, event, at)
        assert again == self.state


TestBudgeting = Budgeting.TestCase
TestBudgeting.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
