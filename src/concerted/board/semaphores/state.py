"""A semaphore as a state: who has how many of its permits, who waits for some, and what ended lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from concerted.board.holding import ENDED_KEPT, Confirm, Expire, Renew, Withdraw, sooner
from concerted.board.queue import EMPTY as NOBODY
from concerted.board.queue import Place, Queue, turn
from concerted.machine import Event, Found, Look, Lost, Priority, Wake
from concerted.persistent import Map
from concerted.values import AgentId, Instant

__all__ = [
    "Acquire",
    "Ask",
    "Check",
    "Confirm",
    "Create",
    "Ended",
    "Expire",
    "Find",
    "How",
    "Permit",
    "Release",
    "Renew",
    "Request",
    "Resize",
    "Semaphore",
    "Waiting",
    "Withdraw",
    "evolve",
    "find",
    "permit_of",
]

How = Literal["released", "withdrawn", "abandoned", "expired", "lapsed", "dropped"]


@dataclass(frozen=True, slots=True)
class Create:
    """Let there be a semaphore with so many permits."""

    id: str
    by: AgentId
    permits: int
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acquire:
    """Have so many permits, or none.

    ticket: the caller's key for this wish; the same ticket again is the same wish, also after the caller's restart.
    wait: join the queue if there are too few; otherwise it is refused at once.  confirm_s: a grant to who has waited
    is to be confirmed within so long; None: it need not.  deadline_at: wait no longer than until then.
    """

    ticket: str
    holder: AgentId
    permits: int = 1
    ttl_s: float = 60.0
    purpose: str = ""
    priority: Priority = "medium"
    wait: bool = True
    confirm_s: float | None = None
    deadline_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Give back what was granted to this ticket."""

    holder: AgentId
    ticket: str


@dataclass(frozen=True, slots=True)
class Resize:
    """Let there be so many permits from now on.  Nothing is taken away; what is too much is not granted anew."""

    by: AgentId
    permits: int
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """Ask whether permits are held under this token now."""

    token: str


@dataclass(frozen=True, slots=True)
class Find:
    """Show a page of who holds permits and who waits, as `Look` does.

    after: the last token, after_position: the last position in the queue, of the page before; None: no more of that.
    """

    after: str | None = ""
    after_position: int | None = 0
    limit: int = 100


Request = (
    Create
    | Acquire
    | Confirm
    | Renew
    | Release
    | Withdraw
    | Resize
    | Check
    | Find
    | Expire
    | Wake
    | Look
    | Lost
    | Found
)


class Ask(msgspec.Struct, frozen=True):
    """What a ticket asks for; a ticket never stands for anything else."""

    ticket: str
    holder: AgentId
    permits: int
    ttl_s: float
    purpose: str = ""
    priority: Priority = "medium"


class Permit(msgspec.Struct, frozen=True):
    """Permits that are held.  expires_at: as logged.  confirm_at: by then who waited for them must confirm them."""

    ask: Ask
    token: str
    since: Instant
    expires_at: Instant
    waited_s: float = 0.0
    confirm_at: Instant | None = None


class Waiting(msgspec.Struct, frozen=True):
    """What is waited for, since when, and until when at most."""

    ask: Ask
    since: Instant
    number: int
    confirm_s: float | None = None
    deadline_at: Instant | None = None

    @property
    def place(self) -> Place:
        """Its place in the queue."""
        return (turn(self.since, self.ask.priority), self.number, self.ask.ticket)


class Ended(msgspec.Struct, frozen=True):
    """How a ticket ended, as which of all in number.  token: "" if it was never granted."""

    ask: Ask
    token: str
    how: How
    reason: str
    at: Instant
    number: int


