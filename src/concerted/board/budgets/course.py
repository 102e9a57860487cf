"""How a budget is used up and comes back: grants in the order of the queue, warnings, what time comes to.

Everything here adds events to a `Course`, each decided on the state that those before it make.
"""

from __future__ import annotations

from typing import Any

from concerted.board.budgets.state import (
    Ask,
    Budget,
    Past,
    Reservation,
    Waiting,
    find,
    left,
    left_to,
    spent,
    units,
)
from concerted.board.budgets.window import freed_at, next_freed_at, slice_at
from concerted.board.holding import Course, sooner
from concerted.machine import Event, Send
from concerted.values import AgentId, Instant

__all__ = [
    "WARNED_AT",
    "content",
    "fits",
    "grant",
    "is_first",
    "let_pass",
    "lose",
    "refund",
    "serve",
    "settle",
    "wake_at",
]

WARNED_AT = (80, 100)  # percent of the limit at which the creator is told, each once in a period


def fits(budget: Budget, ask: Ask, now: Instant) -> bool:
    """Say whether so much is left, of the budget and of the holder's share."""
    return ask.micros <= left(budget, now) and ask.micros <= left_to(budget, ask.holder, now)


def is_first(budget: Budget, place: tuple[float, int, str], now: Instant) -> bool:
    """Say whether nobody waits before this place but those who have used up their own shares."""
    for other in budget.queue.before(place):
        ask = budget.waiting[other[2]].ask
        if ask.micros <= left_to(budget, ask.holder, now):
            return False
    return True


def serve(course: Course[Budget], now: Instant) -> None:
    """Grant to the first in the queue as long as enough is left for it.

    Who has used up its own share waits without holding up the others.
    """
    for _, _, ticket in course.state.queue:
        budget = course.state
        waiting = budget.waiting[ticket]
        if waiting.ask.micros > left_to(budget, waiting.ask.holder, now):
            continue
        if waiting.ask.micros > left(budget, now):
            return
        grant(course, waiting.ask, now, waited_s=max(0.0, now - waiting.since))


def grant(course: Course[Budget], ask: Ask, now: Instant, **more: Any) -> None:
    """Spend or reserve what is asked for.  more: what else the event says."""
    data = content(ask) | more
    if ask.verb == "spend":
        data["slice"] = slice_at(course.state.window, now)
        course.events.append(Event("budget.spent", ask.holder, ask.ticket, data))
        _warn(course, now)
    else:
        data |= {"ttl_s": ask.ttl_s, "expires_at": now + ask.ttl_s}
        course.events.append(Event("budget.reserved", ask.holder, ask.ticket, data))


def settle(course: Course[Budget], known: Reservation | Past, micros: int, now: Instant) -> None:
    """Count what was spent in truth; also if the reservation has returned by then."""
    budget, ask = course.state, known.ask
    data = {"ticket": ask.ticket, "amount": units(micros), "micros": micros, "slice": slice_at(budget.window, now)}
    data |= {"estimate": units(ask.micros), "late": isinstance(known, Past)}
    course.events.append(Event("budget.settled", ask.holder, ask.ticket, data))
    _warn(course, now)
    serve(course, now)


def refund(course: Course[Budget], past: Past, micros: int, now: Instant) -> None:
    """Give back what was spent."""
    data = {"ticket": past.ask.ticket, "amount": units(micros), "micros": micros}
    course.events.append(Event("budget.refunded", past.ask.holder, past.ask.ticket, data))
    serve(course, now)


def lose(course: Course[Budget], agent: AgentId, reason: str, now: Instant) -> None:
    """Drop what an agent that is gone waits for; what it has reserved returns at its time."""
    budget = course.state
    for _, _, ticket in budget.queue:
        if budget.waiting[ticket].ask.holder == agent:
            data = {"ticket": ticket, "reason": f"{agent} is gone: {reason}"}
            course.events.append(Event("budget.dropped", agent, ticket, data))
    serve(course, now)


def let_pass(course: Course[Budget], now: Instant) -> None:
    """Let every deadline pass and every reservation return whose time is over, and serve who waited for it."""
    while (first := course.state.timers.first) is not None and first[0] <= now:
        at, _, ticket = first
        known = find(course.state, ticket)
        if isinstance(known, Reservation):
            ask = known.ask
            data = {"ticket": ticket, "amount": units(ask.micros), "micros": ask.micros, "expires_at": at}
            data["reason"] = "it was not settled in time"
            course.events.append(Event("budget.returned", ask.holder, ticket, data))
        else:
            assert isinstance(known, Waiting), f"there is a timer for ticket {ticket}, which has nothing and waits not"
            data = {"ticket": ticket, "give_up_at": at, "reason": "its deadline passed"}
            course.events.append(Event("budget.abandoned", known.ask.holder, ticket, data))
    budget = course.state
    freed = next_freed_at(budget.window, budget.slices, budget.clock)
    if course.events or (freed is not None and freed <= now):  # else it was served by the last request already
        serve(course, now)


def wake_at(budget: Budget, now: Instant) -> Instant | None:
    """Return when to look again: when a time is over, or something is freed for which somebody waits."""
    timer = None if budget.timers.first is None else budget.timers.first[0]
    return sooner(timer, next_freed_at(budget.window, budget.slices, now)) if budget.queue.chunks else timer


def content(ask: Ask) -> dict[str, Any]:
    """Return what the log says of an ask; what is as usual is left out."""
    data: dict[str, Any] = {"ticket": ask.ticket, "amount": units(ask.micros), "micros": ask.micros}
    if ask.purpose:
        data["purpose"] = ask.purpose
    if ask.priority != "medium":
        data["priority"] = ask.priority
    return data


def _warn(course: Course[Budget], now: Instant) -> None:
    """Tell the creator of each level that is reached, once in a period."""
    budget = course.state
    used = spent(budget, now)
    for percent in WARNED_AT:
        if used * 100 < budget.limit * percent or _is_warned(budget, percent, now):
            continue
        until = freed_at(budget.window, slice_at(budget.window, now))
        told = {"percent": percent, "spent": units(used), "limit": units(budget.limit), "until": until}
        course.events.append(Event("budget.warned", None, None, told))
        message = {
            "id": budget.id,
            "name": budget.name,
            "level": percent / 100,
            "spent": units(used),
            "reserved": units(budget.reserved),
            "limit": units(budget.limit),
            "unit": budget.unit,
            "resets_at": next_freed_at(budget.window, budget.slices, now),
        }
        course.sends.append(Send((budget.creator,), "BUDGET_WARNING", message, "high"))


def _is_warned(budget: Budget, percent: int, now: Instant) -> bool:
    return any(level == percent and (until is None or now < until) for level, until in budget.warned)
