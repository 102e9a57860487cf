"""What a latch can be asked, what it remembers, and how events change it; the rules are in `latch`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId, Instant

__all__ = [
    "RETURNED_KEPT",
    "Await",
    "Cancel",
    "CountDown",
    "Counted",
    "Create",
    "GiveBack",
    "Latch",
    "Obligation",
    "Renew",
    "Request",
    "Returned",
    "Status",
    "Take",
    "evolve",
]

RETURNED_KEPT = 16  # obligations that went back, the newest, of which an explanation can tell

Status = Literal["closed", "open", "expired", "cancelled"]


@dataclass(frozen=True, slots=True)
class Create:
    """Make a latch of `count` counts.  deadline_at, timeout_s from now: the earlier counts; None: no deadline."""

    id: str
    by: AgentId
    count: int
    name: str = ""
    deadline_at: Instant | None = None
    timeout_s: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Take:
    """Take a ticket: oblige oneself to count it down within `ttl_s`.  count: what it is worth."""

    agent: AgentId
    ticket: str
    ttl_s: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class Renew:
    """Hold a ticket longer.  ttl_s: None is as long as when it was taken.  epoch: refuse if it is not the current."""

    agent: AgentId
    ticket: str
    ttl_s: float | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Give a ticket back that one cannot count down."""

    agent: AgentId
    ticket: str
    reason: str = ""
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class CountDown:
    """Count a ticket down.  count: None is what it was taken for, or 1.  epoch: that of Take; an older is refused."""

    agent: AgentId
    ticket: str
    count: int | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until the latch is open."""

    agent: AgentId


@dataclass(frozen=True, slots=True)
class Cancel:
    """Call the latch off; whoever waits is told."""

    by: AgentId
    reason: str = ""
    is_admin: bool = False


Request = Create | Take | Renew | GiveBack | CountDown | Await | Cancel | Wake | Look | Lost | Found


@dataclass(frozen=True, slots=True)
class Obligation:
    """A ticket that is taken.  epoch: it grows with every Take of this latch."""

    ticket: str
    agent: AgentId
    count: int
    epoch: int
    ttl_s: float
    taken_at: Instant
    expires_at: Instant


@dataclass(frozen=True, slots=True)
class Counted:
    """A ticket that has been counted down: by whom, and for how much."""

    agent: AgentId
    count: int
    at: Instant


@dataclass(frozen=True, slots=True)
class Returned:
    """An obligation that was not met: whose, and why it went back."""

    ticket: str
    agent: AgentId
    reason: str
    at: Instant


@dataclass(frozen=True, slots=True)
class Latch:
    """Where a latch stands.

    taken_count: what the taken tickets are worth.  expiring: second -> tickets whose lease ends with it;
    next_expiry: the earliest of them.  holders: agent -> its tickets.  epoch: the newest that was given.
    """

    terms: Create
    created_at: Instant
    remaining: int
    deadline_at: Instant | None
    status: Status = "closed"
    taken_count: int = 0
    taken: Map[str, Obligation] = field(default_factory=Map)
    counted: Map[str, Counted] = field(default_factory=Map)
    expiring: Map[str, Map[str, bool]] = field(default_factory=Map)
    next_expiry: Instant | None = None
    holders: Map[str, Map[str, bool]] = field(default_factory=Map)
    epoch: int = 0
    returned: tuple[Returned, ...] = ()
    reason: str = ""
    ended_at: Instant | None = None

    @property
    def available(self) -> int:
        """How many counts nobody has taken."""
        return self.remaining - self.taken_count


def evolve(state: Latch | None, event: Event, at: Instant) -> Latch:
    """Return the state after an event of this latch, which was written at `at`."""
    data = event.data
    if event.kind == "latch.created":
        return _created(event, at)
    assert state is not None, f"{event.kind} before latch.created"
    match event.kind:
        case "latch.taken":
            assert event.agent is not None
            return _held(
                replace(state, epoch=data["epoch"], taken_count=state.taken_count + data["count"]),
                Obligation(
                    ticket=data["ticket"],
                    agent=event.agent,
                    count=data["count"],
                    epoch=data["epoch"],
                    ttl_s=data["ttl_s"],
                    taken_at=at,
                    expires_at=data["expires_at"],
                ),
            )
        case "latch.renewed":
            held = state.taken[data["ticket"]]
            renewed = replace(held, expires_at=data["expires_at"], ttl_s=data["ttl_s"])
            return _held(_not_expiring(state, held), renewed)
        case "latch.returned":
            held = state.taken[data["ticket"]]
            returned = Returned(held.ticket, held.agent, data["reason"], at)
            return replace(_free(state, held), returned=(*state.returned, returned)[-RETURNED_KEPT:])
        case "latch.counted":
            return _counted(state, event, at)
        case "latch.opened" | "latch.expired" | "latch.cancelled":
            return replace(
                state,
                status=data["status"],
                reason=data["reason"],
                ended_at=data.get("deadline_at", at),
                taken_count=0,
                taken=Map(),
                expiring=Map(),
                next_expiry=None,
                holders=Map(),
            )
        case _:
            return state


def _created(event: Event, at: Instant) -> Latch:
    data = event.data
    assert event.agent is not None
    terms = Create(
        id=data["id"],
        by=event.agent,
        count=data["count"],
        name=data["name"],
        deadline_at=data["stated_deadline_at"],
        timeout_s=data["timeout_s"],
        metadata=data["metadata"],
    )
    return Latch(terms, at, terms.count, data["deadline_at"])


def _counted(state: Latch, event: Event, at: Instant) -> Latch:
    data = event.data
    assert event.agent is not None
    held = state.taken.get(data["ticket"])
    freed = state if held is None else _free(state, held)
    counted = Counted(event.agent, data["count"], at)
    return replace(freed, remaining=data["remaining"], counted=state.counted.set(data["ticket"], counted))


def _held(state: Latch, held: Obligation) -> Latch:
    """Enter an obligation, under its ticket, its holder and the second in which it ends."""
    second = str(int(held.expires_at))
    together = state.expiring.get(second, Map[str, bool]())
    own = state.holders.get(held.agent, Map[str, bool]())
    earliest = held.expires_at if state.next_expiry is None else min(state.next_expiry, held.expires_at)
    return replace(
        state,
        taken=state.taken.set(held.ticket, held),
        expiring=state.expiring.set(second, together.set(held.ticket, True)),
        next_expiry=earliest,
        holders=state.holders.set(held.agent, own.set(held.ticket, True)),
    )


def _free(state: Latch, held: Obligation) -> Latch:
    """Strike an obligation out."""
    own = state.holders[held.agent].without(held.ticket)
    return replace(
        _not_expiring(state, held),
        taken_count=state.taken_count - held.count,
        taken=state.taken.without(held.ticket),
        holders=state.holders.set(held.agent, own) if own else state.holders.without(held.agent),
    )


def _not_expiring(state: Latch, held: Obligation) -> Latch:
    """Strike it out under its second.  O(seconds in use), only when the earliest of them has become empty."""
    second = str(int(held.expires_at))
    together = state.expiring[second].without(held.ticket)
    if together:
        return replace(state, expiring=state.expiring.set(second, together))
    expiring, earliest = state.expiring.without(second), state.next_expiry
    if held.expires_at == earliest:
        earliest = min((float(left) for left, _ in expiring.unordered()), default=None)
    return replace(state, expiring=expiring, next_expiry=earliest)
