"""How a generation of a barrier goes on by itself: all have come, somebody does the action, its verdict falls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from concerted.machine import Event, Send, Step
from concerted.sync.absence import NAMED_MAX, first_named, in_words
from concerted.sync.barriers.state import Action, Barrier, evolve
from concerted.values import AgentId, Instant

__all__ = [
    "ACTION_ATTEMPTS",
    "Ending",
    "after",
    "as_data",
    "break_for_the_lost",
    "elect",
    "end",
    "fact",
    "overdue",
    "then",
    "trip",
    "wake_at",
]

ACTION_ATTEMPTS = 10  # parties, or tries of the coordinator, until an action is given up


@dataclass(frozen=True, slots=True)
class Ending:
    """A verdict to be.

    action_epoch: of the outcome that was accepted, if there is one.  status: that of the barrier
    afterwards; None: as it is made, cyclic or not.
    """

    verdict: Literal["released", "timeout", "broken"]
    reason: str = ""
    blamed: tuple[str, ...] = ()
    result: Any = None
    action_epoch: int | None = None
    status: Literal["waiting", "cancelled"] | None = None


def wake_at(state: Barrier) -> Instant | None:
    """Return when time alone will bring something."""
    if state.status == "removed":
        return None
    if state.ended_at is not None:
        return state.ended_at + state.terms.cleanup_delay_s
    if state.acting is not None:
        return state.acting.deadline_at  # never after that of the generation
    return state.deadline_at


def overdue(state: Barrier, now: Instant) -> Step:
    """Return what time alone has brought by `now`: one thing, the first that counts."""
    due_at = wake_at(state)
    if due_at is None or now < due_at:
        return Step()
    if state.ended_at is not None:
        return fact(state, "barrier.removed", None, deadline_at=due_at, status="removed")
    if state.deadline_at is not None and now >= state.deadline_at:
        blamed = first_named(state.missing) if state.acting is None else (state.acting.by,)
        return end(state, now, Ending("timeout", "timeout", blamed))
    assert state.acting is not None
    return elect(state, now, f"{state.acting.by} did not say in time that it is done")


def trip(state: Barrier, now: Instant) -> Step:
    """All have arrived: release them, or have the action done first."""
    return end(state, now, Ending("released")) if state.terms.action is None else elect(state, now)


def elect(state: Barrier, now: Instant, why: str = "") -> Step:
    """Give the action to whoever comes next.  why: what became of the one before."""
    action, before = state.terms.action, state.acting
    assert action is not None
    attempt, place, agent = 1 if before is None else before.attempt + 1, 0, None
    if action.kind == "elected":
        place, agent = _next_party(state, 0 if before is None else before.place)
    if attempt > ACTION_ATTEMPTS or (action.kind == "elected" and agent is None):
        reason = f"nobody is left to do the action {action.name}" + (f": {why}" if why else "")
        return end(state, now, Ending("broken", reason, () if before is None else (before.by,)))
    deadline_at = now + action.timeout_s
    if state.deadline_at is not None:
        deadline_at = min(deadline_at, state.deadline_at)
    epoch = state.action_epoch + 1
    started = fact(
        state,
        "barrier.action_started",
        agent,
        action=action.name,
        action_epoch=epoch,
        attempt=attempt,
        place=place,
        lease_s=deadline_at - now,
        deadline_at=deadline_at,
        triggered_at=now if before is None else state.triggered_at,
        expired_at=None if before is None or now < before.deadline_at else before.deadline_at,
        reason=why,
        arrived=len(state.arrivals),
        total=state.terms.participant_count,
        status="tripped",
    )
    if agent is None:
        return started
    content = {
        "barrier_id": state.terms.id,
        "generation": state.generation,
        "action": as_data(action),
        "action_epoch": epoch,
        "deadline_at": deadline_at,
    }
    return Step(started.events, (Send((agent,), "BARRIER_ACTION", content, "high"),))


def break_for_the_lost(state: Barrier, now: Instant) -> Step:
    """Break the generation if a party that has not arrived is gone."""
    gone = [agent for agent in state.lost if agent in state.missing]
    if not gone:
        return Step()
    return end(state, now, Ending("broken", in_words(gone, state.lost), tuple(gone[:NAMED_MAX])))


def end(state: Barrier, now: Instant, ending: Ending) -> Step:
    """Give the generation its verdict and tell all who arrived."""
    in_time = ending.verdict != "timeout"
    decided_at = now if in_time or state.deadline_at is None else state.deadline_at
    is_full = len(state.arrivals) == state.terms.participant_count
    data: dict[str, Any] = {
        "verdict": ending.verdict,
        "reason": ending.reason,
        "blamed": list(ending.blamed),
        "decided_at": decided_at,
        "triggered_at": (now if state.triggered_at is None else state.triggered_at) if is_full else None,
        "action_epoch": ending.action_epoch,
        "result": ending.result,
        "arrived": len(state.arrivals),
        "total": state.terms.participant_count,
        "status": ending.status or ("waiting" if state.terms.cyclic else ending.verdict),
    }
    if not in_time:
        data["deadline_at"] = decided_at
    kind = {"released": "barrier.released", "timeout": "barrier.timed_out", "broken": "barrier.broken"}[ending.verdict]
    ended = fact(state, kind, None, **data)
    to = tuple(AgentId(agent) for agent in state.arrivals)
    return Step(ended.events, (_news(state, ending, decided_at, to),) if to else ())


# how steps are put together


def fact(state: Barrier, kind: str, agent: AgentId | None, **data: Any) -> Step:
    """Return the step that is one event of the current generation."""
    return Step((Event(kind, agent, str(state.generation), {"generation": state.generation, **data}),))


def then(state: Barrier, first: Step, now: Instant, follow: Callable[[Barrier, Instant], Step]) -> Step:
    """Return a step and what follows from the state that it makes."""
    second = follow(after(state, first, now), now)
    return Step(first.events + second.events, first.sends + second.sends)


def after(state: Barrier, step: Step, now: Instant) -> Barrier:
    """Return the state that a step makes."""
    for event in step.events:
        state = evolve(state, event, now)
    return state


def as_data(action: Action) -> dict[str, Any]:
    """Return an action as an event and a message have it."""
    return {"kind": action.kind, "name": action.name, "payload": action.payload, "timeout_s": action.timeout_s}


def _next_party(state: Barrier, place: int) -> tuple[int, AgentId | None]:
    """Return place and name of who arrived first after this place and is not gone.  O(n), once per election."""
    return min(
        (
            (arrival.place, AgentId(agent))
            for agent, arrival in state.arrivals.unordered()
            if arrival.place > place and agent not in state.lost
        ),
        default=(0, None),
    )


def _news(state: Barrier, ending: Ending, decided_at: Instant, to: tuple[AgentId, ...]) -> Send:
    content: dict[str, Any] = {
        "barrier_id": state.terms.id,
        "generation": state.generation,
        "participant_count": state.terms.participant_count,
    }
    if ending.verdict == "released":
        content |= {"released_at": decided_at, "action_result": ending.result}
        return Send(to, "BARRIER_RELEASED", content, "high")
    content |= {
        "reason": ending.reason,
        "blamed": list(ending.blamed),
        "broken_at": decided_at,
        "arrived_count": len(state.arrivals),
    }
    return Send(to, "BARRIER_BROKEN", content, "high")
