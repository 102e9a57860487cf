"""How events change a sync point: what it remembers, and of whom."""

from typing import Any

import pytest

from concerted.machine import Event
from concerted.sync.points.predicate import MAJORITY
from concerted.sync.points.state import SHOWN, Arrival, SyncPoint, evolve
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
CREATED = Event(
    "sync_point.created",
    ANN,
    None,
    {
        "id": "s1", "name": "stand-up", "description": "", "participants": ["bob", "cy"], "total": 2,
        "condition": {"type": "majority"}, "deadline_at": None, "metadata": {"room": 3}, "check_interval_s": 0.1,
        "status": "waiting",
    },
)  # fmt: skip


def point(*events: Event) -> SyncPoint:
    state = evolve(None, CREATED, 1.0)
    for at, event in enumerate(events, 2):
        state = evolve(state, event, float(at))
    return state


def arrived(agent: AgentId, data: Any = None) -> Event:
    return Event("sync_point.arrived", agent, None, {"name": "stand-up", "data": data, "arrived": 1, "total": 2})


def completed(reason: str | None = None) -> Event:
    return Event("sync_point.completed", None, None, {"status": "completed", "reason": reason})


def test_a_new_point_waits_for_all_its_participants() -> None:
    state = point()
    assert (state.terms.creator, state.terms.condition, state.terms.created_at) == ("ann", MAJORITY, 1.0)
    assert (dict(state.missing), dict(state.arrivals), state.status) == ({"bob": True, "cy": True}, {}, "waiting")
    assert (state.total, state.arrived, state.needed, state.ending) == (2, 0, 2, None)


def test_an_arrival_is_remembered_with_its_time_its_order_and_its_data() -> None:
    state = point(arrived(CY, {"x": 1}), arrived(BOB))
    assert dict(state.arrivals) == {"bob": Arrival(3.0, 2, None), "cy": Arrival(2.0, 1, {"x": 1})}
    assert (state.arrived, dict(state.missing)) == (2, {})


def test_a_state_is_not_changed_by_what_comes_after_it() -> None:
    before = point()
    evolve(before, arrived(BOB), 2.0)
    assert (before.arrived, dict(before.missing)) == (0, {"bob": True, "cy": True})


def test_the_end_keeps_who_was_there_and_what_they_brought() -> None:
    lost = Event("sync_point.participant_lost", CY, None, {"reason": "killed"})
    ending = point(arrived(BOB, 0), lost, completed("by hand")).ending
    assert ending is not None
    assert (ending.at, ending.by, ending.reason) == (4.0, None, "by hand")
    assert ending.roll is not None
    assert (ending.roll.arrived, ending.roll.missing, ending.roll.lost, ending.roll.data) == (
        ("bob",), ("cy",), ("cy",), {"bob": 0}
    )  # fmt: skip


@pytest.mark.parametrize(("total", "is_kept"), [(SHOWN, True), (SHOWN + 1, False)])
def test_the_roll_of_very_many_is_not_kept(total: int, is_kept: bool) -> None:
    names = [f"a{number}" for number in range(total)]
    state = evolve(None, Event("sync_point.created", ANN, None, {**CREATED.data, "participants": names}), 1.0)
    ending = evolve(state, completed(), 2.0).ending
    assert ending is not None
    assert (ending.roll is not None) == is_kept


def test_an_expired_point_ended_at_its_deadline_whenever_that_was_noticed() -> None:
    expired = Event("sync_point.expired", None, None, {"status": "expired", "reason": "timeout", "deadline_at": 1.5})
    ending = point(expired).ending
    assert ending is not None
    assert ending.at == 1.5


def test_who_was_added_is_told_from_who_was_there_from_the_beginning() -> None:
    state = point(Event("sync_point.participants_added", ANN, None, {"participants": ["dee"], "total": 3}))
    assert dict(state.participants) == {"bob": True, "cy": True, "dee": False}
    assert "dee" in state.missing


def test_the_first_event_of_a_point_is_its_creation() -> None:
    with pytest.raises(AssertionError):
        evolve(None, arrived(BOB), 1.0)


def test_the_events_of_others_change_nothing() -> None:
    state = point()
    assert evolve(state, Event("barrier.arrived", BOB), 2.0) is state
