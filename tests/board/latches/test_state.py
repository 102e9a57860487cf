"""What a latch remembers: the events alone, and its folded form, give the same state."""

from typing import Any, get_args, get_origin

import msgspec
import pytest

from concerted.board.latches.latch import CountDown, Create, GiveBack, Renew, Request, Take, decide
from concerted.board.latches.state import RETURNED_KEPT, Latch, evolve
from concerted.machine import Event, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB = AgentId("ann"), AgentId("bob")
FULL: list[Request] = [
    Create("docs", ANN, 5, "d", 500.0, 400.0, {"k": 1}),
    Take(ANN, "t1", 5.0),
    Take(ANN, "t2", 5.0, 2),
    Take(BOB, "t3", 60.0),
    Renew(ANN, "t2", 90.0),
    CountDown(BOB, "t3"),
    Wake(),
    CountDown(ANN, "t2"),
    Lost(BOB, "killed"),
    CountDown(BOB, "t1"),
    CountDown(BOB, "t4"),
]


def after(*requests: Request, now: float = 1.0) -> Latch:
    state = None
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
        for event in decide(state, request, float(at)).events:
            state = evolve(state, event, float(at))
            again = evolve(again, msgspec.json.decode(msgspec.json.encode(event), type=Event), float(at))
            assert again == state
            plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=dict)))
            assert msgspec.convert(plain, Latch, dec_hook=typed) == state
    assert state is not None
    assert (state.status, state.remaining) == ("open", 0)


def test_obligations_are_found_by_ticket_by_holder_and_by_the_second_in_which_they_end() -> None:
    state = after(Create("docs", ANN, 5), Take(ANN, "t1", 5.0), Take(ANN, "t2", 9.0), Take(BOB, "t3", 5.0))
    assert {agent: tuple(tickets) for agent, tickets in state.holders.items()} == {"ann": ("t1", "t2"), "bob": ("t3",)}
    assert {second: tuple(tickets) for second, tickets in state.expiring.items()} == {"6": ("t1", "t3"), "10": ("t2",)}
    assert (state.next_expiry, state.taken_count, state.available) == (6.0, 3, 2)


def test_what_is_given_up_is_in_no_index_any_more() -> None:
    state = after(Create("docs", ANN, 5), Take(ANN, "t1", 5.0), Take(BOB, "t2", 9.0), GiveBack(ANN, "t1"))
    assert (tuple(state.holders), tuple(state.expiring), state.next_expiry) == (("bob",), ("10",), 10.0)
    state = after(Create("docs", ANN, 5), Take(ANN, "t1", 5.0), CountDown(ANN, "t1"))
    assert (len(state.holders), len(state.expiring), state.next_expiry, state.taken_count) == (0, 0, None, 0)


def test_the_newest_unmet_obligations_are_kept() -> None:
    takes: list[Request] = []
    for number in range(RETURNED_KEPT + 2):
        takes += [Take(ANN, f"t{number}", 5.0), GiveBack(ANN, f"t{number}")]
    state = after(Create("docs", ANN, 1), *takes)
    assert (len(state.returned), state.returned[0].ticket) == (RETURNED_KEPT, "t2")


def test_epochs_only_grow() -> None:
    state = after(Create("docs", ANN, 2), Take(ANN, "t1", 5.0), GiveBack(ANN, "t1"), Take(ANN, "t1", 5.0))
    assert (state.epoch, state.taken["t1"].epoch) == (2, 2)


def test_events_of_other_things_change_nothing() -> None:
    state = after(Create("docs", ANN, 2))
    assert evolve(state, Event("task.ready"), 2.0) is state
