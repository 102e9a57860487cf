"""Laws of leases: one holder alone, tokens that grow, nobody waits for ever, the events alone make the state."""

from typing import Any, get_args, get_origin

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from concerted.board.leases.conflicts import ahead, is_free, is_next, position
from concerted.board.leases.lease import (
    Acquire,
    Confirm,
    Expire,
    LeaseResult,
    Leases,
    Release,
    Request,
    Reserve,
    Withdraw,
    answer,
    decide,
    evolve,
    waits,
)
from concerted.board.leases.space import EMPTY, Ask
from concerted.board.names import overlap
from concerted.errors import ConcertedError
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId

AGENTS = [AgentId(name) for name in ("ann", "bob", "cy", "dan")]
NAMES = ["a", "src/a", "src/b", "src/", "src/?", "**", "gpu:0"]
agents = st.sampled_from(AGENTS)
wishes = st.builds(
    Acquire,
    ticket=st.sampled_from([f"t{number}" for number in range(12)]),
    holder=agents,
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple),
    mode=st.sampled_from(["exclusive", "shared"]),
    ttl_s=st.sampled_from([5.0, 40.0]),
    priority=st.sampled_from(["low", "medium", "critical"]),
    wait=st.sampled_from([True, True, True, False]),
    confirm_s=st.sampled_from([None, 2.0]),
)


def conflict(one: Ask, other: Ask) -> bool:
    """The plain rule, without any index."""
    if one.mode == other.mode == "shared":
        return False
    return any(overlap(a, b) for a in one.names for b in other.names)


def plain(value: Any) -> Any:
    assert isinstance(value, Map)
    return dict(value)


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


