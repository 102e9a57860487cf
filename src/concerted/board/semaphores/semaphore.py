"""A semaphore: so many permits, held for a time, and a fair queue for who finds too few.

    (asked) --enough are free, nobody before it--> held --Release--> ended
            --else, wait--> waiting                held --Expire, its time is over--> ended
    waiting --Withdraw | deadline_at | Lost | Resize below it--> dropped
    waiting --it is first and enough are free--> granted --Confirm--> held
                                                 granted --confirm_s passed | Lost | Withdraw--> ended

**Who comes next** is decided by the order of the queue alone (`queue`: who asked first, priority counting as
earliness).  If there are too few permits for the first, everybody waits behind it, also who wants fewer: so nobody who
wants many starves.  A ticket that comes anew is granted at once if enough are free and it would be the first.

**Time and renewals** are as with leases (`holding`, `lease`): permits are ended by `Expire`, which knows the renewals;
a plain `Wake` lets deadlines and confirmations pass.  What a lost agent holds comes back when its time is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from concerted.board.holding import HELD_MAX, WAKE_AGAIN_S, Course, check_purpose, check_ticket, check_times, sooner
from concerted.board.queue import QUEUE_MAX, turn
from concerted.board.semaphores.answers import (
    CheckResult,
    PermitResult,
    PermitView,
    SemaphoreResult,
    WaitingView,
    answer,
    waits,
)
from concerted.board.semaphores.course import content, end, expire, grant, let_pass, lose, serve, timer
from concerted.board.semaphores.state import (
    Acquire,
    Ask,
    Check,
    Confirm,
    Create,
    Ended,
    Expire,
    Find,
    Permit,
    Release,
    Renew,
    Request,
    Resize,
    Semaphore,
    Waiting,
    Withdraw,
    evolve,
    find,
    permit_of,
)
from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded, TimedOut, WrongPhase
from concerted.machine import Event, Found, Lost, Step, Wake
from concerted.values import AgentId, Instant, encode, is_name

__all__ = [
    "KINDS",
    "PERMITS_MAX",
    "Acquire",
    "Check",
    "CheckResult",
    "Confirm",
    "Create",
    "Expire",
    "Find",
    "PermitResult",
    "PermitView",
    "Release",
    "Renew",
    "Request",
    "Resize",
    "Semaphore",
    "SemaphoreResult",
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
]

State = Semaphore

PERMITS_MAX = 1_000_000
METADATA_BYTES = 65_536

KINDS: Mapping[str, str] = {
    "semaphore.created": "There is a semaphore: id, permits, total (the same), name, metadata, status.",
    "semaphore.granted": "The agent holds permits under ticket `ref`: ticket, token, permits, ttl_s, expires_at, in_use"
    " (after it); where they differ from the default purpose, priority; waited_s and confirm_at, if it had waited.",
    "semaphore.queued": "The agent waits for permits under ticket `ref`: ticket, permits, ttl_s, since, number; where"
    " they differ from the default purpose, priority, confirm_s, give_up_at.",
    "semaphore.confirmed": "The agent, which had waited, has got its grant `ref`: ticket, token, expires_at.",
    "semaphore.released": "The agent gave back its permits `ref`: ticket, token, permits, in_use.",
    "semaphore.expired": "Time is over for `ref`, and nothing renewed it: ticket, token, permits, in_use, expires_at,"
    " reason.",
    "semaphore.lapsed": "The agent never confirmed its grant `ref`: ticket, token, permits, in_use, confirm_at,"
    " reason.",
    "semaphore.withdrawn": "The agent waits no longer under ticket `ref`, by its own will: ticket, permits.",
    "semaphore.abandoned": "Ticket `ref` was not granted by its deadline: ticket, permits, give_up_at, reason.",
    "semaphore.dropped": "Ticket `ref` cannot be granted any more: ticket, permits, reason.",
    "semaphore.resized": "There are so many permits from now on: permits, total (the same).",
    "semaphore.holder_lost": "The agent is gone; what it holds stays so until its time is over: reason, tickets.",
    "semaphore.holder_found": "The agent that was gone is back.",
    "semaphore.checked": "By the renewals known now nothing that is held ends before this instant: next_at.",
}

_BY_WILL = ("released", "withdrawn", "abandoned")  # a ticket that ended so is over; else it may ask anew


def decide(state: Semaphore | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to.

    A request is treated as coming after every deadline and every confirmation that is due by `now`.  Too few permits,
    asked for without waiting, are no error: the answer says who holds them.

    Raises:
        NotFound: there is no such semaphore or ticket.  Conflict: the id or the ticket stands for something else.
        Invalid: something is malformed, or more permits are asked for than there are.
        NotAllowed: it is somebody else's.  LeaseLost: what was granted is over.  WrongPhase: it was granted already,
        or not yet.  TimedOut: the deadline of a new ticket has passed.  Overloaded: a bound is reached.
    """
    if isinstance(request, Create):
        return _create(state, request)
    if state is None:
        if isinstance(request, Wake | Expire | Lost | Found):
            return Step()
        raise NotFound("there is no such semaphore; create it first")
    course = Course(evolve, state, now)
    let_pass(course, now)
    match request:
        case Acquire():
            _acquire(course, request, now)
        case Release(holder, ticket):
            _release(course, holder, ticket, now)
        case Renew(holder, token):
            check_renewal(course.state, holder, token, now)
        case Confirm(ticket, holder):
            _confirm(course, ticket, holder, now)
        case Withdraw(ticket, holder):
            _withdraw(course, ticket, holder, now)
        case Resize():
            _resize(course, request, now)
        case Lost(agent, reason):
            lose(course, agent, reason, now)
        case Found(agent):
            if agent in course.state.gone:
                course.events.append(Event("semaphore.holder_found", agent))
        case Expire(held):
            wake_at = expire(course, held, now)
            return Step(tuple(course.events), (), wake_at)
        case Wake() if (due_at := course.state.due_at) is not None and due_at <= now:
            return Step(tuple(course.events), (), sooner(now + WAKE_AGAIN_S, timer(course.state)))
        case _:
            pass
    return Step(tuple(course.events), (), sooner(course.state.due_at, timer(course.state)))


