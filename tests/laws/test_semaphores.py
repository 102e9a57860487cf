"""Laws of semaphores: no more permits than there are, tokens grow, nobody starves, the events make the state."""

from typing import Any, get_args, get_origin

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from concerted.board.semaphores.semaphore import (
    Acquire,
    Confirm,
    Create,
    Expire,
    PermitResult,
    Release,
    Request,
    Resize,
    Semaphore,
    Withdraw,
    answer,
    decide,
    evolve,
    waits,
)
from concerted.errors import ConcertedError
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId

AGENTS = [AgentId(name) for name in ("ann", "bob", "cy", "dan")]
agents = st.sampled_from(AGENTS)
wishes = st.builds(
    Acquire,
    ticket=st.sampled_from([f"t{number}" for number in range(12)]),
    holder=agents,
    permits=st.integers(1, 4),
    ttl_s=st.sampled_from([5.0, 40.0]),
    priority=st.sampled_from(["low", "medium", "critical"]),
    wait=st.sampled_from([True, True, True, False]),
    confirm_s=st.sampled_from([None, 2.0]),
)


def plain(value: Any) -> Any:
    assert isinstance(value, Map)
    return dict(value)


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


class Sharing(RuleBasedStateMachine):
    """Agents that come, hold, renew, wait, vanish and return, in any order, over a semaphore that changes its size."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.log: list[tuple[Event, float]] = []
        self.tokens: list[str] = []
        self.renewed: dict[str, float] = {}
        self.wake_at: float | None = None
        self.state: Semaphore = None  # type: ignore[assignment]
        self.ask(Create("gpus", AGENTS[0], 4))

    def ask(self, request: Request) -> list[Event]:
        step = decide(self.state, request, self.now)
        for event in step.events:
            if event.kind == "semaphore.granted":
                assert self.state.in_use + event.data["permits"] <= self.state.permits
                self.tokens.append(event.data["token"])
            self.state = evolve(self.state, event, self.now)
            self.log.append((event, self.now))
            assert event.data.get("in_use", self.state.in_use) == self.state.in_use
        self.wake_at = step.wake_at
        return list(step.events)

    @rule(wish=wishes)
    def acquire(self, wish: Acquire) -> None:
        try:
            self.ask(wish)
        except ConcertedError:
            return
        result = answer(self.state, wish, self.now)
        assert isinstance(result, PermitResult)
        assert result.granted == (result.status == "granted")
        assert result.pending == (waits(self.state, wish, self.now) is not None and wish.wait)

    @rule(which=st.integers(0, 20))
    @precondition(lambda self: self.state.held)
    def release(self, which: int) -> None:
        ticket = list(self.state.held)[which % len(self.state.held)]
        try:
            self.ask(Release(self.state.held[ticket].ask.holder, ticket))
        except ConcertedError:  # it was granted to one who let the time for confirming pass
            self.ask(Wake())

    @rule(which=st.integers(0, 20))
    @precondition(lambda self: self.state.waiting)
    def withdraw(self, which: int) -> None:
        ticket = list(self.state.waiting)[which % len(self.state.waiting)]
        try:
            self.ask(Withdraw(ticket, self.state.waiting[ticket].ask.holder))
        except ConcertedError:  # it was granted in this very step, since another's time passed
            self.ask(Wake())

    @rule()
    def confirm_all(self) -> None:
        self.ask(Wake())
        for permit in [permit for permit in self.state.held.values() if permit.confirm_at is not None]:
            self.ask(Confirm(permit.ask.ticket, permit.ask.holder))

    @rule(which=st.integers(0, 20))
    @precondition(lambda self: self.state.held)
    def renew(self, which: int) -> None:
        permit = list(self.state.held.values())[which % len(self.state.held)]
        self.renewed[permit.token] = self.now + permit.ask.ttl_s

    @rule(agent=agents)
    def lose(self, agent: AgentId) -> None:
        self.ask(Lost(agent, "killed"))
        assert not any(one.ask.holder == agent for one in self.state.waiting.values())

    @rule(agent=agents)
    def find(self, agent: AgentId) -> None:
        self.ask(Found(agent))

    @rule(permits=st.integers(1, 6))
    def resize(self, permits: int) -> None:
        self.ask(Resize(AGENTS[0], permits))

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        before = {one.token: max(one.expires_at, self.renewed.get(one.token, 0.0)) for one in self.state.held.values()}
        for event in self.ask(Expire(dict(self.renewed))):
            if event.kind == "semaphore.expired":
                assert before[event.data["token"]] <= self.now
        for permit in self.state.held.values():
            assert max(permit.expires_at, self.renewed.get(permit.token, 0.0)) > self.now

    @rule()
    def let_everybody_release(self) -> None:
        """Whoever holds releases: as many rounds as there are tickets are enough for everybody."""
        self.ask(Wake())
        for _ in range(len(self.state.waiting) + len(self.state.held)):
            for ticket, permit in list(self.state.held.items()):
                if ticket in self.state.held:
                    self.ask(Release(permit.ask.holder, ticket))
        assert not self.state.waiting
        assert not self.state.held

    @rule()
    def write_and_read(self) -> None:
        data = msgspec.json.encode(msgspec.to_builtins(self.state, enc_hook=plain))
        again = msgspec.convert(msgspec.json.decode(data), Semaphore, dec_hook=typed)
        assert again == self.state
        self.state = again

    @invariant()
    def the_count_is_what_is_held(self) -> None:
        held = list(self.state.held.values())
        assert self.state.in_use == sum(permit.ask.permits for permit in held)
        assert sorted(self.state.tokens.values()) == sorted(self.state.held)
        assert [ticket for _, _, ticket in self.state.holders] == [
            permit.ask.ticket for permit in sorted(held, key=lambda permit: permit.token)
        ]

    @invariant()
    def tokens_only_grow(self) -> None:
        assert self.tokens == sorted(set(self.tokens))

    @invariant()
    def who_is_first_waits_only_while_there_are_too_few(self) -> None:
        if self.state.queue.first is not None:
            first = self.state.waiting[self.state.queue.first[2]]
            assert first.ask.permits > self.state.free
        assert sorted(ticket for _, _, ticket in self.state.queue) == list(self.state.waiting)

    @invariant()
    def it_is_woken_before_anybodys_time_is_over(self) -> None:
        looked = decide(self.state, Look(), self.now).wake_at
        for permit in self.state.held.values():
            until = max(permit.expires_at, self.renewed.get(permit.token, 0.0))
            assert looked is not None
            assert looked <= until
            assert self.wake_at is not None
            assert self.wake_at <= until

    def teardown(self) -> None:
        again: Semaphore | None = None
        for event, at in self.log:
            again = evolve(again, event, at)
        assert again == self.state


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
