"""What a double barrier tells: the result of a call, whom an event concerns, and for whom a caller waits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec

from concerted.machine import EVERYBODY, Event, Look, Result, Wait
from concerted.sync.barriers import answers as barrier_answers
from concerted.sync.barriers.answers import BarrierResult
from concerted.sync.barriers.state import Arrive, Barrier
from concerted.sync.double_barriers.state import DoubleBarrier, Enter, Gate, Leave, Request, Status
from concerted.values import AgentId, Instant

__all__ = ["DoubleBarrierResult", "answer", "at_gate", "topic", "waits", "wakes"]

_ENDINGS = (
    "double_barrier.begun", "double_barrier.finished", "double_barrier.timed_out", "double_barrier.broken",
    "double_barrier.cancelled", "double_barrier.removed",
)  # fmt: skip


class DoubleBarrierResult(Result, frozen=True, kw_only=True):
    """What there is to know of one gate in one generation, for one agent where an agent asked.

    status, success, reason, wait_s, released_at, data: of this gate.  success at `enter`: go in; at
    `leave`: all have left.  arrived_count: at this gate.  blamed, missing, lost: the first names only.
    """

    barrier_id: str
    generation: int
    gate: Gate
    status: Status
    success: bool = False
    reason: str = ""
    participant_count: int = 0
    arrived_count: int = 0
    entered_count: int = 0
    left_count: int = 0
    wait_s: float = 0.0
    released_at: Instant | None = None
    deadline_at: Instant | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    data_count: int = 0
    blamed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    lost: dict[str, str] = msgspec.field(default_factory=dict)
    name: str = ""
    created_at: Instant | None = None
    created_by: AgentId | None = None
    cyclic: bool = True
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


def answer(state: DoubleBarrier, request: Request, now: Instant) -> DoubleBarrierResult:
    """Return what the caller is told; an Enter and a Leave wait for the verdict of their gate."""
    if not isinstance(request, Enter | Leave):
        return _overview(state, now)
    gate: Gate = "enter" if isinstance(request, Enter) else "leave"
    return _result(state, gate, barrier_answers.answer(_at(state, gate), at_gate(state, request), now))


def topic(request: Request) -> str:
    """Name what a caller waits for: each agent by itself."""
    return request.agent if isinstance(request, Enter | Leave) else ""


def wakes(event: Event) -> Iterable[str]:
    """Name who is to look again: everybody when a gate has a verdict."""
    return (EVERYBODY,) if event.kind in _ENDINGS else ()


def waits(state: DoubleBarrier, request: Request, now: Instant) -> Wait | None:
    """Say for whom an Enter or a Leave waits."""
    if not isinstance(request, Enter | Leave):
        return None
    gate: Gate = "enter" if isinstance(request, Enter) else "leave"
    wait = barrier_answers.waits(_at(state, gate), at_gate(state, request), now)
    return None if wait is None else replace(wait, waiting_for=f"gate {gate} of {wait.waiting_for}")


def at_gate(state: DoubleBarrier, request: Enter | Leave) -> Arrive:
    """Return the arrival at its gate that an Enter or a Leave is; one to leave says at which generation."""
    arrive = Arrive(request.agent, request.data, request.generation, request.request_id)
    if isinstance(request, Enter) or request.generation is not None:
        return arrive
    agent, generation = request.agent, state.leave.generation
    is_here = agent in state.leave.parties if state.gate == "leave" else agent in state.enter.arrivals
    if not is_here:  # then the newest in which it was
        been = (verdict.generation for verdict in reversed(state.enter.verdicts) if agent in verdict.arrivals)
        generation = next(been, generation)
    return replace(arrive, generation=generation)


def _at(state: DoubleBarrier, gate: Gate) -> Barrier:
    return state.enter if gate == "enter" else state.leave


def _overview(state: DoubleBarrier, now: Instant) -> DoubleBarrierResult:
    """Return how the double barrier stands, for somebody who looks.  O(n log n) in the missing parties."""
    told = _result(state, state.gate, barrier_answers.answer(state.waiting, Look(), now))
    if not state.is_over:
        return told
    verdicts = [*state.enter.verdicts[-1:], *state.leave.verdicts[-1:]]
    generation = max((verdict.generation for verdict in verdicts), default=told.generation)
    success = state.status == "released"
    return msgspec.structs.replace(told, generation=generation, success=success, missing=())


def _result(state: DoubleBarrier, gate: Gate, told: BarrierResult) -> DoubleBarrierResult:
    terms = state.enter.terms
    status: Status = "inside" if gate == "leave" else "entering"
    if told.status in ("released", "timeout", "broken"):
        status = told.status
    elif state.is_over:
        status = state.status
    return DoubleBarrierResult(
        pending=told.pending,
        barrier_id=terms.id,
        generation=told.generation,
        gate=gate,
        status=status,
        success=told.success,
        reason=told.reason or (state.reason if status == state.status else ""),
        participant_count=terms.participant_count,
        arrived_count=told.arrived_count,
        entered_count=told.arrived_count if gate == "enter" else terms.participant_count,
        left_count=told.arrived_count if gate == "leave" else 0,
        wait_s=told.wait_s,
        released_at=told.released_at,
        deadline_at=told.deadline_at,
        data=told.data,
        data_count=told.data_count,
        blamed=told.blamed,
        missing=told.missing,
        lost=told.lost,
        name=terms.name,
        created_at=state.enter.created_at,
        created_by=terms.by,
        cyclic=state.cyclic,
        metadata=terms.metadata,
    )