def topic(request: Request) -> str:
    """Name what a caller waits for: its ticket."""
    return request.ticket if isinstance(request, Acquire) else ""


def wakes(event: Event) -> Iterable[str]:
    """Name the tickets that an event concerns."""
    return (event.data["ticket"],) if "ticket" in event.data else ()


def begins(event: Event) -> Iterable[tuple[str, Instant]]:
    """Name the tokens that are held from this event on, and until when the store is to hold them."""
    if event.kind in ("semaphore.granted", "semaphore.confirmed"):
        return ((event.data["token"], event.data["expires_at"]),)
    return ()


def ends(event: Event) -> Iterable[tuple[str, bool]]:
    """Name the tokens that are held no longer from this event on, and whether that is because time is over."""
    if event.kind in ("semaphore.released", "semaphore.lapsed", "semaphore.expired"):
        return ((event.data["token"], event.kind == "semaphore.expired"),)
    return ()


def holds(state: Semaphore | None, now: Instant) -> tuple[tuple[str, Instant], ...]:
    """Return what is held, and until when if its whole time begins now: token -> until; see `lease.holds`."""
    if state is None:
        return ()
    permits = sorted((permit for _, permit in state.held.unordered()), key=lambda permit: permit.token)
    return tuple((permit.token, max(permit.expires_at, now + permit.ask.ttl_s)) for permit in permits)


