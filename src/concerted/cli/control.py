"""`concerted cancel`, `resume` and `signal`: what a person does to runs."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import click
import msgspec

from concerted.cli.exits import OK, show_note
from concerted.cli.interrupt import Interrupted, interruptible
from concerted.cli.options import json_option, store_option
from concerted.cli.output import clip, write_json, write_table
from concerted.cli.reach import open_session
from concerted.cli.results import ending_code, run_object, show_run
from concerted.errors import Invalid
from concerted.launch import Session
from concerted.ports.commands import RunView

__all__ = ["cancel", "resume", "signal"]

STATUS_RUNS = 10_000  # unfinished runs that are looked for at once


@click.command(short_help="Call a run off.")
@click.argument("run")
@click.option("--reason", default="", help="Why; it stands in the log.")
@store_option
@json_option
def cancel(run: str, reason: str, store: str | None, as_json: bool) -> int:
    """Call a run off.

    Its compensations run; the command waits for them.  A run that is over stays as it is, and a second
    cancel changes nothing.  Exit code 0: it is over.
    """
    view = _do(_cancel(store, run, reason))
    if as_json:
        write_json(run_object(view))
    else:
        click.echo(f"run {view.id} is {view.status.replace('_', ' ')}")
    return OK


@click.command(short_help="Finish what is unfinished, or let a parked run go on.")
@click.argument("run", required=False)
@store_option
@json_option
def resume(run: str | None, store: str | None, as_json: bool) -> int:
    """Finish what is unfinished, or let a parked run go on.

    Without RUN: work on every unfinished run until all are over; parked runs stay parked.  With RUN: let
    that run go on, parked or not, and print its result.
    """
    if run is not None:
        return show_run(_do(_resume(store, run)), as_json=as_json)
    views = _do(_finish(store))
    if as_json:
        write_json({"runs": [run_object(view) for view in views]})
    elif not views:
        show_note("there is no unfinished run")
    else:
        write_table(("run", "status", "reason"), [(view.id, view.status, clip(view.reason)) for view in views])
    return max((ending_code(view) for view in views), default=OK)


@click.command(short_help="Send a signal into a run.")
@click.argument("run")
@click.argument("name")
@click.argument("payload", metavar="[JSON]", required=False)
@click.option("--request-id", metavar="ID", help="A signal with the same id counts once.")
@store_option
@json_option
def signal(
    run: str, name: str, payload: str | None, request_id: str | None, store: str | None, as_json: bool
) -> int:  # fmt: skip
    """Send a signal into a run.

    The run gets it with `await run.signal(NAME)`, with the value JSON, or null.
    """
    try:
        value: Any = None if payload is None else msgspec.json.decode(payload)
    except msgspec.MsgspecError as error:
        raise Invalid(f"the payload is no JSON ({error}); a text needs its quotes: '\"{payload}\"'") from error
    request = request_id or uuid.uuid4().hex
    owned = _do(_signal(store, run, name, value, request))
    if as_json:
        write_json({"id": run, "name": name, "request_id": request})
    if owned:
        show_note("it is written; nobody works on the run now: `concerted resume` does")
    return OK


def _do(work: Any) -> Any:
    try:
        return asyncio.run(interruptible(work))
    except Interrupted as stopped:
        show_note("stopped; what is unfinished can be continued: concerted resume")
        raise click.exceptions.Exit(stopped.code) from stopped


async def _cancel(store: str | None, run: str, reason: str) -> RunView:
    async with open_session(store) as session:
        view = await session.cancel(run, reason)
        return view if view.ended_at is not None else await session.result(run)


async def _resume(store: str | None, run: str) -> RunView:
    async with open_session(store) as session:
        await session.resume(run)
        return await session.result(run)


async def _signal(store: str | None, run: str, name: str, payload: Any, request_id: str) -> bool:
    """Return whether this process had to own the store for it."""
    async with open_session(store) as session:
        await session.signal(run, name, payload, request_id=request_id)
        return session.is_owner


async def _finish(store: str | None) -> list[RunView]:
    async with open_session(store) as session:
        ended: dict[str, RunView] = {}
        while going := await _unfinished(session, ended):
            for run in going:
                ended[run] = await session.result(run)
                show_note(f"run {run} {ended[run].status.replace('_', ' ')}")
        return list(ended.values())


async def _unfinished(session: Session, known: dict[str, RunView]) -> list[str]:
    """Return root runs that go on, oldest first; a parked one waits for a person and is told of once."""
    seen = await session.status()
    return [run.id for run in seen.runs if run.parent is None and run.id not in known]
