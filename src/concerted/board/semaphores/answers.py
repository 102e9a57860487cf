"""What those who ask a semaphore are told: where their ticket stands, who holds permits, and whom they wait for."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec

from concerted.board.holding import SHOWN, WAITED_FOR
from concerted.board.semaphores.state import (
    Acquire,
    Ask,
    Check,
    Confirm,
    Create,
    Ended,
    Find,
    Permit,
    Release,
    Renew,
    Request,
    Resize,
    Semaphore,
    Waiting,
    Withdraw,
    find,
    permit_of,
)
from concerted.machine import Look, Priority, Result, Wait
from concerted.values import AgentId, Instant

__all__ = ["CheckResult", "PermitResult", "PermitView", "SemaphoreResult", "WaitingView", "answer", "waits"]

PAGE_MAX = 1_000  # holders, and tickets that wait, in one page


class PermitView(msgspec.Struct, frozen=True, kw_only=True):
    """Permits that are held.  expires_at: as logged; the store may know of renewals.  gone: why its holder is gone."""

    holder: AgentId
    permits: int
    ticket: str
    token: str
    purpose: str = ""
    since: Instant = 0.0
    expires_at: Instant = 0.0
    is_confirmed: bool = True
    gone: str | None = None


class WaitingView(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket that waits.  position: 1 is next."""

    position: int
    ticket: str
    holder: AgentId
    permits: int
    purpose: str = ""
    priority: Priority = "medium"
    since: Instant = 0.0
    deadline_at: Instant | None = None


class PermitResult(Result, frozen=True, kw_only=True):
    """Where a ticket, or what was granted to it, stands.

    status: `granted`, `waiting`, `refused` (too few were free, and it was not to wait), `unknown`, or how it ended.
    position: in the queue, 1 is next; 0: it is not in it.  held_by: the oldest that hold permits, while it has none.
    free, total: permits of the semaphore now.  wait_s: how long it has waited, or had to.
    """

    success: bool
    status: str
    granted: bool = False
    ticket: str = ""
    token: str = ""
    holder: AgentId = AgentId("")
    permits: int = 0
    ttl_s: float = 0.0
    purpose: str = ""
    priority: Priority = "medium"
    since: Instant | None = None
    expires_at: Instant | None = None
    confirm_at: Instant | None = None
    deadline_at: Instant | None = None
    wait_s: float = 0.0
    position: int = 0
    held_by: tuple[PermitView, ...] = ()
    free: int = 0
    total: int = 0
    reason: str = ""


class CheckResult(Result, frozen=True, kw_only=True):
    """Whether permits are held under a token now, by whom and how many."""

    valid: bool
    holder: AgentId | None = None
    permits: int = 0
    reason: str = ""


class SemaphoreResult(Result, frozen=True, kw_only=True):
    """A semaphore, with a page of who holds permits (by token) and of who waits (in order).

    after, after_position: what to ask for the next page with; None: there is no more of that kind.
    """

    id: str
    name: str
    status: str = "active"
    success: bool = True
    creator: AgentId
    created_at: Instant
    metadata: dict[str, Any]
    total: int
    in_use: int
    free: int
    holders: tuple[PermitView, ...] = ()
    waiting: tuple[WaitingView, ...] = ()
    holder_count: int = 0
    waiting_count: int = 0
    after: str | None = None
    after_position: int | None = None


def answer(state: Semaphore | None, request: Request, now: Instant) -> Result:
    """Return what the caller is told by the semaphore as it is now."""
    if state is None:
        return Result()
    match request:
        case Acquire():
            return _acquired(state, request, now)
        case Confirm(ticket, _):
            return _ticket(state, find(state, ticket), ticket, now)
        case Release(_, ticket):
            return _over(_ticket(state, find(state, ticket), ticket, now), "released")
        case Withdraw(ticket, _):
            result = _ticket(state, find(state, ticket), ticket, now)
            return _over(result, "withdrawn", "released", "abandoned", "dropped")
        case Renew(_, token):
            permit = permit_of(state, token)
            result = _ticket(state, permit, state.tokens.get(token, ""), now)
            return result if permit is None else msgspec.structs.replace(result, expires_at=now + permit.ask.ttl_s)
        case Check(token):
            return _checked(state, token, now)
        case Find():
            return _page(state, request)
        case Look() | Create() | Resize():
            return _page(state, Find())
        case _:
            return Result()


