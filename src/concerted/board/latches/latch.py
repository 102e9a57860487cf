"""A latch: it is closed until n counts have been made, once for each ticket, and then open for good.

    closed --the last CountDown--> open
    closed --deadline--> expired
    closed --Cancel--> cancelled

    a ticket: free --Take--> taken --CountDown--> counted
                     <--lease over, its holder lost--

A ticket names one piece of what the latch waits for, and counts once however often it is counted down.
Who takes a ticket is obliged to count it down within a lease, and the counts taken are kept for their
holders.  An obligation that is not met goes back and somebody else can take it, so that a latch does not
hang on a dead worker without anybody knowing.  Leases end on whole seconds: never earlier than granted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import ceil
from typing import Any

from concerted.board.latches.answers import LatchResult, answer, topic, waits, wakes
from concerted.board.latches.state import (
    Await,
    Cancel,
    CountDown,
    Create,
    GiveBack,
    Latch,
    Obligation,
    Renew,
    Request,
    Take,
    evolve,
)
from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.values import AgentId, Instant, is_name

__all__ = [
    "COUNT_MAX",
    "KINDS",
    "TICKETS_PER_AGENT",
    "TTL_MAX_S",
    "Await",
    "Cancel",
    "CountDown",
    "Create",
    "GiveBack",
    "Latch",
    "LatchResult",
    "Renew",
    "Request",
    "State",
    "Take",
    "answer",
    "decide",
    "evolve",
    "topic",
    "waits",
    "wakes",
]

COUNT_MAX = 1_000_000
TICKETS_PER_AGENT = 1_000  # that one agent may hold at once
TTL_MAX_S = 86_400.0

State = Latch


def decide(state: Latch | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to, after what is due by `now`.

    Raises:
        NotFound: there is no such latch.
        Invalid: a malformed Create or Take, or a count that does not fit.
        Conflict: the id is that of another latch, or somebody else has the ticket.
        NotAllowed: who counts does not hold the ticket, or who cancels is neither the creator nor an admin.
        LeaseLost: the lease or epoch under which this was asked is over.
        Overloaded: all counts that remain are taken, or the agent holds as many tickets as it may.
        WrongPhase: the latch has expired or is cancelled, or (for a Take) is open.
    """
    if state is None:
        return _absent(request, now)
    due = _overdue(state, now)
    standing = _after(state, due, now)
    asked = _asked(standing, request, now)
    return Step(due.events + asked.events, due.sends + asked.sends, _wake_at(_after(standing, asked, now)))


KINDS: Mapping[str, str] = {
    "latch.created": "A latch was made: id, name, count, total, deadline_at, stated_deadline_at, timeout_s, metadata, "
    "status.",
    "latch.taken": "Somebody is obliged to count a ticket down: ticket, count, epoch, ttl_s, expires_at, available.",
    "latch.renewed": "An obligation lasts longer: ticket, epoch, ttl_s, expires_at.",
    "latch.returned": "An obligation was not met, and its ticket is free again: ticket, count, epoch, reason, and "
    "deadline_at if its lease has ended.",
    "latch.counted": "A ticket was counted down: ticket, count, epoch, remaining, arrived, total.",
    "latch.opened": "All counts are made: remaining, total, reason, status.",
    "latch.expired": "The deadline came first: remaining, total, reason, deadline_at, status.",
    "latch.cancelled": "Somebody has called the latch off: remaining, total, reason, status.",
}


# making one


def _absent(request: Request, now: Instant) -> Step:
    match request:
        case Create():
            return _create(request, now)
        case Wake() | Lost() | Found():
            return Step()
        case _:
            raise NotFound("there is no latch of this id; create it first")


def _create(request: Create, now: Instant) -> Step:
    timeout_s, stated = request.timeout_s, request.deadline_at
    problems = [
        (is_name(request.id), f"{request.id!r} cannot be an id: 1 to 200 printable bytes"),
        (1 <= request.count <= COUNT_MAX, f"a latch has 1 to {COUNT_MAX:,} counts, not {request.count:,}"),
        (timeout_s is None or 0 < timeout_s < float("inf"), "timeout_s must be more than 0"),
        (stated is None or now < stated < float("inf"), "deadline_at must be in the future"),
    ]
    wrong = [text for is_right, text in problems if not is_right]
    if wrong:
        raise Invalid(f"latch {request.id}: {'; '.join(wrong)}", problems=wrong)
    ends = [end for end in (stated, None if timeout_s is None else now + timeout_s) if end is not None]
    deadline_at = min(ends, default=None)
    data = {
        "id": request.id,
        "name": request.name,
        "count": request.count,
        "total": request.count,
        "deadline_at": deadline_at,
        "stated_deadline_at": stated,
        "timeout_s": timeout_s,
        "metadata": request.metadata,
        "status": "closed",
    }
    return Step((Event("latch.created", request.by, None, data),), wake_at=deadline_at)


