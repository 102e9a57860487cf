"""`concerted events`: the log, from the beginning or from anywhere, up to now, to an earlier moment, or on and on."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import msgspec

from concerted.cli.exits import OK, show_note
from concerted.cli.interrupt import Interrupted, interruptible
from concerted.cli.options import json_option, store_option
from concerted.cli.output import clip, clock, write_json
from concerted.cli.reach import open_sight
from concerted.ports.commands import Events, EventView

__all__ = ["events"]

PAGE = 1000
WAIT_S = 60.0  # how long one question waits for news before it is asked again
DATA_CHARS = 100
WIDTHS = (7, 12, 24, 20, 12, 10)  # of the columns; what is longer pushes the rest to the right


@click.command(short_help="Show the log.")
@click.option("--follow", "-f", is_flag=True, help="Go on as new entries are written, until Ctrl-C.")
@click.option("--stream", metavar="S", help="Only this stream, such as run:ID or agent:ID; run:* is every run.")
@click.option("--kind", metavar="K", help="Only this kind, such as task.done; task.* is every event of a task.")
@click.option("--after", default=0, type=click.IntRange(0), metavar="N", help="Only entries after number N.")
@click.option("--at", type=click.IntRange(0), metavar="N", help="The log as it was when number N was its newest entry.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="At most N entries.")
@store_option
@json_option
def events(store: str | None, as_json: bool, follow: bool, limit: int | None, **asked: Any) -> int:
    """Show the log.

    With --json each entry is one line with one JSON object: seq, stream, stream_seq, at, kind, agent, ref, data.
    Entries are numbered without gaps in the order in which they were written, in the whole store.
    """
    if follow and asked["at"] is not None:
        raise click.UsageError("--follow goes on and --at stops; give one of them")
    query = Events(
        after=asked["after"],
        until=asked["at"],
        stream=asked["stream"],
        kind=asked["kind"],
        wait_s=WAIT_S if follow else 0.0,
    )
    try:
        asyncio.run(interruptible(_show(store, query, limit, as_json=as_json)))
    except Interrupted as stopped:
        return stopped.code
    return OK


async def _show(store: str | None, query: Events, limit: int | None, *, as_json: bool) -> None:
    shown = 0
    async with open_sight(store) as sight:
        while limit is None or shown < limit:
            most = PAGE if limit is None else min(PAGE, limit - shown)
            page: list[EventView] = await sight.give(msgspec.structs.replace(query, limit=most))
            for event in page:
                _write(event, as_json=as_json)
            shown += len(page)
            if page:
                query = msgspec.structs.replace(query, after=page[-1].seq)
            elif not query.wait_s:
                break
    if not shown and (query.stream or query.kind):
        show_note("nothing in the log is like that; a run's stream is run:ID, an agent's agent:ID, as in run:nightly")


def _write(event: EventView, *, as_json: bool) -> None:
    if as_json:
        write_json(
            {
                "seq": event.seq,
                "stream": event.stream,
                "stream_seq": event.stream_seq,
                "at": event.at,
                "kind": event.kind,
                "agent": event.agent,
                "ref": event.ref,
                "data": event.data,
            }
        )
        return
    cells = (str(event.seq).rjust(WIDTHS[0]), clock(event.at), event.stream, event.kind, event.agent, event.ref)
    padded = (str(cell or "").ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))
    click.echo("  ".join([*padded, clip(event.data, DATA_CHARS)]).rstrip())
