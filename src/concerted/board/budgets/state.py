"""A budget as a state: what was spent and when, what is reserved, who waits, and what became of each ticket.

Amounts are whole millionths of the unit inside (*micros*): sums of them are exact, whatever was added in which order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from concerted.board.budgets.window import Kind, Slices, Window, add, total
from concerted.board.holding import Withdraw
from concerted.board.queue import EMPTY as NOBODY
from concerted.board.queue import Place, Queue, turn
from concerted.machine import Event, Found, Look, Lost, Priority, Wake
from concerted.persistent import Map
from concerted.values import AgentId, Instant

__all__ = [
    "MICROS",
    "TICKETS_KEPT",
    "Ask",
    "Budget",
    "Create",
    "Find",
    "How",
    "Past",
    "Refund",
    "Request",
    "Reservation",
    "Reserve",
    "Resize",
    "Settle",
    "Share",
    "Spend",
    "Verb",
    "Waiting",
    "Withdraw",
    "evolve",
    "find",
    "left",
    "left_to",
    "share_of",
    "spent",
    "units",
]

MICROS = 1_000_000  # of one unit
TICKETS_KEPT = 5_000  # tickets that are over and remembered: so long can they be settled late, refunded, repeated
HOLDERS_KEPT = 10_000  # holders whose shares are kept before those who count no more are forgotten

Verb = Literal["spend", "reserve"]
How = Literal["spent", "settled", "returned", "withdrawn", "abandoned", "dropped"]


@dataclass(frozen=True, slots=True)
class Create:
    """Let there be a budget.

    limit: how much may be spent, in `unit`: in each period, or in all if there is none.  window: see `budget_window`.
    share: the greatest part of the limit that one holder may have, 0..1; None: all of it.
    """

    id: str
    by: AgentId
    limit: float
    unit: str = "tokens"
    period_s: float | None = None
    window: Kind = "fixed"
    share: float | None = None
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Spend:
    """Spend so much, or wait until it can be spent.

    ticket: the caller's key for this wish; the same ticket again is the same wish.  wait: join the queue if too little
    is left; otherwise it is refused at once.  deadline_at: wait no longer than until then.
    """

    ticket: str
    holder: AgentId
    amount: float
    purpose: str = ""
    priority: Priority = "medium"
    wait: bool = True
    deadline_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Reserve:
    """Set so much aside, as an estimate, until the truth is known and settled; what is not settled returns at its ttl.

    The other fields are those of `Spend`.
    """

    ticket: str
    holder: AgentId
    amount: float
    ttl_s: float = 60.0
    purpose: str = ""
    priority: Priority = "medium"
    wait: bool = True
    deadline_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Say what was spent in truth of what this ticket had reserved; also less, nothing, or more."""

    ticket: str
    holder: AgentId
    actual: float


@dataclass(frozen=True, slots=True)
class Refund:
    """Take back what this ticket has spent, or a part of it; once.  amount: None is all of it."""

    ticket: str
    holder: AgentId
    amount: float | None = None


@dataclass(frozen=True, slots=True)
class Resize:
    """Let the limit be this from now on."""

    by: AgentId
    limit: float
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Find:
    """Show a page of what is reserved and who waits, as `Look` does.

    after: the last ticket, after_position: the last position in the queue, of the page before; None: no more of that.
    """

    after: str | None = ""
    after_position: int | None = 0
    limit: int = 100


Request = (
    Create | Spend | Reserve | Settle | Refund | Withdraw | Resize | Find | Wake | Look | Lost | Found
)  # fmt: skip


class Ask(msgspec.Struct, frozen=True):
    """What a ticket asks for; a ticket never stands for anything else.  ttl_s: 0 if it is to be spent."""

    ticket: str
    holder: AgentId
    verb: Verb
    micros: int
    ttl_s: float = 0.0
    purpose: str = ""
    priority: Priority = "medium"


class Reservation(msgspec.Struct, frozen=True):
    """What is set aside."""

    ask: Ask
    since: Instant
    expires_at: Instant
    waited_s: float = 0.0


class Waiting(msgspec.Struct, frozen=True):
    """What is waited for, since when, and until when at most."""

    ask: Ask
    since: Instant
    number: int
    deadline_at: Instant | None = None

    @property
    def place(self) -> Place:
        """Its place in the queue."""
        return (turn(self.since, self.ask.priority), self.number, self.ask.ticket)


class Past(msgspec.Struct, frozen=True):
    """How a ticket ended, as which of all in number.

    micros: what was spent in the end, in which slice.  refunded: what of it was taken back; None: that was not asked.
    """

    ask: Ask
    how: How
    reason: str
    at: Instant
    number: int
    micros: int = 0
    slice: int = 0
    refunded: int | None = None
    waited_s: float = 0.0


