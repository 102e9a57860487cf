"""Laws of barriers: whatever comes in whatever order, a generation has one verdict, and the same for all in it."""

from collections import defaultdict
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.errors import ConcertedError
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.sync.barriers import barrier
from concerted.sync.barriers.barrier import COORDINATOR, Action, ActionDone, Arrive, Break, Cancel, Create, Reset
from concerted.sync.double_barriers import double_barrier
from concerted.sync.double_barriers.double_barrier import Enter, Leave
from concerted.values import AgentId

pytestmark = pytest.mark.pure

N = 3
NAMES = tuple(AgentId(name) for name in ("ann", "bob", "cy", "dan"))
agents = st.sampled_from(NAMES)
generations = st.one_of(st.none(), st.none(), st.integers(0, 4))
ids = st.one_of(st.none(), st.sampled_from(["r1", "r2", "r3"]))
steps_in_time = st.sampled_from([0.0, 0.0, 0.0, 1.0, 4.0, 60.0])

upheavals = st.one_of(
    st.builds(Lost, agents, st.just("killed")),
    st.builds(Found, agents),
    st.builds(Break, agents, st.just("no"), generations, st.booleans()),
    st.builds(Reset, agents, st.just("anew"), st.booleans()),
    st.just(Wake()),
    st.just(Look()),
)
arrivals = st.builds(Arrive, agents, st.one_of(st.none(), st.integers()), generations, ids)
outcomes = st.builds(
    ActionDone, st.one_of(agents, st.just(COORDINATOR)), st.integers(0, 3), st.integers(0, 6), st.integers(),
    st.one_of(st.none(), st.just("failed")),
)  # fmt: skip
cancels = st.builds(Cancel, agents, st.just("enough"), st.just(True))
histories = st.lists(
    st.tuples(steps_in_time, st.one_of(arrivals, arrivals, arrivals, outcomes, outcomes, upheavals)), max_size=40
)
barriers = st.builds(
    Create,
    id=st.just("b"),
    by=st.just(NAMES[0]),
    participant_count=st.just(N),
    participants=st.sampled_from([(), NAMES[:N]]),
    cyclic=st.booleans(),
    timeout_s=st.sampled_from([None, 10.0]),
    action=st.sampled_from(
        [None, Action("elected", "merge", timeout_s=5.0), Action("coordinator", "merge", timeout_s=5.0)]
    ),
    on_lost=st.sampled_from(["wait", "break"]),
    cleanup_delay_s=st.sampled_from([3.0, 50.0]),
)


class Life:
    """What became of a machine that was asked all this: its events with their instants, its states."""

    def __init__(self, machine: Any, create: Any, history: list[tuple[float, Any]]) -> None:
        self.log: list[tuple[float, Event]] = []
        self.states: list[Any] = []
        self.now, state = 0.0, None
        for pause_s, request in [(0.0, create), *history]:
            self.now += pause_s
            try:
                step = machine.decide(state, request, self.now)
            except ConcertedError:
                assert not isinstance(request, Wake | Lost | Found | Look), "these never raise"
                continue
            for event in step.events:
                state = machine.evolve(state, event, self.now)
                self.log.append((self.now, event))
                self.states.append(state)
            if not isinstance(request, Arrive | Enter | Leave) or request.request_id or request.generation is not None:
                assert not machine.decide(state, request, self.now).events or isinstance(request, Reset | ActionDone), (
                    "a repeated request has happened twice"
                )
            machine.answer(state, request, self.now)
            machine.waits(state, request, self.now)
            assert step.wake_at is None or step.wake_at > self.now or getattr(state, "ended_at", None) is not None
        self.state = state

    def events(self, *kinds: str) -> list[Event]:
        return [event for _, event in self.log if event.kind in kinds]


VERDICTS = ("barrier.released", "barrier.timed_out", "barrier.broken")


@given(barriers, histories)
def test_a_generation_has_at_most_one_verdict(create: Create, history: list[tuple[float, Any]]) -> None:
    ended = [event.data["generation"] for event in Life(barrier, create, history).events(*VERDICTS)]
    assert len(ended) == len(set(ended))
    assert ended == sorted(ended)


@given(barriers, histories)
def test_everybody_in_a_generation_is_told_the_same_verdict(create: Create, history: list[tuple[float, Any]]) -> None:
    life = Life(barrier, create, history)
    state = life.state
    came = defaultdict(set)
    for event in life.events("barrier.arrived"):
        came[event.data["generation"]].add(event.agent)
    for verdict in state.verdicts:
        told = [barrier.answer(state, Arrive(agent, generation=verdict.generation), life.now) for agent in NAMES]
        mine = [one for agent, one in zip(NAMES, told, strict=True) if agent in came[verdict.generation]]
        assert len({(one.status, one.success, one.reason, one.released_at, one.blamed) for one in mine}) <= 1
        assert not any(one.pending for one in mine)


