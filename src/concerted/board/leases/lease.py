"""Leases on anything by name: held alone or shared, several names or none, until they are released or time is over.

    (asked) --all free, nobody before it--> held --Release | Revoke--> ended
            --else, wait--> waiting         held --Expire, its time is over--> ended
    waiting --Withdraw | deadline_at | Lost--> dropped
    waiting --those before it are gone--> granted --Confirm--> held
                                          granted --confirm_s passed | Lost | Withdraw--> ended

One machine keeps all leases of a store, since names overlap and several are taken at once.  Nothing creates it.

**Who comes next.**  Two tickets conflict if their names overlap and not both are shared.  A ticket is granted in the
first moment in which it conflicts with no lease and with no ticket before it in the queue.  Before it are those with
the earlier turn: the instant of asking less AGEING_S for each level of priority (`queue`); of equal turns, those who
asked first.  When something ends, those who waited for it are looked at in this order, each on what the grants before
it have left.  A ticket that comes anew is treated as if it had joined the queue and this had been looked at.

**Time.**  Renewals are no events (`holding`).  So a lease is ended by `Expire` alone, which brings them along; the
engine gives it wherever it would give a `Wake`.  A plain `Wake` lets deadlines and confirmations pass, and no lease
ends by it.  What an agent holds that is lost stays so until its time is over: that is what a lease promises.  Only
what it waits for is dropped, and what it was granted and has not confirmed.

**Leases that are not durable** are a space of their own, kept in memory by the engine over a block of reserved tokens
(`with_block`); the two spaces do not see each other, so a name is to be taken in one of them only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from concerted.board.holding import HELD_MAX, Course, slot
from concerted.board.leases.answers import (
    AskedResult,
    CheckResult,
    LeaseResult,
    LeasesResult,
    LeaseView,
    ReserveResult,
    WaitingView,
    answer,
    lease_lost,
    list_of,
    waits,
)
from concerted.board.leases.conflicts import holders_of, is_free, is_next
from concerted.board.leases.course import (
    content,
    end,
    expire,
    grant,
    has_token,
    let_pass,
    lose,
    serve,
    wake,
    wake_at,
)
from concerted.board.leases.requests import (
    Acquire,
    AskRelease,
    Check,
    Confirm,
    Expire,
    Find,
    Release,
    Renew,
    Request,
    Reserve,
    Revoke,
    Withdraw,
    ask_of,
    check_reason,
    check_reserve,
)
from concerted.board.leases.space import EMPTY, Ended, Lease, Leases, Waiting, evolve, find
from concerted.board.names import normalise
from concerted.board.queue import QUEUE_MAX, turn
from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded, TimedOut, WrongPhase
from concerted.machine import Event, Found, Lost, Send, Step, Wake
from concerted.values import AgentId, Instant

__all__ = [
    "KINDS",
    "Acquire",
    "AskRelease",
    "AskedResult",
    "Check",
    "CheckResult",
    "Confirm",
    "Expire",
    "Find",
    "LeaseResult",
    "LeaseView",
    "Leases",
    "LeasesResult",
    "Release",
    "Renew",
    "Request",
    "Reserve",
    "ReserveResult",
    "Revoke",
    "State",
    "WaitingView",
    "Withdraw",
    "answer",
    "begins",
    "check_renewal",
    "decide",
    "ends",
    "evolve",
    "holds",
    "topic",
    "waits",
    "wakes",
    "with_block",
]

State = Leases

ASKED_MAX = 100  # leases whose holders one AskRelease reaches
ASKERS_KEPT = 16  # who asked for the release of one lease

KINDS: Mapping[str, str] = {
    "leases.created": "The space of leases is used for the first time: status.",
    "lease.granted": "The agent holds the names under token `ref`: ticket, token, names, mode, ttl_s, expires_at; where"
    " they differ from the default purpose, priority, durable; confirm_at, if it must be confirmed by then.",
    "lease.queued": "The agent waits for the names under ticket `ref`: ticket, names, mode, ttl_s, since, number; where"
    " they differ from the default purpose, priority, durable, confirm_s, give_up_at.",
    "lease.confirmed": "The agent, which had waited, has got its grant `ref`: ticket, token, expires_at.",
    "lease.released": "The agent holds `ref` no longer, by its own will: ticket, token, names.",
    "lease.expired": "Time is over for `ref`, and nothing renewed it: ticket, token, names, expires_at, reason.",
    "lease.lapsed": "The agent never confirmed its grant `ref`: ticket, token, names, confirm_at, reason.",
    "lease.revoked": "Lease `ref` was taken from its holder: ticket, token, names, holder, by, reason.",
    "lease.release_asked": "Somebody would like `ref` to be released: ticket, token, names, holder, by, reason.",
    "lease.withdrawn": "The agent waits no longer under ticket `ref`, by its own will: ticket, names.",
    "lease.abandoned": "Ticket `ref` was not granted by its deadline: ticket, names, give_up_at, reason.",
    "lease.dropped": "Ticket `ref` is not to be granted, since its agent is gone: ticket, names, reason.",
    "lease.holder_lost": "The agent is gone; what it holds stays so until its time is over: reason, leases (tokens).",
    "lease.holder_found": "The agent that was gone is back.",
    "leases.checked": "By the renewals known now no lease ends before this instant: next_at.",
    "leases.reserved": "Tokens are set aside for leases that are not durable, by `ref`: from, to, grace_s.",
}

_BY_WILL = ("released", "revoked", "withdrawn", "abandoned")  # a ticket that ended so is over; else it may ask anew


def decide(state: Leases | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to; None is the space in which nothing was ever held.

    A request is treated as coming after every deadline and every confirmation that is due by `now`.  A name that is not
    free, asked for without waiting, is no error: the answer says who holds it.

    Raises:
        Invalid: something is malformed.  Conflict: the ticket stands for something else.
        LeaseLost: the token is not, or no longer, that of a lease.  NotAllowed: the lease is somebody else's.
        NotFound: there is no such ticket, or nobody holds the name.  WrongPhase: the ticket was granted already.
        TimedOut: the deadline of a new ticket has passed.  Overloaded: HELD_MAX or QUEUE_MAX is reached.
    """
    course = Course(evolve, EMPTY if state is None else state, now)
    let_pass(course, now)
    match request:
        case Acquire():
            _acquire(course, request, now)
        case Release(holder, token):
            _release(course, holder, token, now)
        case Renew(holder, token):
            check_renewal(course.state, holder, token, now)
        case Confirm(ticket, holder):
            _confirm(course, ticket, holder, now)
        case Withdraw(ticket, holder):
            _withdraw(course, ticket, holder, now)
        case AskRelease():
            _ask_release(course, request)
        case Revoke():
            _revoke(course, request, now)
        case Reserve():
            _reserve(course, request)
        case Lost(agent, reason):
            lose(course, agent, reason, now)
        case Found(agent):
            if agent in course.state.gone:
                course.events.append(Event("lease.holder_found", agent))
        case Check(name):
            normalise(name)
        case Find(name=name) if name is not None:
            normalise(name)
        case Expire(held):
            return _step(state, course, expire(course, held, now))
        case Wake():
            return _step(state, course, wake(course, now))
        case _:
            pass
    return _step(state, course, wake_at(course))