def check_renewal(
    state: Semaphore | None, holder: AgentId, token: str, now: Instant, until: Instant | None = None
) -> Permit:
    """Return what this holder may renew under this token.

    until: what the store says; given, permits whose time is over are refused also before their `Expire`.

    Raises:
        LeaseLost: nothing is held under it, or its time is over.  NotAllowed: it is somebody else's.
    """
    permit = None if state is None else permit_of(state, token)
    if permit is None:
        raise LeaseLost(f"no permits are held under {token}; acquire them anew", token=token)
    if permit.ask.holder != holder:
        raise NotAllowed(f"the permits {token} are {permit.ask.holder}'s, not {holder}'s", token=token)
    if permit.confirm_at is not None and permit.confirm_at <= now:
        raise LeaseLost(f"the grant {token} was not confirmed in time; acquire anew", token=token)
    if until is not None and max(until, permit.expires_at) <= now:
        raise LeaseLost(f"time is over for the permits {token}; acquire anew", token=token)
    return permit


# what is asked


def _create(state: Semaphore | None, request: Create) -> Step:
    if not (request.id.isprintable() and is_name(request.id)):
        raise Invalid(f"{request.id[:100]!r} cannot name a semaphore: 1..200 printable bytes, no outer spaces")
    _check_permits(request.id, request.permits)
    if len(encode(request.metadata)) > METADATA_BYTES:
        raise Invalid(f"the metadata of semaphore {request.id} is over {METADATA_BYTES:,} bytes")
    if state is not None:
        if (request.permits, request.name, request.metadata) != (state.permits_at_first, state.name, state.metadata):
            raise Conflict(
                f"semaphore {request.id} was created by {state.creator} with {state.permits_at_first} permits, name"
                f" {state.name!r}; resize it, or take another id",
                id=request.id,
            )
        return Step((), (), sooner(state.due_at, timer(state)))
    data = {
        "id": request.id,
        "permits": request.permits,
        "total": request.permits,
        "name": request.name,
        "metadata": dict(request.metadata),
        "status": "active",
    }
    return Step((Event("semaphore.created", request.by, None, data),))


def _acquire(course: Course[Semaphore], request: Acquire, now: Instant) -> None:
    state = course.state
    check_ticket(request.ticket, request.holder, request.priority)
    check_times(request.ticket, request.ttl_s, request.confirm_s)
    check_purpose(request.ticket, request.purpose)
    ask = Ask(
        request.ticket, request.holder, request.permits, request.ttl_s, request.purpose, request.priority
    )  # fmt: skip
    known = find(state, ask.ticket)
    if known is not None and known.ask != ask:
        raise Conflict(
            f"ticket {ask.ticket} stands for {known.ask.permits} permits for {known.ask.holder}, asked for otherwise;"
            " take a new ticket for something else",
            ticket=ask.ticket,
        )
    match known:
        case Permit():
            _confirm_grant(course, known, now)
            return
        case Waiting():
            return
        case Ended(how=how) if how in _BY_WILL:
            return
    if not 1 <= ask.permits <= state.permits:
        raise Invalid(f"ticket {ask.ticket} asks for {ask.permits} permits of {state.id}, which has {state.permits}")
    if request.deadline_at is not None and request.deadline_at <= now:
        raise TimedOut(f"the deadline of ticket {ask.ticket} had passed when it was asked for; ask with a later one")
    asked_at = max(now, state.asked_at)
    place = (turn(asked_at, ask.priority), state.number + 1, ask.ticket)
    first = state.queue.first
    if ask.permits <= state.free and (first is None or place < first):
        if len(state.held) >= HELD_MAX:
            raise Overloaded(f"{HELD_MAX:,} tickets hold permits of {state.id}; release some", bound=HELD_MAX)
        event = grant(state, ask, now)
        event.data["participants"] = [ask.holder]
        course.events.append(event)
    elif request.wait:
        if len(state.waiting) >= QUEUE_MAX:
            raise Overloaded(f"{QUEUE_MAX:,} tickets wait for {state.id}; come back later", bound=QUEUE_MAX)
        data = content(ask) | {"since": asked_at, "number": state.number + 1, "participants": [ask.holder]}
        if request.confirm_s is not None:
            data["confirm_s"] = request.confirm_s
        if request.deadline_at is not None:
            data["give_up_at"] = request.deadline_at
        course.events.append(Event("semaphore.queued", ask.holder, ask.ticket, data))


