"""A sync point: participants arrive, each once, until its condition holds or its deadline comes.

    waiting --the condition holds | by hand--> completed
            --the deadline comes-------------> expired
            --Cancel-------------------------> cancelled

The condition is `all`, `majority`, `count`, a CEL expression or a registered function (`predicate`).  Whoever
arrived keeps having arrived: to arrive again changes nothing and succeeds, also after the end.  Whoever did not
is refused once it has ended, and from the deadline on, even if no timer has fired yet.

The states of the specification: SYNCHRONIZED is `completed`, TIMEOUT is `expired`.  Its two documents tell the
participants of a completion by a message each, SYNC_POINT_COMPLETED and SYNCHRONIZATION_TRIGGERED; here one
message, SYNC_POINT_COMPLETED, has the fields of both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.sync.points.answers import ENDINGS, SyncResult, answer, topic, waits, wakes
from concerted.sync.points.predicate import check, evaluate, is_told_by_numbers, reads_now
from concerted.sync.points.state import (
    SHOWN,
    Add,
    Arrive,
    Await,
    Cancel,
    Complete,
    Create,
    Request,
    Status,
    SyncPoint,
    Terms,
    call_roll,
    evolve,
)
from concerted.values import AgentId, Instant, encode, is_name

__all__ = [
    "CHECK_INTERVAL_MIN_S",
    "ERRORS",
    "KINDS",
    "MESSAGE_DATA_BYTES",
    "PARTICIPANTS",
    "SHOWN",
    "Add",
    "Arrive",
    "Await",
    "Cancel",
    "Complete",
    "Create",
    "Request",
    "State",
    "SyncPoint",
    "SyncResult",
    "answer",
    "decide",
    "evolve",
    "topic",
    "waits",
    "wakes",
]

PARTICIPANTS = 200_000  # the most one point may have
CHECK_INTERVAL_MIN_S = 0.01
ERRORS = 10  # different failures of a predicate that are written down
MESSAGE_DATA_BYTES = 65_536  # more data than this is not in the message of the completion, only in answers

State = SyncPoint

KINDS: Mapping[str, str] = {
    "sync_point.created": (
        "Somebody has made a sync point: id, name, description, participants, total, condition, deadline_at, metadata, "
        "check_interval_s, status."
    ),
    "sync_point.arrived": "A participant has arrived, for the first time: name, data, arrived, total.",
    "sync_point.participants_added": "More agents take part: participants (the new ones), total.",
    "sync_point.participant_lost": "A participant who has not arrived is gone: reason.",
    "sync_point.participant_found": "A participant who was gone is back.",
    "sync_point.predicate_failed": "Its predicate cannot tell, which counts as no: error.",
    "sync_point.completed": (
        "Its condition holds, or somebody completed it by hand (reason says who): status, name, arrived, total, reason."
    ),
    "sync_point.expired": "Its deadline came first: status, name, arrived, total, deadline_at, reason.",
    "sync_point.cancelled": "Its creator or an admin has called it off: status, name, arrived, total, reason.",
}


def decide(state: SyncPoint | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to, with what its deadline and its condition bring.

    O(log n) in the number of participants; with a predicate, up to `expression.STEPS` more.

    Raises:
        NotFound: there is no such point, or no function of the name of its condition.
        Invalid: it cannot be made like this.
        Conflict: there is another one of this id.
        NotAllowed: an arrival by a stranger; an end by hand or more participants by somebody else than its
            creator or an admin.
        WrongPhase: an arrival or more participants after its end.
    """
    if state is None:
        if isinstance(request, Create):
            return _create(request, now)
        if isinstance(request, Wake | Lost | Found):
            return Step()
        raise NotFound("there is no such sync point; create it, with its participants")
    if isinstance(request, Look) and _is_due(state, now):
        return Step(wake_at=now)
    due = _expire(state) if _is_due(state, now) else Step()
    standing = _after(state, due, now)
    asked = _asked(standing, request, now)
    brought = _brought(standing, asked, request, now)
    return Step(due.events + asked.events + brought.events, due.sends + asked.sends + brought.sends, brought.wake_at)


