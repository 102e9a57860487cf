"""Laws of phasers: whoever comes and goes, a phase waits for its parties, and for nobody else."""

from collections import defaultdict
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.errors import ConcertedError
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.sync.phasers import phaser
from concerted.sync.phasers.phaser import (
    Arrive,
    ArriveAndAwait,
    ArriveAndDeregister,
    Await,
    Cancel,
    Create,
    Deregister,
    Register,
    Remove,
)
from concerted.values import AgentId

pytestmark = pytest.mark.pure

NAMES = tuple(AgentId(name) for name in ("ann", "bob", "cy", "dan"))
agents = st.sampled_from(NAMES)
phases = st.one_of(st.none(), st.none(), st.integers(0, 4))
numbers = st.one_of(st.none(), st.none(), st.integers(1, 6))
ids = st.one_of(st.none(), st.sampled_from(["r1", "r2", "r3"]))
steps_in_time = st.sampled_from([0.0, 0.0, 0.0, 1.0, 4.0, 60.0])
arriving = [
    st.builds(kind, agents, st.none(), phases, numbers, ids) for kind in (Arrive, ArriveAndAwait, ArriveAndDeregister)
]
requests = st.one_of(
    *arriving,
    arriving[0],
    arriving[1],
    st.builds(Register, agents, st.booleans()),
    st.builds(Register, agents, st.booleans()),
    st.builds(Deregister, agents, numbers),
    st.builds(Remove, agents, agents, st.just("stuck"), st.booleans()),
    st.builds(Await, agents, st.integers(0, 5)),
    st.builds(Lost, agents, st.just("killed")),
    st.builds(Found, agents),
    st.just(Wake()),
    st.just(Look()),
)
histories = st.lists(st.tuples(steps_in_time, requests), max_size=50)
endings = st.lists(st.tuples(steps_in_time, st.builds(Cancel, agents, st.just("enough"), st.just(True))), max_size=1)
phasers = st.builds(
    Create,
    id=st.just("p"),
    by=st.just(NAMES[0]),
    participants=st.sampled_from([(), NAMES[:1], NAMES[:3]]),
    policy=st.sampled_from(["wait", "shrink", "break", "fail"]),
    late_after_s=st.sampled_from([None, 10.0]),
    ends_when_empty=st.booleans(),
)


class Life:
    """What became of a phaser that was asked all this: its events with their instants, its states."""

    def __init__(self, create: Create, history: list[tuple[float, Any]]) -> None:
        self.log: list[tuple[float, Event]] = []
        self.states: list[phaser.Phaser] = []
        self.now, state = 0.0, None
        for pause_s, request in [(0.0, create), *history]:
            self.now += pause_s
            try:
                step = phaser.decide(state, request, self.now)
            except ConcertedError:
                assert not isinstance(request, Wake | Lost | Found | Look), "these never raise"
                continue
            for event in step.events:
                state = phaser.evolve(state, event, self.now)
                self.log.append((self.now, event))
                self.states.append(state)
            assert state is not None
            again = phaser.decide(state, request, self.now).events
            if isinstance(request, Register | Deregister | Remove | Lost | Found | Wake | Cancel | Create):
                assert not again, "a repeated request has happened twice"
            phaser.answer(state, request, self.now)
            phaser.waits(state, request, self.now)
            assert step.wake_at is None or step.wake_at > self.now
        assert state is not None
        self.state = state


@given(phasers, histories)
def test_a_phase_never_advances_while_one_of_its_parties_has_not_arrived(
    create: Create, history: list[tuple[float, Any]]
) -> None:
    """Told from the events alone, by the plainest bookkeeping there is."""
    parties: dict[Any, int] = dict.fromkeys(create.participants, 0)
    came: set[Any] = set()
    phase = 0
    for _, event in Life(create, history).log:
        assert event.kind == "phaser.created" or event.data["phase"] == phase
        match event.kind:
            case "phaser.registered":
                assert event.agent not in parties
                parties[event.agent] = event.data["from_phase"]
            case "phaser.deregistered" | "phaser.party_removed":
                del parties[event.agent]
            case "phaser.arrived":
                assert parties[event.agent] <= phase
                assert event.agent not in came, "counted twice"
                came.add(event.agent)
                assert event.data["arrived"] == len(came)
                if event.data["leaves"]:
                    del parties[event.agent]
            case "phaser.advanced" | "phaser.broken":
                awaited = {agent for agent, since in parties.items() if since <= phase}
                assert event.kind == "phaser.broken" or awaited <= came
                came, phase = set(), phase + 1


@given(phasers, histories)
def test_a_phase_that_waits_for_nobody_is_over(create: Create, history: list[tuple[float, Any]]) -> None:
    state = Life(create, history).state
    if state.status == "active":
        assert state.missing or not state.arrivals
        assert state.missing or not state.parties


@given(phasers, histories)
def test_everybody_in_a_phase_is_told_the_same_verdict(create: Create, history: list[tuple[float, Any]]) -> None:
    life = Life(create, history)
    came = defaultdict(set)
    for _, event in life.log:
        if event.kind == "phaser.arrived":
            came[event.data["phase"]].add(event.agent)
    for verdict in life.state.verdicts:
        told = [
            phaser.answer(life.state, ArriveAndAwait(agent, phase=verdict.phase), life.now)
            for agent in sorted(came[verdict.phase])
        ]
        assert len({(one.status, one.success, one.reason, one.blamed, one.advanced_at) for one in told}) <= 1
        assert not any(one.pending for one in told)
        seen = phaser.answer(life.state, Await(NAMES[0], verdict.phase), life.now)
        assert (seen.status, seen.pending) == (verdict.status, False)


@given(phasers, histories)
def test_registrations_only_grow_and_only_the_newest_arrives(create: Create, history: list[tuple[float, Any]]) -> None:
    newest: dict[Any, int] = {agent: number for number, agent in enumerate(create.participants, 1)}
    count = len(newest)
    for _, event in Life(create, history).log:
        if event.kind == "phaser.registered":
            count += 1
            assert event.data["registration"] == count
            newest[event.agent] = count
        if event.kind == "phaser.arrived":
            assert event.data["registration"] == newest[event.agent]


@given(phasers, histories)
def test_only_by_its_policy_is_a_phase_broken_or_a_party_taken_out(
    create: Create, history: list[tuple[float, Any]]
) -> None:
    kinds = {(event.kind, event.data.get("by")) for _, event in Life(create, history).log}
    if create.policy in ("wait", "shrink"):
        assert ("phaser.broken", None) not in kinds
    if create.policy in ("wait", "fail"):
        assert ("phaser.party_removed", None) not in kinds


@given(phasers, histories, endings, st.integers(0, 50))
def test_the_log_and_a_folded_state_lead_to_the_same_phaser(
    create: Create, history: list[tuple[float, Any]], ending: list[tuple[float, Any]], cut: int
) -> None:
    life, state = Life(create, history + ending), None
    for number, ((at, event), reached) in enumerate(zip(life.log, life.states, strict=True)):
        state = phaser.evolve(state, msgspec.json.decode(msgspec.json.encode(event), type=Event), at)
        if number == cut:
            plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=dict)))
            state = msgspec.convert(plain, phaser.State, dec_hook=typed)
        assert state == reached


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]
