"""What a phaser tells: the result of a call, whom an event concerns, and for whom a caller waits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from concerted.machine import EVERYBODY, Event, Result, Wait
from concerted.sync.absence import all_named, first_named, in_words
from concerted.sync.phasers.state import (
    Arrive,
    ArriveAndAwait,
    Await,
    Deregister,
    Phaser,
    Register,
    Request,
    Verdict,
    remembered,
    verdict_of,
)
from concerted.values import AgentId, Instant

__all__ = ["PhaserResult", "answer", "phase_asked", "topic", "waits", "wakes"]


class PhaserResult(Result, frozen=True, kw_only=True):
    """What there is to know of one phase, for one agent where an agent asked.

    status: of the phase.  success: it has advanced.  party_count: who arrived in it and whom it waits for;
    registered_count: all who are registered now.  wait_s: from this agent's arrival to the verdict, or to now.
    registration, from_phase: of this agent.  removed: who was taken out in this phase, and why.  blamed,
    missing, lost: the first names only.
    """

    phaser_id: str
    phase: int
    current_phase: int
    status: Literal["waiting", "advanced", "broken", "terminated"]
    success: bool = False
    reason: str = ""
    arrived_count: int = 0
    party_count: int = 0
    registered_count: int = 0
    registration: int | None = None
    from_phase: int | None = None
    wait_s: float = 0.0
    advanced_at: Instant | None = None
    deadline_at: Instant | None = None
    is_late: bool = False
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    data_count: int = 0
    blamed: tuple[str, ...] = ()
    removed: dict[str, str] = msgspec.field(default_factory=dict)
    missing: tuple[str, ...] = ()
    lost: dict[str, str] = msgspec.field(default_factory=dict)
    name: str = ""
    created_at: Instant | None = None
    created_by: AgentId | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


def answer(state: Phaser, request: Request, now: Instant) -> PhaserResult:
    """Return what the caller is told; ArriveAndAwait and Await wait until their phase is over."""
    match request:
        case Arrive():
            phase = phase_asked(state, request)
            return _of_phase(state, phase, request.agent, now, waits=isinstance(request, ArriveAndAwait))
        case Await(agent, phase):
            return _of_phase(state, phase, agent, now, waits=True)
        case Register(agent) | Deregister(agent):
            return _standing(state, agent, now)
        case _:
            return _overview(state)


def topic(request: Request) -> str:
    """Name what a caller waits for: each agent by itself."""
    return request.agent if isinstance(request, Arrive | Await) else ""


def wakes(event: Event) -> Iterable[str]:
    """Name who is to look again: everybody when a phase is over."""
    return (EVERYBODY,) if event.kind in ("phaser.advanced", "phaser.broken", "phaser.terminated") else ()


def waits(state: Phaser, request: Request, now: Instant) -> Wait | None:
    """Say for whom a caller waits; with more than NAMED_MAX missing it counts them and names only the gone."""
    if not isinstance(request, Arrive | Await) or not answer(state, request, now).pending:
        return None
    phase = request.phase if isinstance(request, Await) else state.phase
    arrival = state.arrivals.get(request.agent)
    arrived, count = len(state.arrivals), len(state.missing)
    text = (
        f"phase {state.phase} of phaser {state.terms.id}: {arrived:,} of {arrived + count:,} have arrived; waits for "
    )
    missing = all_named(state.missing)
    named = missing or tuple(name for name in state.lost if name in state.missing)
    text += in_words(named, state.lost, count) or "somebody to register"
    if state.is_late:
        text += ", late since the phase's time is over"
    if phase > state.phase:
        text = f"phase {phase}, after {text}"
    return Wait(
        text,
        state.started_at if arrival is None else arrival.at,
        tuple(AgentId(name) for name in missing),
        max(1, count),
        None if state.terms.policy == "wait" else state.late_at,
    )


def phase_asked(state: Phaser, request: Arrive) -> int:
    """Return which phase an arrival that was granted is about."""
    found = remembered(state, request.agent, request.request_id)
    if found is not None:
        return found
    if request.phase is not None:
        return request.phase
    if request.agent in state.arrivals:
        return state.phase
    of_agent = (verdict.phase for verdict in reversed(state.verdicts) if request.agent in verdict.arrivals)
    return next(of_agent, state.phase)


def _of_phase(state: Phaser, phase: int, agent: AgentId, now: Instant, *, waits: bool) -> PhaserResult:
    verdict = verdict_of(state, phase)
    if verdict is not None:
        return _told(state, verdict, agent)
    told = _standing(state, agent, now)
    is_open = state.status == "active" and phase >= state.phase
    return msgspec.structs.replace(told, phase=phase, pending=waits and is_open)


def _standing(state: Phaser, agent: AgentId, now: Instant) -> PhaserResult:
    """Return how the current phase stands for an agent.  O(1)."""
    party, arrival = state.parties.get(agent), state.arrivals.get(agent)
    registration = None if arrival is None else arrival.registration
    return _result(
        state,
        state.phase,
        "terminated" if state.status == "terminated" else "waiting",
        reason=state.reason,
        arrived_count=len(state.arrivals),
        party_count=len(state.arrivals) + len(state.missing),
        registration=registration if party is None else party.number,
        from_phase=None if party is None else party.from_phase,
        wait_s=0.0 if arrival is None else max(0.0, now - arrival.at),
        deadline_at=state.late_at,
        is_late=state.is_late,
    )


def _told(state: Phaser, verdict: Verdict, agent: AgentId) -> PhaserResult:
    """Return a verdict, as it is told to an agent."""
    arrival, party = verdict.arrivals.get(agent), state.parties.get(agent)
    registration = None if party is None else party.number
    return _result(
        state,
        verdict.phase,
        verdict.status,
        success=verdict.status == "advanced",
        reason=verdict.reason,
        arrived_count=len(verdict.arrivals),
        party_count=verdict.party_count,
        registration=registration if arrival is None else arrival.registration,
        wait_s=0.0 if arrival is None else max(0.0, verdict.at - arrival.at),
        advanced_at=verdict.at if verdict.status == "advanced" else None,
        data=dict(verdict.data),
        data_count=verdict.data_count,
        blamed=verdict.blamed,
        removed={removal.agent: removal.reason for removal in verdict.removed},
    )


def _overview(state: Phaser) -> PhaserResult:
    """Return how the phaser stands, for somebody who looks.  O(n log n) in the missing parties."""
    return _result(
        state,
        state.phase,
        "terminated" if state.status == "terminated" else "waiting",
        reason=state.reason,
        arrived_count=len(state.arrivals),
        party_count=len(state.arrivals) + len(state.missing),
        deadline_at=state.late_at,
        is_late=state.is_late,
        data=dict(state.data.entries),
        data_count=state.data.count,
        removed={removal.agent: removal.reason for removal in state.removed if removal.phase == state.phase},
        missing=first_named(state.missing),
        lost={name: state.lost[name] for name in first_named(state.lost)},
    )


def _result(
    state: Phaser, phase: int, status: Literal["waiting", "advanced", "broken", "terminated"], **facts: Any
) -> PhaserResult:
    terms = state.terms
    return PhaserResult(
        phaser_id=terms.id,
        phase=phase,
        current_phase=state.phase,
        status=status,
        registered_count=len(state.parties),
        name=terms.name,
        created_at=state.created_at,
        created_by=terms.by,
        metadata=terms.metadata,
        **facts,
    )
