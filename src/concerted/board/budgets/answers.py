"""What those who ask a budget are told: where their ticket stands, how much is left, and when more will be."""

from __future__ import annotations

import heapq
from itertools import islice
from typing import Any, Literal

import msgspec

from concerted.board.budgets.state import (
    Ask,
    Budget,
    Create,
    Find,
    Past,
    Refund,
    Request,
    Reservation,
    Reserve,
    Resize,
    Settle,
    Spend,
    Verb,
    Waiting,
    Withdraw,
    find,
    left,
    left_to,
    spent,
    units,
)
from concerted.board.budgets.window import Kind, next_freed_at
from concerted.machine import Look, Priority, Result, Wait
from concerted.values import AgentId, Instant

__all__ = ["BudgetResult", "BudgetView", "ReservationView", "WaitingView", "answer", "waits"]

PAGE_MAX = 1_000  # reservations, and tickets that wait, in one page


class ReservationView(msgspec.Struct, frozen=True, kw_only=True):
    """What is set aside."""

    ticket: str
    holder: AgentId
    amount: float
    purpose: str = ""
    since: Instant = 0.0
    expires_at: Instant = 0.0


class WaitingView(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket that waits.  position: 1 is next."""

    position: int
    ticket: str
    holder: AgentId
    verb: Verb
    amount: float
    purpose: str = ""
    priority: Priority = "medium"
    since: Instant = 0.0
    deadline_at: Instant | None = None


class BudgetResult(Result, frozen=True, kw_only=True):
    """Where a ticket stands, and the budget with it.

    status: `spent`, `reserved`, `settled`, `refunded`, `waiting`, `refused` (too little is left, and it was not to
    wait), `unknown`, or how it ended.  amount: what was asked for; actual: what was spent in the end.
    spent, reserved, left: of the budget now.  resets_at: when something of what was spent counts no longer.
    position: in the queue, 1 is next; 0: it is not in it.  wait_s: how long it has waited, or had to.
    """

    success: bool
    status: str
    granted: bool = False
    ticket: str = ""
    holder: AgentId = AgentId("")
    verb: Literal["spend", "reserve", ""] = ""
    amount: float = 0.0
    actual: float = 0.0
    refunded: float = 0.0
    unit: str = ""
    purpose: str = ""
    priority: Priority = "medium"
    limit: float = 0.0
    spent: float = 0.0
    reserved: float = 0.0
    left: float = 0.0
    resets_at: Instant | None = None
    since: Instant | None = None
    expires_at: Instant | None = None
    deadline_at: Instant | None = None
    wait_s: float = 0.0
    position: int = 0
    reason: str = ""


class BudgetView(Result, frozen=True, kw_only=True):
    """A budget, with a page of what is reserved (by ticket) and of who waits (in order).

    after, after_position: what to ask for the next page with; None: there is no more of that kind.
    """

    id: str
    name: str
    status: str = "active"
    success: bool = True
    creator: AgentId
    created_at: Instant
    metadata: dict[str, Any]
    unit: str
    limit: float
    spent: float
    reserved: float
    left: float
    period_s: float | None
    window: Kind
    share: float | None
    resets_at: Instant | None
    reservations: tuple[ReservationView, ...] = ()
    waiting: tuple[WaitingView, ...] = ()
    reservation_count: int = 0
    waiting_count: int = 0
    after: str | None = None
    after_position: int | None = None


def answer(state: Budget | None, request: Request, now: Instant) -> Result:
    """Return what the caller is told by the budget as it is now."""
    if state is None:
        return Result()
    now = max(now, state.clock)
    match request:
        case Spend() | Reserve():
            return _asked(state, request, now)
        case Settle(ticket, _):
            return _meant(_ticket(state, ticket, now), "settled", "refunded")
        case Refund(ticket, _):
            return _meant(_ticket(state, ticket, now), "refunded")
        case Withdraw(ticket, _):
            return _meant(_ticket(state, ticket, now), "withdrawn", "abandoned", "dropped")
        case Find():
            return _page(state, request, now)
        case Look() | Create() | Resize():
            return _page(state, Find(), now)
        case _:
            return Result()


def waits(state: Budget | None, request: Request, now: Instant) -> Wait | None:
    """Say for what the caller waits.

    It names nobody: what is reserved returns by itself, and periods end, so no circle of waits lasts for ever.
    """
    is_wish = isinstance(request, Spend | Reserve)
    known = find(state, request.ticket) if state is not None and is_wish else None  # type: ignore[union-attr]
    if state is None or not isinstance(known, Waiting):
        return None
    now = max(now, state.clock)
    if _is_late(known, now):
        return None
    ask = known.ask
    what = f"{units(ask.micros):g} {state.unit} of {state.id}, {_left(state, now):g} of {units(state.limit):g} left"
    if ask.micros > left_to(state, ask.holder, now):
        what += f", {max(0.0, units(left_to(state, ask.holder, now))):g} of them for {ask.holder}"
    if state.reserved:
        what += f"; {units(state.reserved):g} are reserved"
    position = state.queue.position(known.place)
    if position > 1:
        what += f"; {position - 1} before it in the queue"
    return Wait(what, known.since, deadline=known.deadline_at)


def _asked(state: Budget, request: Spend | Reserve, now: Instant) -> BudgetResult:
    result = _ticket(state, request.ticket, now)
    if result.status != "unknown" or request.wait:
        return result if request.wait else msgspec.structs.replace(result, pending=False)
    why = f"{_left(state, now):g} of {units(state.limit):g} {state.unit} are left"
    if state.queue.chunks:
        why += f", and {len(state.queue)} wait already"
    verb: Verb = "spend" if isinstance(request, Spend) else "reserve"
    return msgspec.structs.replace(
        result,
        status="refused",
        holder=request.holder,
        verb=verb,
        amount=request.amount,
        purpose=request.purpose,
        priority=request.priority,
        reason=why,
    )


def _ticket(state: Budget, ticket: str, now: Instant) -> BudgetResult:
    known = find(state, ticket)
    match known:
        case Reservation():
            return BudgetResult(
                success=True,
                status="reserved",
                granted=True,
                since=known.since,
                expires_at=known.expires_at,
                wait_s=known.waited_s,
                **_content(state, known.ask, now),
            )
        case Waiting():
            return _waiting(state, known, now)
        case Past():
            is_spent = known.how in ("spent", "settled")
            return BudgetResult(
                success=is_spent,
                status=known.how if known.refunded is None else "refunded",
                granted=is_spent,
                actual=units(known.micros),
                refunded=units(known.refunded or 0),
                since=known.at,
                wait_s=known.waited_s,
                reason=known.reason,
                **_content(state, known.ask, now),
            )
        case None:
            why = "there is no such ticket, or it was over long ago"
            return BudgetResult(success=False, status="unknown", ticket=ticket, reason=why, **_budget(state, now))


def _waiting(state: Budget, known: Waiting, now: Instant) -> BudgetResult:
    content = _content(state, known.ask, now)
    if _is_late(known, now):
        why, at = "its deadline passed", known.deadline_at
        return BudgetResult(success=False, status="abandoned", deadline_at=at, reason=why, **content)
    return BudgetResult(
        pending=True,
        success=False,
        status="waiting",
        since=known.since,
        deadline_at=known.deadline_at,
        wait_s=max(0.0, now - known.since),
        position=state.queue.position(known.place),
        reason=f"it waits for {units(known.ask.micros):g} {state.unit}",
        **content,
    )


def _meant(result: BudgetResult, *ways: str) -> BudgetResult:
    """Return what a caller is told who wanted a ticket to end in one of these ways."""
    return msgspec.structs.replace(result, pending=False, success=result.status in ways)


def _content(state: Budget, ask: Ask, now: Instant) -> dict[str, Any]:
    asked = {
        "ticket": ask.ticket,
        "holder": ask.holder,
        "verb": ask.verb,
        "amount": units(ask.micros),
        "purpose": ask.purpose,
        "priority": ask.priority,
    }
    return asked | _budget(state, now)


def _budget(state: Budget, now: Instant) -> dict[str, Any]:
    return {
        "unit": state.unit,
        "limit": units(state.limit),
        "spent": units(spent(state, now)),
        "reserved": units(state.reserved),
        "left": _left(state, now),
        "resets_at": next_freed_at(state.window, state.slices, now),
    }


def _left(state: Budget, now: Instant) -> float:
    return units(max(0, left(state, now)))


def _page(state: Budget, request: Find, now: Instant) -> BudgetView:
    limit = max(1, min(request.limit, PAGE_MAX))
    reserved: list[str] = []
    if request.after is not None:
        later = (ticket for ticket, _ in state.reservations.unordered() if ticket > request.after)
        reserved = heapq.nsmallest(limit + 1, later)
    tickets: list[tuple[int, str]] = []
    if request.after_position is not None:
        rest = islice(enumerate(state.queue, 1), request.after_position, request.after_position + limit + 1)
        tickets = [(at, ticket) for at, (_, _, ticket) in rest]
    return BudgetView(
        id=state.id,
        name=state.name,
        creator=state.creator,
        created_at=state.window.created_at,
        metadata=state.metadata,
        period_s=state.window.period_s,
        window=state.window.kind,
        share=state.share,
        reservations=tuple(_reservation_view(state.reservations[ticket]) for ticket in reserved[:limit]),
        waiting=tuple(_waiting_view(state.waiting[ticket], at) for at, ticket in tickets[:limit]),
        reservation_count=len(state.reservations),
        waiting_count=len(state.waiting),
        after=reserved[limit - 1] if len(reserved) > limit else None,
        after_position=tickets[limit - 1][0] if len(tickets) > limit else None,
        **_budget(state, now),
    )


def _reservation_view(reservation: Reservation) -> ReservationView:
    ask = reservation.ask
    return ReservationView(
        ticket=ask.ticket,
        holder=ask.holder,
        amount=units(ask.micros),
        purpose=ask.purpose,
        since=reservation.since,
        expires_at=reservation.expires_at,
    )


def _waiting_view(waiting: Waiting, position: int) -> WaitingView:
    ask = waiting.ask
    return WaitingView(
        position=position,
        ticket=ask.ticket,
        holder=ask.holder,
        verb=ask.verb,
        amount=units(ask.micros),
        purpose=ask.purpose,
        priority=ask.priority,
        since=waiting.since,
        deadline_at=waiting.deadline_at,
    )


def _is_late(waiting: Waiting, now: Instant) -> bool:
    return waiting.deadline_at is not None and waiting.deadline_at <= now
