"""`concerted log`: values in one order for everybody; append to it, read it, follow it."""

from __future__ import annotations

from typing import Any

import click

from concerted.cli.exits import OK, show_note
from concerted.cli.meeting.agree import as_value
from concerted.cli.meeting.kept import kept_as, kept_options
from concerted.cli.options import json_option, store_option
from concerted.cli.output import clip, clock, write_json
from concerted.cli.primitives import acting, as_option, do, names, span
from concerted.cli.primitives_list import list_of
from concerted.consensus.decision_log import DecisionLogResult, LogEntry
from concerted.launch import Session

__all__ = ["log"]

VALUE_CHARS = 100


@click.group(short_help="Put values into one order for everybody, and read them.")
def log() -> None:
    """Put values into one order for everybody, and read them.

    Entries are numbered 1, 2, 3 ...; none is changed or forgotten.  `concerted events` shows the log of the store.
    """


@log.command(short_help="Append a value, and print its position.")
@click.argument("name")
@click.argument("value")
@click.option("--request-id", metavar="ID", help="The same id again appends once.")
@as_option
@store_option
@json_option
def append(name: str, value: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Append a value, and print its position, which it has for ever; the first append makes the log.

    VALUE is JSON, or a text as it is.
    """
    request_id = given["request_id"]
    told: DecisionLogResult = do(
        store, lambda session: session.log(name).append(as_value(value), agent=acting(agent), request_id=request_id)
    )
    if as_json:
        write_json(told)
    else:
        click.echo(told.position)
    return OK


@log.command(short_help="Read the entries, and go on as more are appended.")
@click.argument("name")
@click.option("--after", default=0, type=click.IntRange(0), metavar="N", help="Only entries after position N.")
@click.option("--limit", default=None, type=click.IntRange(1), metavar="N", help="At most N entries.")
@click.option("--follow", "-f", is_flag=True, help="Go on as entries are appended, until Ctrl-C.")
@click.option("--wait", type=span, metavar="SPAN", help="With --follow: end when nothing has come for so long.")
@store_option
@json_option
def read(name: str, store: str | None, as_json: bool, **given: Any) -> int:
    """Read the entries in their order.

    With --json each entry is one line with one JSON object: position, value, by, at, request_id.
    """
    if given["wait"] is not None and not given["follow"]:
        raise click.UsageError("--wait is for --follow: without it nothing is waited for")
    after, limit = given["after"], given["limit"]

    async def work(session: Session) -> None:
        shown = 0
        entries = session.log(name).follow(after, timeout_s=given["wait"] if given["follow"] else 0.0)
        async for entry in entries:
            _write(entry, as_json=as_json)
            shown += 1
            if shown == limit:
                return

    do(store, work, stopped="the log is as it was")
    return OK


@log.command(short_help="Make a log to which only some may append.")
@click.argument("name")
@click.option("--writers", type=names, metavar="A,B", help="Who may append; by default everybody.")
@kept_options
@as_option
@store_option
@json_option
def create(name: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Make a log to which only some may append; again on the same terms, it is the same one."""
    terms = {"writers": given["writers"] or ()} | kept_as(given)
    told = do(store, lambda session: session.log(name).create(agent=acting(agent), **terms))
    return _show(told, as_json=as_json)


@log.command(short_help="Show how long a log is, and who may append.")
@click.argument("name")
@store_option
@json_option
def show(name: str, store: str | None, as_json: bool) -> int:
    """Show how long a log is, and who may append."""
    return _show(do(store, lambda session: session.log(name).get()), as_json=as_json)


log.add_command(list_of("decision_log", "logs of decisions"))


def _write(entry: LogEntry, *, as_json: bool) -> None:
    if as_json:
        write_json(entry)
        return
    click.echo(f"{entry.position:>6}  {clock(entry.at)}  {entry.by}  {clip(entry.value, VALUE_CHARS)}")


def _show(told: DecisionLogResult, *, as_json: bool) -> int:
    if as_json:
        write_json(told)
        return OK
    who = ", ".join(told.writers) or "everybody"
    click.echo(f"{told.name}: {told.last} entries, {told.size_bytes} bytes; {who} may append")
    for note in (f"kept by {'; '.join(told.stored_by)}", *told.warnings):
        show_note(note)
    return OK
