"""What a sync point can be asked, what it remembers, and how events change it; the rules are in `sync_point`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.sync.points.predicate import ALL, Condition, View, needed
from concerted.values import AgentId, Instant

__all__ = [
    "SHOWN",
    "Add",
    "Arrival",
    "Arrive",
    "Await",
    "Cancel",
    "Complete",
    "Create",
    "Ending",
    "Request",
    "Roll",
    "Status",
    "SyncPoint",
    "Terms",
    "call_roll",
    "evolve",
]

SHOWN = 1_000  # participants up to whom lists and data are in every answer and message; beyond them, numbers

Status = Literal["waiting", "completed", "expired", "cancelled"]


@dataclass(frozen=True, slots=True)
class Create:
    """Make a sync point.

    deadline_at: None, and it waits for ever.  check_interval_s: how often a condition that reads the time is
    looked at.
    """

    id: str
    by: AgentId
    name: str
    participants: tuple[AgentId, ...]
    condition: Condition = ALL
    deadline_at: Instant | None = None
    description: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    check_interval_s: float = 0.1


@dataclass(frozen=True, slots=True)
class Arrive:
    """Arrive, with something for the others or None, and wait for the end.  Only the first time counts."""

    agent: AgentId
    data: Any = None


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for the end without arriving, as its creator may."""

    agent: AgentId | None = None


@dataclass(frozen=True, slots=True)
class Add:
    """Let more agents take part."""

    by: AgentId
    agents: tuple[AgentId, ...]
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Complete:
    """Complete it by hand, whoever is missing."""

    by: AgentId
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Call it off."""

    by: AgentId
    reason: str = ""
    is_admin: bool = False


Request = Create | Arrive | Await | Add | Complete | Cancel | Wake | Look | Lost | Found


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a participant arrived, as which one (from 1), and what it brought; None: nothing."""

    at: Instant
    order: int
    data: Any = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a sync point was made with; it never changes."""

    id: str
    name: str
    description: str
    creator: AgentId
    condition: Condition
    deadline_at: Instant | None
    metadata: dict[str, Any]
    check_interval_s: float
    created_at: Instant


@dataclass(frozen=True, slots=True)
class Roll:
    """Who was there at the end, sorted, and what they brought: made once, for all who ask.

    lost: those of the missing who were gone.
    """

    arrived: tuple[AgentId, ...]
    missing: tuple[AgentId, ...]
    lost: tuple[AgentId, ...]
    data: dict[AgentId, Any]


@dataclass(frozen=True, slots=True)
class Ending:
    """When, by whom (None: by its condition or deadline) and why it ended.  roll: of at most SHOWN participants."""

    at: Instant
    by: AgentId | None
    reason: str | None
    roll: Roll | None


@dataclass(frozen=True, slots=True)
class SyncPoint:
    """Where a sync point stands.

    participants: agent -> whether it was one from the beginning.  missing: those who have not arrived.
    lost: those of them who are gone -> why.  errors: what its predicate failed with.
    """

    terms: Terms
    participants: Map[str, bool]
    missing: Map[str, bool]
    arrivals: Map[str, Arrival] = field(default_factory=Map)
    lost: Map[str, str] = field(default_factory=Map)
    errors: tuple[str, ...] = ()
    status: Status = "waiting"
    ending: Ending | None = None

    @property
    def total(self) -> int:
        """How many take part."""
        return len(self.participants)

    @property
    def arrived(self) -> int:
        """How many have arrived."""
        return len(self.arrivals)

    @property
    def needed(self) -> int | None:
        """How many must have arrived for it to complete; None if numbers do not tell."""
        return needed(self.terms.condition, len(self.participants))

    def view(self, now: Instant) -> View:
        """Return what a predicate sees.  O(n log n), n at most PARTICIPANTS_SEEN."""
        roll = call_roll(self)
        return View(roll.arrived, roll.missing, roll.data, now)


def evolve(state: SyncPoint | None, event: Event, at: Instant) -> SyncPoint:
    """Return the state after an event of this sync point, which happened at `at`."""
    data = event.data
    if state is None:
        return _created(event, at)
    match event.kind:
        case "sync_point.arrived":
            agent = str(event.agent)
            return replace(
                state,
                arrivals=state.arrivals.set(agent, Arrival(at, len(state.arrivals) + 1, data["data"])),
                missing=state.missing.without(agent),
                lost=state.lost.without(agent),
            )
        case "sync_point.participants_added":
            participants, missing = state.participants, state.missing
            for agent in data["participants"]:
                participants, missing = participants.set(agent, False), missing.set(agent, False)
            return replace(state, participants=participants, missing=missing)
        case "sync_point.participant_lost":
            return replace(state, lost=state.lost.set(str(event.agent), data["reason"]))
        case "sync_point.participant_found":
            return replace(state, lost=state.lost.without(str(event.agent)))
        case "sync_point.predicate_failed":
            return replace(state, errors=(*state.errors, data["error"]))
        case "sync_point.completed" | "sync_point.cancelled":
            return _ended(state, event, at)
        case "sync_point.expired":
            return _ended(state, event, data["deadline_at"])
        case _:
            return state


def call_roll(state: SyncPoint) -> Roll:
    """Return who is there and who is not, and what was brought.  O(n log n)."""
    brought = {AgentId(agent): arrival.data for agent, arrival in state.arrivals.items() if arrival.data is not None}
    return Roll(_agents(state.arrivals), _agents(state.missing), _agents(state.lost), brought)


def _created(event: Event, at: Instant) -> SyncPoint:
    assert event.kind == "sync_point.created", event.kind
    assert event.agent is not None, "a sync point has a creator"
    data = event.data
    names = dict.fromkeys(data["participants"], True)
    terms = Terms(
        id=data["id"],
        name=data["name"],
        description=data["description"],
        creator=event.agent,
        condition=msgspec.convert(data["condition"], Condition),
        deadline_at=data["deadline_at"],
        metadata=data["metadata"],
        check_interval_s=data["check_interval_s"],
        created_at=at,
    )
    return SyncPoint(terms, Map(names), Map(names))  # two maps: one changes, and versions of one map share their past


def _ended(state: SyncPoint, event: Event, at: Instant) -> SyncPoint:
    roll = call_roll(state) if state.total <= SHOWN else None
    return replace(state, status=event.data["status"], ending=Ending(at, event.agent, event.data["reason"], roll))


def _agents(of: Map[str, Any]) -> tuple[AgentId, ...]:
    return tuple(AgentId(agent) for agent in of)
