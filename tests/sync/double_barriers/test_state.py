"""What a double barrier remembers: the events alone, and its folded form, give the same state."""

from typing import Any, get_args, get_origin

import msgspec
import pytest

from concerted.machine import Event, Lost, Wake
from concerted.persistent import Map
from concerted.sync.double_barriers.double_barrier import Break, Cancel, Create, Enter, Leave, Request, decide
from concerted.sync.double_barriers.state import INNER, OUTER, DoubleBarrier, evolve
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
FULL: list[Request] = [
    Create("stage", ANN, 2, (), "s", True, 60.0, "wait", 5.0, {"k": 1}),
    Enter(BOB, {"lines": 3}, request_id="r1"),
    Enter(BOB, request_id="r2"),
    Enter(ANN),
    Lost(BOB, "killed"),
    Leave(ANN, [1]),
    Leave(BOB),
    Enter(CY),
    Enter(BOB),
    Break(BOB, "no"),
    Cancel(ANN),
]


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


def test_the_events_as_written_and_the_folded_state_lead_to_the_same() -> None:
    state = again = None
    for at, request in enumerate([*FULL, Wake()]):
        now = 10.0 * at
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
            again = evolve(again, msgspec.json.decode(msgspec.json.encode(event), type=Event), now)
            assert again == state
            plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=dict)))
            assert msgspec.convert(plain, DoubleBarrier, dec_hook=typed) == state
    assert state is not None
    assert state.status == "removed"


def after(*requests: Request) -> DoubleBarrier:
    state = None
    for request in requests:
        for event in decide(state, request, 1.0).events:
            state = evolve(state, event, 1.0)
    assert state is not None
    return state


def test_the_parties_of_the_gate_leave_are_those_who_entered() -> None:
    state = after(Create("stage", ANN, 2), Enter(BOB), Enter(CY))
    assert (state.gate, state.waiting, state.leave.parties) == ("leave", state.leave, {"bob": True, "cy": True})


def test_when_entering_fails_nobody_has_to_leave() -> None:
    state = after(Create("stage", ANN, 2), Enter(BOB), Break(BOB))
    assert (state.gate, state.enter.generation, state.leave.generation) == ("enter", 1, 1)


def test_strangers_who_were_lost_are_forgotten_when_others_begin() -> None:
    state = after(
        Create("stage", ANN, 2), Enter(BOB), Enter(CY), Lost(CY, "killed"), Break(BOB), Enter(ANN), Enter(BOB)
    )
    assert (state.enter.lost, state.leave.lost) == ({}, {})


def test_every_event_of_a_gate_has_a_name_outside_and_back() -> None:
    for names in OUTER.values():
        assert all(INNER[outer] == inner for inner, outer in names.items())


def test_events_of_other_things_change_nothing() -> None:
    state = after(Create("stage", ANN, 2))
    assert evolve(state, Event("barrier.arrived", BOB), 2.0) is state
