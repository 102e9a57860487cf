"""What those who ask for leases are told: where their ticket stands, who holds what, and what they wait for."""

from __future__ import annotations

import heapq
from itertools import islice
from typing import Any

import msgspec

from concerted.board.holding import SHOWN, WAITED_FOR, slot
from concerted.board.leases.conflicts import ahead, held_ahead, holders_of, position
from concerted.board.leases.requests import (
    PAGE_MAX,
    Acquire,
    AskRelease,
    Check,
    Confirm,
    Find,
    Release,
    Renew,
    Request,
    Reserve,
    Revoke,
    Withdraw,
    ask_of,
)
from concerted.board.leases.space import EMPTY, Ask, Ended, Lease, Leases, Mode, Waiting, find
from concerted.board.names import is_plain, normalise, overlap
from concerted.errors import LeaseLost
from concerted.machine import Look, Priority, Result, Wait
from concerted.values import AgentId, Instant

__all__ = [
    "AskedResult",
    "CheckResult",
    "LeaseResult",
    "LeaseView",
    "LeasesResult",
    "ReserveResult",
    "WaitingView",
    "answer",
    "lease_lost",
    "list_of",
    "waits",
]

NAMES_SHOWN = 3  # names of a lease that a sentence lists


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """One lease.  expires_at: as logged; the store may know of renewals.  gone: why its holder counts as gone."""

    holder: AgentId
    names: tuple[str, ...]
    mode: Mode
    token: str
    ticket: str
    purpose: str = ""
    since: Instant = 0.0
    expires_at: Instant = 0.0
    is_confirmed: bool = True
    asked_by: tuple[AgentId, ...] = ()
    gone: str | None = None


