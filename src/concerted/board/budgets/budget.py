"""A budget: so much of a unit (tokens, money) in each period or in all, spent in turn and never exceeded by a grant.

    (asked to spend)   --enough is left, nobody before it--> spent --Refund--> refunded
    (asked to reserve) --enough is left, nobody before it--> reserved --Settle--> settled --Refund--> refunded
                                                             reserved --ttl is over--> returned --Settle--> settled
    (asked) --else, wait--> waiting --it is its turn--> spent | reserved
                            waiting --Withdraw | deadline_at | Lost | Resize below it--> dropped

An LLM call reserves an estimate, and settles the truth when it is known.  What is reserved counts as used until then.
A settlement is a fact and never refused: if more was spent than estimated, or it is told late, the budget may be
exceeded by the difference, and nothing more is granted until that much has come back.  Grants alone never exceed it:
in each period (`budget_window`) what they spend and what is reserved is at most the limit.

**Who comes next** is decided by the order of the queue (`queue`).  If too little is left for the first, everybody
waits behind it, also who wants less; except that who has used up its own `share` does not hold up the others.
When a period is over, or something comes back, the queue is served.

Amounts are rounded to millionths of the unit and summed as whole numbers; above 0 they count at least one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from concerted.board.budgets.answers import (
    BudgetResult,
    BudgetView,
    ReservationView,
    WaitingView,
    answer,
    waits,
)
from concerted.board.budgets.course import (
    content,
    fits,
    grant,
    is_first,
    let_pass,
    lose,
    refund,
    serve,
    settle,
    wake_at,
)
from concerted.board.budgets.state import (
    MICROS,
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
    Waiting,
    Withdraw,
    evolve,
    find,
    share_of,
    units,
)
from concerted.board.holding import Course, check_purpose, check_ticket, check_times
from concerted.board.queue import QUEUE_MAX, turn
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, Overloaded, TimedOut, WrongPhase
from concerted.machine import Event, Found, Lost, Step, Wake
from concerted.values import AgentId, Instant, encode, is_name

__all__ = [
    "AMOUNT_MAX",
    "KINDS",
    "Budget",
    "BudgetResult",
    "BudgetView",
    "Create",
    "Find",
    "Refund",
    "Request",
    "ReservationView",
    "Reserve",
    "Resize",
    "Settle",
    "Spend",
    "State",
    "WaitingView",
    "Withdraw",
    "answer",
    "decide",
    "evolve",
    "topic",
    "waits",
    "wakes",
]

State = Budget

AMOUNT_MAX = 1e12  # the greatest limit or amount, in units
RESERVATIONS_MAX = 100_000
METADATA_BYTES = 65_536
PERIOD_MIN_S, PERIOD_MAX_S = 0.1, 10 * 366 * 86_400.0

KINDS: Mapping[str, str] = {
    "budget.created": "There is a budget: id, limit, limit_micros, unit, period_s, window, share, name, metadata,"
    " status.",
    "budget.spent": "The agent has spent under ticket `ref`: ticket, amount, micros (its millionths), slice; where they"
    " differ from the default purpose, priority; waited_s, if it had waited.",
    "budget.reserved": "So much is set aside for the agent under ticket `ref`: ticket, amount, micros, ttl_s,"
    " expires_at; where they differ from the default purpose, priority; waited_s, if it had waited.",
    "budget.settled": "What was reserved under ticket `ref` has cost this in truth: ticket, amount, micros, slice,"
    " estimate, late (whether it had returned before).",
    "budget.returned": "What was reserved under ticket `ref` was not settled in time: ticket, amount, micros,"
    " expires_at, reason.",
    "budget.refunded": "Of what was spent under ticket `ref` this came back: ticket, amount, micros.",
    "budget.queued": "The agent waits under ticket `ref`: ticket, verb (spend or reserve), amount, micros, ttl_s,"
    " since, number; where they differ from the default purpose, priority, give_up_at.",
    "budget.withdrawn": "The agent waits no longer under ticket `ref`, by its own will: ticket.",
    "budget.abandoned": "Ticket `ref` was not granted by its deadline: ticket, give_up_at, reason.",
    "budget.dropped": "Ticket `ref` cannot be granted any more: ticket, reason.",
    "budget.resized": "The limit is this from now on: limit, limit_micros.",
    "budget.warned": "So much of the limit is spent: percent, spent, limit, until (not told again before then).",
}

_MAY_ASK_ANEW = ("dropped",)  # a ticket that ended otherwise is over


def decide(state: Budget | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to.

    A request is treated as coming after everything that is due by `now`.  Too little left, asked for without waiting,
    is no error: the answer says how much there is and when more will be.

    Raises:
        NotFound: there is no such budget or ticket.  Conflict: the id or the ticket stands for something else.
        Invalid: something is malformed, or asks for more than there can ever be.  NotAllowed: it is somebody else's.
        WrongPhase: the ticket is not where this needs it.  TimedOut: the deadline of a new ticket has passed.
        Overloaded: RESERVATIONS_MAX or QUEUE_MAX is reached.
    """
    if isinstance(request, Create):
        return _create(state, request, now)
    if state is None:
        if isinstance(request, Wake | Lost | Found):
            return Step()
        raise NotFound("there is no such budget; create it first")
    now = max(now, state.clock)
    course = Course(evolve, state, now)
    let_pass(course, now)
    match request:
        case Spend() | Reserve():
            _ask_for(course, request, now)
        case Settle():
            _settle(course, request, now)
        case Refund():
            _refund(course, request, now)
        case Withdraw(ticket, holder):
            _withdraw(course, ticket, holder, now)
        case Resize():
            _resize(course, request, now)
        case Lost(agent, reason):
            lose(course, agent, reason, now)
        case _:
            pass
    return Step(tuple(course.events), tuple(course.sends), wake_at(course.state, now))