def _is_due(state: SyncPoint, now: Instant) -> bool:
    return state.ending is None and state.terms.deadline_at is not None and now >= state.terms.deadline_at


def _expire(state: SyncPoint) -> Step:
    assert state.terms.deadline_at is not None
    return _end(state, "expired", state.terms.deadline_at, None, "timeout")


def _asked(state: SyncPoint, request: Request, now: Instant) -> Step:
    match request:
        case Arrive(agent, data):
            return _arrive(state, agent, data, now)
        case Complete(by, is_admin):
            _require_creator(state, by, is_admin, "complete")
            return _end(state, "completed", now, by, f"completed by {by}")
        case Cancel(by, reason, is_admin):
            _require_creator(state, by, is_admin, "cancel")
            return _end(state, "cancelled", now, by, reason or "No reason provided")
        case Add():
            return _add(state, request, now)
        case Create():
            _require_same(state, request)
        case Lost(agent, reason):
            if state.status == "waiting" and agent in state.missing and agent not in state.lost:
                return Step((Event("sync_point.participant_lost", agent, None, {"reason": reason}),))
        case Found(agent):
            if state.status == "waiting" and agent in state.lost:
                return Step((Event("sync_point.participant_found", agent),))
        case Await() | Look() | Wake():
            pass
    return Step()


def _arrive(state: SyncPoint, agent: AgentId, data: Any, now: Instant) -> Step:
    if agent not in state.participants:
        raise NotAllowed(
            f"{agent} is not a participant of sync point {state.terms.name}; "
            f"its creator {state.terms.creator} can add {agent}",
            agent=agent,
        )
    if agent in state.arrivals:
        return Step()
    _require_waiting(state, f"{agent} comes too late", now)
    arrived = {"name": state.terms.name, "data": data, "arrived": state.arrived + 1, "total": state.total}
    return Step((Event("sync_point.arrived", agent, None, arrived),))


def _add(state: SyncPoint, request: Add, now: Instant) -> Step:
    _require_creator(state, request.by, request.is_admin, "add participants to")
    new = [agent for agent in dict.fromkeys(request.agents) if agent not in state.participants]
    if not new:
        return Step()
    _require_waiting(state, f"{', '.join(new[:10])} cannot be added", now)
    total = state.total + len(new)
    problems = _problems_of_names(new, total)
    if problems:
        raise Invalid(f"sync point {state.terms.name}: {'; '.join(problems)}", problems=problems)
    check(state.terms.condition, total)
    added = Event("sync_point.participants_added", request.by, None, {"participants": new, "total": total})
    return Step((added,), (_invitation(state.terms, tuple(new)),))


def _brought(state: SyncPoint, asked: Step, request: Request, now: Instant) -> Step:
    """Return what the condition brings after what was asked, and when to look at the point again."""
    if is_told_by_numbers(state.terms.condition) and not _makes_enough(state, asked):
        is_over = state.ending is not None or any(event.kind in ENDINGS for event in asked.events)
        return Step(wake_at=None if is_over else state.terms.deadline_at)
    moved = _after(state, asked, now)
    if moved.ending is not None:
        return Step()
    if is_told_by_numbers(state.terms.condition):
        return _end(moved, "completed", now)
    return _seen(moved, request, bool(asked.events), now)


def _makes_enough(state: SyncPoint, asked: Step) -> bool:
    is_arrival = bool(asked.events) and asked.events[0].kind == "sync_point.arrived"
    return is_arrival and state.needed is not None and state.arrived + 1 >= state.needed


