"""What a barrier remembers: its bounds, and that the events alone, and its folded form, give the same state."""

from typing import Any, get_args, get_origin

import msgspec
import pytest

from concerted.machine import Event, Lost, Wake
from concerted.persistent import Map
from concerted.sync.barriers.barrier import Action, ActionDone, Arrive, Break, Cancel, Create, Request, decide
from concerted.sync.barriers.state import (
    REQUESTS_KEPT,
    VERDICTS_KEPT,
    Barrier,
    evolve,
    remembered,
    verdict_of,
)
from concerted.sync.gathered import DATA_KEPT
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB = AgentId("ann"), AgentId("bob")


def after(state: Barrier | None, *requests: Request, now: float = 1.0) -> Barrier:
    for request in requests:
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
    assert state is not None
    return state


def made(**terms: Any) -> Barrier:
    return after(None, Create("build", ANN, **{"participant_count": 2, **terms}))


def folded(state: Barrier) -> Barrier:
    """Return the state as the log gives it back."""
    written = msgspec.json.encode(msgspec.to_builtins(state, enc_hook=lambda value: dict(value)))
    return msgspec.convert(msgspec.json.decode(written), Barrier, dec_hook=typed)


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


FULL = [
    Create("build", ANN, 2, (ANN, BOB), "b", True, 60.0, Action("elected", "merge", {"x": [1]}), "wait", 5.0, {"k": 1}),
    Arrive(BOB, {"lines": 3}, request_id="r1"),
    Arrive(BOB, request_id="r2"),
    Lost(BOB, "killed"),
    Arrive(ANN),
    ActionDone(ANN, 0, 1, result=[1, 2]),
    Arrive(ANN),
    Break(ANN, "no"),
    Arrive(BOB),
    Cancel(ANN),
]


def test_a_folded_state_comes_back_the_same_at_every_step() -> None:
    state = None
    for request in FULL:
        state = after(state, request)
        assert folded(state) == state


def test_the_events_as_written_lead_to_the_same_state() -> None:
    state = again = None
    for at, request in enumerate([*FULL, Wake()]):
        now = 10.0 * at
        for event in decide(state, request, now).events:
            state = evolve(state, event, now)
            written = msgspec.json.decode(msgspec.json.encode(event), type=Event)
            again = evolve(again, written, now)
            assert again == state
    assert state is not None
    assert state.status == "removed"


def test_a_verdict_shows_the_data_of_the_first_parties_only() -> None:
    state = made(participant_count=DATA_KEPT + 2)
    for number in range(DATA_KEPT + 2):
        state = after(state, Arrive(AgentId(f"a{number}"), number))
    verdict = verdict_of(state, 0)
    assert verdict is not None
    assert (len(verdict.data), verdict.data["a0"], verdict.data_count) == (DATA_KEPT, 0, DATA_KEPT + 2)


def test_who_brings_nothing_takes_no_place_among_the_data() -> None:
    assert after(made(), Arrive(ANN)).data.entries == {}


def test_the_newest_verdicts_are_kept() -> None:
    state = made()
    for _ in range(VERDICTS_KEPT + 3):
        state = after(state, Arrive(ANN), Arrive(BOB))
    assert [verdict.generation for verdict in state.verdicts] == list(range(3, VERDICTS_KEPT + 3))
    assert verdict_of(state, 2) is None


def test_the_newest_requests_of_an_arrival_are_kept() -> None:
    state = after(made(), *(Arrive(ANN, request_id=f"r{number}") for number in range(REQUESTS_KEPT + 1)))
    assert remembered(state, ANN, "r0") is None
    assert remembered(state, ANN, f"r{REQUESTS_KEPT}") == 0


def test_a_request_of_somebody_else_is_not_remembered() -> None:
    state = after(made(), Arrive(ANN, request_id="r"))
    assert (remembered(state, ANN, "r"), remembered(state, BOB, "r"), remembered(state, ANN, None)) == (0, None, None)


def test_strangers_who_were_lost_are_forgotten_with_their_generation() -> None:
    state = after(made(), Arrive(ANN), Lost(ANN, "killed"))
    assert state.lost == {"ann": "killed"}
    assert after(state, Arrive(BOB)).lost == {}


def test_a_timeout_is_as_of_its_deadline_however_late_it_is_written() -> None:
    state = after(made(timeout_s=10.0), Arrive(ANN), now=5.0)
    state = after(state, Wake(), now=99.0)
    assert state.verdicts[0].at == 15.0


def test_events_of_other_things_change_nothing() -> None:
    state = made()
    assert evolve(state, Event("barrier.action_refused", ANN, "0", {}), 2.0) is state
    assert evolve(state, Event("task.ready"), 2.0) is state