def topic(request: Request) -> str:
    """Name what a caller waits for: its ticket."""
    return request.ticket if isinstance(request, Spend | Reserve) else ""


def wakes(event: Event) -> Iterable[str]:
    """Name the tickets that an event concerns."""
    return (event.data["ticket"],) if "ticket" in event.data else ()


def _create(state: Budget | None, request: Create, now: Instant) -> Step:
    _check(request)
    limit = _micros(f"budget {request.id}", request.limit)
    if state is not None:
        window = state.window
        made = (state.limit_at_first, state.unit, window.period_s, window.kind, state.share, state.name, state.metadata)
        asked = (limit, request.unit, request.period_s, request.window, request.share, request.name, request.metadata)
        if made != asked:
            limit_text = f"{units(state.limit_at_first):g} {state.unit}"
            raise Conflict(
                f"budget {request.id} was created by {state.creator} otherwise, with {limit_text}; resize it, or take"
                " another id",
                id=request.id,
            )
        return Step((), (), wake_at(state, max(now, state.clock)))
    data = {
        "id": request.id,
        "limit": units(limit),
        "limit_micros": limit,
        "unit": request.unit,
        "period_s": request.period_s,
        "window": request.window,
        "share": request.share,
        "name": request.name,
        "metadata": dict(request.metadata),
        "status": "active",
    }
    return Step((Event("budget.created", request.by, None, data),))


def _check(request: Create) -> None:
    for what, text in (("a budget", request.id), ("a unit", request.unit)):
        if not (text.isprintable() and is_name(text)):
            raise Invalid(f"{text[:100]!r} cannot name {what}: 1..200 printable bytes, no outer spaces")
    if request.period_s is not None and not PERIOD_MIN_S <= request.period_s <= PERIOD_MAX_S:
        raise Invalid(
            f"budget {request.id}: period_s is {request.period_s}; it must be {PERIOD_MIN_S} s to ten years, or nothing"
        )
    if request.window not in ("fixed", "sliding"):
        raise Invalid(f"budget {request.id}: there is no window {request.window!r}; there are fixed and sliding")
    if request.share is not None and not 0 < request.share <= 1:
        raise Invalid(f"budget {request.id}: share is {request.share}; it must be above 0, at most 1")
    if len(encode(request.metadata)) > METADATA_BYTES:
        raise Invalid(f"the metadata of budget {request.id} is over {METADATA_BYTES:,} bytes")


def _ask_for(course: Course[Budget], request: Spend | Reserve, now: Instant) -> None:
    state, ask = course.state, _ask_of(request)
    known = find(state, ask.ticket)
    if known is not None and known.ask != ask:
        raise Conflict(
            f"ticket {ask.ticket} stands for {units(known.ask.micros):g} {state.unit} that {known.ask.holder} wants to"
            f" {known.ask.verb}, asked for otherwise; take a new ticket for something else",
            ticket=ask.ticket,
        )
    if known is not None and not (isinstance(known, Past) and known.how in _MAY_ASK_ANEW):
        return
    _check_size(state, ask)
    if request.deadline_at is not None and request.deadline_at <= now:
        raise TimedOut(f"the deadline of ticket {ask.ticket} had passed when it was asked for; ask with a later one")
    asked_at = max(now, state.asked_at)
    place = (turn(asked_at, ask.priority), state.number + 1, ask.ticket)
    if fits(state, ask, now) and is_first(state, place, now):
        if ask.verb == "reserve" and len(state.reservations) >= RESERVATIONS_MAX:
            raise Overloaded(f"{RESERVATIONS_MAX:,} reservations are open; settle some", bound=RESERVATIONS_MAX)
        grant(course, ask, now)
    elif request.wait:
        if len(state.waiting) >= QUEUE_MAX:
            raise Overloaded(f"{QUEUE_MAX:,} tickets wait for {state.id}; come back later", bound=QUEUE_MAX)
        data = content(ask) | {"verb": ask.verb, "ttl_s": ask.ttl_s, "since": asked_at, "number": state.number + 1}
        data["participants"] = [ask.holder]
        if request.deadline_at is not None:
            data["give_up_at"] = request.deadline_at
        course.events.append(Event("budget.queued", ask.holder, ask.ticket, data))


