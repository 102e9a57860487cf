"""A progress tracker: how far work is that somebody leads and others share, how fast it goes and who lags.

    active --the creator reports the last step | all participants have--> completed
           --Cancel-----------------------------------------------------> cancelled
    active: on time --no update for stalled_after_s--> stalled --an update--> on time

The creator's reports move the current step, a participant's its own; a creator who takes part moves both.  By default
the creator completes it, as the specification says; with `completes_with: participants` the last of them does.
Steps may not go back unless the creator has said so.  A report that says nothing new (the same step, no other data)
is a repetition: it succeeds and changes nothing, also after the end, and it does not count as an update.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.sync.trackers.answers import LOOKED_AT, SHOWN, ProgressResult, answer, topic, waits, wakes
from concerted.sync.trackers.state import (
    STEPS_KEPT,
    Await,
    Cancel,
    Create,
    ProgressTracker,
    Request,
    Update,
    evolve,
)
from concerted.values import AgentId, Instant, is_name

__all__ = [
    "KINDS",
    "LOOKED_AT",
    "PARTICIPANTS",
    "SHOWN",
    "STEPS",
    "STEPS_KEPT",
    "Await",
    "Cancel",
    "Create",
    "ProgressResult",
    "ProgressTracker",
    "Request",
    "State",
    "Update",
    "answer",
    "decide",
    "evolve",
    "topic",
    "waits",
    "wakes",
]

PARTICIPANTS = 200_000  # the most one tracker may have
STEPS = 1_000_000_000  # the most that total_steps may be

State = ProgressTracker

KINDS: Mapping[str, str] = {
    "progress.created": (
        "Somebody has made a progress tracker: id, name, description, participants, total, total_steps, metadata, "
        "weights, may_go_back, stalled_after_s, completes_with, status."
    ),
    "progress.updated": (
        "Its creator or a participant has reported a step: name, step, total_steps, is_creator, data, current_step and "
        "percentage after it, was_step and was_percentage before it."
    ),
    "progress.stalled": "No update has come for stalled_after_s: name, deadline_at (when it was due), since.",
    "progress.resumed": "After that, an update has come: name, stalled_s.",
    "progress.participant_lost": "A participant, or the creator, is gone: reason.",
    "progress.participant_found": "A participant, or the creator, who was gone is back.",
    "progress.completed": "All is done: status, name, current_step, total_steps, percentage.",
    "progress.cancelled": "Its creator or an admin has called it off: status, name, reason.",
}


def decide(state: ProgressTracker | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to.  O(1) but for what is sent to all participants.

    Raises:
        NotFound: there is no such tracker.
        Invalid: it cannot be made like this; a step outside of 0..total_steps; a goal that cannot be reached.
        Conflict: there is another one of this id.
        NotAllowed: a report by a stranger; a cancellation by somebody else than its creator or an admin.
        WrongPhase: a report after its end, or of a step that lies behind.
    """
    if state is None:
        if isinstance(request, Create):
            return _create(request, now)
        if isinstance(request, Wake | Lost | Found):
            return Step()
        raise NotFound("there is no such progress tracker; create it, with its number of steps")
    due_at = _due_at(state)
    is_late = due_at is not None and now >= due_at
    if isinstance(request, Look) and is_late:
        return Step(wake_at=now)
    stalled = _stall(state, due_at) if due_at is not None and is_late else Step()
    standing = _after(state, stalled, now)
    asked = _asked(standing, request, now)
    wake_at = None if due_at is None and state.stalled_at is None else _due_at(_after(standing, asked, now))
    return Step(stalled.events + asked.events, asked.sends, wake_at)


def _asked(state: ProgressTracker, request: Request, now: Instant) -> Step:
    match request:
        case Update():
            return _update(state, request, now)
        case Cancel():
            return _cancel(state, request)
        case Create():
            _require_same(state, request)
        case Await():
            _require_goal(state, request)
        case Lost(agent, reason):
            takes_part = agent in state.standings or agent == state.terms.creator
            if state.ending is None and takes_part and agent not in state.lost:
                return Step((Event("progress.participant_lost", agent, None, {"reason": reason}),))
        case Found(agent):
            if state.ending is None and agent in state.lost:
                return Step((Event("progress.participant_found", agent),))
        case Look() | Wake():
            pass
    return Step()


# Reports


