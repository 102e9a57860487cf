"""`concerted latch`: wait until so many things are done, whoever does them."""

from __future__ import annotations

import time

import click

from concerted.board.latches.latch import LatchResult
from concerted.cli.exits import OK, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, write_json
from concerted.cli.primitives import acting, again, as_option, do, ending_code, give, patience, span, wait_options
from concerted.cli.primitives_list import list_of
from concerted.ports.tracking import CancelLatch
from concerted.values import AgentId

__all__ = ["latch"]


@click.group(short_help="Wait until so many things are done.")
def latch() -> None:
    """Wait until so many things are done.

    A latch is counted down once for each ticket, by whoever has done something; at zero it opens and stays open.
    """


@latch.command(short_help="Make a latch.")
@click.argument("id")
@click.option("--count", type=click.IntRange(1), required=True, metavar="N", help="How many things there are to do.")
@click.option("--deadline", "deadline_s", type=span, metavar="SPAN", help="When it expires, from now; else never.")
@as_option
@store_option
@json_option
def create(id: str, count: int, deadline_s: float | None, agent: str | None, store: str | None, as_json: bool) -> int:
    """Make a latch.  The same again changes nothing; the same ID with something else is refused."""
    made = do(
        store, lambda session: session.latch(id).create(count, deadline_s=deadline_s, agent=acting(agent))
    )  # fmt: skip
    return _show(made, as_json=as_json, code=OK)


@latch.command("count-down", short_help="Say that something is done.")
@click.argument("id")
@click.argument("ticket")
@as_option
@store_option
@json_option
def count_down(id: str, ticket: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Say that something is done.  TICKET names it: the same one counts once, however often it comes."""
    told = do(store, lambda session: session.latch(id).count_down(ticket, agent=acting(agent)))
    return _show(told, as_json=as_json, code=OK)


@latch.command(short_help="Wait until a latch is open.")
@click.argument("id")
@wait_options
@as_option
@store_option
@json_option
def wait(id: str, agent: str | None, store: str | None, as_json: bool, **given: float | bool | None) -> int:
    """Wait until a latch is open."""
    wait_s = patience(given)
    told = do(store, lambda session: session.latch(id).wait(agent=acting(agent), timeout_s=wait_s))
    return _show(told, as_json=as_json)


@latch.command(short_help="Show how much is left.")
@click.argument("id")
@store_option
@json_option
def status(id: str, store: str | None, as_json: bool) -> int:
    """Show how much is left."""
    return _show(do(store, lambda session: session.latch(id).get()), as_json=as_json, code=OK)


@latch.command(short_help="Call a latch off.")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
@as_option
@store_option
@json_option
def cancel(id: str, reason: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Call a latch off, as the creator or an admin.  Exit code 0: it is over."""
    who = acting(agent)
    told = give(store, CancelLatch(id=id, reason=reason, agent=AgentId(who) if who else None))
    return _show(told, as_json=as_json, code=OK)


latch.add_command(list_of("latch", "latches"))


def _show(told: LatchResult, *, as_json: bool, code: int | None = None) -> int:
    """Write how it stands; return the exit code, by default that of its status."""
    if as_json:
        write_json(told)
    else:
        words = [f"{told.latch_id} {told.status}: {told.remaining} of {told.total} left"]
        if told.deadline_at is not None and told.status == "closed":
            words.append(f"it expires in {ago(told.deadline_at - time.time())}")
        click.echo("; ".join([*words, *([told.reason] if told.reason else [])]))
    if told.pending and code is None:
        show_note(f"it is not open yet; to go on waiting: {again()}")
    return ending_code(told.status) if code is None else code
