"""Laws of sync points: one end, and only the right one; no arrival lost or counted twice; the log is the state."""

from itertools import pairwise
from typing import Any, get_args, get_origin

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from concerted.errors import Conflict, Invalid, NotAllowed, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.sync.points.predicate import ALL, MAJORITY, Condition
from concerted.sync.points.sync_point import (
    Add,
    Arrive,
    Await,
    Cancel,
    Complete,
    Create,
    Request,
    SyncPoint,
    answer,
    decide,
    evolve,
    waits,
    wakes,
)
from concerted.values import AgentId

ANN, BOB, CY, DEE, EVE = AGENTS = tuple(AgentId(name) for name in ("ann", "bob", "cy", "dee", "eve"))
ENDINGS = {"sync_point.completed", "sync_point.expired", "sync_point.cancelled"}

agents = st.sampled_from(AGENTS)
payloads = st.sampled_from([None, 0, "x", {"ok": True}, {"ok": False}, [1, {"y": None}]])
conditions = st.sampled_from(
    [
        ALL,
        MAJORITY,
        Condition("count", count=1),
        Condition("count", count=2),
        Condition("predicate", text="'bob' in arrived && size(missing) < 2"),
        Condition("predicate", text="arrived.exists(a, data[a].ok)"),
        Condition("predicate", text="now > 12.0 && size(arrived) > 0"),
    ]
)
creations = st.builds(
    Create,
    id=st.just("s1"),
    by=st.just(ANN),
    name=st.just("stand-up"),
    participants=st.lists(agents, min_size=2, max_size=4, unique=True).map(tuple),
    condition=conditions,
    deadline_at=st.sampled_from([None, None, 5.0, 20.0]),
    metadata=st.just({"room": 3}),
    check_interval_s=st.sampled_from([0.1, 3.0]),
)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(Arrive, agents, payloads),
    st.builds(Arrive, agents, payloads),
    st.builds(Arrive, agents, payloads),
    st.builds(Complete, agents, st.booleans()),
    st.builds(Cancel, agents, st.sampled_from(["", "rain"]), st.booleans()),
    st.builds(Add, agents, st.lists(agents, max_size=3).map(tuple)),
    st.builds(Lost, agents, st.just("killed")),
    st.builds(Found, agents),
    st.just(Wake()),
    st.just(Wake()),
    st.just(Look()),
    st.just(Await(EVE)),
)
pauses = st.sampled_from([0.0, 0.1, 1.0, 4.0])
histories = st.lists(st.tuples(pauses, requests), max_size=25)
History = list[tuple[float, Request]]


class Life:
    """A point that lives through a history, refusals included, and all there is to know of it."""

    def __init__(self, creation: Create, history: History) -> None:
        self.log: list[tuple[Event, float]] = []
        self.states: list[SyncPoint] = []
        self.granted: list[tuple[Request, float]] = []
        self.state: SyncPoint | None = None
        now = 1.0
        self.ask(creation, now)
        for pause, request in history:
            now += pause
            self.ask(request, now)
        self.ended_at = now

    def ask(self, request: Request, now: float) -> None:
        try:
            step = decide(self.state, request, now)
        except (Conflict, Invalid, NotAllowed, WrongPhase):
            return
        for event in step.events:
            self.log.append((event, now))
            self.state = evolve(self.state, event, now)
            self.states.append(self.state)
        self.granted.append((request, now))
        waits_still = self.last.ending is None
        assert step.wake_at is None or waits_still
        assert step.wake_at is not None or not waits_still or self.last.terms.deadline_at is None
        assert bool([e for e in step.events if list(wakes(e))]) == any(e.kind in ENDINGS for e in step.events)

    @property
    def last(self) -> SyncPoint:
        assert self.state is not None
        return self.state

    def kinds(self) -> list[str]:
        return [event.kind for event, _ in self.log]


def enc(value: Any) -> Any:
    if isinstance(value, Map):
        return dict(value)
    raise NotImplementedError(type(value))


def dec(kind: Any, value: Any) -> Any:
    if get_origin(kind) is Map:
        return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=dec))
    raise NotImplementedError(kind)


def folded(state: SyncPoint) -> SyncPoint:
    """Return the state as it comes back from the log."""
    written = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=enc)))
    return msgspec.convert(written, SyncPoint, dec_hook=dec)


@given(creations, histories)
def test_a_point_ends_at_most_once_and_then_nothing_changes(creation: Create, history: History) -> None:
    life = Life(creation, history)
    ends = [number for number, kind in enumerate(life.kinds()) if kind in ENDINGS]
    assert len(ends) <= 1
    assert not ends or ends == [len(life.log) - 1]
    assert (life.last.ending is None) == (not ends) == (life.last.status == "waiting")


