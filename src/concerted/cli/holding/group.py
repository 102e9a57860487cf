"""`concerted group`: who is a member, what each tells the others, and who is missing."""

from __future__ import annotations

import time
from typing import Any

import click

from concerted.board.memberships.membership import GroupResult
from concerted.cli.exits import OK, TIMED_OUT, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.cli.primitives import (
    acting_id,
    again,
    as_option,
    do,
    give,
    json_value,
    patience,
    require_agent,
    span,
    wait_options,
)
from concerted.cli.primitives_list import list_of
from concerted.ports import sharing
from concerted.values import AgentId

__all__ = ["group"]


@click.group(short_help="Know who else is here.")
def group() -> None:
    """Know who else is here.

    A group has members, each with a value for the others.  Each change raises its version by one.
    """


@group.command(short_help="Make a group with rules of its own.")
@click.argument("id")
@click.option("--grace", "grace_s", type=span, default="10s", show_default=True, metavar="SPAN",
              help="How long a member that is lost stays one.")  # fmt: skip
@as_option
@store_option
@json_option
def create(id: str, grace_s: float, agent: str | None, store: str | None, as_json: bool) -> int:
    """Make a group with rules of its own; the first who joins makes one without."""
    return _show(give(store, sharing.CreateGroup(id=id, agent=acting_id(agent), grace_s=grace_s)), as_json=as_json)


@group.command(short_help="Be a member.")
@click.argument("id")
@click.option("--value", type=json_value, metavar="JSON", help="Something for the others.")
@click.option("--ttl", "ttl_s", type=span, metavar="SPAN", help="How long after each renewal; by default for ever.")
@as_option
@store_option
@json_option
def join(id: str, value: Any, ttl_s: float | None, agent: str | None, store: str | None, as_json: bool) -> int:
    """Be a member, until one leaves or does not renew it in time."""
    who = require_agent(agent, "joins")
    return _show(do(store, lambda session: session.group(id).join(who, value, ttl_s=ttl_s)), as_json=as_json)


@group.command(short_help="Stay a member for another time to live.")
@click.argument("id")
@as_option
@store_option
@json_option
def renew(id: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Stay a member for another time to live, from now; exit code 7 if one is none any more."""
    who = require_agent(agent, "is the member")
    return _show(do(store, lambda session: session.group(id).renew(who)), as_json=as_json)


@group.command(short_help="Tell the others something else.")
@click.argument("id")
@click.argument("value", metavar="JSON", type=json_value)
@as_option
@store_option
@json_option
def update(id: str, value: Any, agent: str | None, store: str | None, as_json: bool) -> int:
    """Tell the others something else of oneself."""
    who = AgentId(require_agent(agent, "is the member"))
    return _show(give(store, sharing.UpdateMembership(id=id, agent=who, value=value)), as_json=as_json)


@group.command(short_help="Be a member no longer.")
@click.argument("id")
@click.option("--member", metavar="WHO", help="Have this one leave, as the creator or an admin.")
@as_option
@store_option
@json_option
def leave(id: str, member: str | None, agent: str | None, store: str | None, as_json: bool) -> int:
    """Be a member no longer."""
    of = AgentId(member) if member else None
    who = acting_id(agent) if of else AgentId(require_agent(agent, "leaves"))
    return _show(give(store, sharing.LeaveGroup(id=id, agent=who, member=of)), as_json=as_json)


@group.command(short_help="Wait until the group changes.")
@click.argument("id")
@click.option("--version", type=click.IntRange(0), required=True, metavar="N", help="Wait for a later one than this.")
@wait_options
@store_option
@json_option
def watch(id: str, version: int, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until the version of the group is greater than N, and show what has changed."""
    wait_s = patience(given)
    return _waited(do(store, lambda session: session.group(id).watch(version, timeout_s=wait_s)), as_json=as_json)


@group.command(short_help="Wait until there are so many members.")
@click.argument("id")
@click.option("--count", type=click.IntRange(1), required=True, metavar="N", help="How many.")
@wait_options
@store_option
@json_option
def wait(id: str, count: int, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until there are so many members."""
    wait_s = patience(given)
    told = do(store, lambda session: session.group(id).wait_for_members(count, timeout_s=wait_s))
    return _waited(told, as_json=as_json)


@group.command(short_help="Show who is a member.")
@click.argument("id")
@store_option
@json_option
def status(id: str, store: str | None, as_json: bool) -> int:
    """Show who is a member."""
    return _show(do(store, lambda session: session.group(id).get()), as_json=as_json)


group.add_command(list_of("group", "groups"))


def _waited(told: GroupResult, *, as_json: bool) -> int:
    _show(told, as_json=as_json)
    if told.pending:
        show_note(f"it is not so yet; to go on waiting: {again()}")
    return TIMED_OUT if told.pending else OK


def _show(told: GroupResult, *, as_json: bool) -> int:
    if as_json:
        write_json(told)
        return OK
    suspects = told.size - told.present
    words = f"{told.name}: {told.size} member{'' if told.size == 1 else 's'}, version {told.version}"
    click.echo(words + (f", {suspects} of them suspect" if suspects else ""))
    now = time.time()
    write_table(
        ("member", "status", "since", "value"),
        [
            (one.agent, one.status, ago(now - one.since), clip(one.value) or clip(one.reason))
            for one in told.members or ()
        ],
    )
    for change in told.changes or ():
        show_note(f"version {change.version}: {change.agent} {change.what}")
    return OK
