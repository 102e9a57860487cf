"""The command `list` of the groups about meeting points: those of one kind, a page at a time."""

from __future__ import annotations

import time
from typing import Any

import click

from concerted.cli.exits import OK, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, write_json, write_table
from concerted.cli.primitives import give
from concerted.ports.looking import ListPrimitives, PrimitivePage
from concerted.values import AgentId

__all__ = ["list_of"]


def list_of(kind: str, things: str) -> click.Command:
    """Return the command that lists the things of one kind."""

    @click.command("list", short_help=f"List {things}.", help=f"List {things}, by id.")
    @click.option("--for", "agent", metavar="AGENT", help="Only those in which this agent takes part.")
    @click.option("--status", metavar="STATUS", help="Only those in this status.")
    @click.option("--after", default="", metavar="ID", help="Only those behind this id: the next page.")
    @click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
    @store_option
    @json_option
    def list_them(store: str | None, as_json: bool, agent: str | None, after: str, **given: Any) -> int:
        of = None if agent is None else AgentId(agent)
        page: PrimitivePage = give(
            store, ListPrimitives(kind=kind, agent=of, after=f"{kind}:{after}" if after else "", **given)
        )
        _show(page, as_json=as_json)
        return OK

    return list_them


def _show(page: PrimitivePage, *, as_json: bool) -> None:
    after = None if page.after is None else page.after.partition(":")[2]
    if as_json:
        write_json({"primitives": page.primitives, "after": after})
        return
    now = time.time()
    write_table(
        ("id", "status", "arrived", "of", "creator", "age", "deadline"),
        [
            (one.id, one.status, one.arrived, one.total, one.creator, ago(now - one.created_at),
             None if one.deadline_at is None or one.ended_at is not None else f"in {ago(one.deadline_at - now)}")
            for one in page.primitives
        ],
    )  # fmt: skip
    if after is not None:
        show_note(f"there are more: --after {after}")