def _release(course: Course[Semaphore], holder: AgentId, ticket: str, now: Instant) -> None:
    known = _own(course.state, holder, ticket)
    match known:
        case Permit():
            course.events.append(end("semaphore.released", course.state, known))
            serve(course, now)
        case Waiting():
            raise WrongPhase(f"ticket {ticket} is not granted yet; withdraw it", ticket=ticket)
        case Ended(how="released"):
            pass
        case Ended(token=token, reason=reason, how=how):
            raise LeaseLost(f"the permits of ticket {ticket} are over: {reason or how}", ticket=ticket, token=token)


def _confirm(course: Course[Semaphore], ticket: str, holder: AgentId, now: Instant) -> None:
    known = _own(course.state, holder, ticket)
    match known:
        case Permit():
            _confirm_grant(course, known, now)
        case Waiting():
            raise WrongPhase(f"ticket {ticket} is not granted yet; it waits for permits", ticket=ticket)
        case Ended(token=token, reason=reason, how=how):
            raise LeaseLost(f"the permits of ticket {ticket} are over: {reason or how}", ticket=ticket, token=token)


def _confirm_grant(course: Course[Semaphore], permit: Permit, now: Instant) -> None:
    if permit.confirm_at is not None:
        ask = permit.ask
        data = {"ticket": ask.ticket, "token": permit.token, "expires_at": now + ask.ttl_s}
        course.events.append(Event("semaphore.confirmed", ask.holder, ask.ticket, data))


def _withdraw(course: Course[Semaphore], ticket: str, holder: AgentId, now: Instant) -> None:
    known = _own(course.state, holder, ticket)
    match known:
        case Waiting():
            data = {"ticket": ticket, "permits": known.ask.permits}
            course.events.append(Event("semaphore.withdrawn", holder, ticket, data))
        case Permit(confirm_at=None):
            raise WrongPhase(f"ticket {ticket} was granted; release it", ticket=ticket)
        case Permit():
            course.events.append(end("semaphore.released", course.state, known))
        case Ended():
            return
    serve(course, now)


def _resize(course: Course[Semaphore], request: Resize, now: Instant) -> None:
    state = course.state
    if not request.is_admin and request.by != state.creator:
        raise NotAllowed(f"{request.by} may not resize {state.id}; its creator {state.creator} or an administrator can")
    _check_permits(state.id, request.permits)
    if request.permits == state.permits:
        return
    data = {"permits": request.permits, "total": request.permits}
    course.events.append(Event("semaphore.resized", request.by, None, data))
    for _, _, ticket in state.queue:
        ask = state.waiting[ticket].ask
        if ask.permits > request.permits:
            why = f"it asks for {ask.permits} permits, and there are {request.permits} now"
            data_of_end = {"ticket": ticket, "permits": ask.permits, "reason": why}
            course.events.append(Event("semaphore.dropped", ask.holder, ticket, data_of_end))
    serve(course, now)


def _own(state: Semaphore, holder: AgentId, ticket: str) -> Permit | Waiting | Ended:
    known = find(state, ticket)
    if known is None:
        raise NotFound(f"there is no ticket {ticket} at {state.id}; acquire under it first", ticket=ticket)
    if known.ask.holder != holder:
        raise NotAllowed(f"ticket {ticket} is {known.ask.holder}'s, not {holder}'s", ticket=ticket)
    return known


def _check_permits(id: str, permits: int) -> None:
    if not 1 <= permits <= PERMITS_MAX:
        raise Invalid(f"semaphore {id} cannot have {permits} permits; it has 1 to {PERMITS_MAX:,}")
