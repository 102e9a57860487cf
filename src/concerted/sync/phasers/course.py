"""How a phaser goes on by itself: phases advance or break, parties are taken out, the last goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from concerted.machine import Event, Send, Step
from concerted.sync.absence import NAMED_MAX, in_words
from concerted.sync.phasers.state import Party, Phaser, evolve
from concerted.values import AgentId, Instant

__all__ = [
    "TOLD_AT_ONCE",
    "after",
    "breaks",
    "fact",
    "left",
    "overdue",
    "settle",
    "taken_out",
    "terminated",
    "then",
    "wake_at",
]

TOLD_AT_ONCE = 256  # the most parties that are told of each removal; more learn it when the phase is over

Follow = Callable[[Phaser, Instant], Step]


def wake_at(state: Phaser) -> Instant | None:
    """Return when time alone will bring something."""
    return None if state.status == "terminated" or state.is_late else state.late_at


def overdue(state: Phaser, now: Instant) -> Step:
    """Return what comes, by the policy, of the parties that are late by `now`."""
    due_at, policy = wake_at(state), state.terms.policy
    if due_at is None or now < due_at:
        return Step()
    who = tuple(AgentId(agent) for agent in state.missing)
    named, total = who[:NAMED_MAX], len(state.arrivals) + len(who)
    late = fact(
        state,
        "phaser.late",
        missing=list(named),
        missing_count=len(who),
        deadline_at=due_at,
        arrived=len(state.arrivals),
        total=total,
    )
    reason = f"late: not arrived {state.terms.late_after_s:g} s after the first in phase {state.phase}"

    def follow(state: Phaser, now: Instant) -> Step:
        if policy == "wait":
            return Step()
        if policy == "fail":
            return terminated(state, now, f"{reason}: {in_words(who, {})}", named)
        out = taken_out(state, who, reason)
        if policy == "break":
            out = then(state, out, now, breaks(f"{reason}: {in_words(who, {})}", named, total))
        return then(state, out, now, settle)

    return then(state, late, now, follow)


def settle(state: Phaser, now: Instant) -> Step:
    """Let the phase advance if it waits for nobody, and the phaser end if it has nobody."""
    if state.status == "terminated" or state.missing:
        return Step()
    if state.arrivals or state.parties:
        return then(state, _advanced(state, now), now, lambda state, _: _end_if_empty(state))
    return _end_if_empty(state)


def breaks(reason: str, blamed: tuple[AgentId, ...], total: int) -> Follow:
    """Return the rule that breaks the current phase.  total: how many parties it had."""

    def follow(state: Phaser, now: Instant) -> Step:
        broken = _over(state, now, "phaser.broken", reason=reason, blamed=list(blamed), total=total)
        return Step(broken.events, _bad_news(state, now, reason, blamed, is_terminated=False))

    return follow


def terminated(state: Phaser, now: Instant, reason: str, blamed: tuple[AgentId, ...]) -> Step:
    """End the phaser; the current phase breaks for everybody in it."""
    total, step = len(state.arrivals) + len(state.missing), Step()
    if total:
        step = _over(state, now, "phaser.broken", reason=reason, blamed=list(blamed), total=total)
    news = _bad_news(state, now, reason, blamed, is_terminated=True)
    over = then(state, step, now, lambda state, _: fact(state, "phaser.terminated", reason=reason, status="terminated"))
    return Step(over.events, news)


def taken_out(state: Phaser, agents: Iterable[AgentId], reason: str, by: AgentId | None = None) -> Step:
    """Remove parties; they are told, and so are the others unless they are too many."""
    out = tuple(agents)
    events = tuple(
        event
        for agent in out
        for event in fact(
            state, "phaser.party_removed", agent, registration=state.parties[agent].number, reason=reason, by=by
        ).events
    )
    everybody = len(state.parties) <= TOLD_AT_ONCE
    content = {
        "phaser_id": state.terms.id,
        "phase": state.phase,
        "removed": list(out[:NAMED_MAX]),
        "removed_count": len(out),
        "reason": reason,
    }
    to = tuple(AgentId(agent) for agent in state.parties) if everybody else out
    return Step(events, (Send(to, "PARTY_REMOVED", content, "high"),))


def left(state: Phaser, agent: AgentId, party: Party) -> Step:
    """Let a party go that wants to."""
    arrived, total = len(state.arrivals), len(state.arrivals) + len(state.missing) - (agent in state.missing)
    return fact(state, "phaser.deregistered", agent, registration=party.number, arrived=arrived, total=total)


# how steps are put together


def fact(state: Phaser, kind: str, agent: AgentId | None = None, **data: Any) -> Step:
    """Return the step that is one event of the current phase."""
    return Step((Event(kind, agent, str(state.phase), {"phase": state.phase, **data}),))


def then(state: Phaser, first: Step, now: Instant, follow: Follow) -> Step:
    """Return a step and what follows from the state that it makes."""
    second = follow(after(state, first, now), now)
    return Step(first.events + second.events, first.sends + second.sends)


def after(state: Phaser, step: Step, now: Instant) -> Phaser:
    """Return the state that a step makes."""
    for event in step.events:
        state = evolve(state, event, now)
    return state


def _advanced(state: Phaser, now: Instant) -> Step:
    over = _over(state, now, "phaser.advanced", reason="", blamed=[], total=len(state.arrivals))
    to = tuple(AgentId(agent) for agent in state.parties)
    content = {
        "phaser_id": state.terms.id,
        "phase": state.phase,
        "next_phase": state.phase + 1,
        "arrived_count": len(state.arrivals),
        "registered_count": len(state.parties),
        "advanced_at": now,
        "removed": _removed(state),
    }
    return Step(over.events, (Send(to, "PHASE_ADVANCED", content, "high"),) if to else ())


def _end_if_empty(state: Phaser) -> Step:
    if state.parties or not state.terms.ends_when_empty:
        return Step()
    return fact(state, "phaser.terminated", reason="its last party has gone", status="terminated")


def _over(state: Phaser, now: Instant, kind: str, **data: Any) -> Step:
    return fact(
        state,
        kind,
        next_phase=state.phase + 1,
        verdict=kind.removeprefix("phaser."),
        decided_at=now,
        arrived=len(state.arrivals),
        **data,
    )


def _bad_news(
    state: Phaser, now: Instant, reason: str, blamed: tuple[AgentId, ...], *, is_terminated: bool
) -> tuple[Send, ...]:
    to = tuple(AgentId(agent) for agent in state.parties)
    content = {
        "phaser_id": state.terms.id,
        "phase": state.phase,
        "next_phase": None if is_terminated else state.phase + 1,
        "reason": reason,
        "blamed": list(blamed),
        "removed": _removed(state),
        "is_terminated": is_terminated,
        "broken_at": now,
    }
    return (Send(to, "PHASER_BROKEN", content, "high"),) if to else ()


def _removed(state: Phaser) -> list[dict[str, Any]]:
    return [
        {"agent": removal.agent, "reason": removal.reason} for removal in state.removed if removal.phase == state.phase
    ]