def waits(state: Semaphore | None, request: Request, now: Instant) -> Wait | None:
    """Say for whom the caller waits: for who holds permits, and behind the first in the queue."""
    known = find(state, request.ticket) if state is not None and isinstance(request, Acquire) else None
    if state is None or not isinstance(known, Waiting) or _is_late(known, now):
        return None
    what = f"{_permits(known.ask.permits)} of {state.id}, {max(0, state.free)} of {state.permits} free"
    position = state.queue.position(known.place)
    if position > 1:
        what += f"; {position - 1} before it in the queue"
    holders = [state.held[ticket] for _, _, ticket in islice(state.holders, WAITED_FOR + 1)]
    gone = [permit for permit in holders if permit.ask.holder in state.gone]
    if gone:
        holder = gone[0].ask.holder
        what += f"; {_permits(gone[0].ask.permits)} held by {holder}, who is gone: {state.gone[holder]}"
    if len(holders) > WAITED_FOR:  # too many to name: any of them may do
        return Wait(what, known.since, deadline=known.deadline_at)
    agents = {permit.ask.holder for permit in holders}
    needed = _needed(holders, known.ask.permits - state.free)
    if position > 1 and state.queue.first is not None:
        agents.add(state.waiting[state.queue.first[2]].ask.holder)
        needed = 1
    return Wait(what, known.since, tuple(sorted(agents)), needed, known.deadline_at)


def _needed(holders: list[Permit], lacking: int) -> int:
    """Return how many agents must give back what they hold at least, until so many permits more are free."""
    by_agent: dict[AgentId, int] = {}
    for permit in holders:
        by_agent[permit.ask.holder] = by_agent.get(permit.ask.holder, 0) + permit.ask.permits
    count = 0
    for permits in sorted(by_agent.values(), reverse=True):
        if lacking <= 0:
            break
        lacking -= permits
        count += 1
    return max(1, count)


def _acquired(state: Semaphore, request: Acquire, now: Instant) -> PermitResult:
    known = find(state, request.ticket)
    if known is not None:
        result = _ticket(state, known, request.ticket, now)
        return result if request.wait else msgspec.structs.replace(result, pending=False)
    if request.wait:
        return _ticket(state, None, request.ticket, now)
    ask = Ask(
        request.ticket, request.holder, request.permits, request.ttl_s, request.purpose, request.priority
    )  # fmt: skip
    why = f"{max(0, state.free)} of {_permits(state.permits)} are free"
    if state.queue.chunks:
        why += f", and {len(state.queue)} wait already"
    return PermitResult(success=False, status="refused", reason=why, **_content(state, ask), held_by=_held_by(state))


def _ticket(state: Semaphore, known: Permit | Waiting | Ended | None, ticket: str, now: Instant) -> PermitResult:
    match known:
        case Permit():
            return PermitResult(
                success=True,
                status="granted",
                granted=True,
                token=known.token,
                since=known.since,
                expires_at=known.expires_at,
                confirm_at=known.confirm_at,
                wait_s=known.waited_s,
                **_content(state, known.ask),
            )
        case Waiting() if not _is_late(known, now):
            return PermitResult(
                pending=True,
                success=False,
                status="waiting",
                since=known.since,
                deadline_at=known.deadline_at,
                wait_s=max(0.0, now - known.since),
                position=state.queue.position(known.place),
                held_by=_held_by(state),
                reason=f"it waits for {_permits(known.ask.permits)}",
                **_content(state, known.ask),
            )
        case Waiting():
            why = "its deadline passed"
            at, content = known.deadline_at, _content(state, known.ask)
            return PermitResult(success=False, status="abandoned", deadline_at=at, reason=why, **content)
        case Ended():
            why = known.reason or f"it was {known.how}"
            content = _content(state, known.ask)
            return PermitResult(success=False, status=known.how, token=known.token, reason=why, **content)
        case None:
            why = "there is no such ticket, or it was over long ago"
            return PermitResult(success=False, status="unknown", ticket=ticket, reason=why)