def topic(request: Request) -> str:
    """Name what a caller waits for: its ticket."""
    return request.ticket if isinstance(request, Acquire) else ""


def wakes(event: Event) -> Iterable[str]:
    """Name the tickets that an event concerns."""
    return (event.data["ticket"],) if "ticket" in event.data else ()


def begins(event: Event) -> Iterable[tuple[str, Instant]]:
    """Name the tokens that are held from this event on, and until when the store is to hold them."""
    if event.kind in ("lease.granted", "lease.confirmed"):
        return ((event.data["token"], event.data["expires_at"]),)
    return ()


def ends(event: Event) -> Iterable[tuple[str, bool]]:
    """Name the tokens that are held no longer from this event on, and whether that is because time is over."""
    if event.kind in ("lease.released", "lease.revoked", "lease.lapsed", "lease.expired"):
        return ((event.data["token"], event.kind == "lease.expired"),)
    return ()


def holds(state: Leases | None, now: Instant) -> tuple[tuple[str, Instant], ...]:
    """Return what is held, and until when if its whole time begins now: token -> until.

    For a store that has forgotten all renewals: everything held is to be held anew before the first `Expire`.
    """
    held = EMPTY.held if state is None else state.held
    return tuple((token, max(lease.expires_at, now + lease.ask.ttl_s)) for token, lease in held.items())