class Semaphore(msgspec.Struct, frozen=True):
    """The state of the machine; a struct and no dataclass, because it is made anew at each event.

    permits: how many there are, permits_at_first: before any `Resize`.  in_use: how many are held.
    next: the number of the next grant.  held: ticket -> permits.  tokens: token -> ticket.  holders: those tickets,
    the oldest first.  ended: ticket -> how, of the newest ENDED_KEPT in `endings`; end_count: of all.
    number, asked_at: of the newest ticket in the queue.  timers: deadlines of those who wait, and by when grants
    must be confirmed.  due_at, moved: see `holding` and `semaphore.checked`.  gone: agent -> why.
    """

    id: str
    creator: AgentId
    permits: int
    permits_at_first: int
    created_at: Instant
    name: str = ""
    metadata: dict[str, Any] = {}
    in_use: int = 0
    next: int = 1
    held: Map[str, Permit] = Map()
    tokens: Map[str, str] = Map()
    holders: Queue = NOBODY
    ended: Map[str, Ended] = Map()
    endings: Queue = NOBODY
    end_count: int = 0
    waiting: Map[str, Waiting] = Map()
    queue: Queue = NOBODY
    number: int = 0
    asked_at: Instant = 0.0
    timers: Queue = NOBODY
    due_at: Instant | None = None
    moved: bool = False
    gone: Map[str, str] = Map()

    @property
    def free(self) -> int:
        """How many permits can be granted; less than none after a `Resize` below what is held."""
        return self.permits - self.in_use


_with = msgspec.structs.replace


def find(semaphore: Semaphore, ticket: str) -> Permit | Waiting | Ended | None:
    """Return what has become of a ticket; None: it was never asked for, or long ago."""
    return semaphore.held.get(ticket) or semaphore.waiting.get(ticket) or semaphore.ended.get(ticket)


def permit_of(semaphore: Semaphore, token: str) -> Permit | None:
    """Return what is held under a token."""
    ticket = semaphore.tokens.get(token)
    return None if ticket is None else semaphore.held[ticket]


def evolve(state: Semaphore | None, event: Event, at: Instant) -> Semaphore:
    """Return the semaphore after an event that happened at `at`; other kinds change nothing."""
    data = event.data
    if event.kind == "semaphore.created":
        creator, permits = AgentId(event.agent or ""), data["permits"]
        return Semaphore(data["id"], creator, permits, permits, at, data["name"], dict(data["metadata"]))
    assert state is not None, f"{event.kind} before semaphore.created"
    match event.kind:
        case "semaphore.granted":
            return _granted(state, event, at)
        case "semaphore.released" | "semaphore.expired" | "semaphore.lapsed":
            return _ended(state, event, at)
        case "semaphore.queued":
            return _queued(state, event)
        case "semaphore.abandoned" | "semaphore.withdrawn" | "semaphore.dropped":
            return _dropped(state, event, at)
        case "semaphore.confirmed":
            permit = state.held[data["ticket"]]
            held = state.held.set(data["ticket"], _with(permit, confirm_at=None, expires_at=data["expires_at"]))
            return _with(state, held=held, timers=_unconfirmed(state.timers, permit), moved=True)
        case "semaphore.resized":
            return _with(state, permits=data["permits"], moved=True)
        case "semaphore.holder_lost":
            holding = {permit.ask.holder for _, permit in state.held.unordered()}
            gone = Map((agent, why) for agent, why in state.gone.items() if agent in holding)
            return _with(state, gone=gone.set(str(event.agent), data["reason"]), moved=True)
        case "semaphore.holder_found":
            return _with(state, gone=state.gone.without(str(event.agent)), moved=True)
        case "semaphore.checked":
            return _with(state, due_at=data["next_at"], moved=False)
        case _:
            return state