def _seen(state: SyncPoint, request: Request, is_moved: bool, now: Instant) -> Step:
    """Return what a predicate brings that looks at the point.

    `Look` brings nothing; if it finds that time has made the condition true, it asks for a `Wake` at once.
    """
    condition, deadline_at = state.terms.condition, state.terms.deadline_at
    is_timed = reads_now(condition)
    if not (is_moved or is_timed or isinstance(request, Wake)):
        return Step(wake_at=deadline_at)
    verdict = evaluate(condition, state.view(now))
    if verdict.holds:
        return Step(wake_at=now) if isinstance(request, Look) else _end(state, "completed", now)
    wake_at = _next_look(state, now) if is_timed else deadline_at
    is_known = verdict.error is None or verdict.error in state.errors or len(state.errors) >= ERRORS
    if is_known or isinstance(request, Look | Create):  # at the creation nothing is there yet that it could read
        return Step(wake_at=wake_at)
    return Step((Event("sync_point.predicate_failed", None, None, {"error": verdict.error}),), (), wake_at)


def _next_look(state: SyncPoint, now: Instant) -> Instant:
    """Return the next of the instants at which time is looked at, counted from the creation."""
    terms = state.terms
    count = math.floor((now - terms.created_at) / terms.check_interval_s) + 1
    next_at = terms.created_at + count * terms.check_interval_s
    while next_at <= now:
        next_at += terms.check_interval_s
    return next_at if terms.deadline_at is None else min(next_at, terms.deadline_at)


def _after(state: SyncPoint, step: Step, now: Instant) -> SyncPoint:
    for event in step.events:
        state = evolve(state, event, now)
    return state


# Creating


def _create(request: Create, now: Instant) -> Step:
    problems = _problems_of_names(request.participants, len(request.participants))
    if not is_name(request.name):
        problems.insert(0, f"{request.name!r} cannot name a sync point: 1 to 200 printable bytes, no outer spaces")
    if len(request.participants) < 2:
        problems.append(f"it needs at least two participants and has {len(request.participants)}")
    if request.deadline_at is not None and not now < request.deadline_at < math.inf:
        problems.append(f"its deadline {request.deadline_at} is not in the future; it is {now} now")
    if not CHECK_INTERVAL_MIN_S <= request.check_interval_s < math.inf:
        problems.append(f"check_interval_s is {request.check_interval_s}; at least {CHECK_INTERVAL_MIN_S}")
    if problems:
        raise Invalid(f"sync point {request.name} cannot be made: {'; '.join(problems)}", problems=problems)
    total = len(request.participants)
    check(request.condition, total)
    data = {
        "id": request.id,
        "name": request.name,
        "description": request.description,
        "participants": list(request.participants),
        "total": total,
        "condition": msgspec.to_builtins(request.condition),
        "deadline_at": request.deadline_at,
        "metadata": request.metadata,
        "check_interval_s": request.check_interval_s,
        "status": "waiting",
    }
    created = Event("sync_point.created", request.by, None, data)
    invitation = _invitation(request, request.participants)
    if is_told_by_numbers(request.condition):
        return Step((created,), (invitation,), request.deadline_at)
    state = evolve(None, created, now)
    _require_sense(state, now)
    seen = _seen(state, request, True, now)
    return Step((created, *seen.events), (invitation, *seen.sends), seen.wake_at)


def _problems_of_names(agents: Sequence[AgentId], total: int) -> list[str]:
    problems = [f"{agent!r} cannot name an agent" for agent in agents if not is_name(agent)][:10]
    problems += [f"{agent} is named {count} times" for agent, count in Counter(agents).items() if count > 1][:10]
    if total > PARTICIPANTS:
        problems.append(f"{total} participants are more than {PARTICIPANTS}")
    return problems


def _require_sense(state: SyncPoint, now: Instant) -> None:
    condition = state.terms.condition
    verdict = evaluate(condition, state.view(now))
    if verdict.is_senseless:
        raise Invalid(f"{condition} cannot be the condition of {state.terms.name}: {verdict.error}")


