"""What a phaser can be asked, what it remembers, and how events change it; the rules are in `phaser`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.sync.gathered import Gathered
from concerted.values import AgentId, Instant

__all__ = [
    "REMOVED_KEPT",
    "REQUESTS_KEPT",
    "VERDICTS_KEPT",
    "Arrival",
    "Arrive",
    "ArriveAndAwait",
    "ArriveAndDeregister",
    "Await",
    "Cancel",
    "Create",
    "Deregister",
    "Party",
    "Phaser",
    "Register",
    "Removal",
    "Remove",
    "Request",
    "Verdict",
    "evolve",
    "remembered",
    "verdict_of",
]

VERDICTS_KEPT = 8  # phases that can still be asked about
REMOVED_KEPT = 256  # removals that can still be told to who comes back
REQUESTS_KEPT = 4  # request ids remembered of one arrival

Policy = Literal["wait", "shrink", "break", "fail"]


@dataclass(frozen=True, slots=True)
class Create:
    """Make a phaser; `participants` are registered from the beginning.

    policy: what comes of a party that is lost, or has not arrived `late_after_s` after the first arrival of
    the phase (None: nobody is ever late).  wait: it is waited for, and named.  shrink: it is removed, and the
    phase goes on without it.  break: the phase has failed for everybody, and the next goes on with the rest.
    fail: the phaser is terminated.  ends_when_empty: it is terminated when the last party has gone.
    """

    id: str
    by: AgentId
    participants: tuple[AgentId, ...] = ()
    name: str = ""
    policy: Policy = "wait"
    late_after_s: float | None = None
    ends_when_empty: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Register:
    """Become a party, of the current phase on or (`from_next`) of the next."""

    agent: AgentId
    from_next: bool = False


@dataclass(frozen=True, slots=True)
class Deregister:
    """Be a party no longer; the current phase does not wait for it any more."""

    agent: AgentId
    registration: int | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """Take a party out, by the creator or an admin."""

    by: AgentId
    agent: AgentId
    reason: str = ""
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Arrive:
    """Arrive in a phase (None: the current one) and do not wait.

    registration: the number that Register answered; an arrival under an older one is refused.
    request_id: the same one in a repeated call finds the phase of the first.
    """

    agent: AgentId
    data: Any = None
    phase: int | None = None
    registration: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class ArriveAndAwait(Arrive):
    """Arrive, and wait until the phase is over."""


@dataclass(frozen=True, slots=True)
class ArriveAndDeregister(Arrive):
    """Arrive for the last time: it counts in this phase, and the next does without this party."""


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until a phase is over; parties and others may."""

    agent: AgentId
    phase: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Terminate the phaser."""

    by: AgentId
    reason: str = ""
    is_admin: bool = False


Request = (
    Create
    | Register
    | Deregister
    | Remove
    | Arrive
    | ArriveAndAwait
    | ArriveAndDeregister
    | Await
    | Cancel
    | Wake
    | Look
    | Lost
    | Found
)


@dataclass(frozen=True, slots=True)
class Party:
    """One registration.  number: no other registration of this phaser has it, and newer ones are higher."""

    number: int
    from_phase: int
    registered_at: Instant


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a party arrived, under which registration, and by which requests."""

    at: Instant
    registration: int
    requests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """A party that was taken out: its registration, in which phase, and why."""

    agent: str
    registration: int
    phase: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a phase ended, the same for everyone in it.  party_count: who arrived and who should have."""

    phase: int
    status: Literal["advanced", "broken"]
    reason: str
    blamed: tuple[str, ...]
    at: Instant
    party_count: int
    removed: tuple[Removal, ...]
    data: dict[str, Any]
    data_count: int
    arrivals: Map[str, Arrival]


@dataclass(frozen=True, slots=True)
class Phaser:
    """Where a phaser stands.

    parties: all who are registered.  missing: those of them whom the current phase waits for; arrivals, data,
    late_at, is_late, started_at: of the current phase.  registrations: how many there were.
    removed: the newest removals.  lost: parties known to be gone, and why.
    """

    terms: Create
    created_at: Instant
    started_at: Instant
    status: Literal["active", "terminated"] = "active"
    phase: int = 0
    registrations: int = 0
    parties: Map[str, Party] = field(default_factory=Map)
    missing: Map[str, Party] = field(default_factory=Map)
    arrivals: Map[str, Arrival] = field(default_factory=Map)
    data: Gathered = field(default_factory=Gathered)
    late_at: Instant | None = None
    is_late: bool = False
    removed: tuple[Removal, ...] = ()
    lost: Map[str, str] = field(default_factory=Map)
    verdicts: tuple[Verdict, ...] = ()
    reason: str = ""
    ended_at: Instant | None = None


def evolve(state: Phaser | None, event: Event, at: Instant) -> Phaser:
    """Return the state after an event of this phaser, which was written at `at`."""
    data, agent = event.data, event.agent or ""
    if event.kind == "phaser.created":
        return _created(event, at)
    assert state is not None, f"{event.kind} before phaser.created"
    match event.kind:
        case "phaser.registered":
            return _registered(state, event, at)
        case "phaser.arrived":
            return _arrived(state, event, at)
        case "phaser.repeated":
            arrival = state.arrivals[agent]
            kept = (*arrival.requests, data["request_id"])[-REQUESTS_KEPT:]
            return replace(state, arrivals=state.arrivals.set(agent, replace(arrival, requests=kept)))
        case "phaser.deregistered":
            return _without(state, agent)
        case "phaser.party_removed":
            removal = Removal(agent, data["registration"], data["phase"], data["reason"])
            return replace(_without(state, agent), removed=(*state.removed, removal)[-REMOVED_KEPT:])
        case "phaser.party_lost":
            return replace(state, lost=state.lost.set(agent, data["reason"]))
        case "phaser.party_found":
            return replace(state, lost=state.lost.without(agent))
        case "phaser.late":
            return replace(state, is_late=True)
        case "phaser.advanced" | "phaser.broken":
            return _next_phase(state, event)
        case "phaser.terminated":
            return replace(
                state, status="terminated", reason=data["reason"], ended_at=at, parties=Map(), missing=Map(), lost=Map()
            )
        case _:
            return state


def verdict_of(state: Phaser, phase: int) -> Verdict | None:
    """Return the verdict of a phase; None if it has none yet, or none any more."""
    return next((verdict for verdict in reversed(state.verdicts) if verdict.phase == phase), None)


def remembered(state: Phaser, agent: AgentId, request_id: str | None) -> int | None:
    """Return the phase in which this agent arrived by this request; None if it is not known."""
    if request_id is None:
        return None
    arrival = state.arrivals.get(agent)
    if arrival is not None and request_id in arrival.requests:
        return state.phase
    for verdict in reversed(state.verdicts):
        arrival = verdict.arrivals.get(agent)
        if arrival is not None and request_id in arrival.requests:
            return verdict.phase
    return None


def _created(event: Event, at: Instant) -> Phaser:
    data = event.data
    assert event.agent is not None
    terms = Create(
        id=data["id"],
        by=event.agent,
        participants=tuple(data["participants"]),
        name=data["name"],
        policy=data["policy"],
        late_after_s=data["late_after_s"],
        ends_when_empty=data["ends_when_empty"],
        metadata=data["metadata"],
    )
    parties = Map((agent, Party(number, 0, at)) for number, agent in enumerate(terms.participants, 1))
    return Phaser(terms, at, at, registrations=len(parties), parties=parties, missing=parties)


def _registered(state: Phaser, event: Event, at: Instant) -> Phaser:
    data, agent = event.data, event.agent or ""
    party = Party(data["registration"], data["from_phase"], at)
    takes_part = party.from_phase <= state.phase
    return replace(
        state,
        registrations=party.number,
        parties=state.parties.set(agent, party),
        missing=state.missing.set(agent, party) if takes_part else state.missing,
    )


def _arrived(state: Phaser, event: Event, at: Instant) -> Phaser:
    data, agent = event.data, event.agent or ""
    requests = () if data["request_id"] is None else (data["request_id"],)
    return Phaser(  # by hand, as this happens most often and `replace` costs three times as much
        terms=state.terms,
        created_at=state.created_at,
        started_at=state.started_at,
        phase=state.phase,
        registrations=state.registrations,
        parties=state.parties.without(agent) if data["leaves"] else state.parties,
        missing=state.missing.without(agent),
        arrivals=state.arrivals.set(agent, Arrival(at, data["registration"], requests)),
        data=state.data.joined_by(agent, data["data"]),
        late_at=data["deadline_at"],
        is_late=state.is_late,
        removed=state.removed,
        lost=state.lost.without(agent),
        verdicts=state.verdicts,
    )


def _without(state: Phaser, agent: str) -> Phaser:
    return replace(
        state,
        parties=state.parties.without(agent),
        missing=state.missing.without(agent),
        lost=state.lost.without(agent),
    )


def _next_phase(state: Phaser, event: Event) -> Phaser:
    """Write the verdict down and begin the next phase with all who are registered."""
    data = event.data
    verdict = Verdict(
        phase=state.phase,
        status=data["verdict"],
        reason=data["reason"],
        blamed=tuple(data["blamed"]),
        at=data["decided_at"],
        party_count=data["total"],
        removed=tuple(removal for removal in state.removed if removal.phase == state.phase),
        data=dict(state.data.entries),
        data_count=state.data.count,
        arrivals=state.arrivals,
    )
    return replace(
        state,
        phase=state.phase + 1,
        started_at=data["decided_at"],
        missing=state.parties,
        arrivals=Map(),
        data=Gathered(),
        late_at=None,
        is_late=False,
        verdicts=(*state.verdicts, verdict)[-VERDICTS_KEPT:],
    )
