"""`concerted store`: the tables made anew from the log, finished runs put away, and the past looked at."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import msgspec

from concerted.cli.exits import OK
from concerted.cli.options import json_option, store_option
from concerted.cli.output import clip, write_json, write_table
from concerted.cli.reach import existing_store, open_reader, open_sight, settings_here
from concerted.kinds import run_stream
from concerted.ports.commands import Archive, Rebuild
from concerted.ports.store import AgentRecord, RunRecord, TaskRecord, View
from concerted.stores.sqlite.store import SqliteStore
from concerted.values import RunId

__all__ = ["store"]

PAGE = 1000


@click.group(short_help="Look after the store itself.")
def store() -> None:
    """Look after the store itself."""


@store.command(short_help="Recompute every table from the log.")
@store_option
@json_option
def rebuild(store: str | None, as_json: bool) -> int:
    """Recompute every table from the log, which alone is the truth; say how many records differed."""
    found = asyncio.run(_rebuild(store))
    if as_json:
        write_json(found)
    else:
        click.echo(f"rebuilt from the log; {found['differed']} records differed")
    return OK


@store.command(short_help="Move a finished run's entries into a compressed file.")
@click.argument("run")
@store_option
@json_option
def archive(run: str, store: str | None, as_json: bool) -> int:
    """Move a finished run's entries into a compressed file beside the store; they are still found there."""
    found = asyncio.run(_archive(store, run))
    if as_json:
        write_json(found)
    else:
        click.echo(f"{found['entries']} entries, {found['size_bytes']} bytes, in {found['path']}")
    return OK


@store.command(short_help="Show the tables as they were at an earlier moment.")
@click.argument("seq", metavar="N", type=click.IntRange(0))
@store_option
@json_option
def at(seq: int, store: str | None, as_json: bool) -> int:
    """Show runs, tasks and agents as they were when number N was the newest entry of the log."""
    found = asyncio.run(_at(store, seq))
    if as_json:
        write_json({"seq": seq} | found)
        return OK
    write_table(("run", "status", "epoch"), [(one["id"], one["status"], one["epoch"]) for one in found["runs"]])
    write_table(
        ("run", "task", "status", "agent", "attempts", "result"),
        [
            (one["run"], one["id"], one["status"], one["agent"], one["attempts"], clip(one["result"]))
            for one in found["tasks"]
        ],
    )
    write_table(("agent", "state"), [(one["id"], one["state"]) for one in found["agents"]])
    return OK


async def _rebuild(url: str | None) -> dict[str, int]:
    async with open_sight(url) as sight:
        answer: dict[str, int] | None = await sight.give_owner(Rebuild())
    if answer is not None:
        return answer
    # No coordinator: while the tables may be wrong, nobody should act on them.
    async with _Upkeep(url) as owned:
        return {"differed": await owned.rebuild()}


async def _archive(url: str | None, run: str) -> dict[str, Any]:
    async with open_sight(url) as sight:
        answer: dict[str, Any] | None = await sight.give_owner(Archive(id=RunId(run)))
    if answer is not None:
        return answer
    async with _Upkeep(url) as owned:
        record: dict[str, Any] = msgspec.to_builtins(await owned.archive(run_stream(run)))
        return record


class _Upkeep:
    """The store, owned for as long as it is being looked after, without a coordinator."""

    def __init__(self, url: str | None) -> None:
        settings = settings_here().store
        self._store = SqliteStore(
            existing_store(url), durability=settings.durability, snapshot_every=settings.snapshot_every
        )

    async def __aenter__(self) -> SqliteStore:
        await self._store.open()
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()


async def _at(url: str | None, seq: int) -> dict[str, Any]:
    async with open_reader(url) as reader:
        view = await reader.at(seq)
        return {
            "runs": await _rows(view, RunRecord),
            "tasks": await _rows(view, TaskRecord),
            "agents": await _rows(view, AgentRecord),
        }


async def _rows(view: View, table: Any) -> list[dict[str, Any]]:
    """Return a whole table, its JSON columns decoded."""
    rows: list[dict[str, Any]] = []
    after: tuple[str, ...] = ()
    while page := await view.find(table, None, limit=PAGE, after=after):
        rows += [
            {
                name: msgspec.json.decode(value) if isinstance(value, bytes) else value
                for name, value in msgspec.structs.asdict(record).items()
            }
            for record in page
        ]
        after = tuple(str(getattr(page[-1], name)) for name in table.key)
    return rows