# what is asked


def _asked(state: Latch, request: Request, now: Instant) -> Step:
    match request:
        case Create():
            if replace(request, by=state.terms.by) != state.terms:
                raise Conflict(f"latch {state.terms.id} exists and was made by {state.terms.by} with other settings")
            return Step()
        case Take():
            return _take(state, request, now)
        case Renew():
            return _renew(state, request, now)
        case GiveBack():
            if request.ticket in state.counted:
                return Step()
            own = _own(state, request)
            return _returned(state.terms.id, own, request.reason or f"given back by {request.agent}", told=False)
        case CountDown():
            return _count_down(state, request)
        case Cancel():
            return _cancel(state, request)
        case Lost():
            tickets = state.holders.get(request.agent) or ()
            return _joined(
                _returned(state.terms.id, state.taken[ticket], f"who is gone: {request.reason}") for ticket in tickets
            )
        case Await() | Wake() | Look() | Found():
            return Step()


def _take(state: Latch, request: Take, now: Instant) -> Step:
    agent, ticket, latch = request.agent, request.ticket, f"latch {state.terms.id}"
    if not is_name(ticket) or request.count < 1 or not 0 < request.ttl_s <= TTL_MAX_S:
        raise Invalid(
            f"{agent} cannot take {ticket!r} of {latch}: a ticket is 1 to 200 printable bytes, its count 1 or more, "
            f"its ttl_s more than 0 and at most {TTL_MAX_S:g}"
        )
    counted, held = state.counted.get(ticket), state.taken.get(ticket)
    if counted is not None and counted.agent == agent:
        return Step()
    if counted is not None:
        raise Conflict(f"ticket {ticket} of {latch} has been counted down by {counted.agent}; take another")
    if held is not None and held.agent == agent and held.count == request.count:
        return Step()
    if held is not None:
        raise Conflict(
            f"ticket {ticket} of {latch} is held by {held.agent} for {held.count} under epoch {held.epoch}; take "
            "another, or wait until it is counted down or comes back",
            holder=held.agent,
            expires_at=held.expires_at,
        )
    _require_closed(state, f"{agent} cannot take a ticket of it")
    _require_available(state, request.count)
    if len(state.holders.get(agent) or ()) >= TICKETS_PER_AGENT:
        raise Overloaded(f"{agent} holds {TICKETS_PER_AGENT:,} tickets of {latch}, as many as it may")
    data = {
        "ticket": ticket,
        "count": request.count,
        "epoch": state.epoch + 1,
        "ttl_s": request.ttl_s,
        "expires_at": float(ceil(now + request.ttl_s)),
        "available": state.available - request.count,
    }
    return Step((Event("latch.taken", agent, ticket, data),))


def _renew(state: Latch, request: Renew, now: Instant) -> Step:
    if request.ticket in state.counted and state.counted[request.ticket].agent == request.agent:
        return Step()
    held = _own(state, request)
    ttl_s = held.ttl_s if request.ttl_s is None else request.ttl_s
    if not 0 < ttl_s <= TTL_MAX_S:
        raise Invalid(f"ttl_s must be more than 0 and at most {TTL_MAX_S:g}, not {ttl_s:g}")
    expires_at = max(held.expires_at, float(ceil(now + ttl_s)))
    if expires_at == held.expires_at and ttl_s == held.ttl_s:
        return Step()
    data = {"ticket": held.ticket, "epoch": held.epoch, "ttl_s": ttl_s, "expires_at": expires_at}
    return Step((Event("latch.renewed", held.agent, held.ticket, data),))


def _count_down(state: Latch, request: CountDown) -> Step:
    agent, ticket, held = request.agent, request.ticket, state.taken.get(request.ticket)
    if ticket in state.counted or state.status == "open":
        return Step()
    _require_closed(state, f"{agent} comes too late to count {ticket} down")
    if request.epoch is not None:
        held = _own(state, request)
    elif held is not None and held.agent != agent:
        raise NotAllowed(
            f"ticket {ticket} of latch {state.terms.id} is held by {held.agent}, not {agent}; only its holder can "
            "count it down"
        )
    count = request.count or (1 if held is None else held.count)
    if not is_name(ticket) or count < 1 or (held is not None and count != held.count):
        worth = "" if held is None else f", and it was taken for {held.count}"
        raise Invalid(
            f"{agent} cannot count {count} for ticket {ticket!r}: a ticket is 1 to 200 printable bytes, its count 1 "
            f"or more{worth}"
        )
    if held is None:
        _require_available(state, count)
    left = state.remaining - count
    data = {
        "ticket": ticket,
        "count": count,
        "epoch": None if held is None else held.epoch,
        "remaining": left,
        "arrived": state.terms.count - left,
        "total": state.terms.count,
    }
    counted = Event("latch.counted", agent, ticket, data)
    return Step((counted,) if left else (counted, _ended(state, "opened", None, remaining=0, reason="", status="open")))


