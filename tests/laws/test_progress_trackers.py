"""Laws of progress trackers: no step goes back, the percentage is a level, stalls alternate, the log is the state."""

from itertools import pairwise
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.errors import Invalid, NotAllowed, WrongPhase
from concerted.machine import EVERYBODY, Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.sync.trackers.answers import is_reached
from concerted.sync.trackers.progress import (
    Await,
    Cancel,
    Create,
    ProgressTracker,
    Request,
    Update,
    answer,
    decide,
    evolve,
    topic,
    waits,
    wakes,
)
from concerted.values import AgentId

ANN, BOB, CY = AGENTS = tuple(AgentId(name) for name in ("ann", "bob", "cy"))
TOTAL = 4
ENDINGS = {"progress.completed", "progress.cancelled"}

agents = st.sampled_from(AGENTS)
payloads = st.sampled_from([None, None, 0, {"x": 1}])
creations = st.builds(
    Create,
    id=st.just("p1"),
    by=st.just(ANN),
    name=st.just("index"),
    total_steps=st.just(TOTAL),
    participants=st.sampled_from([(BOB,), (ANN, BOB), (BOB, CY)]),
    weights=st.sampled_from([None, {BOB: 0.1}, {BOB: 3.0}]),
    may_go_back=st.booleans(),
    stalled_after_s=st.sampled_from([None, 5.0]),
    completes_with=st.sampled_from(["creator", "participants"]),
)
awaited = st.one_of(
    st.just(Await()),
    st.builds(Await, step=st.integers(0, TOTAL)),
    st.builds(Await, percentage=st.sampled_from([0.0, 0.1, 0.25, 0.5, 2 / 3, 1.0])),
)
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(Update, agents, st.integers(-1, TOTAL + 1), payloads),
    st.builds(Update, agents, st.integers(0, TOTAL - 1), payloads),
    st.builds(Update, agents, st.integers(0, TOTAL - 1), payloads),
    st.builds(Cancel, agents, st.just("rain"), st.just(False)),
    st.builds(Lost, agents, st.just("killed")),
    st.builds(Found, agents),
    st.just(Wake()),
    st.just(Look()),
)
histories = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 4.0, 6.0]), requests), max_size=25)
History = list[tuple[float, Request]]


class Life:
    """A tracker that lives through a history, refusals included, and all there is to know of it."""

    def __init__(self, creation: Create, history: History) -> None:
        self.log: list[tuple[Event, float]] = []
        self.states: list[ProgressTracker] = []
        self.state: ProgressTracker | None = None
        self.now = 1.0
        self.ask(creation)
        for pause, request in history:
            self.now += pause
            self.ask(request)

    def ask(self, request: Request) -> None:
        try:
            step = decide(self.state, request, self.now)
        except (Invalid, NotAllowed, WrongPhase):
            return
        for event in step.events:
            self.log.append((event, self.now))
            self.state = evolve(self.state, event, self.now)
            self.states.append(self.state)
        last = self.last
        if last.terms.stalled_after_s is None or last.stalled_at is not None or last.ending is not None:
            assert step.wake_at is None
        else:
            assert step.wake_at == max(last.updated_at + last.terms.stalled_after_s, step.wake_at or 0.0)

    @property
    def last(self) -> ProgressTracker:
        assert self.state is not None
        return self.state


def enc(value: Any) -> Any:
    if isinstance(value, Map):
        return dict(value)
    raise NotImplementedError(type(value))


def dec(kind: Any, value: Any) -> Any:
    if get_origin(kind) is Map:
        return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=dec))
    raise NotImplementedError(kind)


def folded(state: ProgressTracker) -> ProgressTracker:
    """Return the state as it comes back from the log."""
    written = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=enc)))
    return msgspec.convert(written, ProgressTracker, dec_hook=dec)


@given(creations, histories)
def test_steps_do_not_go_back_unless_the_creator_said_so(creation: Create, history: History) -> None:
    life = Life(creation, history)
    for before, after in pairwise(life.states):
        for agent in creation.participants:
            assert creation.may_go_back or before.standings[agent].step <= after.standings[agent].step
        assert creation.may_go_back or before.current_step <= after.current_step
        assert before.peak_step <= after.peak_step
        assert before.peak <= after.peak


