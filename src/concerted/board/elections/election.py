"""An election by name: candidates queue up, one leads under a lease, and every leadership has its own fencing token.

    (asked) --nobody leads, nobody before it--> leading
            --else, wait--> queued --its turn--> offered --Confirm--> leading --Resign | its time is over--> ended
    queued | offered --Withdraw | Lost--> ended     offered --confirm_s passed--> ended

A leadership lives for `ttl_s` after its last renewal, and renewals are no events (`holding`): only `Expire` ends one.
So a leader that is lost leads on until its time is over, and there are never two; whoever only waits is dropped at
once.  Who has waited must confirm, so that the leadership does not go to somebody who is there no more.

The token is the number of the leadership with leading zeros: it only grows, and whoever is led refuses a smaller one
than the greatest it has seen.  Candidates come by score, then in the order in which they asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from concerted.board.elections.answers import (
    CONFIRM_S,
    Campaign,
    Check,
    CheckResult,
    Confirm,
    Create,
    ElectionResult,
    Expire,
    Observe,
    Proclaim,
    Renew,
    Request,
    Resign,
    Withdraw,
    answer,
    lease_lost,
    waits,
)
from concerted.board.elections.state import Candidacy, Election, Leader, ended_as, evolve, is_leader
from concerted.board.holding import CONFIRM_MAX_S, TTL_MAX_S, TTL_MIN_S, WAKE_AGAIN_S, Course
from concerted.board.holding import token as token_of
from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded, WrongPhase
from concerted.machine import Event, Found, Lost, Send, Step, Wake
from concerted.values import AgentId, Instant, encode, is_name

__all__ = [
    "CANDIDATES_MAX", "KINDS", "VALUE_BYTES", "Campaign", "Check", "CheckResult", "Confirm", "Create", "Election",
    "ElectionResult", "Expire", "Observe", "Proclaim", "Renew", "Request", "Resign", "State", "Withdraw", "answer",
    "begins", "check_renewal", "decide", "ends", "evolve", "holds", "is_leader", "topic", "waits", "wakes",
]  # fmt: skip

CANDIDATES_MAX = 1_000  # candidates in one queue, and agents to whom an election may be restricted
VALUE_BYTES = 64 << 10  # the longest value of a leader, as JSON

NOTHING = "there is no such election; create it, or campaign together with its name"

KINDS: Mapping[str, str] = {
    "election.created": "There is an election: name, status, confirm_s, candidates (none: everybody).",
    "election.queued": "The agent waits under ticket `ref`: ticket, ttl_s, value, score, number, since, participants.",
    "election.offered": "It is the turn of ticket `ref`, which must be confirmed: ticket, confirm_at.",
    "election.won": "The agent leads under token `ref`: ticket, token, epoch, ttl_s, value, expires_at, version,"
    " status, participants.",
    "election.proclaimed": "The leader has another value: token, value, version.",
    "election.resigned": "The agent leads no longer, by its own will: ticket, token, version, status.",
    "election.replaced": "The leader campaigned anew; its old token counts no more: ticket, token, version, reason.",
    "election.expired": "Time is over for the leader: ticket, token, expires_at, version, status, reason.",
    "election.lapsed": "The agent did not confirm its offer: ticket, confirm_at, reason.",
    "election.withdrawn": "The agent is no candidate under this ticket any more: ticket, reason.",
    "election.dropped": "The agent is gone and no candidate any more: ticket, reason.",
    "election.leader_lost": "The leader is gone; it leads until its time is over: token, reason.",
    "election.leader_found": "The leader that was gone is back: token.",
}

_BY_WILL = ("resigned", "replaced", "withdrawn")  # a ticket that ended so is over; others may be used anew


State = Election


def decide(state: Election | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to; offers that are not confirmed by `now` have passed on before it.

    Raises:
        NotFound: there is no such election or ticket.  Conflict: it was created otherwise, or the ticket is another's.
        NotAllowed: only others may campaign, or the leadership is another's.  LeaseLost: the leadership is over.
        WrongPhase: the ticket is not offered yet, or leads already.  Invalid: malformed or out of bounds.
        Overloaded: the queue is full.
    """
    created: tuple[Event, ...] = ()
    if state is None:
        if isinstance(request, Wake | Expire | Lost | Found):
            return Step()
        created = (_creation(request),)
        state = evolve(None, created[0], now)
    course = Course(evolve, state, now)
    _let_pass(course, now)
    _act(course, request, now)
    state = course.state
    at = _leads_until(state, request.held) if isinstance(request, Expire) else _leads_until(state, {})
    if isinstance(request, Wake) and at is not None and at <= now:
        at = now + WAKE_AGAIN_S  # only an `Expire` can tell
    if state.offer is not None:
        at = state.offer.confirm_at  # then nobody leads
    return Step((*created, *course.events), tuple(course.sends), at)