@given(creations, histories)
def test_a_point_completes_only_when_its_condition_holds_or_by_hand(creation: Create, history: History) -> None:
    life = Life(creation, history)
    for event, at in life.log:
        if event.kind != "sync_point.completed" or event.agent is not None:
            continue
        here = {str(e.agent): e.data["data"] for e, _ in life.log if e.kind == "sync_point.arrived"}
        total = life.last.total
        condition = creation.condition
        match condition.type:
            case "all":
                assert len(here) == total
            case "majority":
                assert len(here) * 2 > total
            case "count":
                assert len(here) >= condition.count
            case _ if "bob" in condition.text:
                assert "bob" in here
                assert total - len(here) < 2
            case _ if "ok" in condition.text:
                assert any(isinstance(data, dict) and data.get("ok") is True for data in here.values())
            case _:
                assert at > 12.0
                assert here


@given(creations, histories)
def test_a_point_that_can_complete_by_numbers_does_so_at_once(creation: Create, history: History) -> None:
    life = Life(creation, history)
    for state, follower in pairwise(life.states):
        if state.needed is not None and state.arrived >= state.needed and state.ending is None:
            assert follower.status == "completed"
    if life.last.needed is not None and life.last.ending is None:
        assert life.last.arrived < life.last.needed


@given(creations, histories)
def test_no_arrival_is_lost_or_counted_twice(creation: Create, history: History) -> None:
    life = Life(creation, history)
    granted: dict[str, Any] = {}
    for request, _ in life.granted:
        if isinstance(request, Arrive):
            granted.setdefault(request.agent, request.data)
    assert {agent: arrival.data for agent, arrival in life.last.arrivals.items()} == granted
    arrivals = [event for event, _ in life.log if event.kind == "sync_point.arrived"]
    assert [event.data["arrived"] for event in arrivals] == list(range(1, len(arrivals) + 1))
    assert len({event.agent for event in arrivals}) == len(arrivals)
    assert sorted(arrival.order for _, arrival in life.last.arrivals.unordered()) == list(range(1, len(arrivals) + 1))
    assert set(life.last.arrivals) | set(life.last.missing) == set(life.last.participants)
    assert not set(life.last.arrivals) & set(life.last.missing)
    assert set(life.last.lost) <= set(life.last.missing)


@given(creations, histories)
def test_no_arrival_counts_at_or_after_the_deadline_and_nothing_waits_beyond_it(
    creation: Create, history: History
) -> None:
    life = Life(creation, history)
    deadline_at = creation.deadline_at
    if deadline_at is None:
        assert "sync_point.expired" not in life.kinds()
        return
    assert all(at < deadline_at for event, at in life.log if event.kind == "sync_point.arrived")
    life.ask(Wake(), max(life.ended_at, deadline_at))
    assert life.last.ending is not None
    assert life.last.ending.at <= max(life.ended_at, deadline_at)
    if life.last.status == "expired":
        assert life.last.ending.at == deadline_at


@given(creations, histories)
def test_whoever_was_granted_an_arrival_gets_one_lasting_answer(creation: Create, history: History) -> None:
    life = Life(creation, history)
    life.ask(Cancel(ANN, "the end"), life.ended_at)
    answers = [answer(life.last, Arrive(AgentId(agent)), life.ended_at) for agent in life.last.arrivals]
    assert all(not told.pending and told.status == life.last.status for told in answers)
    assert len({(told.arrived_agents, told.missing, told.reason, told.completed_at) for told in answers}) <= 1
    assert all(waits(life.last, Arrive(AgentId(agent)), life.ended_at) is None for agent in life.last.arrivals)


@given(creations, histories)
def test_the_events_alone_lead_to_the_same_state(creation: Create, history: History) -> None:
    life = Life(creation, history)
    written = msgspec.json.decode(msgspec.json.encode([[e.kind, e.agent, e.ref, e.data, at] for e, at in life.log]))
    again: SyncPoint | None = None
    for kind, agent, ref, data, at in written:
        again = evolve(again, Event(kind, agent, ref, data), at)
    assert again == life.last


@given(creations, histories, st.integers(0, 30))
def test_a_state_that_was_written_and_read_back_at_any_step_goes_on_the_same(
    creation: Create, history: History, place: int
) -> None:
    life = Life(creation, history)
    place = min(place, len(life.states) - 1)
    state = folded(life.states[place])
    assert state == life.states[place]
    for event, at in life.log[place + 1 :]:
        state = evolve(state, event, at)
    assert state == life.last
    for request in (Look(), Await(EVE), *(Arrive(AgentId(agent)) for agent in state.arrivals)):
        assert answer(state, request, life.ended_at) == answer(life.last, request, life.ended_at)
        assert waits(state, request, life.ended_at) == waits(life.last, request, life.ended_at)
        assert decide(state, request, life.ended_at) == decide(life.last, request, life.ended_at)
