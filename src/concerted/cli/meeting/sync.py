"""`concerted sync`: sync points, at which named scripts and agents meet.

Two scripts can say the same line, whoever comes first: `concerted sync arrive ID --as ME --participants ann,bob`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from concerted.cli.exits import OK, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.cli.primitives import (
    acting,
    again,
    as_option,
    do,
    ending_code,
    json_object,
    json_value,
    names,
    patience,
    require_agent,
    span,
    wait_options,
    who_waits,
)
from concerted.cli.primitives_list import list_of
from concerted.errors import Invalid
from concerted.launch import Session
from concerted.sync.points.sync_point import SyncResult

__all__ = ["sync"]

Function = Callable[..., Any]


@click.group(short_help="Meet other scripts and agents at a sync point.")
def sync() -> None:
    """Meet other scripts and agents at a sync point.

    A sync point is for one meeting of named participants: it completes when enough of them have arrived,
    or it expires at its deadline.  For meetings that repeat there is `concerted barrier`.
    """


def _terms(function: Function) -> Function:
    """Add the options with which a sync point is made."""
    for option in (
        click.option("--metadata", type=json_object, metavar="JSON", help="Facts about the point: an object."),
        click.option("--description", default="", metavar="TEXT", help="What it is for."),
        click.option("--name", default="", metavar="TEXT", help="What it is called; by default ID."),
        click.option("--deadline", type=span, metavar="SPAN", help="When it expires, from now: 10m; by default never."),
        click.option(
            "--condition", default="all", metavar="WHO",
            help="Who must arrive: all (the default), majority, a number, or an expression in CEL.",
        ),
        click.option("--participants", type=names, metavar="A,B", help="Who takes part, with commas between."),
    ):  # fmt: skip
        function = option(function)
    return function


@sync.command(short_help="Make a sync point.")
@click.argument("id")
@_terms
@as_option
@store_option
@json_option
def create(id: str, agent: str | None, store: str | None, as_json: bool, **terms: Any) -> int:
    """Make a sync point.

    The same again changes nothing; the same ID with something else is refused.
    """
    facts = _facts(terms)
    made: SyncResult = do(store, lambda session: session.sync_point(id).create(agent=acting(agent), **facts))
    return _show(made, as_json=as_json, code=OK)


@sync.command(short_help="Arrive at a sync point, and wait for the others.")
@click.argument("id")
@click.option("--data", type=json_value, metavar="JSON", help="Something for the others.")
@click.option("--create", "is_made", is_flag=True, help="Make it if it is not there; naming the participants will do.")
@_terms
@wait_options
@as_option
@store_option
@json_option
def arrive(id: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Arrive at a sync point, and wait for the others.

    The arrival is written before the waiting begins.  The same line again arrives no second time and goes
    on waiting.  With --participants the point is made if it is not there, and taken as it is if it is.
    """
    who, wait_s, data = require_agent(agent, "arrives"), patience(given), given["data"]
    facts = _facts_to_make(given)

    async def work(session: Session) -> SyncResult:
        point = session.sync_point(id)
        if facts is not None:
            await point.create(agent=who, attach=True, **facts)
        told = await point.arrive(who, data, timeout_s=0.0)
        if told.pending and wait_s != 0:
            who_waits(f"{who} has arrived, {told.arrived} of {told.total}", wait_s, session)
            told = await point.arrive(who, data, timeout_s=wait_s)
        return told

    told = do(store, work, stopped=f"an arrival of {who} that is written stays so")
    return _show(told, as_json=as_json, code=OK if wait_s == 0 and told.pending else None)


@sync.command(short_help="Wait until a sync point is settled, without arriving.")
@click.argument("id")
@wait_options
@as_option
@store_option
@json_option
def wait(id: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until a sync point is settled, without arriving."""
    wait_s = patience(given)
    told = do(store, lambda session: session.sync_point(id).wait(agent=acting(agent), timeout_s=wait_s))
    return _show(told, as_json=as_json)


@sync.command(short_help="Show who has arrived and who is missing.")
@click.argument("id")
@store_option
@json_option
def status(id: str, store: str | None, as_json: bool) -> int:
    """Show who has arrived and who is missing."""
    return _show(do(store, lambda session: session.sync_point(id).get()), as_json=as_json, code=OK)


@sync.command(short_help="Let more agents take part.")
@click.argument("id")
@click.argument("agents", nargs=-1, required=True)
@as_option
@store_option
@json_option
def add(id: str, agents: tuple[str, ...], agent: str | None, store: str | None, as_json: bool) -> int:
    """Let more agents take part, as the creator or an admin."""
    told = do(store, lambda session: session.sync_point(id).add(agents, agent=acting(agent)))
    return _show(told, as_json=as_json, code=OK)


@sync.command(short_help="Complete it by hand, whoever is missing.")
@click.argument("id")
@as_option
@store_option
@json_option
def complete(id: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Complete it by hand, whoever is missing, as the creator or an admin."""
    told = do(store, lambda session: session.sync_point(id).complete(agent=acting(agent)))
    return _show(told, as_json=as_json)


@sync.command(short_help="Call a sync point off.")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why; everybody is told.")
@as_option
@store_option
@json_option
def cancel(id: str, reason: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Call a sync point off, as the creator or an admin.  Exit code 0: it is over."""
    told = do(store, lambda session: session.sync_point(id).cancel(reason, agent=acting(agent)))
    return _show(told, as_json=as_json, code=OK)


sync.add_command(list_of("sync_point", "sync points"))


def _facts(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a sync point is made with.

    Raises:
        Invalid: nobody takes part.
    """
    if not terms["participants"]:
        raise Invalid("who takes part? Name at least two: --participants ann,bob")
    condition = terms["condition"]
    return {
        "participants": terms["participants"],
        "condition": int(condition) if condition.isdecimal() else condition,
        "deadline_s": terms["deadline"],
        "name": terms["name"],
        "description": terms["description"],
        "metadata": terms["metadata"] or {},
    }


def _facts_to_make(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what an arrival makes the point with; None if it has to be there."""
    if given["is_made"] or given["participants"]:
        return _facts(given)
    defaults = {"condition": "all", "deadline": None, "name": "", "description": "", "metadata": None}
    needless = [f"--{name}" for name, default in defaults.items() if given[name] != default]
    if needless:
        raise Invalid(f"{', '.join(needless)} is for making the point, which takes --participants too")
    return None


def _show(told: SyncResult, *, as_json: bool, code: int | None = None) -> int:
    """Write how it stands; return the exit code, by default that of its status."""
    if as_json:
        write_json(told)
    else:
        click.echo(_in_words(told))
        write_table(("agent", "data"), [(agent, clip(data)) for agent, data in told.sync_data.items()])
    if told.pending and code is None:
        show_note(f"it is not settled yet; to go on waiting: {again()}")
    return ending_code(told.status) if code is None else code


def _in_words(told: SyncResult) -> str:
    words = [f"{told.id} {told.status}: {told.arrived} of {told.total} have arrived"]
    if told.status == "waiting":
        if told.needed not in (None, told.total):
            words.append(f"{told.needed} are needed")
        if told.deadline_at is not None:
            words.append(f"it expires in {ago(told.deadline_at - time.time())}")
    elif told.reason and told.status != "expired":
        words.append(told.reason)
    gone = set(told.lost_agents)
    if told.missing:
        words.append(f"missing: {', '.join(f'{who} (gone)' if who in gone else who for who in told.missing)}")
    return "; ".join(words)
