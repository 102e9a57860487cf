"""`concerted progress`: how far work is that several share, for those who do it and those who wait for it."""

from __future__ import annotations

import time
from typing import Any

import click

from concerted.cli.exits import OK, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, write_json, write_table
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
    span,
    wait_options,
)
from concerted.cli.primitives_list import list_of
from concerted.errors import Invalid
from concerted.sync.trackers.progress import ProgressResult

__all__ = ["progress"]


@click.group(short_help="Tell, and see, how far shared work is.")
def progress() -> None:
    """Tell, and see, how far shared work is.

    A progress tracker has a number of steps.  Its creator's reports move its current step, each participant's
    its own; from them come the percentage, the pace, the estimated end and who lags behind.
    """


@progress.command(short_help="Make a progress tracker.")
@click.argument("id")
@click.option("--steps", "total_steps", type=click.IntRange(1), required=True, metavar="N", help="How many steps.")
@click.option("--participants", type=names, default=(), metavar="A,B", help="Who shares the work, commas between.")
@click.option("--name", default="", metavar="TEXT", help="What it is called; by default ID.")
@click.option("--description", default="", metavar="TEXT", help="What it is about.")
@click.option("--metadata", type=json_object, metavar="JSON", help="Facts about it: an object.")
@click.option("--weights", type=json_object, metavar="JSON", help='Whose share counts how much: {"ann": 2, "bob": 1}.')
@click.option("--may-go-back", is_flag=True, help="Steps may become fewer.")
@click.option("--stalled-after", "stalled_after_s", type=span, metavar="SPAN", help="Without news it is stalled.")
@click.option(
    "--completes-with", type=click.Choice(["creator", "participants"]), default="creator", show_default=True,
    help="Whose last step completes it.",
)  # fmt: skip
@as_option
@store_option
@json_option
def create(id: str, agent: str | None, store: str | None, as_json: bool, **terms: Any) -> int:
    """Make a progress tracker.  The same again changes nothing; the same ID with something else is refused."""
    terms["metadata"] = terms["metadata"] or {}
    made = do(store, lambda session: session.tracker(id).create(agent=acting(agent), **terms))
    return _show(made, as_json=as_json, code=OK)


@progress.command(short_help="Say that a step is reached.")
@click.argument("id")
@click.argument("step", type=click.IntRange(0))
@click.option("--data", type=json_value, metavar="JSON", help="Something about this step.")
@as_option
@store_option
@json_option
def update(id: str, step: int, data: Any, **given: Any) -> int:
    """Say that a step is reached: the creator for all, a participant for itself."""
    agent = acting(given["agent"])
    told = do(given["store"], lambda session: session.tracker(id).update(step, data, agent=agent))
    return _show(told, as_json=given["as_json"], code=OK)


@progress.command(short_help="Show how far it is.")
@click.argument("id")
@store_option
@json_option
def show(id: str, store: str | None, as_json: bool) -> int:
    """Show how far it is, how fast it goes, and who lags behind."""
    return _show(do(store, lambda session: session.tracker(id).get()), as_json=as_json, code=OK)


@progress.command(short_help="Wait until a step is reached.")
@click.argument("id")
@click.option("--step", type=click.IntRange(0), metavar="N", help="Which step; by default until it has ended.")
@click.option("--percent", type=click.FloatRange(0, 100), metavar="P", help="Or so much of the whole.")
@wait_options
@store_option
@json_option
def wait(id: str, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until a step is reached, or so much of the whole, or the tracker has ended."""
    if given["step"] is not None and given["percent"] is not None:
        raise Invalid("--step and --percent are two goals; give one of them")
    share = None if given["percent"] is None else given["percent"] / 100
    wait_s = patience(given)

    told = do(
        store, lambda session: session.tracker(id).wait(given["step"], percentage=share, timeout_s=wait_s)
    )  # fmt: skip
    reached = given["step"] is not None or share is not None
    return _show(told, as_json=as_json, code=OK if reached and told.status == "active" and not told.pending else None)


@progress.command(short_help="Call it off.")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why; everybody is told.")
@as_option
@store_option
@json_option
def cancel(id: str, reason: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Call it off, as the creator or an admin.  Exit code 0: it is over."""
    told = do(store, lambda session: session.tracker(id).cancel(reason, agent=acting(agent)))
    return _show(told, as_json=as_json, code=OK)


progress.add_command(list_of("progress", "progress trackers"))


def _show(told: ProgressResult, *, as_json: bool, code: int | None = None) -> int:
    """Write how it stands; return the exit code, by default that of its status."""
    if as_json:
        write_json(told)
    else:
        click.echo(_in_words(told))
        gone = set(told.lost_agents)
        write_table(
            ("participant", "step", ""),
            [(who, step, "gone" if who in gone else "") for who, step in told.participant_progress.items()],
        )
    if told.pending and code is None:
        show_note(f"it is not reached yet; to go on waiting: {again()}")
    return ending_code(told.status) if code is None else code


def _in_words(told: ProgressResult) -> str:
    words = [f"{told.id} {told.status}: step {told.current_step} of {told.total_steps}, {told.percentage:.0%}"]
    if told.laggard is not None and told.status == "active":
        words.append(f"{told.laggard} has done least")
    if told.estimated_end_at is not None:
        words.append(f"about {ago(max(0.0, told.estimated_end_at - time.time()))} to go")
    if told.is_stalled:
        words.append(f"stalled: no news for {ago(time.time() - told.updated_at)}")
    if told.reason:
        words.append(told.reason)
    return "; ".join(words)
