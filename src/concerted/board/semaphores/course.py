"""How permits come and go: grants in the order of the queue, and what the passing of time comes to.

Everything here adds events to a `Course`, each decided on the state that those before it make.
"""

from __future__ import annotations

from collections.abc import Mapping

from concerted.board.holding import CHECKS_UNWRITTEN, SHOWN, Course, due, sooner
from concerted.board.holding import token as token_of
from concerted.board.semaphores.state import Ask, Permit, Semaphore, Waiting, find, permit_of
from concerted.machine import Event
from concerted.values import AgentId, Instant

__all__ = ["content", "end", "expire", "grant", "let_pass", "lose", "serve", "timer"]


def serve(course: Course[Semaphore], now: Instant) -> None:
    """Grant to the first in the queue, as long as there are permits enough for it."""
    while (first := course.state.queue.first) is not None:
        state = course.state
        waiting = state.waiting[first[2]]
        if waiting.ask.permits > state.free:
            return
        event = grant(state, waiting.ask, now)
        event.data["waited_s"] = max(0.0, now - waiting.since)
        if waiting.confirm_s is not None:
            event.data["confirm_at"] = now + waiting.confirm_s
        course.events.append(event)


def grant(state: Semaphore, ask: Ask, now: Instant) -> Event:
    """Return the event by which this ask is granted."""
    more = {"token": token_of(state.next), "expires_at": now + ask.ttl_s, "in_use": state.in_use + ask.permits}
    return Event("semaphore.granted", ask.holder, ask.ticket, content(ask) | more)


def content(ask: Ask) -> dict[str, object]:
    """Return what the log says of an ask; what is as usual is left out."""
    data: dict[str, object] = {"ticket": ask.ticket, "permits": ask.permits, "ttl_s": ask.ttl_s}
    if ask.purpose:
        data["purpose"] = ask.purpose
    if ask.priority != "medium":
        data["priority"] = ask.priority
    return data


def end(kind: str, state: Semaphore, permit: Permit, /, **more: object) -> Event:
    """Return the event by which these permits come back."""
    ask = permit.ask
    data = {"ticket": ask.ticket, "token": permit.token, "permits": ask.permits, "in_use": state.in_use - ask.permits}
    return Event(kind, ask.holder, ask.ticket, data | more)


def lose(course: Course[Semaphore], agent: AgentId, reason: str, now: Instant) -> None:
    """Drop what an agent that is gone waits for or has not confirmed; the rest it holds until its time is over."""
    state, why = course.state, f"{agent} is gone: {reason}"
    for _, _, ticket in state.queue:
        ask = state.waiting[ticket].ask
        if ask.holder == agent:
            data = {"ticket": ticket, "permits": ask.permits, "reason": why}
            course.events.append(Event("semaphore.dropped", agent, ticket, data))
    held = sorted((one for _, one in state.held.unordered() if one.ask.holder == agent), key=lambda one: one.token)
    for permit in held:
        if permit.confirm_at is not None:
            lapsed = end("semaphore.lapsed", course.state, permit, confirm_at=permit.confirm_at, reason=why)
            course.events.append(lapsed)
    tickets = [permit.ask.ticket for permit in held if permit.confirm_at is None]
    if tickets and state.gone.get(agent) != reason:
        data = {"reason": reason, "tickets": tickets[:SHOWN]}
        course.events.append(Event("semaphore.holder_lost", agent, None, data))
    serve(course, now)


def let_pass(course: Course[Semaphore], now: Instant) -> None:
    """Let every deadline and every time for a confirmation pass that is over by now."""
    while (first := course.state.timers.first) is not None and first[0] <= now:
        at, _, ticket = first
        known = find(course.state, ticket)
        if isinstance(known, Permit):
            why = "the grant was not confirmed in time"
            course.events.append(end("semaphore.lapsed", course.state, known, confirm_at=at, reason=why))
        else:
            assert isinstance(known, Waiting), f"there is a timer for ticket {ticket}, which neither holds nor waits"
            data = {"ticket": ticket, "permits": known.ask.permits, "give_up_at": at, "reason": "its deadline passed"}
            course.events.append(Event("semaphore.abandoned", known.ask.holder, ticket, data))
    if course.events:
        serve(course, now)


def expire(course: Course[Semaphore], held: Mapping[str, Instant], now: Instant) -> Instant | None:
    """End what is over by the renewals that the store knows; return when to look again."""
    state = course.state
    over, rest = due(((permit.token, permit.expires_at) for _, permit in state.held.unordered()), held, now)
    for until, token in over:
        permit = permit_of(course.state, token)
        assert permit is not None, f"{token} is held under no ticket"
        why = "its time was over"
        course.events.append(end("semaphore.expired", course.state, permit, expires_at=until, reason=why))
    begun = len(course.events)
    serve(course, now)
    for event in course.events[begun:]:
        rest = sooner(rest, event.data["expires_at"])
    state = course.state
    is_worth_a_row = state.moved or len(state.held) > CHECKS_UNWRITTEN
    if rest is not None and state.due_at is not None and state.due_at <= now and is_worth_a_row:
        course.events.append(Event("semaphore.checked", None, None, {"next_at": rest}))
    return sooner(rest, timer(state))


def timer(state: Semaphore) -> Instant | None:
    """Return when the next deadline or time for a confirmation is over."""
    return None if state.timers.first is None else state.timers.first[0]
