"""What callers of a sync point are told: how it stands or ended, and what those who wait are waiting for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

import msgspec

from concerted.machine import EVERYBODY, Event, Look, Result, Wait
from concerted.persistent import Map
from concerted.sync.absence import all_named, in_words
from concerted.sync.points.predicate import Condition, problem, reads_now
from concerted.sync.points.state import SHOWN, Arrive, Await, Ending, Request, Status, SyncPoint
from concerted.values import AgentId, Instant

__all__ = ["ENDINGS", "SyncResult", "answer", "topic", "waits", "wakes"]

ENDINGS = ("sync_point.completed", "sync_point.expired", "sync_point.cancelled")


class SyncResult(Result, frozen=True, kw_only=True):
    """How a sync point stands or ended.

    success: it was completed.  reason: `timeout` if it expired, what was given if it was cancelled, who did it
    if by hand.  arrived, total, needed: numbers; needed is None if the condition sees more than numbers.
    arrived_agents, missing, lost_agents, sync_data (agent -> what it brought): sorted by agent; in answers to
    `Look` of the first SHOWN each, in others once it has ended, of points with at most SHOWN participants.
    completed_at: when it ended, in whatever way.  duration_s: from its creation, wait_s: from this caller's
    arrival, to its end or to now.
    """

    id: str
    name: str
    description: str
    status: Status
    success: bool
    reason: str | None
    arrived: int
    total: int
    needed: int | None
    condition: Condition
    arrived_agents: tuple[AgentId, ...] = ()
    missing: tuple[AgentId, ...] = ()
    lost_agents: tuple[AgentId, ...] = ()
    sync_data: dict[AgentId, Any] = msgspec.field(default_factory=dict)
    deadline_at: Instant | None
    created_at: Instant
    created_by: AgentId
    completed_at: Instant | None
    completed_by: AgentId | None
    duration_s: float
    wait_s: float
    metadata: dict[str, Any]


def answer(state: SyncPoint, request: Request, now: Instant) -> SyncResult:
    """Return how the point stands.  O(1), for `Look` O(n log n).

    A `Look` at or after the deadline sees it expired, though the event may not have been written yet.
    """
    terms, ending = state.terms, state.ending
    if ending is None and isinstance(request, Look) and terms.deadline_at is not None and now >= terms.deadline_at:
        ending = Ending(terms.deadline_at, None, "timeout", None)
        state = replace(state, status="expired", ending=ending)
    until = now if ending is None else ending.at
    arrival = state.arrivals.get(request.agent) if isinstance(request, Arrive) else None
    return SyncResult(
        pending=ending is None and isinstance(request, Arrive | Await),
        id=terms.id,
        name=terms.name,
        description=terms.description,
        status=state.status,
        success=state.status == "completed",
        reason=None if ending is None else ending.reason,
        arrived=state.arrived,
        total=state.total,
        needed=state.needed,
        condition=terms.condition,
        deadline_at=terms.deadline_at,
        created_at=terms.created_at,
        created_by=terms.creator,
        completed_at=None if ending is None else ending.at,
        completed_by=None if ending is None else ending.by,
        duration_s=max(0.0, until - terms.created_at),
        wait_s=0.0 if arrival is None else max(0.0, until - arrival.at),
        metadata=terms.metadata,
        **_lists(state, isinstance(request, Look)),
    )


def topic(request: Request) -> str:  # noqa: ARG001
    """All who wait at a sync point wait for the same thing."""
    return ""


def wakes(event: Event) -> Iterable[str]:
    """Everybody at its end, and nobody before."""
    return (EVERYBODY,) if event.kind in ENDINGS else ()


def waits(state: SyncPoint, request: Request, now: Instant) -> Wait | None:  # noqa: ARG001
    """Say for whom the point waits, who of them is gone, and how many of them it takes.

    Up to NAMED_MAX of `sync.absence` who are missing are named, beyond them only counted, so that it costs the
    same whatever the number of participants.
    """
    if state.status != "waiting" or not isinstance(request, Arrive | Await):
        return None
    arrival = state.arrivals.get(request.agent) if isinstance(request, Arrive) else None
    unblocked_by, fewest = _who_can_end_it(state)
    return Wait(
        waiting_for=_in_words(state),
        since=state.terms.created_at if arrival is None else arrival.at,
        unblocked_by=unblocked_by,
        needed=fewest,
        deadline=state.terms.deadline_at,
    )


def _lists(state: SyncPoint, is_looked_at: bool) -> dict[str, Any]:
    if state.ending is not None and state.ending.roll is not None:
        roll = state.ending.roll
        return {
            "arrived_agents": roll.arrived,
            "missing": roll.missing,
            "lost_agents": roll.lost,
            "sync_data": roll.data,
        }
    if not is_looked_at:
        return {}
    arrived = _first(state.arrivals)
    brought = {agent: state.arrivals[agent].data for agent in arrived}
    return {
        "arrived_agents": arrived,
        "missing": _first(state.missing),
        "lost_agents": _first(state.lost),
        "sync_data": {agent: data for agent, data in brought.items() if data is not None},
    }


def _first(of: Map[str, Any]) -> tuple[AgentId, ...]:
    return tuple(AgentId(agent) for agent in islice(of, SHOWN))


def _who_can_end_it(state: SyncPoint) -> tuple[tuple[AgentId, ...], int]:
    """Return the agents whose arrival can end the wait and how many of them it takes; none named: whoever comes."""
    if not state.missing:  # a predicate that does not hold though all are there
        return (() if reads_now(state.terms.condition) else (state.terms.creator,)), 1
    names = tuple(AgentId(agent) for agent in all_named(state.missing))
    if state.needed is None:
        return (() if reads_now(state.terms.condition) else names), 1
    return names, state.needed - state.arrived


def _in_words(state: SyncPoint) -> str:
    condition = "" if state.needed is None else f" and {state.needed} are needed"
    text = f"sync point {state.terms.name}: {state.arrived} of {state.total} have arrived{condition}"
    if state.missing:
        names = all_named(state.missing) or tuple(islice(state.lost, SHOWN))
        text = f"{text}; missing: {in_words(names, state.lost, len(state.missing))}"
    if state.needed is None:
        text = f"{text}; its {state.terms.condition.type} {_why_not(state)}"
    if state.needed is not None and state.total - len(state.lost) < state.needed:
        text = f"{text}; it cannot complete without those who are gone"
    return text


def _why_not(state: SyncPoint) -> str:
    cannot = problem(state.terms.condition)
    if cannot is not None:
        return f"cannot be looked at: {cannot}"
    return f"failed with: {state.errors[-1]}" if state.errors else "does not hold"