def _require_same(state: SyncPoint, request: Create) -> None:
    """Make sure that a repeated Create means this point, whoever has been added to it since."""
    invited = sum(state.participants.get(agent, False) for agent in request.participants)
    from_the_beginning = sum(was_one for _, was_one in state.participants.unordered())
    differences = [
        what
        for what, is_same in (
            ("name", request.name == state.terms.name),
            ("description", request.description == state.terms.description),
            ("participants", invited == len(request.participants) == from_the_beginning),
            ("condition", request.condition == state.terms.condition),
            ("deadline_at", request.deadline_at == state.terms.deadline_at),
            ("metadata", request.metadata == state.terms.metadata),
            ("check_interval_s", request.check_interval_s == state.terms.check_interval_s),
            ("creator", request.by == state.terms.creator),
        )
        if not is_same
    ]
    if differences:
        raise Conflict(
            f"{state.terms.creator} has made sync point {state.terms.id} already, with other {', '.join(differences)}; "
            "use that one, or take another id",
            differences=differences,
        )


# Ending


def _end(state: SyncPoint, status: Status, at: Instant, by: AgentId | None = None, reason: str | None = None) -> Step:
    """Return the end of a point that waits; nothing, if it has ended."""
    if state.status != "waiting":
        return Step()
    data = {
        "status": status,
        "name": state.terms.name,
        "arrived": state.arrived,
        "total": state.total,
        "reason": reason,
    }
    if status == "expired":
        data["deadline_at"] = at
    event = Event(f"sync_point.{status}", by, None, data)
    to = tuple(AgentId(agent) for agent in state.participants)
    return Step((event,), (Send(to, f"SYNC_POINT_{status.upper()}", _news(state, event, at)),))


def _news(state: SyncPoint, event: Event, at: Instant) -> dict[str, Any]:
    """Say how it ended.  Of more than SHOWN participants only numbers, since each of them gets the message."""
    roll = call_roll(state) if state.total <= SHOWN else None
    arrived = None if roll is None else list(roll.arrived)
    news: dict[str, Any] = {
        "sync_point_id": state.terms.id,
        "name": state.terms.name,
        "arrived_participants": arrived,
        "arrived": state.arrived,
        "total": state.total,
    }
    match event.data["status"]:
        case "cancelled":
            return {**news, "reason": event.data["reason"], "cancelled_by": event.agent}
        case "expired":
            return {**news, "deadline": state.terms.deadline_at}
        case _:
            small = roll is not None and len(encode(roll.data)) <= MESSAGE_DATA_BYTES
            return {
                **news,
                "sync_id": state.terms.id,
                "arrived_agents": arrived,
                "sync_data": roll.data if roll is not None and small else None,
                "triggered_at": at,
            }


def _invitation(point: Terms | Create, to: tuple[AgentId, ...]) -> Send:
    content = {
        "sync_point_id": point.id,
        "name": point.name,
        "description": point.description,
        "deadline": point.deadline_at,
    }
    return Send(to, "SYNC_POINT_NOTIFICATION", content, requires_acknowledgment=True)


def _require_creator(state: SyncPoint, by: AgentId, is_admin: bool, what: str) -> None:
    if by != state.terms.creator and not is_admin:
        raise NotAllowed(
            f"{by} may not {what} sync point {state.terms.name}; its creator {state.terms.creator} or an admin can",
            agent=by,
        )


def _require_waiting(state: SyncPoint, what: str, now: Instant) -> None:
    ending = state.ending
    if ending is None:
        return
    how = {"completed": "was completed", "expired": "expired at its deadline", "cancelled": "was cancelled"}
    why = f" ({ending.reason})" if state.status == "cancelled" else ""
    raise WrongPhase(
        f"{what}: sync point {state.terms.name} {how[state.status]} {max(0.0, now - ending.at):.1f} s ago{why}",
        status=state.status,
        completed_at=ending.at,
    )