def _cancel(state: Latch, request: Cancel) -> Step:
    if not request.is_admin and request.by != state.terms.by:
        raise NotAllowed(
            f"{request.by} cannot cancel latch {state.terms.id}; its creator {state.terms.by} or an admin can"
        )
    if state.status == "cancelled":
        return Step()
    _require_closed(state, "it is too late to cancel it")
    reason = request.reason or f"cancelled by {request.by}"
    return Step((_ended(state, "cancelled", request.by, reason=reason, status="cancelled"),))


# what is refused


def _require_closed(state: Latch, what: str) -> None:
    if state.status != "closed":
        why = f" ({state.reason})" if state.reason else ""
        raise WrongPhase(f"latch {state.terms.id} is {state.status}{why}; {what}")


def _require_available(state: Latch, count: int) -> None:
    if count > state.remaining:
        raise Invalid(f"latch {state.terms.id} has {state.remaining:,} counts left, not {count:,}")
    if count > state.available:
        raise Overloaded(
            f"of the {state.remaining:,} counts left of latch {state.terms.id}, {state.taken_count:,} are taken; count "
            "down a ticket that you hold, or come back when one has come back",
            available=state.available,
        )


def _own(state: Latch, request: Renew | GiveBack | CountDown) -> Obligation:
    """Return the obligation of who asks, under the epoch it names.

    Raises:
        LeaseLost: it has none, or one under another epoch.
    """
    held = state.taken.get(request.ticket)
    if held is not None and held.agent == request.agent and request.epoch in (None, held.epoch):
        return held
    now_of = "is free; take it" if held is None else f"is held by {held.agent} under epoch {held.epoch}"
    if request.ticket in state.counted:
        now_of = f"has been counted down by {state.counted[request.ticket].agent}"
    raise LeaseLost(f"{request.agent} does not hold ticket {request.ticket} of latch {state.terms.id}: it {now_of}")


# what follows


def _overdue(state: Latch, now: Instant) -> Step:
    """Return what time alone has brought by `now`."""
    due_at = _wake_at(state)
    if due_at is None or now < due_at:
        return Step()
    if state.deadline_at is not None and now >= state.deadline_at:
        reason = f"{state.remaining:,} of {state.terms.count:,} counts were not made in time"
        ended = _ended(state, "expired", None, reason=reason, status="expired", deadline_at=state.deadline_at)
        return Step((ended,))
    over = sorted(int(second) for second, _ in state.expiring.unordered() if int(second) <= now)
    return _joined(
        _returned(state.terms.id, state.taken[ticket], "whose lease has ended", deadline_at=float(second))
        for second in over
        for ticket in state.expiring[str(second)]
    )


def _wake_at(state: Latch) -> Instant | None:
    if state.status != "closed":
        return None
    return min((at for at in (state.deadline_at, state.next_expiry) if at is not None), default=None)


def _returned(latch_id: str, held: Obligation, reason: str, *, told: bool = True, **facts: Instant) -> Step:
    """Free a ticket.  told: its holder may not know yet."""
    data = {"ticket": held.ticket, "count": held.count, "epoch": held.epoch, "reason": reason, **facts}
    event = Event("latch.returned", held.agent, held.ticket, data)
    content = {"latch_id": latch_id, "ticket": held.ticket, "epoch": held.epoch, "reason": reason}
    return Step((event,), (Send((held.agent,), "LATCH_TICKET_RETURNED", content, "high"),) if told else ())


def _ended(state: Latch, how: str, agent: AgentId | None, **data: Any) -> Event:
    return Event(f"latch.{how}", agent, None, {"remaining": state.remaining, "total": state.terms.count, **data})


def _joined(steps: Iterable[Step]) -> Step:
    each = tuple(steps)
    return Step(
        tuple(event for step in each for event in step.events), tuple(send for step in each for send in step.sends)
    )


def _after(state: Latch, step: Step, now: Instant) -> Latch:
    for event in step.events:
        state = evolve(state, event, now)
    return state