class Leasing(RuleBasedStateMachine):
    """Agents that come, hold, renew, wait, vanish and return, in any order, over names that overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Leases | None = None
        self.now = 0.0
        self.renewed: dict[str, float] = {}
        self.log: list[tuple[Event, float]] = []
        self.tokens: list[str] = []
        self.wake_at: float | None = None

    @property
    def space(self) -> Leases:
        return self.state or EMPTY

    def ask(self, request: Request) -> list[Event]:
        step = decide(self.state, request, self.now)
        for event in step.events:
            self.state = evolve(self.state, event, self.now)
            self.log.append((event, self.now))
            if event.kind == "lease.granted":
                self.tokens.append(event.data["token"])
        self.wake_at = step.wake_at
        return list(step.events)

    @rule(wish=wishes)
    def acquire(self, wish: Acquire) -> None:
        try:
            self.ask(wish)
        except ConcertedError:
            return
        result = answer(self.state, wish, self.now)
        assert isinstance(result, LeaseResult)
        assert result.granted == (result.token != "" and result.status == "granted")
        assert not (result.pending and result.granted)
        assert result.pending == (waits(self.state, wish, self.now) is not None and wish.wait)

    @rule(which=st.integers(0, 20))
    @precondition(lambda self: self.space.held)
    def release(self, which: int) -> None:
        token = list(self.space.held)[which % len(self.space.held)]
        holder = self.space.held[token].ask.holder
        try:
            self.ask(Release(holder, token))
        except ConcertedError:  # it was granted to one who let the time for confirming pass
            self.ask(Wake())

    @rule(which=st.integers(0, 20))
    @precondition(lambda self: self.space.line.waiting)
    def withdraw(self, which: int) -> None:
        ticket = list(self.space.line.waiting)[which % len(self.space.line.waiting)]
        holder = self.space.line.waiting[ticket].ask.holder
        try:
            self.ask(Withdraw(ticket, holder))
        except ConcertedError:  # it was granted in this very step, since another's time passed
            self.ask(Wake())

    @rule()
    def confirm_all(self) -> None:
        self.ask(Wake())
        for lease in [lease for lease in self.space.held.values() if lease.confirm_at is not None]:
            self.ask(Confirm(lease.ask.ticket, lease.ask.holder))

    @rule(which=st.integers(0, 20))
    @precondition(lambda self: self.space.held)
    def renew(self, which: int) -> None:
        token = list(self.space.held)[which % len(self.space.held)]
        self.renewed[token] = self.now + self.space.held[token].ask.ttl_s

    @rule(agent=agents)
    def lose(self, agent: AgentId) -> None:
        self.ask(Lost(agent, "killed"))
        assert not any(one.ask.holder == agent for one in self.space.line.waiting.values())

    @rule(agent=agents)
    def find(self, agent: AgentId) -> None:
        self.ask(Found(agent))

    @rule(count=st.integers(1, 5))
    def reserve(self, count: int) -> None:
        self.ask(Reserve(count, 1.0))

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        before = {
            token: max(lease.expires_at, self.renewed.get(token, 0.0)) for token, lease in self.space.held.items()
        }
        for event in self.ask(Expire(dict(self.renewed))):
            if event.kind == "lease.expired":
                assert before[event.data["token"]] <= self.now
        for token, lease in self.space.held.items():
            assert max(lease.expires_at, self.renewed.get(token, 0.0)) > self.now, "it was to end and did not"

    @rule()
    def let_everybody_release(self) -> None:
        """Whoever holds releases: as many rounds as there are tickets are enough for everybody."""
        self.ask(Wake())
        for _ in range(len(self.space.line.waiting) + len(self.space.held)):
            for token, lease in list(self.space.held.items()):
                if token in self.space.held:
                    self.ask(Release(lease.ask.holder, token))
        assert not self.space.line.waiting
        assert not self.space.held

    @rule()
    def write_and_read(self) -> None:
        data = msgspec.json.encode(msgspec.to_builtins(self.space, enc_hook=plain))
        again = msgspec.convert(msgspec.json.decode(data), Leases, dec_hook=typed)
        assert again == self.space
        self.state = again if self.state is not None else None

    @invariant()
    def who_holds_a_name_alone_is_alone(self) -> None:
        held = [lease.ask for lease in self.space.held.values()]
        for at, one in enumerate(held):
            assert not any(conflict(one, other) for other in held[at + 1 :])

    @invariant()
    def tokens_only_grow(self) -> None:
        assert self.tokens == sorted(set(self.tokens))

    @invariant()
    def nobody_waits_without_a_reason_and_the_index_agrees_with_the_plain_rule(self) -> None:
        space = self.space
        held = [lease.ask for lease in space.held.values()]
        before: list[Ask] = []
        for place in space.line.queue:
            one = space.line.waiting[place[2]]
            assert one.place == place
            in_the_way = any(conflict(one.ask, other) for other in held)
            overtaken = [other for other in before if conflict(one.ask, other)]
            assert is_free(space, one.ask) == (not in_the_way)
            assert is_next(space, one.ask, place) == (not overtaken)
            assert in_the_way or overtaken, f"{one} could be granted and is not"
            overlapping = [other for other in before if any(overlap(a, b) for a in one.ask.names for b in other.names)]
            assert position(space, one) == 1 + len(overlapping)
            assert {other.ask.ticket for other in ahead(space, one, 99)} <= {other.ticket for other in overtaken}
            assert bool(ahead(space, one, 99)) == bool(overtaken)
            before.append(one.ask)
        assert len(before) == len(space.line.waiting)

    @invariant()
    def it_is_woken_before_anybodys_time_is_over(self) -> None:
        looked = decide(self.state, Look(), self.now).wake_at
        for token, lease in self.space.held.items():
            until = max(lease.expires_at, self.renewed.get(token, 0.0))
            assert looked is not None
            assert looked <= until
            assert self.wake_at is not None
            assert self.wake_at <= until

    def teardown(self) -> None:
        again: Leases | None = None
        for event, at in self.log:
            again = evolve(again, event, at)
        assert (again or EMPTY) == self.space


TestLeasing = Leasing.TestCase
TestLeasing.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