class Share(msgspec.Struct, frozen=True):
    """What one holder has spent, and has reserved."""

    slices: Slices = ()
    reserved: int = 0


class Budget(msgspec.Struct, frozen=True):
    """The state of the machine; a struct and no dataclass, because it is made anew at each event.

    limit, limit_at_first, reserved: in micros.  slices: what was spent.  reservations: ticket -> what is set aside.
    past: ticket -> how it ended, of the newest TICKETS_KEPT in `endings`; end_count: of all.  number, asked_at: of
    the newest ticket in the queue.  timers: deadlines of those who wait, and by when reservations return.
    shares: holder -> what it has of the budget, if there is a `share`.  warned: (percent, until when) of what was
    told.  clock: the newest instant of an event; time never goes back.
    """

    id: str
    creator: AgentId
    limit: int
    limit_at_first: int
    window: Window
    unit: str = "tokens"
    share: float | None = None
    name: str = ""
    metadata: dict[str, Any] = {}
    slices: Slices = ()
    reserved: int = 0
    reservations: Map[str, Reservation] = Map()
    past: Map[str, Past] = Map()
    endings: Queue = NOBODY
    end_count: int = 0
    waiting: Map[str, Waiting] = Map()
    queue: Queue = NOBODY
    number: int = 0
    asked_at: Instant = 0.0
    timers: Queue = NOBODY
    shares: Map[str, Share] = Map()
    warned: tuple[tuple[int, Instant | None], ...] = ()
    clock: Instant = 0.0


_with = msgspec.structs.replace
_NOTHING = Share()


def units(micros: int) -> float:
    """Return an amount as people see it."""
    return micros / MICROS


def spent(budget: Budget, now: Instant) -> int:
    """Return what was spent and counts now, in micros."""
    return total(budget.window, budget.slices, now)


def left(budget: Budget, now: Instant) -> int:
    """Return what can be spent now, in micros; below 0 if more was settled than reserved, or the limit was lowered."""
    return budget.limit - budget.reserved - spent(budget, now)


def share_of(budget: Budget) -> int:
    """Return the most that one holder may have, in micros."""
    return budget.limit if budget.share is None else round(budget.limit * budget.share)


def left_to(budget: Budget, holder: AgentId, now: Instant) -> int:
    """Return what is left of this holder's share now, in micros, whether or not so much is left of the budget."""
    if budget.share is None:
        return budget.limit
    share = budget.shares.get(holder, _NOTHING)
    return share_of(budget) - share.reserved - total(budget.window, share.slices, now)


def find(budget: Budget, ticket: str) -> Reservation | Waiting | Past | None:
    """Return what has become of a ticket; None: it was never asked for, or long ago."""
    return budget.reservations.get(ticket) or budget.waiting.get(ticket) or budget.past.get(ticket)


def evolve(state: Budget | None, event: Event, at: Instant) -> Budget:
    """Return the budget after an event that happened at `at`; other kinds change nothing."""
    if event.kind == "budget.created":
        return _created(event, at)
    assert state is not None, f"{event.kind} before budget.created"
    at = max(at, state.clock)
    match event.kind:
        case "budget.spent":
            state = _spent(state, event, at)
        case "budget.reserved":
            state = _reserved(state, event, at)
        case "budget.settled":
            state = _settled(state, event, at)
        case "budget.returned":
            reservation = state.reservations[event.data["ticket"]]
            state = _over(_unreserved(state, reservation), reservation.ask, event, at)
        case "budget.refunded":
            state = _refunded(state, event, at)
        case "budget.queued":
            state = _queued(state, event)
        case "budget.abandoned" | "budget.withdrawn" | "budget.dropped":
            waiting = state.waiting[event.data["ticket"]]
            state = _over(_unqueued(state, waiting), waiting.ask, event, at)
        case "budget.resized":
            state = _with(state, limit=event.data["limit_micros"], warned=())
        case "budget.warned":
            percent = event.data["percent"]
            others = tuple(one for one in state.warned if one[0] != percent)
            state = _with(state, warned=(*others, (percent, event.data["until"])))
    return _with(state, clock=at)


def _created(event: Event, at: Instant) -> Budget:
    data = event.data
    return Budget(
        id=data["id"],
        creator=AgentId(event.agent or ""),
        limit=data["limit_micros"],
        limit_at_first=data["limit_micros"],
        window=Window(at, data["period_s"], data["window"]),
        unit=data["unit"],
        share=data["share"],
        name=data["name"],
        metadata=dict(data["metadata"]),
        clock=at,
    )


def _spent(state: Budget, event: Event, at: Instant) -> Budget:
    ask = _ask(event, "spend")
    return _over(_counted(_granted(state, ask), ask.holder, event, at), ask, event, at)


