"""What callers of a progress tracker are told: what is done, how fast, who lags, and what a waiting one waits for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from concerted.machine import EVERYBODY, Event, Look, Result, Wait
from concerted.sync.absence import NAMED_MAX, in_words
from concerted.sync.trackers.pace import estimated_end_at, rate
from concerted.sync.trackers.state import Await, CompletesWith, ProgressTracker, Request, Status
from concerted.values import AgentId, Instant

__all__ = ["LOOKED_AT", "SHOWN", "STEPS_WOKEN", "ProgressResult", "answer", "is_reached", "topic", "waits", "wakes"]

SHOWN = 100  # participants up to whom each is shown in every answer
LOOKED_AT = 1_000  # the first of them are shown to whoever looks
STEPS_WOKEN = 1_000  # steps passed in one update whose waiting callers are woken one by one; beyond them, all


class ProgressResult(Result, frozen=True, kw_only=True):
    """How the work stands or ended.

    percentage: 0..1.  participant_progress: participant -> step; laggard: the participant who has done least, the
    first by id, of those who are not done: both in answers to `Look` (of the first LOOKED_AT), and in others if there
    are at most SHOWN.  rate: steps per second, estimated_end_at: at that rate (`sync.pace`); None if they cannot be
    told.  step_data: step -> what was reported with it last.  is_stalled, stalled_at: no update for stalled_after_s.
    completed_at: when it ended, in whatever way.  duration_s: to its end or to now.
    """

    id: str
    name: str
    description: str
    status: Status
    success: bool
    reason: str | None
    current_step: int
    total_steps: int
    percentage: float
    total: int
    finished: int
    participant_progress: dict[AgentId, int] = msgspec.field(default_factory=dict)
    laggard: AgentId | None = None
    lost_agents: tuple[AgentId, ...] = ()
    rate: float | None
    estimated_end_at: Instant | None
    step_data: dict[int, Any]
    is_stalled: bool
    stalled_at: Instant | None
    stalled_after_s: float | None
    weights: dict[str, float] | None
    may_go_back: bool
    completes_with: CompletesWith
    updated_at: Instant
    created_at: Instant
    created_by: AgentId
    completed_at: Instant | None
    completed_by: AgentId | None
    duration_s: float
    metadata: dict[str, Any]


def answer(state: ProgressTracker, request: Request, now: Instant) -> ProgressResult:
    """Return how it stands.  O(1) in the number of participants; for `Look` O(n log n)."""
    terms, ending = state.terms, state.ending
    until = now if ending is None else ending.at
    return ProgressResult(
        pending=isinstance(request, Await) and not is_reached(state, request),
        id=terms.id,
        name=terms.name,
        description=terms.description,
        status=state.status,
        success=state.status == "completed",
        reason=None if ending is None else ending.reason,
        current_step=state.current_step,
        total_steps=terms.total_steps,
        percentage=state.percentage,
        total=len(state.standings),
        finished=state.finished,
        rate=rate(state.marks, until),
        estimated_end_at=estimated_end_at(state.marks, terms.total_steps, now) if ending is None else None,
        step_data={one.step: one.data for one in state.kept},
        is_stalled=state.stalled_at is not None,
        stalled_at=state.stalled_at,
        stalled_after_s=terms.stalled_after_s,
        weights=terms.weights,
        may_go_back=terms.may_go_back,
        completes_with=terms.completes_with,
        updated_at=state.updated_at,
        created_at=terms.created_at,
        created_by=terms.creator,
        completed_at=None if ending is None else ending.at,
        completed_by=None if ending is None else ending.by,
        duration_s=max(0.0, until - terms.created_at),
        metadata=terms.metadata,
        **_participants(state, isinstance(request, Look)),
    )


def is_reached(state: ProgressTracker, request: Await) -> bool:
    """Say whether what is awaited has come, even if the work went back since."""
    if state.ending is not None:
        return True
    if request.step is not None:
        return state.peak_step >= request.step
    return request.percentage is not None and state.peak >= request.percentage


def topic(request: Request) -> str:
    """Name the step, or the percent (rounded up), that is awaited; "" for the end."""
    if isinstance(request, Await) and request.step is not None:
        return f"step:{request.step}"
    if isinstance(request, Await) and request.percentage is not None:
        return f"percent:{_percent(request.percentage)}"
    return ""


def wakes(event: Event) -> Iterable[str]:
    """Name the steps and percents that an update has passed; everybody at the end."""
    if event.kind in ("progress.completed", "progress.cancelled"):
        return (EVERYBODY,)
    if event.kind != "progress.updated":
        return ()
    data = event.data
    steps = range(data["was_step"] + 1, data["current_step"] + 1)
    if len(steps) > STEPS_WOKEN:
        return (EVERYBODY,)
    percents = range(_percent(data["was_percentage"]), _percent(data["percentage"]) + 1)
    is_further = data["percentage"] > data["was_percentage"]
    return (*(f"step:{step}" for step in steps), *(f"percent:{percent}" for percent in percents if is_further))


def waits(state: ProgressTracker, request: Request, now: Instant) -> Wait | None:
    """Say whose reports the caller waits for, since the last one; there is no deadline."""
    if not isinstance(request, Await) or is_reached(state, request):
        return None
    agents, fewest = _who_can_bring_it(state, request)
    text = f"progress of {state.terms.name}, at step {state.current_step} of {state.terms.total_steps} "
    text = f"{text}({state.percentage:.0%}), to {_goal(request)}"
    if agents:
        text = f"{text}; reported by {in_words(agents, state.lost)}"
    if state.stalled_at is not None:
        text = f"{text}; it is stalled: no update for {max(0.0, now - state.updated_at):.1f} s"
    return Wait(text, state.updated_at, agents, fewest)


def _percent(level: float) -> int:
    return math.ceil(100 * level)


def _goal(request: Await) -> str:
    if request.step is not None:
        return f"reach step {request.step}"
    return "end" if request.percentage is None else f"reach {request.percentage:.0%}"


def _who_can_bring_it(state: ProgressTracker, request: Await) -> tuple[tuple[AgentId, ...], int]:
    """Return whose reports can end the wait and how many of them it takes; of very many, none are named."""
    is_about_all = request.percentage is not None or state.terms.completes_with == "participants"
    if request.step is not None or not state.standings or not is_about_all:
        return (state.terms.creator,), 1
    fewest = 1 if request.percentage is not None else len(state.standings) - state.finished
    return (_unfinished(state) if len(state.standings) <= NAMED_MAX else ()), fewest


def _unfinished(state: ProgressTracker) -> tuple[AgentId, ...]:
    last = state.terms.total_steps
    return tuple(AgentId(agent) for agent, standing in state.standings.items() if standing.step < last)


def _participants(state: ProgressTracker, is_looked_at: bool) -> dict[str, Any]:
    if not (is_looked_at or len(state.standings) <= SHOWN):
        return {}
    first = islice(state.standings.items(), LOOKED_AT)
    last = state.terms.total_steps
    behind = ((one.step, agent) for agent, one in state.standings.unordered() if one.step < last)
    return {
        "participant_progress": {AgentId(agent): one.step for agent, one in first},
        "laggard": min(behind, default=(0, None))[1],
        "lost_agents": tuple(AgentId(agent) for agent in islice(state.lost, LOOKED_AT)),
    }
