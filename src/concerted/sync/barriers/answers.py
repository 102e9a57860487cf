"""What a barrier tells: the result of a call, whom an event concerns, and for whom a caller waits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from concerted.machine import EVERYBODY, Event, Result, Wait
from concerted.sync.absence import all_named, first_named, in_words
from concerted.sync.barriers.state import (
    COORDINATOR,
    Action,
    ActionDone,
    Arrive,
    Barrier,
    Request,
    Status,
    Verdict,
    remembered,
    verdict_of,
)
from concerted.values import AgentId, Instant

__all__ = ["BarrierResult", "answer", "generation_asked", "topic", "waits", "wakes"]


class BarrierResult(Result, frozen=True, kw_only=True):
    """What there is to know of one generation, for one agent where an agent asked.

    status: of the generation while it has no verdict, and then its verdict; of the barrier in a Look, and
    when it is cancelled or removed.  success: it was released.  wait_s: from this agent's arrival to the
    verdict, or to now.  is_elected: the caller is to do `action` now and then to say `ActionDone` under
    `action_epoch`.  is_refused: the outcome of an action came under an older epoch.  arrived (told to
    the elected party and in a Look), blamed, missing, lost: the first names only.
    """

    barrier_id: str
    generation: int
    status: Status
    success: bool = False
    reason: str = ""
    participant_count: int = 0
    arrived_count: int = 0
    wait_s: float = 0.0
    triggered_at: Instant | None = None
    released_at: Instant | None = None
    deadline_at: Instant | None = None
    is_elected: bool = False
    is_refused: bool = False
    action: Action | None = None
    action_epoch: int | None = None
    action_result: Any = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    data_count: int = 0
    blamed: tuple[str, ...] = ()
    arrived: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    lost: dict[str, str] = msgspec.field(default_factory=dict)
    name: str = ""
    created_at: Instant | None = None
    created_by: AgentId | None = None
    cyclic: bool = True
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


def answer(state: Barrier, request: Request, now: Instant) -> BarrierResult:
    """Return what the caller is told.  Only an Arrive is ever pending, and not while its agent is elected."""
    match request:
        case Arrive():
            verdict = verdict_of(state, generation_asked(state, request))
            return _standing(state, request, now) if verdict is None else _told(state, verdict, request.agent)
        case ActionDone():
            verdict = verdict_of(state, request.generation)
            if verdict is None:
                return msgspec.structs.replace(_overview(state), is_refused=True)
            refused = verdict.action_epoch != request.action_epoch
            return msgspec.structs.replace(_told(state, verdict, request.by), is_refused=refused)
        case _:
            return _overview(state)


def topic(request: Request) -> str:
    """Name what a caller waits for: each agent by itself."""
    return request.agent if isinstance(request, Arrive) else ""


def wakes(event: Event) -> Iterable[str]:
    """Name who is to look again: everybody at a verdict, the elected party at its election."""
    match event.kind:
        case "barrier.released" | "barrier.timed_out" | "barrier.broken" | "barrier.cancelled" | "barrier.removed":
            return (EVERYBODY,)
        case "barrier.action_started" if event.agent is not None:
            return (event.agent,)
        case _:
            return ()


def waits(state: Barrier, request: Request, now: Instant) -> Wait | None:
    """Say for whom an Arrive waits; with more than NAMED_MAX missing it counts them and names only the gone."""
    if not isinstance(request, Arrive) or not answer(state, request, now).pending:
        return None
    since = state.arrivals[request.agent].at
    where = f"generation {state.generation} of barrier {state.terms.id}"
    if state.acting is not None:
        acting = state.acting
        action = "" if state.terms.action is None else state.terms.action.name
        text = f"{where}: {acting.by} does its action {action}, attempt {acting.attempt}"
        return Wait(text, since, () if acting.by == COORDINATOR else (acting.by,), 1, state.deadline_at)
    missing = all_named(state.missing)
    count = state.terms.participant_count - len(state.arrivals)
    named = missing or tuple(name for name in state.lost if name in state.missing)
    text = f"{where}: {len(state.arrivals):,} of {state.terms.participant_count:,} have arrived; waits for "
    blockers = tuple(AgentId(name) for name in missing)
    return Wait(text + in_words(named, state.lost, count), since, blockers, count, state.deadline_at)


def _standing(state: Barrier, request: Arrive, now: Instant) -> BarrierResult:
    """Return how an arrival stands whose generation has no verdict yet (or none any more).  O(1)."""
    arrival, acting = state.arrivals.get(request.agent), state.acting
    if arrival is None:
        reason = state.reason or f"nothing is known of an arrival of {request.agent}"
        return _result(state, state.generation, state.status, reason=reason)
    told = _result(
        state,
        state.generation,
        state.status,
        pending=True,
        arrived_count=len(state.arrivals),
        wait_s=max(0.0, now - arrival.at),
        triggered_at=state.triggered_at,
        deadline_at=state.deadline_at,
    )
    if acting is None or acting.by != request.agent or acting.epoch == request.action_epoch:
        return told
    return msgspec.structs.replace(
        told,
        pending=False,
        reason="do the action, then say ActionDone under its action_epoch",
        deadline_at=acting.deadline_at,
        is_elected=True,
        action=state.terms.action,
        action_epoch=acting.epoch,
        data=dict(state.data.entries),
        data_count=state.data.count,
        arrived=first_named(state.arrivals),
    )


def _told(state: Barrier, verdict: Verdict, agent: AgentId | None) -> BarrierResult:
    """Return a verdict, as it is told to an agent."""
    arrival = None if agent is None else verdict.arrivals.get(agent)
    return _result(
        state,
        verdict.generation,
        verdict.status,
        success=verdict.status == "released",
        reason=verdict.reason,
        arrived_count=len(verdict.arrivals),
        wait_s=0.0 if arrival is None else max(0.0, verdict.at - arrival.at),
        triggered_at=verdict.triggered_at,
        released_at=verdict.at if verdict.status == "released" else None,
        action_epoch=verdict.action_epoch,
        action_result=verdict.result,
        data=dict(verdict.data),
        data_count=verdict.data_count,
        blamed=verdict.blamed,
    )


def _overview(state: Barrier) -> BarrierResult:
    """Return how the barrier stands, for somebody who looks.  O(n log n) in the missing parties."""
    verdict = verdict_of(state, state.generation)
    if verdict is not None:
        told = _told(state, verdict, None)
        return msgspec.structs.replace(told, status=state.status, reason=state.reason, action=state.terms.action)
    acting = state.acting
    return _result(
        state,
        state.generation,
        state.status,
        reason=state.reason,
        arrived_count=len(state.arrivals),
        triggered_at=state.triggered_at,
        deadline_at=state.deadline_at,
        action=state.terms.action,
        action_epoch=None if acting is None else acting.epoch,
        data=dict(state.data.entries),
        data_count=state.data.count,
        arrived=first_named(state.arrivals),
        missing=first_named(state.missing),
        lost={name: state.lost[name] for name in first_named(state.lost)},
    )


def _result(state: Barrier, generation: int, status: Status, **facts: Any) -> BarrierResult:
    terms = state.terms
    return BarrierResult(
        barrier_id=terms.id,
        generation=generation,
        status=status,
        participant_count=terms.participant_count,
        name=terms.name,
        created_at=state.created_at,
        created_by=terms.by,
        cyclic=terms.cyclic,
        metadata=terms.metadata,
        **facts,
    )


def generation_asked(state: Barrier, request: Arrive) -> int:
    """Return which generation an Arrive that was granted is about."""
    found = remembered(state, request.agent, request.request_id)
    if found is not None:
        return found
    if request.generation is not None:
        return request.generation
    if request.agent in state.arrivals:
        return state.generation
    of_agent = (verdict.generation for verdict in reversed(state.verdicts) if request.agent in verdict.arrivals)
    return next(of_agent, state.generation)
