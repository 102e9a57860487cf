"""How leases begin and end: grants in their order, and what the passing of time comes to.

Everything here adds events to a `Course`, each decided on the state that those before it make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from concerted.board.holding import CHECKS_UNWRITTEN, SHOWN, WAKE_AGAIN_S, Course, due, sooner
from concerted.board.holding import token as token_of
from concerted.board.leases.conflicts import candidates, is_free, is_next
from concerted.board.leases.space import Ask, Lease, Leases, find
from concerted.machine import Event
from concerted.values import AgentId, Instant

__all__ = ["content", "end", "expire", "grant", "has_token", "let_pass", "lose", "serve", "wake", "wake_at"]


def serve(course: Course[Leases], freed: Iterable[Iterable[str]], now: Instant) -> None:
    """Grant what these names were waited for, in order, as far as the rules allow."""
    space = course.state
    if not space.line.queue.chunks:
        return
    for waiting in candidates(space, freed):
        space, ask = course.state, waiting.ask
        if has_token(space) and is_free(space, ask) and is_next(space, ask, waiting.place):
            event = grant(space, ask, now)
            event.data["waited_s"] = max(0.0, now - waiting.since)
            if waiting.confirm_s is not None:
                event.data["confirm_at"] = now + waiting.confirm_s
            course.events.append(event)


def grant(space: Leases, ask: Ask, now: Instant) -> Event:
    """Return the event by which this ask is granted."""
    token = token_of(space.next)
    data = content(ask)
    data["token"] = token
    data["expires_at"] = now + ask.ttl_s
    return Event("lease.granted", ask.holder, token, data)


def end(kind: str, agent: AgentId, lease: Lease, /, **more: object) -> Event:
    """Return the event by which this lease ends, or which tells of it."""
    data = {"ticket": lease.ask.ticket, "token": lease.token, "names": list(lease.ask.names), **more}
    return Event(kind, agent, lease.token, data)


def content(ask: Ask) -> dict[str, object]:
    """Return what the log says of an ask; what is as usual is left out."""
    data: dict[str, object] = {"ticket": ask.ticket, "names": list(ask.names), "mode": ask.mode, "ttl_s": ask.ttl_s}
    if ask.purpose:
        data["purpose"] = ask.purpose
    if ask.priority != "medium":
        data["priority"] = ask.priority
    if not ask.durable:
        data["durable"] = False
    return data


def has_token(space: Leases) -> bool:
    """Say whether there is a token left for a grant."""
    return not space.end or space.next < space.end


def lose(course: Course[Leases], agent: AgentId, reason: str, now: Instant) -> None:
    """Drop what an agent that is gone waits for or has not confirmed; what it holds it holds until its time is over."""
    space = course.state
    why = f"{agent} is gone: {reason}"
    waiting = sorted(
        (one for _, one in space.line.waiting.unordered() if one.ask.holder == agent), key=lambda one: one.place
    )
    held = sorted((one for _, one in space.held.unordered() if one.ask.holder == agent), key=lambda one: one.token)
    unconfirmed = [lease for lease in held if lease.confirm_at is not None]
    for one in waiting:
        data = {"ticket": one.ask.ticket, "names": list(one.ask.names), "reason": why}
        course.events.append(Event("lease.dropped", agent, one.ask.ticket, data))
    for lease in unconfirmed:
        course.events.append(end("lease.lapsed", agent, lease, confirm_at=lease.confirm_at, reason=why))
    if len(held) > len(unconfirmed) and space.gone.get(agent) != reason:
        tokens = [lease.token for lease in held if lease.confirm_at is None]
        course.events.append(Event("lease.holder_lost", agent, None, {"reason": reason, "leases": tokens[:SHOWN]}))
    freed = [one.ask.names for one in waiting] + [one.ask.names for one in unconfirmed]
    serve(course, freed, now)


def let_pass(course: Course[Leases], now: Instant) -> None:
    """Let every deadline and every time for a confirmation pass that is over by now."""
    freed = []
    while (first := course.state.timers.first) is not None and first[0] <= now:
        at, _, ticket = first
        known = find(course.state, ticket)
        assert known is not None, f"there is a timer for ticket {ticket}, which is not known"
        freed.append(known.ask.names)
        if isinstance(known, Lease):
            why = "the grant was not confirmed in time"
            course.events.append(end("lease.lapsed", known.ask.holder, known, confirm_at=at, reason=why))
        else:
            data = {"ticket": ticket, "names": list(known.ask.names), "give_up_at": at, "reason": "its deadline passed"}
            course.events.append(Event("lease.abandoned", known.ask.holder, ticket, data))
    if freed:
        serve(course, freed, now)


def expire(course: Course[Leases], held: Mapping[str, Instant], now: Instant) -> Instant | None:
    """End what is over by the renewals that the store knows; return when to look again.

    That nothing was over before a certain instant is written down only where looking again would cost more.
    """
    space = course.state
    over, rest = due(((token, lease.expires_at) for token, lease in space.held.unordered()), held, now)
    for until, token in over:
        lease = space.held[token]
        why = "its time was over"
        course.events.append(end("lease.expired", lease.ask.holder, lease, expires_at=until, reason=why))
    begun = len(course.events)
    serve(course, [space.held[token].ask.names for _, token in over], now)
    for event in course.events[begun:]:
        rest = sooner(rest, event.data["expires_at"])
    space = course.state
    is_worth_a_row = space.moved or len(space.held) > CHECKS_UNWRITTEN
    if rest is not None and space.due_at is not None and space.due_at <= now and is_worth_a_row:
        course.events.append(Event("leases.checked", None, None, {"next_at": rest}))
    return sooner(rest, _timer(space))


def wake(course: Course[Leases], now: Instant) -> Instant | None:
    """Grant what waits for tokens only, where there are some again; return when to look again."""
    if course.state.end and has_token(course.state):
        serve(course, [one.ask.names for _, one in course.state.line.waiting.unordered()], now)
    space = course.state
    due_at = now + WAKE_AGAIN_S if space.due_at is not None and space.due_at <= now else space.due_at
    return sooner(due_at, _timer(space))


def wake_at(course: Course[Leases]) -> Instant | None:
    """Return when to look again; after a single grant or release without making the state that it leads to."""
    due_at, space = course.seen.due_at, course.seen
    match course.unseen:
        case []:
            pass
        case [Event(kind="lease.granted", data=data)] if "confirm_at" not in data:
            due_at = sooner(due_at, data["expires_at"])
        case [Event(kind="lease.released")]:
            due_at = due_at if len(space.held) > 1 else None
        case _:
            due_at, space = course.state.due_at, course.state
    return sooner(due_at, _timer(space))


def _timer(space: Leases) -> Instant | None:
    return space.timers.chunks[0][0][0] if space.timers.chunks else None