def _reserved(state: Budget, event: Event, at: Instant) -> Budget:
    ask, data = _ask(event, "reserve"), event.data
    reservation = Reservation(ask, at, data["expires_at"], data.get("waited_s", 0.0))
    state = _granted(state, ask)
    return _with(
        _share(state, ask.holder, at, reserved=ask.micros),
        reserved=state.reserved + ask.micros,
        reservations=state.reservations.set(ask.ticket, reservation),
        timers=state.timers.put(_return(reservation)),
    )


def _settled(state: Budget, event: Event, at: Instant) -> Budget:
    ticket = event.data["ticket"]
    reservation = state.reservations.get(ticket)
    ask = reservation.ask if reservation is not None else state.past[ticket].ask
    if reservation is not None:
        state = _unreserved(state, reservation)
    return _over(_counted(state, ask.holder, event, at), ask, event, at)


def _refunded(state: Budget, event: Event, at: Instant) -> Budget:
    data = event.data
    past = state.past[data["ticket"]]
    slices = add(state.window, state.slices, past.slice, -data["micros"], at)
    state = _share(state, past.ask.holder, at, past.slice, -data["micros"])
    return _with(state, slices=slices, past=state.past.set(past.ask.ticket, _with(past, refunded=data["micros"])))


def _queued(state: Budget, event: Event) -> Budget:
    data = event.data
    waiting = Waiting(_ask(event, data["verb"]), data["since"], data["number"], data.get("give_up_at"))
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
    )


def _granted(state: Budget, ask: Ask) -> Budget:
    waiting = state.waiting.get(ask.ticket)
    return state if waiting is None else _unqueued(state, waiting)


def _unqueued(state: Budget, waiting: Waiting) -> Budget:
    timers = state.timers
    if waiting.deadline_at is not None:
        timers = timers.without((waiting.deadline_at, waiting.number, waiting.ask.ticket))
    rest = state.waiting.without(waiting.ask.ticket)
    return _with(state, waiting=rest, queue=state.queue.without(waiting.place), timers=timers)


def _unreserved(state: Budget, reservation: Reservation) -> Budget:
    ask = reservation.ask
    return _with(
        _share(state, ask.holder, state.clock, reserved=-ask.micros),
        reserved=state.reserved - ask.micros,
        reservations=state.reservations.without(ask.ticket),
        timers=state.timers.without(_return(reservation)),
    )


def _counted(state: Budget, holder: AgentId, event: Event, at: Instant) -> Budget:
    index, micros = event.data["slice"], event.data["micros"]
    slices = add(state.window, state.slices, index, micros, at)
    return _with(_share(state, holder, at, index, micros), slices=slices)


def _share(state: Budget, holder: AgentId, at: Instant, index: int = 0, micros: int = 0, reserved: int = 0) -> Budget:
    """Note what a holder has more, or less, of the budget; forget holders who have nothing that counts."""
    if state.share is None:
        return state
    share = state.shares.get(holder, _NOTHING)
    share = Share(add(state.window, share.slices, index, micros, at), share.reserved + reserved)
    shares = state.shares.set(holder, share)
    if share == _NOTHING:
        shares = shares.without(holder)
    elif len(shares) > HOLDERS_KEPT:
        shares = Map((who, one) for who, one in shares.items() if one.reserved or total(state.window, one.slices, at))
    return _with(state, shares=shares)


def _over(state: Budget, ask: Ask, event: Event, at: Instant) -> Budget:
    """Note how a ticket ended, and forget the one that ended longest ago."""
    data, number = event.data, state.end_count + 1
    how: How = event.kind[len("budget.") :]  # type: ignore[assignment]
    past = Past(ask, how, data.get("reason", ""), at, number)
    if how in ("spent", "settled"):
        past = _with(past, micros=data["micros"], slice=data["slice"], waited_s=data.get("waited_s", 0.0))
    endings = state.endings.put((0.0, number, ask.ticket))
    known = state.past.set(ask.ticket, past)
    if len(endings) > TICKETS_KEPT and endings.first is not None:
        _, oldest_number, ticket = oldest = endings.first
        endings = endings.without(oldest)
        if ticket in known and known[ticket].number == oldest_number:  # it has not ended anew since
            known = known.without(ticket)
    return _with(state, past=known, endings=endings, end_count=number)


def _return(reservation: Reservation) -> Place:
    return (reservation.expires_at, 0, reservation.ask.ticket)


def _ask(event: Event, verb: Verb) -> Ask:
    data = event.data
    return Ask(
        data["ticket"],
        AgentId(event.agent or ""),
        verb,
        data["micros"],
        data.get("ttl_s", 0.0),
        data.get("purpose", ""),
        data.get("priority", "medium"),
    )