@given(creations, histories)
def test_the_percentage_is_the_weighted_mean_and_a_level(creation: Create, history: History) -> None:
    weights = creation.weights or {}
    total = sum(weights.get(agent, 1.0) for agent in creation.participants)
    for state in Life(creation, history).states:
        steps = {agent: standing.step for agent, standing in state.standings.items()}
        mean = sum(weights.get(AgentId(agent), 1.0) * step for agent, step in steps.items()) / (total * TOTAL)
        assert 0.0 <= state.percentage <= 1.0
        assert state.percentage == pytest.approx(mean)
        assert state.finished == sum(step == TOTAL for step in steps.values())
        assert (state.percentage == 1.0) == (state.finished == len(steps))


@given(creations, histories)
def test_it_ends_at_most_once_for_its_reason_and_then_nothing_changes(creation: Create, history: History) -> None:
    life = Life(creation, history)
    kinds = [event.kind for event, _ in life.log]
    ends = [number for number, kind in enumerate(kinds) if kind in ENDINGS]
    assert not ends or ends == [len(kinds) - 1]
    assert (life.last.status == "active") == (not ends)
    if creation.completes_with == "creator":
        is_done = any(state.current_step == TOTAL for state in life.states)
    else:
        is_done = any(state.finished == len(state.standings) for state in life.states)
    assert is_done == (life.last.status == "completed")


@given(creations, histories)
def test_stalls_and_resumptions_alternate_and_come_in_time(creation: Create, history: History) -> None:
    life = Life(creation, history)
    told = [(event, at) for event, at in life.log if event.kind in ("progress.stalled", "progress.resumed")]
    assert [event.kind for event, _ in told] == ["progress.stalled", "progress.resumed"] * (len(told) // 2) + [
        "progress.stalled"
    ] * (len(told) % 2)
    for event, at in told:
        if event.kind == "progress.stalled":
            assert event.data["since"] + 5.0 == event.data["deadline_at"] <= at


@given(creations, histories, awaited)
def test_whoever_awaits_something_is_woken_by_the_event_that_brings_it(
    creation: Create, history: History, request: Await
) -> None:
    life = Life(creation, history)
    for (event, at), (before, after) in zip(life.log[1:], pairwise(life.states), strict=True):
        if is_reached(after, request) and not is_reached(before, request):
            assert {topic(request), EVERYBODY} & set(wakes(event))
        assert answer(after, request, at).pending == (waits(after, request, at) is not None)


@given(creations, histories)
def test_the_estimates_are_never_in_the_past(creation: Create, history: History) -> None:
    life = Life(creation, history)
    told = answer(life.last, Look(), life.now)
    assert told.estimated_end_at is None or told.estimated_end_at >= life.now
    assert told.rate is None or creation.may_go_back or told.rate >= 0
    behind = {agent: step for agent, step in told.participant_progress.items() if step < TOTAL}
    assert told.laggard == min(behind, key=lambda agent: (behind[agent], agent), default=None)


@given(creations, histories)
def test_the_events_alone_lead_to_the_same_state(creation: Create, history: History) -> None:
    life = Life(creation, history)
    written = msgspec.json.decode(msgspec.json.encode([[e.kind, e.agent, e.ref, e.data, at] for e, at in life.log]))
    again: ProgressTracker | None = None
    for kind, agent, ref, data, at in written:
        again = evolve(again, Event(kind, agent, ref, data), at)
    assert again == life.last


@given(creations, histories, st.integers(0, 40), awaited)
def test_a_state_that_was_written_and_read_back_at_any_step_goes_on_the_same(
    creation: Create, history: History, place: int, request: Await
) -> None:
    life = Life(creation, history)
    place = min(place, len(life.states) - 1)
    state = folded(life.states[place])
    assert state == life.states[place]
    for event, at in life.log[place + 1 :]:
        state = evolve(state, event, at)
    assert state == life.last
    for asked in (Look(), Wake(), request):
        assert answer(state, asked, life.now) == answer(life.last, asked, life.now)
        assert decide(state, asked, life.now) == decide(life.last, asked, life.now)
        assert waits(state, asked, life.now) == waits(life.last, asked, life.now)