def topic(request: Request) -> str:
    """Name what a caller waits for: its ticket, or any other leader or value."""
    return f"ticket {request.ticket}" if isinstance(request, Campaign) else ""


def wakes(event: Event) -> Iterable[str]:
    """Name the tickets that an event concerns, and the observers if the leader or its value is another."""
    ticket = (f"ticket {event.data['ticket']}",) if "ticket" in event.data else ()
    return (*ticket, "") if "version" in event.data else ticket


def begins(event: Event) -> Iterable[tuple[str, Instant]]:
    """Name the token that is held from this event on, and until when the store is to hold it."""
    return ((event.data["token"], event.data["expires_at"]),) if event.kind == "election.won" else ()


def ends(event: Event) -> Iterable[tuple[str, bool]]:
    """Name the token that is held no longer from this event on, and whether that is because time is over."""
    if event.kind in ("election.resigned", "election.replaced", "election.expired"):
        return ((event.data["token"], event.kind == "election.expired"),)
    return ()


def holds(state: Election | None, now: Instant) -> tuple[tuple[str, Instant], ...]:
    """Return what is held, and until when if its whole time begins now: for a store that has forgotten the renewals."""
    leader = None if state is None else state.leader
    return () if leader is None else ((leader.token, max(leader.expires_at, now + leader.ttl_s)),)


def check_renewal(
    state: Election | None, holder: AgentId, token: str, now: Instant, until: Instant | None = None
) -> Leader:
    """Return the leadership that this agent may renew under this token, for its `ttl_s`.

    until: what the store says; given, a leadership whose time is over is refused also before its `Expire`.

    Raises:
        LeaseLost: it is over.  NotAllowed: it is somebody else's.  NotFound: there is no such election.
    """
    leader = _led_by(_existing(state), holder, token)
    if until is not None and max(until, leader.expires_at) <= now:
        raise LeaseLost(f"time is over for leadership {token}; campaign anew", token=token)
    return leader


# what is asked


def _creation(request: Request) -> Event:
    """Return the event that makes an election; a candidate makes what it names."""
    match request:
        case Create(name, by, confirm_s, candidates):
            pass
        case Campaign(candidate=by, name=name) if name:
            confirm_s, candidates = CONFIRM_S, ()
        case _:
            raise NotFound(NOTHING)
    if not is_name(name):
        raise Invalid(f"{name[:100]!r} cannot name an election: 1..200 printable bytes, no outer spaces")
    if not 0 < confirm_s <= CONFIRM_MAX_S:
        raise Invalid(f"{name}: confirm_s is {confirm_s}; it must be above 0, at most {CONFIRM_MAX_S:.0f} seconds")
    allowed = sorted(set(candidates))
    if len(allowed) > CANDIDATES_MAX:
        raise Invalid(f"{name} names {len(allowed)} candidates, at most {CANDIDATES_MAX}; name none to allow everybody")
    data = {"name": name, "status": "vacant", "confirm_s": confirm_s, "candidates": allowed}
    return Event("election.created", by, None, {**data, "participants": allowed})