def with_block(state: Leases | None, start: int, end: int) -> Leases:
    """Return the space as it goes on over another block of reserved tokens; None: as it begins."""
    return msgspec.structs.replace(EMPTY if state is None else state, next=start, end=end)


def check_renewal(
    state: Leases | None, holder: AgentId, token: str, now: Instant, until: Instant | None = None
) -> Lease:
    """Return the lease that this holder may renew under this token.

    until: what the store says; given, a lease whose time is over is refused also before its `Expire`.

    Raises:
        LeaseLost: it is not held, or its time is over.  NotAllowed: it is somebody else's.
    """
    space = EMPTY if state is None else state
    lease = _held_by(space, holder, token)
    if lease.confirm_at is not None and lease.confirm_at <= now:
        raise LeaseLost(f"lease {token} was not confirmed in time; ask for {list_of(lease.ask)} anew", token=token)
    if until is not None and max(until, lease.expires_at) <= now:
        raise LeaseLost(f"time is over for lease {token}; ask for {list_of(lease.ask)} anew", token=token)
    return lease


# what is asked


def _acquire(course: Course[Leases], request: Acquire, now: Instant) -> None:
    space, ask = course.state, ask_of(request)
    if ask.durable and space.end:
        raise Invalid(f"ticket {ask.ticket}: what is kept here in memory is not durable; ask with durable false")
    known = find(space, ask.ticket)
    if known is not None and known.ask != ask:
        raise Conflict(
            f"ticket {ask.ticket} stands for {known.ask.mode} {list_of(known.ask)} of {known.ask.holder},"
            f" asked for otherwise; take a new ticket for something else",
            ticket=ask.ticket,
        )
    match known:
        case Lease():
            _confirm_grant(course, known, now)
            return
        case Waiting():
            return
        case Ended(how=how) if how in _BY_WILL:
            return
    if request.deadline_at is not None and request.deadline_at <= now:
        raise TimedOut(f"the deadline of ticket {ask.ticket} had passed when it was asked for; ask with a later one")
    line = space.line
    asked_at = max(now, line.asked_at)
    place = (turn(asked_at, ask.priority), line.number + 1, ask.ticket)
    if is_free(space, ask) and (not line.queue.chunks or is_next(space, ask, place)):
        if len(space.held) >= HELD_MAX:
            raise Overloaded(f"{HELD_MAX:,} leases are held; release some, or come back later", bound=HELD_MAX)
        if not has_token(space):
            raise Overloaded("the reserved tokens are used up; reserve more", bound=space.end)
        course.events.append(grant(space, ask, now))
    elif request.wait:
        if len(line.waiting) >= QUEUE_MAX:
            raise Overloaded(f"{QUEUE_MAX:,} tickets wait for leases; come back later", bound=QUEUE_MAX)
        more = {"confirm_s": request.confirm_s, "give_up_at": request.deadline_at}
        data = content(ask) | {"since": asked_at, "number": line.number + 1}
        data |= {key: value for key, value in more.items() if value is not None}
        course.events.append(Event("lease.queued", ask.holder, ask.ticket, data))


def _release(course: Course[Leases], holder: AgentId, token: str, now: Instant) -> None:
    space = course.state
    if token not in space.held and _ended_as(space, holder, token, "released"):
        return
    lease = _held_by(space, holder, token)
    course.events.append(end("lease.released", holder, lease))
    if space.line.queue.chunks:
        serve(course, [lease.ask.names], now)


def _confirm(course: Course[Leases], ticket: str, holder: AgentId, now: Instant) -> None:
    known = find(course.state, ticket)
    match known:
        case Lease() | Waiting() if known.ask.holder != holder:
            raise NotAllowed(f"ticket {ticket} is {known.ask.holder}'s, not {holder}'s")
        case Lease():
            _confirm_grant(course, known, now)
        case Waiting():
            raise WrongPhase(f"ticket {ticket} is not granted yet; it waits for {list_of(known.ask)}", ticket=ticket)
        case Ended(token=token) if token:
            raise lease_lost(course.state, token)
        case _:
            raise NotFound(f"nothing was granted to ticket {ticket}; ask for what you need", ticket=ticket)