def _update(state: ProgressTracker, request: Update, now: Instant) -> Step:
    _require_reportable(state, request)
    if _is_repeated(state, request):
        return Step()
    _require_ahead(state, request, now)
    terms = state.terms
    is_creator = request.agent == terms.creator
    data = {
        "name": terms.name,
        "step": request.step,
        "total_steps": terms.total_steps,
        "is_creator": is_creator,
        "data": request.data,
        "was_step": state.current_step,
        "was_percentage": state.percentage,
    }
    updated = Event("progress.updated", request.agent, None, data)
    moved = evolve(state, updated, now)
    data |= {"current_step": moved.current_step, "percentage": moved.percentage}
    events = (updated,) if state.stalled_at is None else (_resumption(state, request.agent, now), updated)
    is_complete = _is_complete(moved)
    if is_complete:
        events = (*events, _completion(moved, request.agent))
    return Step(events, _news(state, request, is_complete) if is_creator or is_complete else ())


def _is_repeated(state: ProgressTracker, request: Update) -> bool:
    """Say whether this has been reported already, by the same agent."""
    standing = state.standings.get(request.agent)
    if request.agent == state.terms.creator:
        step, updated_at = state.current_step, state.creator_updated_at
    else:
        assert standing is not None
        step, updated_at = standing.step, standing.updated_at
    if updated_at is None or step != request.step:
        return False
    told = next((one for one in state.kept if one.step == request.step), None)
    return request.data is None or (told is not None and (told.agent, told.data) == (request.agent, request.data))


def _is_complete(state: ProgressTracker) -> bool:
    if state.terms.completes_with == "participants":
        return state.finished == len(state.standings)
    return state.current_step == state.terms.total_steps


def _completion(state: ProgressTracker, by: AgentId) -> Event:
    data = {
        "status": "completed",
        "name": state.terms.name,
        "current_step": state.current_step,
        "total_steps": state.terms.total_steps,
        "percentage": state.percentage,
    }
    return Event("progress.completed", by, None, data)


def _news(state: ProgressTracker, request: Update, is_complete: bool) -> tuple[Send, ...]:
    content = {
        "tracker_id": state.terms.id,
        "name": state.terms.name,
        "current_step": request.step,
        "total_steps": state.terms.total_steps,
        "completed": is_complete,
    }
    others = tuple(AgentId(agent) for agent in state.standings if agent != request.agent)
    return (Send(others, "PROGRESS_UPDATE_NOTIFICATION", content, "low"),) if others else ()


def _require_reportable(state: ProgressTracker, request: Update) -> None:
    terms = state.terms
    if request.agent not in state.standings and request.agent != terms.creator:
        raise NotAllowed(
            f"{request.agent} is neither a participant nor the creator of progress tracker {terms.name}; who takes "
            f"part is settled when it is made: {terms.creator} can make another one that names {request.agent}",
            agent=request.agent,
        )
    if not 0 <= request.step <= terms.total_steps:
        raise Invalid(
            f"step {request.step} is outside of progress tracker {terms.name}, which has the steps 0 to "
            f"{terms.total_steps}",
            step=request.step,
        )


def _require_ahead(state: ProgressTracker, request: Update, now: Instant) -> None:
    terms, ending = state.terms, state.ending
    if ending is not None:
        why = f" ({ending.reason})" if ending.reason else ""
        raise WrongPhase(
            f"{request.agent} cannot report step {request.step}: progress tracker {terms.name} was {state.status} "
            f"{max(0.0, now - ending.at):.1f} s ago{why}",
            status=state.status,
            completed_at=ending.at,
        )
    standing = state.standings.get(request.agent)
    reached = state.current_step if request.agent == terms.creator or standing is None else standing.step
    if request.step < reached and not terms.may_go_back:
        raise WrongPhase(
            f"{request.agent} has reached step {reached} of progress tracker {terms.name}, and its steps may not go "
            f"back to {request.step}; {terms.creator} can make one with may_go_back",
            step=reached,
        )


# Stalling


def _due_at(state: ProgressTracker) -> Instant | None:
    """Return when an update is due; None if it may take its time, is stalled already or has ended."""
    after_s = state.terms.stalled_after_s
    if after_s is None or state.stalled_at is not None or state.ending is not None:
        return None
    return state.updated_at + after_s


def _stall(state: ProgressTracker, due_at: Instant) -> Step:
    data = {"name": state.terms.name, "deadline_at": due_at, "since": state.updated_at}
    return Step((Event("progress.stalled", None, None, data),))


def _resumption(state: ProgressTracker, by: AgentId, now: Instant) -> Event:
    assert state.stalled_at is not None
    stalled_s = max(0.0, now - state.stalled_at)
    return Event("progress.resumed", by, None, {"name": state.terms.name, "stalled_s": stalled_s})


def _after(state: ProgressTracker, step: Step, now: Instant) -> ProgressTracker:
    for event in step.events:
        state = evolve(state, event, now)
    return state


# Creating and cancelling


