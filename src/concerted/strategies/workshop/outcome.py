"""The outcome of a run that was split into tasks: how each ended, and what everybody contributed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from concerted.board.task import TaskState, result_of
from concerted.values import AgentId, Outcome, ParticipantResult, TaskId, TaskResult

__all__ = ["outcome_of", "participants_of", "why_not"]


def outcome_of(
    states: Sequence[TaskState], agents: Iterable[AgentId], roles: Mapping[AgentId, str], result: Any,
    *, timed_out: bool = False,
) -> Outcome:  # fmt: skip
    """Return how it all ended; success means that there were tasks and every mandatory one is done.

    agents: who took part, also without doing anything.  roles: of those who had one.
    """
    missing = [state for state in states if state.task.mandatory and state.status != "done"]
    return Outcome(
        success=bool(states) and not missing and not timed_out,
        result=result,
        reason=why_not(len(states), [result_of(state) for state in missing], timed_out),
        tasks=tuple(result_of(state) for state in states),
        participants=participants_of(states, agents, roles),
        timed_out=timed_out,
    )


def why_not(count: int, missing: Sequence[TaskResult], timed_out: bool) -> str:
    """Say in words what is missing of a success.  count: of all tasks; missing: mandatory ones that are not done."""
    if not missing:
        why = "" if count else "there were no tasks"
    else:
        # The reason that is worth most comes first: a failure before what failed or was called off because of it.
        first = min(missing, key=lambda one: (one.status != "failed", one.ended_at or 0.0))
        why = f"{len(missing)} of {count} tasks not done; {first.id}: {first.error or first.status}"
    if not timed_out:
        return why
    return f"the deadline passed first: {why}" if why else "the deadline passed first"


def participants_of(
    states: Iterable[TaskState], agents: Iterable[AgentId], roles: Mapping[AgentId, str]
) -> dict[AgentId, ParticipantResult]:
    """Return what everybody has done, and failed at last.  agents: who took part, also without doing anything."""
    done: dict[AgentId, list[TaskId]] = {}
    failed: dict[AgentId, list[TaskId]] = {}
    for state in states:
        if state.agent is not None and state.status in ("done", "failed"):
            (done if state.status == "done" else failed).setdefault(state.agent, []).append(state.id)
    return {
        agent: ParticipantResult(
            agent=agent,
            done=tuple(done.get(agent, ())),
            failed=tuple(failed.get(agent, ())),
            role=roles.get(agent, ""),
        )
        for agent in sorted({*done, *failed, *roles, *agents})
    }