def _act(course: Course[Election], request: Request, now: Instant) -> None:
    match request:
        case Create():
            _require_same(course.state, request)
        case Campaign():
            _campaign(course, request, now)
        case Confirm(ticket, holder):
            _confirm(course, ticket, holder, now)
        case Withdraw(ticket, holder):
            _withdraw(course, ticket, holder, now)
        case Proclaim(leader, token, value):
            _proclaim(course, leader, token, value)
        case Resign(leader, token):
            _resign(course, leader, token, now)
        case Renew(holder, token):
            check_renewal(course.state, holder, token, now)
        case Expire(held):
            _expire(course, held, now)
        case Lost(agent, reason):
            _lose(course, agent, reason, now)
        case Found(agent):
            led = course.state.leader
            if led is not None and led.agent == agent and led.gone:
                course.events.append(Event("election.leader_found", agent, led.token, {"token": led.token}))


def _campaign(course: Course[Election], request: Campaign, now: Instant) -> None:
    value = _checked(course.state, request)
    state, ticket, candidate = course.state, request.ticket, request.candidate
    offer, led = state.offer, state.leader
    if _is_known(state, request):
        if offer is not None and offer.candidacy.ticket == ticket:
            _win(course, offer.candidacy, now)
        return
    if led is not None and led.agent == candidate:
        reason = f"{candidate} campaigned anew"
        course.events.append(_over("election.replaced", led, state, reason=reason))
        _win(course, Candidacy(candidate, ticket, request.ttl_s, value, request.score, 0, now), now)
        return
    mine = [*state.queue, offer.candidacy] if offer is not None else state.queue
    old = next((one for one in mine if one.candidate == candidate), None)
    number, since = (state.number + 1, now) if old is None else (old.number, old.since)
    new = Candidacy(candidate, ticket, request.ttl_s, value, request.score, number, since)
    others_offer = offer is not None and offer.candidacy.candidate != candidate
    is_next = led is None and not others_offer and all(one is old or new.place < one.place for one in state.queue)
    if not (is_next or request.wait):
        return
    if old is not None:
        _drop(course, "election.withdrawn", old, f"{candidate} campaigned anew under ticket {ticket}")
    elif not is_next and len(state.queue) >= CANDIDATES_MAX:
        what = f"{CANDIDATES_MAX:,} candidates wait to lead {state.name}"
        raise Overloaded(f"{what}; come back later", bound=CANDIDATES_MAX)
    if is_next:
        _win(course, new, now)
        return
    data = {"ticket": ticket, "ttl_s": new.ttl_s, "value": value, "score": new.score, "number": number, "since": since}
    course.events.append(Event("election.queued", candidate, ticket, {**data, "participants": [candidate]}))
    _offer_next(course, now)


def _is_known(state: Election, request: Campaign) -> bool:
    """Say whether the ticket stands for a wish that is still open, or over by its agent's own will."""
    ticket = request.ticket
    waiting, ended = state.waiting(ticket), ended_as(state, ticket=ticket)
    whose = None
    if state.leader is not None and state.leader.ticket == ticket:
        whose = state.leader.agent
    elif state.offer is not None and state.offer.candidacy.ticket == ticket:
        whose = state.offer.candidacy.candidate
    elif waiting is not None:
        whose = waiting.candidate
    elif ended is not None and (ended.how in _BY_WILL or ended.agent != request.candidate):
        whose = ended.agent
    if whose not in (None, request.candidate):
        raise Conflict(f"ticket {ticket} is {whose}'s; {request.candidate} needs one of its own", ticket=ticket)
    return whose is not None


