"""What a phaser remembers: its bounds, and that the events alone, and its folded form, give the same state."""

from typing import Any, get_args, get_origin

import msgspec
import pytest

from concerted.machine import Event, Lost
from concerted.persistent import Map
from concerted.sync.gathered import DATA_KEPT
from concerted.sync.phasers.phaser import (
    Arrive,
    ArriveAndDeregister,
    Cancel,
    Create,
    Deregister,
    Register,
    Remove,
    Request,
    decide,
)
from concerted.sync.phasers.state import (
    REMOVED_KEPT,
    REQUESTS_KEPT,
    VERDICTS_KEPT,
    Phaser,
    evolve,
    remembered,
    verdict_of,
)
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
FULL: list[Request] = [
    Create("build", ANN, (ANN, BOB), "b", "break", 30.0, True, {"k": 1}),
    Arrive(BOB, {"lines": 3}, request_id="r1"),
    Arrive(BOB, request_id="r2"),
    Register(CY, from_next=True),
    Arrive(ANN),
    Lost(BOB, "killed"),
    Register(BOB),
    Arrive(CY, [1]),
    Remove(ANN, BOB),
    ArriveAndDeregister(ANN),
    Deregister(CY),
    Cancel(ANN),
]


def after(state: Phaser | None, *requests: Request, now: float = 1.0) -> Phaser:
    for request in requests:
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
    assert state is not None
    return state


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


def test_the_events_as_written_and_the_folded_state_lead_to_the_same() -> None:
    state = again = None
    for at, request in enumerate(FULL):
        now = float(at)
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
            again = evolve(again, msgspec.json.decode(msgspec.json.encode(event), type=Event), now)
            assert again == state
            plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=dict)))
            assert msgspec.convert(plain, Phaser, dec_hook=typed) == state
    assert state is not None
    assert state.status == "terminated"


def test_a_verdict_shows_the_data_of_the_first_parties_only() -> None:
    names = tuple(AgentId(f"a{number:04}") for number in range(DATA_KEPT + 2))
    state = after(None, Create("build", ANN, names), *(Arrive(name, 1) for name in names))
    verdict = verdict_of(state, 0)
    assert verdict is not None
    assert (len(verdict.data), len(verdict.arrivals)) == (DATA_KEPT, DATA_KEPT + 2)


def test_the_newest_verdicts_are_kept() -> None:
    state = after(None, Create("build", ANN, (ANN,)), *[Arrive(ANN)] * (VERDICTS_KEPT + 3))
    assert [verdict.phase for verdict in state.verdicts] == list(range(3, VERDICTS_KEPT + 3))


def test_the_newest_requests_of_an_arrival_are_kept() -> None:
    requests = [Arrive(ANN, request_id=f"r{number}") for number in range(REQUESTS_KEPT + 1)]
    state = after(None, Create("build", ANN, (ANN, BOB)), *requests)
    assert (remembered(state, ANN, "r0"), remembered(state, ANN, "r1"), remembered(state, BOB, "r1")) == (None, 0, None)


def test_the_newest_removals_are_kept() -> None:
    names = tuple(AgentId(f"a{number:04}") for number in range(REMOVED_KEPT + 3))
    state = after(None, Create("build", ANN, (*names, BOB)), *(Remove(ANN, name) for name in names))
    assert len(state.removed) == REMOVED_KEPT
    assert state.removed[0].agent == "a0003"


def test_registrations_are_numbered_and_no_number_comes_twice() -> None:
    state = after(None, Create("build", ANN, (ANN, BOB)))
    assert {agent: party.number for agent, party in state.parties.items()} == {"ann": 1, "bob": 2}
    state = after(state, Deregister(BOB), Register(BOB), Register(CY))
    assert {agent: party.number for agent, party in state.parties.items()} == {"ann": 1, "bob": 3, "cy": 4}


def test_events_of_other_things_change_nothing() -> None:
    state = after(None, Create("build", ANN, (ANN,)))
    assert evolve(state, Event("task.ready"), 2.0) is state
