"""What a barrier can be asked, what it remembers, and how events change it; the rules are in `barrier`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.sync.gathered import Gathered
from concerted.values import AgentId, Instant

__all__ = [
    "COORDINATOR",
    "REQUESTS_KEPT",
    "VERDICTS_KEPT",
    "Acting",
    "Action",
    "ActionDone",
    "Arrival",
    "Arrive",
    "Barrier",
    "Break",
    "Cancel",
    "Create",
    "Request",
    "Reset",
    "Status",
    "Verdict",
    "evolve",
    "remembered",
    "verdict_of",
]

VERDICTS_KEPT = 8  # generations that can still be asked about
REQUESTS_KEPT = 4  # request ids remembered of one arrival
COORDINATOR = AgentId("coordinator")

Status = Literal["waiting", "tripped", "released", "timeout", "broken", "cancelled", "removed"]


@dataclass(frozen=True, slots=True)
class Action:
    """What is done once per generation before anybody is released.  timeout_s: for one try at it."""

    kind: Literal["coordinator", "elected"]
    name: str
    payload: Any = None
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Create:
    """Make a barrier for `participant_count` parties; 0: as many as are named in `participants`.

    timeout_s: of one generation, from its first arrival; None: it may wait for ever.  on_lost: what comes
    of a named party that is lost before it has arrived: it is waited for, or the generation breaks as soon
    as somebody waits in it.
    """

    id: str
    by: AgentId
    participant_count: int = 0
    participants: tuple[AgentId, ...] = ()
    name: str = ""
    cyclic: bool = True
    timeout_s: float | None = None
    action: Action | None = None
    on_lost: Literal["wait", "break"] = "wait"
    cleanup_delay_s: float = 60.0
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arrive:
    """Arrive, and wait for the verdict.

    generation: None is the current one.  request_id: the same one in a repeated call finds the generation
    of the first.  action_epoch: the elected party says that it knows of its election and now waits.
    """

    agent: AgentId
    data: Any = None
    generation: int | None = None
    request_id: str | None = None
    action_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class ActionDone:
    """Tell how the action ended that was begun under `action_epoch`; an `error` breaks the generation."""

    by: AgentId
    generation: int
    action_epoch: int
    result: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Break:
    """Break a generation (None: the current one) for everybody in it."""

    by: AgentId
    reason: str = ""
    generation: int | None = None
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Begin a new generation; those who wait in the current one get the verdict `broken`."""

    by: AgentId
    reason: str = ""
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Call the barrier off for good."""

    by: AgentId
    reason: str = ""
    is_admin: bool = False


Request = Create | Arrive | ActionDone | Break | Reset | Cancel | Wake | Look | Lost | Found


@dataclass(frozen=True, slots=True)
class Arrival:
    """When an agent arrived, as which one (from 1), and by which requests."""

    at: Instant
    place: int
    requests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Acting:
    """Who does the action now.  place: of the elected party's arrival; attempt: counted from 1."""

    by: AgentId
    epoch: int
    place: int
    attempt: int
    deadline_at: Instant


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a generation ended, the same for everyone in it.  blamed: by whose fault or deed it broke."""

    generation: int
    status: Literal["released", "timeout", "broken"]
    reason: str
    blamed: tuple[str, ...]
    at: Instant
    triggered_at: Instant | None
    action_epoch: int | None
    result: Any
    data: dict[str, Any]
    data_count: int
    arrivals: Map[str, Arrival]


@dataclass(frozen=True, slots=True)
class Barrier:
    """Where a barrier stands.

    arrivals, data, missing (named parties), deadline_at, triggered_at, acting: of the current generation.
    lost: who is known to be gone, and why.  ended_at: when a barrier that does not go on came to its end.
    """

    terms: Create
    parties: Map[str, bool]
    created_at: Instant
    status: Status = "waiting"
    generation: int = 0
    arrivals: Map[str, Arrival] = field(default_factory=Map)
    data: Gathered = field(default_factory=Gathered)
    missing: Map[str, bool] = field(default_factory=Map)
    deadline_at: Instant | None = None
    triggered_at: Instant | None = None
    acting: Acting | None = None
    action_epoch: int = 0
    lost: Map[str, str] = field(default_factory=Map)
    verdicts: tuple[Verdict, ...] = ()
    ended_at: Instant | None = None
    reason: str = ""


def evolve(state: Barrier | None, event: Event, at: Instant) -> Barrier:
    """Return the state after an event of this barrier, which was written at `at`."""
    data = event.data
    if event.kind == "barrier.created":
        return _created(event, at)
    assert state is not None, f"{event.kind} before barrier.created"
    match event.kind:
        case "barrier.arrived":
            return _arrived(state, event, at)
        case "barrier.repeated":
            arrival = state.arrivals[event.agent or ""]
            kept = (*arrival.requests, data["request_id"])[-REQUESTS_KEPT:]
            return replace(state, arrivals=state.arrivals.set(event.agent or "", replace(arrival, requests=kept)))
        case "barrier.action_started":
            acting = Acting(
                event.agent or COORDINATOR, data["action_epoch"], data["place"], data["attempt"], data["deadline_at"]
            )
            return replace(
                state, status="tripped", acting=acting, action_epoch=acting.epoch, triggered_at=data["triggered_at"]
            )
        case "barrier.released" | "barrier.timed_out" | "barrier.broken":
            return _ended(state, event, at)
        case "barrier.reset":
            return replace(state, status="waiting", generation=data["generation"], ended_at=None, reason="")
        case "barrier.cancelled":
            return replace(state, status="cancelled", reason=data["reason"], ended_at=at)
        case "barrier.removed":
            return replace(state, status="removed", verdicts=(), lost=Map())
        case "barrier.party_lost":
            return replace(state, lost=state.lost.set(event.agent or "", data["reason"]))
        case "barrier.party_found":
            return replace(state, lost=state.lost.without(event.agent or ""))
        case _:
            return state


def verdict_of(state: Barrier, generation: int) -> Verdict | None:
    """Return the verdict of a generation; None if it has none yet, or none any more."""
    return next((verdict for verdict in reversed(state.verdicts) if verdict.generation == generation), None)


def remembered(state: Barrier, agent: AgentId, request_id: str | None) -> int | None:
    """Return the generation in which this agent arrived by this request; None if it is not known."""
    if request_id is None:
        return None
    arrival = state.arrivals.get(agent)
    if arrival is not None and request_id in arrival.requests:
        return state.generation
    for verdict in reversed(state.verdicts):
        arrival = verdict.arrivals.get(agent)
        if arrival is not None and request_id in arrival.requests:
            return verdict.generation
    return None


def _created(event: Event, at: Instant) -> Barrier:
    data = event.data
    assert event.agent is not None
    terms = Create(
        id=data["id"],
        by=event.agent,
        participant_count=data["participant_count"],
        participants=tuple(data["participants"]),
        name=data["name"],
        cyclic=data["cyclic"],
        timeout_s=data["timeout_s"],
        action=None if data["action"] is None else Action(**data["action"]),
        on_lost=data["on_lost"],
        cleanup_delay_s=data["cleanup_delay_s"],
        metadata=data["metadata"],
    )
    parties = Map((name, True) for name in data["participants"])
    return Barrier(
        terms, parties, at, generation=data["generation"], missing=parties, action_epoch=data["action_epoch"]
    )


def _arrived(state: Barrier, event: Event, at: Instant) -> Barrier:
    data, agent = event.data, event.agent or ""
    requests = () if data["request_id"] is None else (data["request_id"],)
    return Barrier(  # by hand, as this happens most often and `replace` costs three times as much
        terms=state.terms,
        parties=state.parties,
        created_at=state.created_at,
        status=state.status,
        generation=state.generation,
        arrivals=state.arrivals.set(agent, Arrival(at, data["arrived"], requests)),
        data=state.data.joined_by(agent, data["data"]),
        missing=state.missing.without(agent),
        deadline_at=data["deadline_at"],
        action_epoch=state.action_epoch,
        lost=state.lost.without(agent),
        verdicts=state.verdicts,
    )


def _ended(state: Barrier, event: Event, at: Instant) -> Barrier:
    """Write the verdict down; the next generation begins, or the barrier has come to its end."""
    data = event.data
    goes_on = data["status"] == "waiting"
    verdict = Verdict(
        generation=data["generation"],
        status=data["verdict"],
        reason=data["reason"],
        blamed=tuple(data["blamed"]),
        at=data["decided_at"],
        triggered_at=data["triggered_at"],
        action_epoch=data["action_epoch"],
        result=data["result"],
        data=dict(state.data.entries),
        data_count=state.data.count,
        arrivals=state.arrivals,
    )
    return replace(
        state,
        status=data["status"],
        generation=state.generation + goes_on,
        arrivals=Map(),
        data=Gathered(),
        missing=state.parties,
        deadline_at=None,
        triggered_at=None,
        acting=None,
        lost=state.lost if state.parties else Map(),
        verdicts=(*state.verdicts, verdict)[-VERDICTS_KEPT:],
        ended_at=None if goes_on else at,
        reason="" if goes_on else data["reason"],
    )