def _over(result: PermitResult, *ways: str) -> PermitResult:
    """Return what a caller is told who wanted a ticket to end in one of these ways."""
    return msgspec.structs.replace(result, pending=False, success=result.status in ways)


def _content(state: Semaphore, ask: Ask) -> dict[str, Any]:
    return msgspec.structs.asdict(ask) | {"free": max(0, state.free), "total": state.permits}


def _checked(state: Semaphore, token: str, now: Instant) -> CheckResult:
    permit = permit_of(state, token)
    if permit is None:
        return CheckResult(valid=False, reason=f"no permits are held under {token}")
    if permit.confirm_at is not None and permit.confirm_at <= now:
        return CheckResult(valid=False, reason="the grant was not confirmed in time")
    return CheckResult(valid=True, holder=permit.ask.holder, permits=permit.ask.permits)


def _page(state: Semaphore, request: Find) -> SemaphoreResult:
    limit = max(1, min(request.limit, PAGE_MAX))
    holders: list[Permit] = []
    if request.after is not None:
        everybody = (state.held[ticket] for _, _, ticket in state.holders)
        holders = list(islice((permit for permit in everybody if permit.token > request.after), limit + 1))
    tickets: list[tuple[int, str]] = []
    if request.after_position is not None:
        later = islice(enumerate(state.queue, 1), request.after_position, request.after_position + limit + 1)
        tickets = [(at, ticket) for at, (_, _, ticket) in later]
    return SemaphoreResult(
        id=state.id,
        name=state.name,
        creator=state.creator,
        created_at=state.created_at,
        metadata=state.metadata,
        total=state.permits,
        in_use=state.in_use,
        free=max(0, state.free),
        holders=tuple(_view(state, permit) for permit in holders[:limit]),
        waiting=tuple(_waiting_view(state.waiting[ticket], at) for at, ticket in tickets[:limit]),
        holder_count=len(state.held),
        waiting_count=len(state.waiting),
        after=holders[limit - 1].token if len(holders) > limit else None,
        after_position=tickets[limit - 1][0] if len(tickets) > limit else None,
    )


def _held_by(state: Semaphore) -> tuple[PermitView, ...]:
    return tuple(_view(state, state.held[ticket]) for _, _, ticket in islice(state.holders, SHOWN))


def _view(state: Semaphore, permit: Permit) -> PermitView:
    ask = permit.ask
    return PermitView(
        holder=ask.holder,
        permits=ask.permits,
        ticket=ask.ticket,
        token=permit.token,
        purpose=ask.purpose,
        since=permit.since,
        expires_at=permit.expires_at,
        is_confirmed=permit.confirm_at is None,
        gone=state.gone.get(ask.holder),
    )


def _waiting_view(waiting: Waiting, position: int) -> WaitingView:
    ask = waiting.ask
    return WaitingView(
        position=position,
        ticket=ask.ticket,
        holder=ask.holder,
        permits=ask.permits,
        purpose=ask.purpose,
        priority=ask.priority,
        since=waiting.since,
        deadline_at=waiting.deadline_at,
    )


def _permits(count: int) -> str:
    return "1 permit" if count == 1 else f"{count} permits"


def _is_late(waiting: Waiting, now: Instant) -> bool:
    return waiting.deadline_at is not None and waiting.deadline_at <= now