def _granted(state: Semaphore, event: Event, at: Instant) -> Semaphore:
    data, ask = event.data, _ask(event)
    permit = Permit(
        ask, data["token"], at, data["expires_at"], data.get("waited_s", 0.0), data.get("confirm_at")
    )  # fmt: skip
    waiting = state.waiting.get(ask.ticket)
    if waiting is not None:
        state = _left(state, waiting)
    timers = state.timers
    if permit.confirm_at is not None:
        timers = timers.put(_confirmation(permit))
    return _with(
        state,
        in_use=state.in_use + ask.permits,
        next=int(permit.token) + 1,
        held=state.held.set(ask.ticket, permit),
        tokens=state.tokens.set(permit.token, ask.ticket),
        holders=state.holders.put(_rank(permit)),
        timers=timers,
        due_at=sooner(state.due_at, permit.expires_at),
        moved=True,
    )


def _ended(state: Semaphore, event: Event, at: Instant) -> Semaphore:
    permit = state.held[event.data["ticket"]]
    held = state.held.without(permit.ask.ticket)
    return _with(
        _remembered(state, _end(state, permit.ask, permit.token, event, at)),
        in_use=state.in_use - permit.ask.permits,
        held=held,
        tokens=state.tokens.without(permit.token),
        holders=state.holders.without(_rank(permit)),
        timers=_unconfirmed(state.timers, permit),
        due_at=state.due_at if held else None,
    )


def _queued(state: Semaphore, event: Event) -> Semaphore:
    data = event.data
    waiting = Waiting(_ask(event), data["since"], data["number"], data.get("confirm_s"), data.get("give_up_at"))
    timers = state.timers
    if waiting.deadline_at is not None:
        timers = timers.put((waiting.deadline_at, waiting.number, waiting.ask.ticket))
    return _with(
        state,
        waiting=state.waiting.set(waiting.ask.ticket, waiting),
        queue=state.queue.put(waiting.place),
        number=waiting.number,
        asked_at=waiting.since,
        timers=timers,
        moved=True,
    )


def _dropped(state: Semaphore, event: Event, at: Instant) -> Semaphore:
    waiting = state.waiting[event.data["ticket"]]
    return _left(_remembered(state, _end(state, waiting.ask, "", event, at)), waiting)


def _left(state: Semaphore, waiting: Waiting) -> Semaphore:
    timers = state.timers
    if waiting.deadline_at is not None:
        timers = timers.without((waiting.deadline_at, waiting.number, waiting.ask.ticket))
    rest = state.waiting.without(waiting.ask.ticket)
    return _with(state, waiting=rest, queue=state.queue.without(waiting.place), timers=timers)


def _remembered(state: Semaphore, ended: Ended) -> Semaphore:
    """Note how a ticket ended, and forget the one that ended longest ago."""
    endings = state.endings.put((0.0, ended.number, ended.ask.ticket))
    known = state.ended.set(ended.ask.ticket, ended)
    if ended.number > ENDED_KEPT and endings.first is not None:
        _, number, ticket = oldest = endings.first
        endings = endings.without(oldest)
        if known[ticket].number == number:  # it has not asked, and ended, anew
            known = known.without(ticket)
    return _with(state, ended=known, endings=endings, end_count=ended.number, moved=True)


def _unconfirmed(timers: Queue, permit: Permit) -> Queue:
    return timers if permit.confirm_at is None else timers.without(_confirmation(permit))


def _rank(permit: Permit) -> Place:
    return (0.0, int(permit.token), permit.ask.ticket)


def _confirmation(permit: Permit) -> Place:
    return (permit.confirm_at or 0.0, int(permit.token), permit.ask.ticket)


def _end(state: Semaphore, ask: Ask, token: str, event: Event, at: Instant) -> Ended:
    how: How = event.kind[len("semaphore.") :]  # type: ignore[assignment]
    return Ended(ask, token, how, event.data.get("reason", ""), at, state.end_count + 1)


def _ask(event: Event) -> Ask:
    data = event.data
    return Ask(
        data["ticket"],
        AgentId(event.agent or ""),
        data["permits"],
        data["ttl_s"],
        data.get("purpose", ""),
        data.get("priority", "medium"),
    )
