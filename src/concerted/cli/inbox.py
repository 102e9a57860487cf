"""`concerted inbox`: messages between scripts and agents, with receipts that tell the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, get_args

import click
import msgspec

from concerted.cli.exits import OK, TIMED_OUT, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.cli.primitives import acting, as_option, do, give, names, require_agent, span
from concerted.launch import Session
from concerted.machine import Priority
from concerted.ports.mail import AcknowledgeMessages, FetchMessages, MessageView, Receipts, SendMessage, Sent
from concerted.values import AgentId

__all__ = ["inbox"]

WAIT_S = 60.0  # how long one question waits for a message before it is asked again


@click.group(short_help="Send messages, fetch them, and see what became of them.")
def inbox() -> None:
    """Send messages, fetch them, and see what became of them.

    A message is stored, then fetched, then acknowledged, and its sender sees which.  What requires an
    acknowledgment and gets none is delivered anew, and at last somebody else is told.
    """


@inbox.command(short_help="Store a message in the inboxes of others.")
@click.argument("content", metavar="TEXT|JSON")
@click.option("--to", type=names, required=True, metavar="A,B", help="Who is to have it, with commas between.")
@click.option("--type", default="MESSAGE", show_default=True, metavar="TYPE", help="What kind of message it is.")
@click.option("--priority", type=click.Choice(get_args(Priority)), default="medium", show_default=True)
@click.option("--ack-within", "acknowledge_within_s", type=span, metavar="SPAN",
              help="How soon it must be acknowledged before it is delivered anew.")  # fmt: skip
@click.option("--escalate-to", metavar="WHO", help="Who is told if it never is; by default the sender.")
@click.option("--expires-in", "expires_in_s", type=span, metavar="SPAN", help="After which it is of no use any more.")
@click.option("--request-id", metavar="ID", help="The same id again is the same message.")
@as_option
@store_option
@json_option
def send(content: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Store a message in the inboxes of others, and print its id.

    What can be read as JSON is sent as JSON, anything else as a text.
    """
    sender = AgentId(require_agent(agent, "sends it"))
    told: Sent = give(store, SendMessage(agent=sender, content=_content(content), **given))
    if as_json:
        write_json(told)
    else:
        click.echo(told.id)
    return OK


@inbox.command(short_help="Get the messages that are there, the most urgent first.")
@click.option("--wait", "wait_s", type=span, default=0.0, metavar="SPAN",
              help="How long to wait for the first one if there is none; by default not at all.")  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Also those that were fetched and not acknowledged.")
@click.option("--after", type=click.IntRange(0), metavar="NUMBER",
              help="What came after this one, in the order of the log, also what was fetched before.")  # fmt: skip
@click.option("--type", metavar="TYPE", help="Messages of this type alone; the others stay as they are.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@as_option
@store_option
@json_option
def fetch(agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Get the messages that are there, the most urgent first.

    A message is fetched once, unless it is delivered anew; with --all a script that has died between fetching and
    acknowledging finds it again.  Exit code 4: none came while it waited.
    """
    command = FetchMessages(
        agent=AgentId(require_agent(agent, "fetches")), limit=given["limit"], all=given["everything"],
        after=given["after"], type=given["type"],
    )  # fmt: skip
    found = do(store, lambda session: _fetch(session, command, given["wait_s"]))
    _show(found, as_json=as_json)
    return TIMED_OUT if given["wait_s"] and not found else OK


@inbox.command(short_help="Say that messages are dealt with.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@as_option
@store_option
@json_option
def ack(ids: tuple[str, ...], agent: str | None, store: str | None, as_json: bool) -> int:
    """Say that messages are dealt with, as whom they were sent to; a second time changes nothing."""
    who = AgentId(require_agent(agent, "has dealt with them"))
    found = give(store, AcknowledgeMessages(agent=who, ids=ids))
    if as_json:
        write_json({"messages": found})
    else:
        click.echo(f"{who} has acknowledged {len(found)}")
    return OK


@inbox.command(short_help="Show what became of messages that were sent.")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@as_option
@store_option
@json_option
def receipts(ids: tuple[str, ...], limit: int, agent: str | None, store: str | None, as_json: bool) -> int:
    """Show what became of the messages that WHO has sent; an admin who names nobody sees all."""
    who = acting(agent)
    found: list[MessageView] = give(store, Receipts(agent=AgentId(who) if who else None, ids=ids, limit=limit))
    if as_json:
        write_json({"messages": found})
        return OK
    now = time.time()
    write_table(
        ("id", "to", "type", "status", "age", "deliveries", "escalated"),
        [
            (one.id, one.agent, one.type, one.status, ago(now - one.stored_at), one.attempts + 1,
             "yes" if one.escalated else None)
            for one in found
        ],
    )  # fmt: skip
    return OK


async def _fetch(session: Session, command: FetchMessages, wait_s: float) -> list[MessageView]:
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while True:
        left_s = max(0.0, until - loop.time())
        found: list[MessageView] = await session.give(
            msgspec.structs.replace(command, wait_s=min(left_s, WAIT_S))
        )  # fmt: skip
        if found or loop.time() >= until:
            return found


def _content(given: str) -> Any:
    try:
        return msgspec.json.decode(given)
    except msgspec.MsgspecError:
        return given


def _show(found: Iterable[MessageView], *, as_json: bool) -> None:
    messages = list(found)
    if as_json:
        write_json({"messages": messages})
        return
    write_table(
        ("id", "from", "type", "content"), [(one.id, one.sender, one.type, clip(one.content)) for one in messages]
    )
    if any(one.requires_acknowledgment for one in messages):
        show_note("some of them are to be acknowledged: concerted inbox ack ID...")
