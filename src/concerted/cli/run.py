"""`concerted run`: a plan, from the file to its result.

read and checked --> submitted, or attached to --> followed --> result printed
                     Ctrl-C, SIGTERM: let go, gently; the same command goes on
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
from collections.abc import Iterator

import click

from concerted.cli.exits import show_note
from concerted.cli.interrupt import Interrupted, interruptible
from concerted.cli.options import json_option, prepare_folder, store_option
from concerted.cli.output import ago
from concerted.cli.plans import Order, read_order
from concerted.cli.progress import Picture, Screen, follow, remember
from concerted.cli.reach import owner_pid, token_here
from concerted.cli.results import show_run
from concerted.errors import ConcertedError, Conflict
from concerted.launch import Session, open_coordinator
from concerted.ports.commands import RunView, Status, StatusView, Submitted

__all__ = ["PlainScreen", "run"]

NAMED = 5  # other runs that are named
LAST_WORDS_S = 2.0  # how long the last events may take after the result is known


@click.command(short_help="Run a plan, or go on with it, and print the result.")
@click.argument("plan")
@click.option("--id", "run_id", metavar="ID", help="The run's id; by default the plan's name.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress on standard error.")
@store_option
@json_option
def run(plan: str, run_id: str | None, quiet: bool, store: str | None, as_json: bool) -> int:
    """Run a plan, or go on with it, and print the result.

    All of PLAN is checked first; if anything is wrong, nothing is started.  Given again, the same command
    goes on with an unfinished run, whatever became of the process that began it, and prints the result of
    a finished one.  Progress goes to standard error, the result to standard output.
    """
    order = read_order(plan, run=run_id, store=store)
    for warning in order.plan.warnings:
        show_note(f"warning: {warning}")
    prepare_folder(order.url)
    session = open_coordinator(
        order.url, coordination=order.plan.coordination, store=order.plan.store, token=token_here()
    )
    try:
        view = asyncio.run(interruptible(_run(session, order, quiet=quiet)))
    except Interrupted as stopped:
        show_note(_how_to_go_on(session, order))
        return stopped.code
    return show_run(view, as_json=as_json)


async def _run(session: Session, order: Order, *, quiet: bool) -> RunView:
    async with session:
        before: StatusView = await session.give(Status(limit=1))
        submitted = await _submit(session, order)
        await _tell(session, order, submitted)
        if quiet:
            return await session.result(order.run)
        picture = Picture(order.run)
        if submitted.existed:
            await remember(session, picture, before.seq)
        with _screen() as screen:
            following = asyncio.create_task(follow(session, picture, screen, before.seq))
            try:
                view = await session.result(order.run)
                if not submitted.existed or view.ended_at is None or view.ended_at > before.now:
                    await asyncio.wait([following], timeout=LAST_WORDS_S)
                return view
            finally:
                following.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConcertedError):
                    await following  # what keeps it from following keeps the result from coming, and is told there


async def _submit(session: Session, order: Order) -> Submitted:
    try:
        submitted: Submitted = await session.give(order.submit())
    except Conflict as error:
        if error.facts.get("run") != order.run:
            raise
        raise Conflict(
            f"run {order.run} was started from another version of this plan, and a run keeps to what it was "
            f"started with: start this one under another id, `--id {order.run}-2`, or give the old plan again",
            **error.facts,
        ) from error
    return submitted


async def _tell(session: Session, order: Order, submitted: Submitted) -> None:
    """Tell what else one should know of the run and its neighbours."""
    if submitted.existed:
        view = await session.get(order.run)
        if view.ended_at is not None:
            when = ago(max(0.0, (await session.give(Status(limit=1))).now - view.ended_at))
            show_note(f"run {order.run} ended {when} ago; this is its result. To run the plan anew, give another --id")
        elif view.status == "parked":
            show_note(f"run {order.run} is parked; `concerted resume {order.run}` lets it go on")
        else:
            done = sum(task.status == "done" for task in view.tasks)
            show_note(f"run {order.run} goes on: {done} of {len(view.tasks)} tasks are done")
    if not session.is_owner and session.path is not None:
        show_note(f"process {owner_pid(session.path) or '?'} owns {session.path} and runs it")
        return
    others = [one.id for one in (await session.status()).runs if one.id != order.run and one.parent is None]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        show_note(f"unfinished in this store, and going on too: {', '.join(others[:NAMED])}{more}")


def _how_to_go_on(session: Session, order: Order) -> str:
    again = shlex.join(["concerted", *sys.argv[1:]])
    if session.is_owner:
        return f"stopped; run {order.run} is unfinished. To go on with it: {again}"
    return (
        f"stopped; run {order.run} goes on in the process that owns {session.path}. To see it again: {again}; "
        f"to call it off: concerted cancel {shlex.quote(order.run)}"
    )


# progress


class PlainScreen:
    """`progress.Screen` for a log file: one line for each notable event."""

    def line(self, text: str, *, trouble: bool) -> None:  # noqa: ARG002
        """Write it."""
        show_note(text)

    def picture(self, picture: Picture) -> None:
        """Draw nothing."""


@contextlib.contextmanager
def _screen() -> Iterator[Screen]:
    if not sys.stderr.isatty():
        yield PlainScreen()
        return
    from concerted.cli.live import LiveScreen

    with LiveScreen() as screen:
        yield screen