def _confirm(course: Course[Election], ticket: str, holder: AgentId, now: Instant) -> None:
    state = course.state
    ended = ended_as(state, ticket=ticket)
    if state.offer is not None and state.offer.candidacy.ticket == ticket:
        _require_own(ticket, state.offer.candidacy.candidate, holder)
        _win(course, state.offer.candidacy, now)
    elif state.leader is not None and state.leader.ticket == ticket:
        _require_own(ticket, state.leader.agent, holder)
    elif state.waiting(ticket) is not None:
        raise WrongPhase(f"ticket {ticket} still waits to lead {state.name}; confirm when it is offered", ticket=ticket)
    elif ended is not None:
        raise LeaseLost(f"ticket {ticket} of {ended.agent} is over: {ended.how}; campaign anew", ticket=ticket)
    else:
        raise NotFound(f"there is no ticket {ticket} in {state.name}; campaign first", ticket=ticket)


def _withdraw(course: Course[Election], ticket: str, holder: AgentId, now: Instant) -> None:
    state = course.state
    offered = state.offer is not None and state.offer.candidacy.ticket == ticket
    one = state.offer.candidacy if state.offer is not None and offered else state.waiting(ticket)
    if one is not None:
        _require_own(ticket, one.candidate, holder)
        _drop(course, "election.withdrawn", one, f"{holder} withdrew")
        _offer_next(course, now)
    elif state.leader is not None and state.leader.ticket == ticket:
        _require_own(ticket, state.leader.agent, holder)
        raise WrongPhase(f"ticket {ticket} leads {state.name}; resign instead", ticket=ticket, token=state.leader.token)
    elif ended_as(state, ticket=ticket) is None:
        raise NotFound(f"there is no ticket {ticket} in {state.name}; nothing waits under it", ticket=ticket)


def _proclaim(course: Course[Election], agent: AgentId, token: str, value: Any) -> None:
    state = course.state
    plain = _plain(value, state.name)
    if _led_by(state, agent, token).value != plain:
        data = {"token": token, "value": plain, "version": state.version + 1}
        course.events.append(Event("election.proclaimed", agent, token, data))


def _resign(course: Course[Election], agent: AgentId, token: str, now: Instant) -> None:
    ended = ended_as(course.state, token=token)
    if ended is not None and ended.how == "resigned" and ended.agent == agent:
        return
    led = _led_by(course.state, agent, token)
    course.events.append(_over("election.resigned", led, course.state, status="vacant"))
    _offer_next(course, now)


# what happens by itself


def _let_pass(course: Course[Election], now: Instant) -> None:
    """Let offers that were not confirmed in time go to the next."""
    offer = course.state.offer
    if offer is not None and offer.confirm_at <= now:
        _drop(course, "election.lapsed", offer.candidacy, "it was not confirmed in time", confirm_at=offer.confirm_at)
        _offer_next(course, now)


def _expire(course: Course[Election], held: Mapping[str, Instant], now: Instant) -> None:
    led, until = course.state.leader, _leads_until(course.state, held)
    if led is None or until is None or until > now:
        return
    reason = f"{led.agent} is gone: {led.gone}" if led.gone else "its time was over"
    course.events.append(
        _over("election.expired", led, course.state, expires_at=until, status="vacant", reason=reason)
    )  # fmt: skip
    content = {"election": course.state.name, "token": led.token, "expires_at": until, "reason": reason}
    course.sends.append(Send((led.agent,), "LEADERSHIP_LOST", content, "high"))
    _offer_next(course, now)


def _lose(course: Course[Election], agent: AgentId, reason: str, now: Instant) -> None:
    """Drop what an agent that is gone waits for; what it leads it leads until its time is over."""
    state = course.state
    offered = [state.offer.candidacy] if state.offer is not None else []
    for one in (*offered, *state.queue):
        if one.candidate == agent:
            _drop(course, "election.dropped", one, f"{agent} is gone: {reason}")
    led = state.leader
    if led is not None and led.agent == agent and led.gone != reason:
        data = {"token": led.token, "reason": reason}
        course.events.append(Event("election.leader_lost", agent, led.token, data))
    _offer_next(course, now)