def _ask_of(request: Spend | Reserve) -> Ask:
    check_ticket(request.ticket, request.holder, request.priority)
    micros = _micros(f"ticket {request.ticket}", request.amount)
    if isinstance(request, Spend):
        check_purpose(request.ticket, request.purpose)
        return Ask(request.ticket, request.holder, "spend", micros, 0.0, request.purpose, request.priority)
    check_times(request.ticket, request.ttl_s, None)
    check_purpose(request.ticket, request.purpose)
    return Ask(request.ticket, request.holder, "reserve", micros, request.ttl_s, request.purpose, request.priority)


def _check_size(state: Budget, ask: Ask) -> None:
    """Refuse what can never be granted."""
    asks = f"ticket {ask.ticket} asks for {units(ask.micros):g} {state.unit} of {state.id}"
    if ask.micros > state.limit:
        raise Invalid(f"{asks}, whose limit is {units(state.limit):g}", limit=units(state.limit))
    most = share_of(state)
    if ask.micros > most:
        raise Invalid(f"{asks}, of which one holder may have {units(most):g}", limit=units(most))


def _settle(course: Course[Budget], request: Settle, now: Instant) -> None:
    known = _own(course.state, request.holder, request.ticket)
    micros = 0 if request.actual == 0 else _micros(f"ticket {request.ticket}", request.actual)
    match known:
        case Reservation():
            settle(course, known, micros, now)
        case Past(how="returned"):
            settle(course, known, micros, now)
        case Past(how="settled"):
            if known.micros != micros:
                raise Conflict(
                    f"ticket {request.ticket} was settled with {units(known.micros):g}, not {units(micros):g}; what was"
                    " too much can be refunded",
                    ticket=request.ticket,
                )
        case Waiting():
            raise WrongPhase(f"ticket {request.ticket} has reserved nothing yet; withdraw it", ticket=request.ticket)
        case Past(how=how):
            raise WrongPhase(f"ticket {request.ticket} has nothing to settle: it was {how}", ticket=request.ticket)


def _refund(course: Course[Budget], request: Refund, now: Instant) -> None:
    unit, ticket = course.state.unit, request.ticket
    known = _own(course.state, request.holder, ticket)
    if not isinstance(known, Past) or not known.micros:
        raise WrongPhase(f"nothing was spent under ticket {ticket}; what it waits for or has reserved is not refunded")
    micros = known.micros if request.amount is None else _micros(f"the refund of {ticket}", request.amount)
    if known.refunded not in (None, micros):
        back = units(known.refunded or 0)
        raise Conflict(f"of ticket {ticket} {back:g} {unit} came back already; there is one refund", ticket=ticket)
    if micros > known.micros:
        raise Invalid(f"ticket {ticket} has spent {units(known.micros):g} {unit}; {units(micros):g} cannot come back")
    if known.refunded is None:
        refund(course, known, micros, now)


def _withdraw(course: Course[Budget], ticket: str, holder: AgentId, now: Instant) -> None:
    known = _own(course.state, holder, ticket)
    match known:
        case Waiting():
            course.events.append(Event("budget.withdrawn", holder, ticket, {"ticket": ticket}))
            serve(course, now)
        case Reservation():
            raise WrongPhase(f"ticket {ticket} was granted; settle it, with 0 if nothing was spent", ticket=ticket)
        case Past(how="spent" | "settled"):
            raise WrongPhase(f"ticket {ticket} was granted; refund it", ticket=ticket)
        case Past():
            pass


def _resize(course: Course[Budget], request: Resize, now: Instant) -> None:
    state = course.state
    if not request.is_admin and request.by != state.creator:
        raise NotAllowed(f"{request.by} may not resize {state.id}; its creator {state.creator} or an administrator can")
    limit = _micros(f"budget {state.id}", request.limit)
    if limit == state.limit:
        return
    data = {"limit": units(limit), "limit_micros": limit}
    course.events.append(Event("budget.resized", request.by, None, data))
    most = share_of(course.state)
    for _, _, ticket in state.queue:
        ask = state.waiting[ticket].ask
        if ask.micros > most:
            why = f"it asks for {units(ask.micros):g} {state.unit}, and at most {units(most):g} can be had now"
            course.events.append(Event("budget.dropped", ask.holder, ticket, {"ticket": ticket, "reason": why}))
    serve(course, now)


def _own(state: Budget, holder: AgentId, ticket: str) -> Reservation | Waiting | Past:
    known = find(state, ticket)
    if known is None:
        raise NotFound(f"there is no ticket {ticket} at {state.id}, or it was over long ago", ticket=ticket)
    if known.ask.holder != holder:
        raise NotAllowed(f"ticket {ticket} is {known.ask.holder}'s, not {holder}'s", ticket=ticket)
    return known


def _micros(whose: str, amount: float) -> int:
    """Return an amount in whole millionths; one that is above 0 is never rounded to nothing."""
    if not 0 < amount <= AMOUNT_MAX:
        raise Invalid(f"{whose}: the amount is {amount}; it must be above 0, at most {AMOUNT_MAX:g}")
    return max(1, round(amount * MICROS))
