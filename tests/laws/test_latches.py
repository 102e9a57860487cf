"""Laws of latches: every ticket counts once, has one holder at a time, and no count is lost on a dead worker."""

from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.board.latches import latch
from concerted.board.latches.latch import Await, Cancel, CountDown, Create, GiveBack, Renew, Take
from concerted.errors import ConcertedError
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId

pytestmark = pytest.mark.pure

NAMES = tuple(AgentId(name) for name in ("ann", "bob", "cy"))
agents = st.sampled_from(NAMES)
tickets = st.sampled_from(["t1", "t2", "t3", "t4"])
worths = st.integers(1, 2)
epochs = st.one_of(st.none(), st.none(), st.integers(1, 4))
takes = st.builds(Take, agents, tickets, st.sampled_from([1.0, 5.5, 20.0]), worths)
counts = st.builds(CountDown, agents, tickets, st.one_of(st.none(), worths), epochs)
requests = st.one_of(
    takes,
    takes,
    counts,
    counts,
    st.builds(Renew, agents, tickets, st.one_of(st.none(), st.just(9.0)), epochs),
    st.builds(GiveBack, agents, tickets, st.just(""), epochs),
    st.builds(Lost, agents, st.just("killed")),
    st.sampled_from([Wake(), Look(), Await(NAMES[0]), Found(NAMES[0])]),
)
histories = st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.7, 3.0, 30.0]), requests), max_size=40)
endings = st.lists(st.tuples(st.just(1.0), st.builds(Cancel, agents, st.just("enough"), st.just(True))), max_size=1)
latches = st.builds(
    Create, id=st.just("l"), by=st.just(NAMES[0]), count=st.integers(1, 6), timeout_s=st.sampled_from([None, 50.0])
)


class Life:
    """What became of a latch that was asked all this: its events with their instants, its states."""

    def __init__(self, create: Create, history: list[tuple[float, Any]]) -> None:
        self.log: list[tuple[float, Event]] = []
        self.states: list[latch.Latch] = []
        self.now, state = 0.0, None
        for pause_s, request in [(0.0, create), *history]:
            self.now += pause_s
            try:
                step = latch.decide(state, request, self.now)
            except ConcertedError:
                assert not isinstance(request, Wake | Lost | Found | Look | Await), "these never raise"
                continue
            for event in step.events:
                state = latch.evolve(state, event, self.now)
                self.log.append((self.now, event))
                self.states.append(state)
            assert state is not None
            if not isinstance(request, GiveBack):  # of a ticket that is free there is nothing to give back
                assert not latch.decide(state, request, self.now).events, "a repeated request has happened twice"
            latch.answer(state, request, self.now)
            latch.waits(state, request, self.now)
            assert step.wake_at is None or step.wake_at > self.now
        assert state is not None
        self.state = state


@given(latches, histories)
def test_every_ticket_counts_once_and_the_latch_opens_with_the_last_count_alone(
    create: Create, history: list[tuple[float, Any]]
) -> None:
    remaining, counted, opened = create.count, set(), 0
    for _, event in Life(create, history).log:
        if event.kind == "latch.counted":
            assert event.ref not in counted
            counted.add(event.ref)
            remaining -= event.data["count"]
            assert event.data["remaining"] == remaining >= 0
        if event.kind == "latch.opened":
            opened += 1
            assert remaining == 0
    assert opened == (remaining == 0)


@given(latches, histories)
def test_a_ticket_has_one_holder_at_a_time_under_an_epoch_of_its_own(
    create: Create, history: list[tuple[float, Any]]
) -> None:
    held: dict[Any, tuple[Any, int]] = {}
    newest = 0
    for _, event in Life(create, history).log:
        match event.kind:
            case "latch.taken":
                assert event.ref not in held
                assert event.data["epoch"] == newest + 1
                newest += 1
                held[event.ref] = (event.agent, newest)
            case "latch.returned":
                assert held.pop(event.ref) == (event.agent, event.data["epoch"])
            case "latch.counted" if event.ref in held:
                assert held.pop(event.ref) == (event.agent, event.data["epoch"])
            case "latch.renewed":
                assert held[event.ref] == (event.agent, event.data["epoch"])


@given(latches, histories)
def test_no_lease_ends_before_its_time_and_none_outlives_it(create: Create, history: list[tuple[float, Any]]) -> None:
    life = Life(create, history)
    ends: dict[Any, float] = {}
    for at, event in life.log:
        if event.kind in ("latch.taken", "latch.renewed"):
            assert event.data["expires_at"] >= at + event.data["ttl_s"] or event.kind == "latch.renewed"
            ends[event.ref] = max(event.data["expires_at"], 0.0)
        if event.kind == "latch.returned" and "deadline_at" in event.data:
            assert event.data["deadline_at"] == ends[event.ref] <= at
    step = latch.decide(life.state, Wake(), life.now)
    for event in step.events:
        life.state = latch.evolve(life.state, event, life.now)
    assert all(held.expires_at > life.now for held in life.state.taken.values())


@given(latches, histories)
def test_what_is_counted_taken_and_free_adds_up(create: Create, history: list[tuple[float, Any]]) -> None:
    for state in Life(create, history).states:
        assert state.taken_count == sum(held.count for held in state.taken.values()) <= state.remaining
        assert state.remaining == create.count - sum(one.count for one in state.counted.values())
        in_order = sorted((held.ticket, held.agent) for held in state.taken.values())
        assert sorted((ticket, agent) for agent, own in state.holders.items() for ticket in own) == in_order
        assert sorted(ticket for own in state.expiring.values() for ticket in own) == [ticket for ticket, _ in in_order]
        assert state.next_expiry == min((held.expires_at for held in state.taken.values()), default=None)


@given(latches, histories, endings, st.integers(0, 40))
def test_the_log_and_a_folded_state_lead_to_the_same_latch(
    create: Create, history: list[tuple[float, Any]], ending: list[tuple[float, Any]], cut: int
) -> None:
    life, state = Life(create, history + ending), None
    for number, ((at, event), reached) in enumerate(zip(life.log, life.states, strict=True)):
        state = latch.evolve(state, msgspec.json.decode(msgspec.json.encode(event), type=Event), at)
        if number == cut:
            plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=dict)))
            state = msgspec.convert(plain, latch.State, dec_hook=typed)
        assert state == reached


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]