def _offer_next(course: Course[Election], now: Instant) -> None:
    state = course.state
    if state.leader is None and state.offer is None and state.queue:
        first = state.queue[0]
        data = {"ticket": first.ticket, "confirm_at": now + state.confirm_s}
        course.events.append(Event("election.offered", first.candidate, first.ticket, data))


def _win(course: Course[Election], one: Candidacy, now: Instant) -> None:
    state = course.state
    token = token_of(state.epoch + 1)
    data = {
        "ticket": one.ticket,
        "token": token,
        "epoch": state.epoch + 1,
        "ttl_s": one.ttl_s,
        "value": one.value,
        "expires_at": now + one.ttl_s,
        "version": state.version + 1,
        "status": "led",
        "participants": [one.candidate],
    }
    course.events.append(Event("election.won", one.candidate, token, data))


def _drop(course: Course[Election], kind: str, one: Candidacy, reason: str, **more: Any) -> None:
    course.events.append(Event(kind, one.candidate, one.ticket, {"ticket": one.ticket, "reason": reason, **more}))


def _over(kind: str, led: Leader, state: Election, **more: Any) -> Event:
    data = {"ticket": led.ticket, "token": led.token, "version": state.version + 1, **more}
    return Event(kind, led.agent, led.token, data)


# whose it is, and what is refused


def _existing(state: Election | None) -> Election:
    if state is None:
        raise NotFound(NOTHING)
    return state


def _leads_until(state: Election, held: Mapping[str, Instant]) -> Instant | None:
    led = state.leader
    return None if led is None else max(led.expires_at, held.get(led.token, led.expires_at))


def _led_by(state: Election, agent: AgentId, token: str) -> Leader:
    led = state.leader
    if led is None or led.token != token:
        raise lease_lost(state, token)
    if led.agent != agent:
        raise NotAllowed(f"leadership {token} of {state.name} is {led.agent}'s, not {agent}'s", token=token)
    return led


def _require_own(ticket: str, candidate: AgentId, holder: AgentId) -> None:
    if candidate != holder:
        raise NotAllowed(f"ticket {ticket} is {candidate}'s, not {holder}'s", ticket=ticket)


def _require_same(state: Election, request: Create) -> None:
    if state.confirm_s != request.confirm_s or list(state.candidates) != sorted(set(request.candidates)):
        what = f"{state.name} was created by {state.creator} with another confirm_s or other candidates"
        raise Conflict(f"{what}; look at it, or choose another name", name=state.name)


def _checked(state: Election, request: Campaign) -> Any:
    """Refuse a candidate that may not campaign, or not so; return its value as it comes back from the log."""
    for what, text in (("a ticket", request.ticket), ("a candidate", request.candidate)):
        if not is_name(text):
            raise Invalid(f"{text[:100]!r} cannot name {what}: 1..200 printable bytes, no outer spaces")
    if len(state.candidates) and request.candidate not in state.candidates:
        whose = f"{request.candidate} may not lead {state.name}; its creator {state.creator}"
        raise NotAllowed(f"{whose} has named who may: {', '.join(list(state.candidates)[:10])}")
    if not TTL_MIN_S <= request.ttl_s <= TTL_MAX_S:
        raise Invalid(f"ttl_s is {request.ttl_s}; it must be {TTL_MIN_S} to {TTL_MAX_S:.0f} seconds")
    if not math.isfinite(request.score):
        raise Invalid(f"the score of {request.candidate} is {request.score}; it must be a finite number")
    return _plain(request.value, state.name)


def _plain(value: Any, name: str) -> Any:
    try:
        data = encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the value has no JSON form: {error}") from error
    if len(data) > VALUE_BYTES:
        raise Invalid(f"the value of {name} has {len(data)} bytes, at most {VALUE_BYTES}; keep a reference instead")
    return msgspec.json.decode(data)
