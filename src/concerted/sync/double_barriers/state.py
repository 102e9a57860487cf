"""What a double barrier can be asked, what it remembers, and how events change it; the rules are in `double_barrier`.

Its events are those of its two gates, each under a name of its own: OUTER and INNER translate.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.sync.barriers import state as barrier_state
from concerted.sync.barriers.state import Barrier, Break, Cancel, Reset
from concerted.values import AgentId, Instant

__all__ = [
    "INNER",
    "OUTER",
    "Break",
    "Cancel",
    "Create",
    "DoubleBarrier",
    "Enter",
    "Gate",
    "Leave",
    "Request",
    "Reset",
    "Status",
    "evolve",
]

Gate = Literal["enter", "leave"]
Status = Literal["entering", "inside", "released", "timeout", "broken", "cancelled", "removed"]


@dataclass(frozen=True, slots=True)
class Create:
    """Make a double barrier for `participant_count` parties; 0: as many as are named in `participants`.

    timeout_s: at each gate, from the first arrival; None: it may wait for ever.
    """

    id: str
    by: AgentId
    participant_count: int = 0
    participants: tuple[AgentId, ...] = ()
    name: str = ""
    cyclic: bool = True
    timeout_s: float | None = None
    on_lost: Literal["wait", "break"] = "wait"
    cleanup_delay_s: float = 60.0
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Enter:
    """Come to the first gate, and wait until all have."""

    agent: AgentId
    data: Any = None
    generation: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """Come to the second gate, and wait until all have."""

    agent: AgentId
    data: Any = None
    generation: int | None = None
    request_id: str | None = None


Request = Create | Enter | Leave | Break | Reset | Cancel | Wake | Look | Lost | Found


@dataclass(frozen=True, slots=True)
class DoubleBarrier:
    """Where a double barrier stands; its generation is that of its gate `leave`."""

    enter: Barrier
    leave: Barrier
    cyclic: bool
    status: Status = "entering"
    ended_at: Instant | None = None
    reason: str = ""

    @property
    def gate(self) -> Gate:
        """At which gate the current generation waits, or waited last."""
        return "leave" if self.enter.generation > self.leave.generation else "enter"

    @property
    def is_over(self) -> bool:
        """Whether it goes on no more."""
        return self.status not in ("entering", "inside")

    @property
    def waiting(self) -> Barrier:
        """The gate at which the current generation waits."""
        return self.leave if self.gate == "leave" else self.enter


OUTER = {
    "enter": {"barrier.arrived": "double_barrier.entered", "barrier.released": "double_barrier.begun"},
    "leave": {"barrier.arrived": "double_barrier.left", "barrier.released": "double_barrier.finished"},
}
INNER = {
    "double_barrier.entered": "barrier.arrived",
    "double_barrier.left": "barrier.arrived",
    "double_barrier.repeated": "barrier.repeated",
    "double_barrier.begun": "barrier.released",
    "double_barrier.finished": "barrier.released",
    "double_barrier.timed_out": "barrier.timed_out",
    "double_barrier.broken": "barrier.broken",
}


def evolve(state: DoubleBarrier | None, event: Event, at: Instant) -> DoubleBarrier:
    """Return the state after an event of this double barrier, which was written at `at`."""
    data = event.data
    if event.kind == "double_barrier.created":
        inner = replace(event, kind="barrier.created", data={**data, "cyclic": True, "action": None, "action_epoch": 0})
        gate = barrier_state.evolve(None, inner, at)
        return DoubleBarrier(gate, gate, data["cyclic"])
    assert state is not None, f"{event.kind} before double_barrier.created"
    match event.kind:
        case "double_barrier.cancelled":
            return replace(state, status="cancelled", reason=data["reason"], ended_at=at)
        case "double_barrier.reset":
            return replace(state, status="entering", reason="", ended_at=None)
        case "double_barrier.removed":
            enter = replace(state.enter, verdicts=(), lost=Map())
            leave = replace(state.leave, verdicts=(), lost=Map(), parties=Map(), missing=Map())
            return replace(state, status="removed", enter=enter, leave=leave)
        case "double_barrier.party_lost" | "double_barrier.party_found":
            inner = replace(event, kind=event.kind.removeprefix("double_"))
            return replace(
                state,
                enter=barrier_state.evolve(state.enter, inner, at),
                leave=barrier_state.evolve(state.leave, inner, at),
            )
        case kind if kind in INNER:
            return _through_a_gate(state, event, at)
        case _:
            return state


def _through_a_gate(state: DoubleBarrier, event: Event, at: Instant) -> DoubleBarrier:
    """Let an event happen at its gate; the other follows."""
    data, kind, agent = event.data, INNER[event.kind], event.agent or ""
    filled = {"triggered_at": None, "action_epoch": None, "result": None, **data, "status": "waiting"}
    inner = Event(kind, event.agent, event.ref, filled)
    enter, leave = state.enter, state.leave
    if data["gate"] == "enter":
        entered, enter = enter.arrivals, barrier_state.evolve(enter, inner, at)
    else:
        entered, leave = Map(), barrier_state.evolve(leave, inner, at)
    if agent in enter.lost or agent in leave.lost:  # it has arrived at the other gate
        enter, leave = replace(enter, lost=enter.lost.without(agent)), replace(leave, lost=leave.lost.without(agent))
    if kind in ("barrier.arrived", "barrier.repeated"):
        return DoubleBarrier(enter, leave, state.cyclic, state.status, state.ended_at, state.reason)
    if event.kind == "double_barrier.begun":
        inside = Map((agent, True) for agent, _ in entered.unordered())
        lost = Map((agent, reason) for agent, reason in leave.lost.unordered() if agent in inside)
        leave = replace(leave, parties=inside, missing=inside, lost=lost)
    elif data["gate"] == "enter":  # nobody came in, so nobody has to leave
        leave = replace(leave, generation=leave.generation + 1)
    status: Status = data["status"]
    ended_at = None if status in ("entering", "inside") else at
    reason = "" if ended_at is None else data["reason"]
    return DoubleBarrier(enter, leave, state.cyclic, status, ended_at, reason)