class WaitingView(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket that waits.  position: 1 is next for its names."""

    position: int
    ticket: str
    holder: AgentId
    names: tuple[str, ...]
    mode: Mode
    purpose: str = ""
    priority: Priority = "medium"
    since: Instant = 0.0
    deadline_at: Instant | None = None


class LeaseResult(Result, frozen=True, kw_only=True):
    """Where a ticket, or the lease that came of it, stands.

    status: `granted`, `waiting`, `refused` (it is not free, and was not to wait), `unknown`, or how it ended.
    position: in the queue, 1 is next; 0: it is not in it.  held_by: the oldest that are in the way.
    confirm_at: by then the grant is to be confirmed.  wait_s: how long it has waited, or had to.
    """

    success: bool
    status: str
    granted: bool = False
    ticket: str = ""
    token: str = ""
    names: tuple[str, ...] = ()
    holder: AgentId = AgentId("")
    mode: Mode = "exclusive"
    ttl_s: float = 0.0
    purpose: str = ""
    priority: Priority = "medium"
    durable: bool = True
    since: Instant | None = None
    expires_at: Instant | None = None
    confirm_at: Instant | None = None
    deadline_at: Instant | None = None
    wait_s: float = 0.0
    position: int = 0
    held_by: tuple[LeaseView, ...] = ()
    reason: str = ""


class AskedResult(Result, frozen=True, kw_only=True):
    """Whose leases somebody would like to be released."""

    leases: tuple[LeaseView, ...] = ()


class CheckResult(Result, frozen=True, kw_only=True):
    """Whether a token is the one under which a name is held now.  holder, current_token: who holds it now."""

    valid: bool
    holder: AgentId | None = None
    current_token: str | None = None
    reason: str = ""


class ReserveResult(Result, frozen=True, kw_only=True):
    """The block of tokens that was set aside: from `start` up to and without `end`."""

    start: int
    end: int
    grace_s: float


class LeasesResult(Result, frozen=True, kw_only=True):
    """A page of what is held, by token, and of who waits, in order.

    after, after_position: what to ask for the next page with; None: there is no more of that kind.
    """

    leases: tuple[LeaseView, ...] = ()
    waiting: tuple[WaitingView, ...] = ()
    held_count: int = 0
    waiting_count: int = 0
    after: str | None = None
    after_position: int | None = None


def answer(state: Leases | None, request: Request, now: Instant) -> Result:
    """Return what the caller is told by the space as it is now."""
    space = EMPTY if state is None else state
    match request:
        case Acquire():
            return _acquired(space, request, now)
        case Confirm(ticket, _):
            return _ticket(space, find(space, ticket), ticket, now)
        case Withdraw(ticket, _):
            return _over(
                _ticket(space, find(space, ticket), ticket, now), "withdrawn", "released", "abandoned", "dropped"
            )
        case Renew(_, token):
            lease = space.held.get(token)
            result = _ticket(space, lease or _ended(space, token), "", now)
            return result if lease is None else msgspec.structs.replace(result, expires_at=now + lease.ask.ttl_s)
        case Release(_, token) | Revoke(_, token):
            result = _ticket(space, space.held.get(token) or _ended(space, token), "", now)
            return _over(result, "released" if isinstance(request, Release) else "revoked")
        case AskRelease(_, name, token):
            return AskedResult(leases=tuple(_view(space, lease) for lease in _asked(space, name, token)))
        case Check(name, token):
            return _checked(space, normalise(name), token, now)
        case Reserve(by=by):
            block = space.blocks[by]
            return ReserveResult(start=block.start, end=block.end, grace_s=block.grace_s)
        case Find():
            return _page(space, request)
        case Look():
            return _page(space, Find())
        case _:
            return Result()


def waits(state: Leases | None, request: Request, now: Instant) -> Wait | None:
    """Say for whom the caller waits: all who hold what it wants, and all who wanted it before."""
    space = EMPTY if state is None else state
    known = find(space, request.ticket) if isinstance(request, Acquire) else None
    if not isinstance(known, Waiting) or _is_late(known, now):
        return None
    holders, before = held_ahead(space, known.ask, WAITED_FOR), ahead(space, known, WAITED_FOR)
    agents = sorted({lease.ask.holder for lease in holders} | {other.ask.holder for other in before})
    what = list_of(known.ask)
    if holders:
        more = f" and {len(holders) - 1} more" if len(holders) > 1 else ""
        what += f", held by {_who(space, holders[0])}{more}"
    if len(before) == 1:
        what += f"; {before[0].ask.holder} waits for it before"
    elif before:
        what += f"; {len(before)} wait for it before"
    return Wait(what, known.since, tuple(agents), max(1, len(agents)), known.deadline_at)


def lease_lost(space: Leases, token: str) -> LeaseLost:
    """Return the error that says what became of a token that is not held, and who has it now."""
    ended = _ended(space, token)
    if ended is None:
        return LeaseLost(f"no lease is held under {token}: it ended long ago, or never was", token=token)
    now_held = held_ahead(space, msgspec.structs.replace(ended.ask, mode="exclusive"), 1)
    after = "nobody holds it now"
    if now_held:
        after = f"it is held by {_who(space, now_held[0])} now, under {now_held[0].token}"
    return LeaseLost(
        f"lease {token} of {ended.ask.holder} on {list_of(ended.ask)} is over: {_why(ended)}; {after}",
        token=token,
        ended=ended.how,
        holder=now_held[0].ask.holder if now_held else None,
        current_token=now_held[0].token if now_held else None,
    )


def list_of(ask: Ask) -> str:
    """Return the names of an ask for a sentence."""
    more = f" and {len(ask.names) - NAMES_SHOWN} more" if len(ask.names) > NAMES_SHOWN else ""
    return ", ".join(ask.names[:NAMES_SHOWN]) + more


def _acquired(space: Leases, request: Acquire, now: Instant) -> LeaseResult:
    known = find(space, request.ticket)
    if known is not None:
        result = _ticket(space, known, request.ticket, now)
        return result if request.wait else msgspec.structs.replace(result, pending=False)
    if request.wait:
        return _ticket(space, None, request.ticket, now)
    ask = ask_of(request)
    holders = held_ahead(space, ask)
    why = "; ".join(f"{list_of(lease.ask)} is held by {_who(space, lease)}" for lease in holders[:NAMES_SHOWN])
    return LeaseResult(
        success=False,
        status="refused",
        held_by=tuple(_view(space, lease) for lease in holders),
        reason=why or f"others wait for {list_of(ask)} already; ask with wait to join them",
        **_content(ask),
    )


def _ticket(space: Leases, known: Lease | Waiting | Ended | None, ticket: str, now: Instant) -> LeaseResult:
    match known:
        case Lease():
            return LeaseResult(
                success=True,
                status="granted",
                granted=True,
                token=known.token,
                since=known.since,
                expires_at=known.expires_at,
                confirm_at=known.confirm_at,
                wait_s=known.waited_s,
                **_content(known.ask),
            )
        case Waiting() if not _is_late(known, now):
            return LeaseResult(
                pending=True,
                success=False,
                status="waiting",
                since=known.since,
                deadline_at=known.deadline_at,
                wait_s=max(0.0, now - known.since),
                position=position(space, known),
                held_by=tuple(_view(space, lease) for lease in held_ahead(space, known.ask)),
                reason=f"it waits for {list_of(known.ask)}",
                **_content(known.ask),
            )
        case Waiting():
            return LeaseResult(
                success=False,
                status="abandoned",
                deadline_at=known.deadline_at,
                reason="its deadline passed",
                **_content(known.ask),
            )
        case Ended():
            return LeaseResult(
                success=False,
                status=known.how,
                token=known.token,
                reason=_why(known),
                **_content(known.ask),
            )
        case None:
            why = "there is no such ticket, or it was over long ago"
            return LeaseResult(success=False, status="unknown", ticket=ticket, reason=why)


def _over(result: LeaseResult, *ways: str) -> LeaseResult:
    """Return what a caller is told who wanted a ticket to end in one of these ways."""
    return msgspec.structs.replace(result, pending=False, success=result.status in ways)


def _why(ended: Ended) -> str:
    return ended.reason or f"it was {ended.how}"


def _content(ask: Ask) -> dict[str, Any]:
    return msgspec.structs.asdict(ask)


def _checked(space: Leases, name: str, token: str, now: Instant) -> CheckResult:
    lease = space.held.get(token)
    if lease is not None and _covers(lease.ask, name):
        if lease.confirm_at is None or now < lease.confirm_at:
            return CheckResult(valid=True, holder=lease.ask.holder, current_token=token)
        return CheckResult(valid=False, reason="the grant was not confirmed in time")
    holders = holders_of(space, name, 1)
    if lease is not None:
        why = f"{token} is of {list_of(lease.ask)}, and not of {name}"
    else:
        why = lease_lost(space, token).message
    if not holders:
        return CheckResult(valid=False, reason=why)
    return CheckResult(valid=False, holder=holders[0].ask.holder, current_token=holders[0].token, reason=why)


def _covers(ask: Ask, name: str) -> bool:
    """Say whether all that a name stands for is held; of prefixes and globs only the lease's own are known to be."""
    return any(overlap(name, other) for other in ask.names) if is_plain(name) else name in ask.names


def _asked(space: Leases, name: str | None, token: str | None) -> tuple[Lease, ...]:
    if token is not None:
        return (space.held[token],) if token in space.held else ()
    return holders_of(space, normalise(name or ""), SHOWN)


def _page(space: Leases, request: Find) -> LeasesResult:
    limit = max(1, min(request.limit, PAGE_MAX))
    leases: list[Lease] = []
    if request.after is not None:
        fitting = (
            lease for token, lease in space.held.unordered() if token > request.after and _fits(request, lease.ask)
        )
        leases = heapq.nsmallest(limit + 1, fitting, key=lambda lease: lease.token)
    tickets: list[tuple[int, Waiting]] = []
    if request.after_position is not None:
        everybody = enumerate((space.line.waiting[ticket] for _, _, ticket in space.line.queue), 1)
        later = (item for item in everybody if item[0] > (request.after_position or 0) and _fits(request, item[1].ask))
        tickets = list(islice(later, limit + 1))
    return LeasesResult(
        leases=tuple(_view(space, lease) for lease in leases[:limit]),
        waiting=tuple(_waiting_view(space, waiting) for _, waiting in tickets[:limit]),
        held_count=len(space.held),
        waiting_count=len(space.line.waiting),
        after=leases[limit - 1].token if len(leases) > limit else None,
        after_position=tickets[limit - 1][0] if len(tickets) > limit else None,
    )


def _fits(request: Find, ask: Ask) -> bool:
    if request.holder is not None and ask.holder != request.holder:
        return False
    return request.name is None or any(overlap(request.name, name) for name in ask.names)


def _view(space: Leases, lease: Lease) -> LeaseView:
    ask = lease.ask
    return LeaseView(
        holder=ask.holder,
        names=ask.names,
        mode=ask.mode,
        token=lease.token,
        ticket=ask.ticket,
        purpose=ask.purpose,
        since=lease.since,
        expires_at=lease.expires_at,
        is_confirmed=lease.confirm_at is None,
        asked_by=lease.asked,
        gone=space.gone.get(ask.holder),
    )


def _waiting_view(space: Leases, waiting: Waiting) -> WaitingView:
    ask = waiting.ask
    return WaitingView(
        position=position(space, waiting),
        ticket=ask.ticket,
        holder=ask.holder,
        names=ask.names,
        mode=ask.mode,
        purpose=ask.purpose,
        priority=ask.priority,
        since=waiting.since,
        deadline_at=waiting.deadline_at,
    )


def _who(space: Leases, lease: Lease) -> str:
    """Return the holder of a lease with what is to be known of it: `ann (for 'build', gone: no heartbeat)`."""
    about = [f"for {lease.ask.purpose!r}"] if lease.ask.purpose else []
    gone = space.gone.get(lease.ask.holder)
    if gone is not None:
        about.append(f"gone: {gone}")
    return f"{lease.ask.holder} ({', '.join(about)})" if about else lease.ask.holder


def _is_late(waiting: Waiting, now: Instant) -> bool:
    return waiting.deadline_at is not None and waiting.deadline_at <= now


def _ended(space: Leases, token: str) -> Ended | None:
    ended = space.ended.get(slot(token))
    return ended if ended is not None and ended.token == token else None
