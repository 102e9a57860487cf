"""`concerted status`, `agents` and `why`: how things stand, from the owner of a store or from its file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import click

from concerted.cli.exits import OK, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.cli.reach import open_sight
from concerted.cli.results import run_object, waiting_object
from concerted.ports.commands import Agents, AgentView, Command, RunView, Status, StatusView, Waiting, Why, WhyView

__all__ = ["agents", "status", "why"]

WAITING_SHOWN = 20
NOBODY = "nobody owns this store now; this is how things stood when its last owner left"


@click.command(short_help="Show runs, agents, and what is waited for.")
@click.option("--all", "everything", is_flag=True, help="Also finished runs.")
@click.option("--limit", default=100, type=click.IntRange(1, 10_000), show_default=True, help="How many runs at most.")
@store_option
@json_option
def status(everything: bool, limit: int, store: str | None, as_json: bool) -> int:
    """Show runs, agents, and what is waited for."""
    view, owned = asyncio.run(_ask(store, Status(all=everything, limit=limit)))
    if as_json:
        write_json(_status_object(view))
        return OK
    if not owned:
        show_note(NOBODY)
    _show_status(view)
    return OK


@click.command(short_help="Show the agents.")
@store_option
@json_option
def agents(store: str | None, as_json: bool) -> int:
    """Show the agents."""
    found, owned = asyncio.run(_ask(store, Agents()))
    if as_json:
        write_json(found)
        return OK
    if not owned:
        show_note(NOBODY)
    if not found:
        show_note("no agent has been registered here")
    _show_agents(found)
    return OK


@click.command(short_help="Explain why a run, a task or an agent is where it is.")
@click.argument("subject")
@store_option
@json_option
def why(subject: str, store: str | None, as_json: bool) -> int:
    """Explain why a run, a task or an agent is where it is.

    SUBJECT is a run, a task as RUN:TASK (or TASK, if only one run has it), an agent, or what agents meet at
    or hold, as in sync_point:ID (or ID, if nothing else is called so).  Times are counted from its beginning.
    """
    view: WhyView
    view, _ = asyncio.run(_ask(store, Why(subject=subject)))
    if as_json:
        write_json(
            {"subject": view.subject, "lines": view.lines, "waiting": [waiting_object(one) for one in view.waiting]}
        )
        return OK
    click.echo(view.subject)
    for line in view.lines:
        click.echo(f"  {line}")
    _show_waiting(view.waiting, time.time())
    return OK


async def _ask(store: str | None, command: Command) -> tuple[Any, bool]:
    async with open_sight(store) as sight:
        return await sight.give(command), sight.is_owned


def _status_object(view: StatusView) -> dict[str, Any]:
    return {
        "url": view.url,
        "owner": view.owner,
        "seq": view.seq,
        "now": view.now,
        "counts": view.counts,
        "runs": [run_object(run) for run in view.runs],
        "agents": view.agents,
        "blocked": [waiting_object(one) for one in view.blocked],
    }


def _show_status(view: StatusView) -> None:
    owner = "" if view.owner is None else f", owned by process {view.owner}"
    click.echo(f"{view.url}{owner}, {view.seq} entries in the log")
    if view.runs:
        click.echo()
    write_table(("run", "status", "tasks", "strategy", "age", "error"), [_run_row(run, view.now) for run in view.runs])
    if view.agents:
        click.echo()
    _show_agents(view.agents)
    waiting = [*(one for run in view.runs for one in run.waiting), *view.blocked]
    if waiting:
        click.echo()
    _show_waiting(waiting, view.now)
    if not view.runs:
        click.echo("no unfinished runs; `concerted status --all` shows the others")


def _run_row(run: RunView, now: float) -> tuple[Any, ...]:
    done = f"{sum(task.status == 'done' for task in run.tasks)}/{len(run.tasks)}" if run.tasks else ""
    age = ago((run.ended_at or now) - (run.started_at or run.created_at))
    return run.id, run.status, done, run.strategy, age, clip(run.reason)


def _show_agents(found: Sequence[AgentView]) -> None:
    write_table(
        ("agent", "state", "link", "capacity", "holding", "heard", "capabilities"),
        [
            (
                one.id,
                one.state + (f" ({clip(one.reason)})" if one.reason else ""),
                one.link,
                one.capacity,
                one.holding,
                "" if one.age_s is None else f"{ago(one.age_s)} ago",
                clip(", ".join(f"{name} {level:g}" for name, level in sorted(one.capabilities.items()))),
            )
            for one in found
        ],
    )


def _show_waiting(waiting: Sequence[Waiting], now: float) -> None:
    for one in waiting[:WAITING_SHOWN]:
        until = "" if one.deadline is None else f", at most {ago(one.deadline - now)} more"
        who = "" if one.unblocked_by in ("", one.waiting_for) else f" (unblocked by {clip(one.unblocked_by)})"
        click.echo(f"{one.subject} waits for {one.waiting_for}, since {ago(now - one.since)}{until}{who}")
    if len(waiting) > WAITING_SHOWN:
        click.echo(f"... and {len(waiting) - WAITING_SHOWN} more; --json has them all")
