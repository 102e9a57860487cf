"""What a run came to: the object of `--json`, the table for people, and the exit code."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from concerted.cli.exits import FAILED, OK, TIMED_OUT, show_note
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.ports.commands import RunView, Waiting
from concerted.values import TaskResult

__all__ = ["ending_code", "run_object", "show_run", "waiting_object"]


def run_object(view: RunView) -> dict[str, Any]:
    """Return the object that docs/cli.md describes; every key is always there."""
    return {
        "id": view.id,
        "plan": view.plan,
        "strategy": view.strategy,
        "status": view.status,
        "success": view.success,
        "reason": view.reason,
        "tasks": [_task_object(task) for task in view.tasks],
        "participants": {
            agent: {"role": one.role, "done": list(one.done), "failed": list(one.failed)}
            for agent, one in sorted(view.participants.items())
        },
        "metrics": msgspec.to_builtins(view.metrics),
        "result": view.result,
        "progress": view.progress,
        "created_at": view.created_at,
        "started_at": view.started_at,
        "ended_at": view.ended_at,
        "epoch": view.epoch,
        "waiting": [waiting_object(waiting) for waiting in view.waiting],
    }


def ending_code(view: RunView) -> int:
    """Return the exit code that stands for how a run ended."""
    if view.status == "completed":
        return OK
    return TIMED_OUT if view.status == "timed_out" else FAILED


def show_run(view: RunView, *, as_json: bool) -> int:
    """Write a run's result to standard output; return the exit code."""
    if as_json:
        write_json(run_object(view))
        return ending_code(view)
    if _show_answer(view):
        click.echo(_summary(view))
        return ending_code(view)
    write_table(
        ("task", "status", "agent", "attempts", "result"),
        [(t.id, t.status, t.agent, t.attempts, clip(t.result if t.error is None else t.error)) for t in view.tasks],
    )
    if view.tasks:
        click.echo()
    elif view.result is not None:
        click.echo(clip(view.result, 2000))
    click.echo(_summary(view))
    return ending_code(view)


def _show_answer(view: RunView) -> bool:
    """Write what a swarm has found, or what voters have decided; return False if the run was not for that."""
    result = view.result
    if view.strategy == "swarm" and result is not None and result["answer"] is not None:
        click.echo(f"{clip(result['answer'], 2000)}: {result['value']:g}")  # there may be thousands of tasks
        return True
    if view.strategy == "consensus" and result is not None:
        ballots = result["certificate"].get("ballots", ())
        click.echo(f"{result['decision']} {result['outcome']}: {result['why']}")
        write_table(
            ("voter", "vote", "reason"), [(one["voter"], one["choice"], clip(one["reason"])) for one in ballots]
        )
        for warning in result.get("warnings", ()):
            show_note(warning)
        click.echo()
        return True
    return False


def _summary(view: RunView) -> str:
    words = [f"run {view.id} {view.status.replace('_', ' ')}"]
    if view.tasks:
        words.append(f"{sum(task.status == 'done' for task in view.tasks)} of {len(view.tasks)} tasks done")
    if view.ended_at is not None and view.started_at is not None:
        words.append(f"{ago(view.ended_at - view.started_at)} by {view.strategy}")
    if view.metrics is not None:
        words.append(f"{view.metrics.messages} messages")
    return ", ".join(words) + (f": {view.reason}" if view.reason else "")


def _task_object(task: TaskResult) -> dict[str, Any]:
    return {
        "id": task.id,
        "status": task.status,
        "agent": task.agent,
        "attempts": task.attempts,
        "epoch": task.epoch,
        "result": task.result,
        "error": task.error,
    }


def waiting_object(waiting: Waiting) -> dict[str, Any]:
    """Return what something waits for; every key is always there."""
    return {
        "subject": waiting.subject,
        "waiting_for": waiting.waiting_for,
        "since": waiting.since,
        "unblocked_by": waiting.unblocked_by,
        "deadline": waiting.deadline,
    }