def _create(request: Create, now: Instant) -> Step:
    problems = _problems(request)
    if problems:
        raise Invalid(f"progress tracker {request.name} cannot be made: {'; '.join(problems)}", problems=problems)
    data: dict[str, Any] = {
        "id": request.id,
        "name": request.name,
        "description": request.description,
        "participants": list(request.participants),
        "total": len(request.participants),
        "total_steps": request.total_steps,
        "metadata": request.metadata,
        "weights": request.weights,
        "may_go_back": request.may_go_back,
        "stalled_after_s": request.stalled_after_s,
        "completes_with": request.completes_with,
        "status": "active",
    }
    content = {
        "tracker_id": request.id,
        "name": request.name,
        "description": request.description,
        "total_steps": request.total_steps,
    }
    to = request.participants
    sends = (Send(to, "PROGRESS_TRACKER_NOTIFICATION", content, "low"),) if to else ()
    wake_at = None if request.stalled_after_s is None else now + request.stalled_after_s
    return Step((Event("progress.created", request.by, None, data),), sends, wake_at)


def _problems(request: Create) -> list[str]:
    """Name everything that is wrong with a tracker to be."""
    agents, weights = request.participants, request.weights or {}
    problems = [f"{agent!r} cannot name an agent" for agent in agents if not is_name(agent)][:10]
    problems += [f"{agent} is named {count} times" for agent, count in Counter(agents).items() if count > 1][:10]
    problems += [f"{agent} has a weight and takes no part" for agent in sorted(set(weights) - set(agents))][:10]
    problems += [f"{agent} has the weight {w}" for agent, w in sorted(weights.items()) if not 0 <= w < math.inf][:10]
    if not is_name(request.name):
        problems.append(f"{request.name!r} cannot name a progress tracker: 1 to 200 printable bytes, no outer spaces")
    if not 1 <= request.total_steps <= STEPS:
        problems.append(f"it has {request.total_steps} steps; at least one, at most {STEPS}")
    if len(agents) > PARTICIPANTS:
        problems.append(f"{len(agents)} participants are more than {PARTICIPANTS}")
    if agents and not any(weights.get(agent, 1.0) > 0 for agent in agents):
        problems.append("no participant has a weight above 0")
    if request.stalled_after_s is not None and not 0 < request.stalled_after_s < math.inf:
        problems.append(f"stalled_after_s is {request.stalled_after_s}; it must be above 0")
    if request.completes_with == "participants" and not agents:
        problems.append("it cannot be completed by its participants, since it has none")
    return problems


def _require_same(state: ProgressTracker, request: Create) -> None:
    """Make sure that a repeated Create means this tracker."""
    terms = state.terms
    named = sum(agent in state.standings for agent in request.participants)
    differences = [
        what
        for what, is_same in (
            ("name", request.name == terms.name),
            ("total_steps", request.total_steps == terms.total_steps),
            ("participants", named == len(request.participants) == len(state.standings)),
            ("description", request.description == terms.description),
            ("metadata", request.metadata == terms.metadata),
            ("weights", request.weights == terms.weights),
            ("may_go_back", request.may_go_back == terms.may_go_back),
            ("stalled_after_s", request.stalled_after_s == terms.stalled_after_s),
            ("completes_with", request.completes_with == terms.completes_with),
            ("creator", request.by == terms.creator),
        )
        if not is_same
    ]
    if differences:
        raise Conflict(
            f"{terms.creator} has made progress tracker {terms.id} already, with other {', '.join(differences)}; use "
            "that one, or take another id",
            differences=differences,
        )


def _require_goal(state: ProgressTracker, request: Await) -> None:
    last = state.terms.total_steps
    if request.step is not None and request.percentage is not None:
        raise Invalid("wait for a step or for a percentage, not for both at once")
    if request.step is not None and not 0 <= request.step <= last:
        raise Invalid(f"progress tracker {state.terms.name} never reaches step {request.step}; it has {last}")
    if request.percentage is not None and not 0 <= request.percentage <= 1:
        raise Invalid(f"percentage is {request.percentage}; it is given as a level of 0..1")


def _cancel(state: ProgressTracker, request: Cancel) -> Step:
    terms = state.terms
    if request.by != terms.creator and not request.is_admin:
        raise NotAllowed(
            f"{request.by} may not cancel progress tracker {terms.name}; its creator {terms.creator} or an admin can",
            agent=request.by,
        )
    if state.ending is not None:
        return Step()
    reason = request.reason or "No reason provided"
    cancelled = {"status": "cancelled", "name": terms.name, "reason": reason}
    content = {"tracker_id": terms.id, "name": terms.name, "reason": reason, "cancelled_by": request.by}
    to = tuple(AgentId(agent) for agent in state.standings)
    sends = (Send(to, "PROGRESS_TRACKER_CANCELLED", content, "low"),) if to else ()
    return Step((Event("progress.cancelled", request.by, None, cancelled),), sends)
