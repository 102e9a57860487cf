"""How events change a progress tracker: what it remembers, and how much of it."""

from typing import Any

import pytest

from concerted.machine import Event
from concerted.sync.trackers.state import STEPS_KEPT, ProgressTracker, Standing, StepData, evolve
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
CREATED = Event(
    "progress.created",
    ANN,
    None,
    {
        "id": "p1", "name": "index", "description": "", "participants": ["bob", "cy"], "total_steps": 1000,
        "metadata": {"x": 1}, "weights": {"bob": 3.0}, "may_go_back": False, "stalled_after_s": None,
        "completes_with": "creator", "status": "active",
    },
)  # fmt: skip


def tracker(*events: Event) -> ProgressTracker:
    state = evolve(None, CREATED, 1.0)
    for at, event in enumerate(events, 2):
        state = evolve(state, event, float(at))
    return state


def updated(agent: AgentId, step: int, data: Any = None) -> Event:
    return Event("progress.updated", agent, None, {"step": step, "data": data})


def test_a_new_tracker_is_at_step_0() -> None:
    state = tracker()
    assert (state.terms.creator, state.current_step, state.percentage, state.status) == ("ann", 0, 0.0, "active")
    assert dict(state.standings) == {"bob": Standing(0, 3.0), "cy": Standing(0, 1.0)}
    assert (state.terms.weight_total, state.updated_at) == (4.0, 1.0)


def test_a_report_is_remembered_with_its_time() -> None:
    state = tracker(updated(BOB, 500), updated(ANN, 2))
    assert dict(state.standings) == {"bob": Standing(500, 3.0, 2.0), "cy": Standing(0, 1.0)}
    assert (state.current_step, state.updated_at, state.creator_updated_at) == (2, 3.0, 3.0)
    assert state.percentage == 0.375


def test_a_state_is_not_changed_by_what_comes_after_it() -> None:
    before = tracker()
    evolve(before, updated(BOB, 7), 2.0)
    assert before.standings["bob"] == Standing(0, 3.0)


def test_of_each_step_the_data_told_last_is_kept() -> None:
    state = tracker(updated(BOB, 1, "x"), updated(CY, 2, "y"), updated(ANN, 1, "z"), updated(BOB, 3))
    assert state.kept == (StepData(2, CY, "y", 3.0), StepData(1, ANN, "z", 4.0))


def test_the_data_of_only_so_many_steps_is_kept() -> None:
    state = tracker(*(updated(BOB, step, step) for step in range(1, STEPS_KEPT + 6)))
    assert [one.step for one in state.kept] == list(range(6, STEPS_KEPT + 6))


def test_the_end_is_remembered_with_its_reason() -> None:
    ending = tracker(Event("progress.cancelled", ANN, None, {"status": "cancelled", "reason": "rain"})).ending
    assert ending is not None
    assert (ending.at, ending.by, ending.reason) == (2.0, "ann", "rain")


def test_the_first_event_of_a_tracker_is_its_creation() -> None:
    with pytest.raises(AssertionError):
        evolve(None, updated(BOB, 1), 1.0)


def test_the_events_of_others_change_nothing() -> None:
    state = tracker()
    assert evolve(state, Event("sync_point.arrived", BOB), 2.0) is state