@given(barriers, histories)
def test_nobody_is_counted_twice_and_fewer_than_n_are_never_released(
    create: Create, history: list[tuple[float, Any]]
) -> None:
    came: dict[int, list[AgentId | None]] = defaultdict(list)
    for _, event in Life(barrier, create, history).log:
        if event.kind == "barrier.arrived":
            of_generation = came[event.data["generation"]]
            assert event.agent not in of_generation
            of_generation.append(event.agent)
            assert event.data["arrived"] == len(of_generation) <= N
        if event.kind == "barrier.released":
            assert len(came[event.data["generation"]]) == N


@given(barriers, histories)
def test_one_at_a_time_does_the_action_and_only_the_newest_outcome_counts(
    create: Create, history: list[tuple[float, Any]]
) -> None:
    newest, accepted = 0, set()
    for _, event in Life(barrier, create, history).log:
        if event.kind == "barrier.action_started":
            assert event.data["action_epoch"] == newest + 1
            newest += 1
        if event.kind == "barrier.action_done":
            assert event.data["action_epoch"] == newest
            assert event.data["generation"] not in accepted
            accepted.add(event.data["generation"])
        if event.kind == "barrier.released" and create.action is not None:
            assert event.data["generation"] in accepted


@given(barriers, histories)
def test_a_verdict_by_time_is_never_early(create: Create, history: list[tuple[float, Any]]) -> None:
    first: dict[int, float] = {}
    for at, event in Life(barrier, create, history).log:
        if event.kind == "barrier.arrived":
            first.setdefault(event.data["generation"], at)
        if event.kind == "barrier.timed_out":
            assert event.data["deadline_at"] == first[event.data["generation"]] + 10.0 <= at


@given(
    barriers,
    st.lists(st.tuples(steps_in_time, st.one_of(arrivals, upheavals, cancels)), max_size=25),
    st.integers(0, 40),
)
def test_the_log_and_a_folded_state_lead_to_the_same_barrier(
    create: Create, history: list[tuple[float, Any]], cut: int
) -> None:
    same_again(barrier, Life(barrier, create, history), cut)


# double barriers

passages = st.one_of(
    st.builds(Enter, agents, st.none(), generations, ids), st.builds(Leave, agents, st.none(), generations, ids)
)
double_histories = st.lists(st.tuples(steps_in_time, st.one_of(passages, passages, passages, upheavals)), max_size=40)
double_barriers = st.builds(
    double_barrier.Create,
    id=st.just("d"),
    by=st.just(NAMES[0]),
    participant_count=st.just(2),
    participants=st.sampled_from([(), NAMES[:2]]),
    cyclic=st.booleans(),
    timeout_s=st.sampled_from([None, 10.0]),
    on_lost=st.sampled_from(["wait", "break"]),
    cleanup_delay_s=st.sampled_from([3.0, 50.0]),
)


@given(double_barriers, double_histories)
def test_nobody_begins_before_all_have_entered_and_nobody_has_left_before_all_have(
    create: double_barrier.Create, history: list[tuple[float, Any]]
) -> None:
    entered: dict[int, set[AgentId | None]] = defaultdict(set)
    left: dict[int, set[AgentId | None]] = defaultdict(set)
    begun, over = set(), set()
    for _, event in Life(double_barrier, create, history).log:
        generation = event.data["generation"]
        match event.kind:
            case "double_barrier.entered":
                assert event.agent not in entered[generation]
                assert generation not in begun | over
                assert begun <= over, "others are inside"
                entered[generation].add(event.agent)
            case "double_barrier.begun":
                assert len(entered[generation]) == 2
                begun.add(generation)
            case "double_barrier.left":
                assert generation in begun - over
                assert event.agent in entered[generation] - left[generation]
                left[generation].add(event.agent)
            case "double_barrier.finished":
                assert left[generation] == entered[generation]
                over.add(generation)
            case "double_barrier.timed_out" | "double_barrier.broken":
                assert generation not in over
                over.add(generation)


@given(double_barriers, double_histories)
def test_everybody_inside_is_told_the_same_end(create: double_barrier.Create, history: list[tuple[float, Any]]) -> None:
    life = Life(double_barrier, create, history)
    for verdict in life.state.leave.verdicts:
        through = next(one for one in life.state.enter.verdicts if one.generation == verdict.generation)
        told = [
            double_barrier.answer(life.state, Leave(AgentId(agent), generation=verdict.generation), life.now)
            for agent in through.arrivals
        ]
        assert len({(one.status, one.success, one.reason) for one in told}) == 1


@given(double_barriers, double_histories, st.integers(0, 40))
def test_the_log_and_a_folded_state_lead_to_the_same_double_barrier(
    create: double_barrier.Create, history: list[tuple[float, Any]], cut: int
) -> None:
    same_again(double_barrier, Life(double_barrier, create, history), cut)


def same_again(machine: Any, life: Life, cut: int) -> None:
    """Read the log back, with the state folded after `cut` events, and compare at every step."""
    state = None
    for number, ((at, event), reached) in enumerate(zip(life.log, life.states, strict=True)):
        state = machine.evolve(state, msgspec.json.decode(msgspec.json.encode(event), type=Event), at)
        if number == cut:
            plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=dict)))
            state = msgspec.convert(plain, machine.State, dec_hook=typed)
        assert state == reached


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]