def _confirm_grant(course: Course[Leases], lease: Lease, now: Instant) -> None:
    if lease.confirm_at is not None:
        data = {"ticket": lease.ask.ticket, "token": lease.token, "expires_at": now + lease.ask.ttl_s}
        course.events.append(Event("lease.confirmed", lease.ask.holder, lease.token, data))


def _withdraw(course: Course[Leases], ticket: str, holder: AgentId, now: Instant) -> None:
    known = find(course.state, ticket)
    if known is None:
        raise NotFound(f"there is no ticket {ticket}; nothing waits under it", ticket=ticket)
    if known.ask.holder != holder:
        raise NotAllowed(f"ticket {ticket} is {known.ask.holder}'s, not {holder}'s")
    match known:
        case Waiting():
            data = {"ticket": ticket, "names": list(known.ask.names)}
            course.events.append(Event("lease.withdrawn", holder, ticket, data))
        case Lease(confirm_at=None):
            raise WrongPhase(
                f"ticket {ticket} was granted; release its lease {known.token} instead",
                ticket=ticket,
                token=known.token,
            )
        case Lease():
            course.events.append(end("lease.released", holder, known))
        case _:
            return
    serve(course, [known.ask.names], now)


def _ask_release(course: Course[Leases], request: AskRelease) -> None:
    check_reason(request.reason)
    space = course.state
    if request.token is not None:
        if request.token not in space.held:
            raise lease_lost(space, request.token)
        leases: tuple[Lease, ...] = (space.held[request.token],)
    elif request.name is not None:
        leases = holders_of(space, normalise(request.name), ASKED_MAX)
    else:
        raise Invalid("name the thing that is to be released, or the token of its lease")
    if not leases:
        raise NotFound(f"nobody holds {request.name}; acquire it")
    for lease in leases:
        if request.by in lease.asked or len(lease.asked) >= ASKERS_KEPT:
            continue
        told = {"holder": lease.ask.holder, "by": request.by, "reason": request.reason}
        course.events.append(end("lease.release_asked", request.by, lease, **told))
        content = {"token": lease.token, "names": list(lease.ask.names), "by": request.by, "reason": request.reason}
        course.sends.append(Send((lease.ask.holder,), "LEASE_RELEASE_REQUESTED", content, lease.ask.priority))


def _revoke(course: Course[Leases], request: Revoke, now: Instant) -> None:
    check_reason(request.reason)
    if not request.is_admin:
        raise NotAllowed(f"{request.by} may not revoke leases; an administrator can, and its holder can release it")
    space, token = course.state, request.token
    lease = space.held.get(token)
    if lease is None:
        if _ended_as(space, None, token, "revoked"):
            return
        raise lease_lost(space, token)
    told = {"holder": lease.ask.holder, "by": request.by, "reason": request.reason}
    course.events.append(end("lease.revoked", request.by, lease, **told))
    content = {"token": token, "names": list(lease.ask.names), "by": request.by, "reason": request.reason}
    course.sends.append(Send((lease.ask.holder,), "LEASE_LOST", content, "high"))
    serve(course, [lease.ask.names], now)


def _reserve(course: Course[Leases], request: Reserve) -> None:
    check_reserve(request)
    start = course.state.next
    data = {"from": start, "to": start + request.count, "grace_s": request.grace_s}
    course.events.append(Event("leases.reserved", None, request.by, data))


# whose it is


def _held_by(space: Leases, holder: AgentId, token: str) -> Lease:
    lease = space.held.get(token)
    if lease is None:
        raise lease_lost(space, token)
    if lease.ask.holder != holder:
        raise NotAllowed(f"lease {token} on {list_of(lease.ask)} is {lease.ask.holder}'s, not {holder}'s", token=token)
    return lease


def _ended_as(space: Leases, holder: AgentId | None, token: str, how: str) -> bool:
    ended = space.ended.get(slot(token))
    return ended is not None and ended.token == token and ended.how == how and holder in (None, ended.ask.holder)


def _step(state: Leases | None, course: Course[Leases], wake_at: Instant | None) -> Step:
    events = course.events
    if state is None and events:
        events = [Event("leases.created", data={"status": "active"}), *events]
    return Step(tuple(events), tuple(course.sends), wake_at)
