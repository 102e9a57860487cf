"""`concerted demo`: real work in front of one's eyes, while workers and the coordinator are killed and messages lost.

coordinator and workers started --all have come--> the audit of the standard library runs
    --so much is done--> a worker is killed | the coordinator is killed, and the same command given again
    --the last task, the report, is done--> everything stopped --> report and ledger, counted from the log
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from concerted.agent.addresses import socket_path
from concerted.cli.demo.audit import REPORT, Report
from concerted.cli.demo.coordinator import RUN, Order
from concerted.cli.demo.fleet import Fleet
from concerted.cli.demo.ledger import Messages, count
from concerted.cli.demo.network import Network
from concerted.cli.demo.show import Ending, PlainScreen, show_ending
from concerted.cli.exits import FAILED, OK, show_note
from concerted.cli.interrupt import Interrupted, interruptible
from concerted.cli.live import LiveScreen
from concerted.cli.options import json_option
from concerted.cli.output import write_json
from concerted.cli.progress import Picture, Screen, follow
from concerted.errors import ConcertedError, Invalid
from concerted.kinds import ENDINGS, run_stream
from concerted.launch import open_coordinator
from concerted.ports.store import Entry
from concerted.stores.sqlite.reader import SqliteReader

__all__ = ["demo"]

KILLS_UNTIL = 0.65  # which share of the tasks is done at the last kill
LOOK_S = 0.05  # how often the director looks how far it is
PAUSE_S = 0.5  # between two kills, at least
PAGE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What is to be played.  drop: share of messages, 0..1.  tasks: only so many, the smallest; None for all."""

    workers: int
    kills: int
    drop: float
    seed: int
    strategy: str
    tasks: int | None


@click.command(short_help="Watch a fleet at work while parts of it are killed.")
@click.option("--workers", type=click.IntRange(2, 64), default=12, show_default=True, help="Worker processes.")
@click.option("--kills", type=click.IntRange(0), default=3, show_default=True, help="Workers that are killed.")
@click.option(
    "--drop", type=click.FloatRange(0, 0.5), default=0.2, show_default=True, help="Share of messages that is lost."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the dice: who is killed, what is lost.")
@click.option("--strategy", type=click.Choice(["auction", "leader_follower"]), default="auction", show_default=True)
@click.option("--keep", is_flag=True, help="Keep the store, and say how to look at it.")
@click.option("--tasks", type=click.IntRange(1), hidden=True, help="Only so many tasks, the smallest.")
@json_option
def demo(keep: bool, as_json: bool, **options: object) -> int:
    """Watch a fleet at work while parts of it are killed.

    Worker processes audit Python's own standard library: every file is parsed and measured, a last task
    merges a report.  Meanwhile workers are killed with SIGKILL, the coordinator is killed once and started
    again, and a share of the messages between them is lost.  At the end stand the report and a ledger, counted from
    the log.  The exit code is 0 if nothing was lost and nothing was accepted twice.
    """
    play = Play(**options)  # type: ignore[arg-type]  # click has checked them
    if play.kills >= play.workers:
        raise Invalid(f"--kills {play.kills} leaves none of {play.workers} workers; somebody must do the work")
    show_note(_programme(play))
    folder = Path(tempfile.mkdtemp(prefix="concerted-demo-"))
    try:
        ending = asyncio.run(interruptible(_perform(play, folder)))
    except Interrupted as stopped:
        show_note("stopped; everything that the demo had started has ended")
        return stopped.code
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    ending = msgspec.structs.replace(ending, store=_url(folder) if keep else None)
    write_json(ending) if as_json else show_ending(ending)
    if keep:
        _say_where(_url(folder))
    return OK if ending.ledger.is_clean and ending.status == "completed" else FAILED


def _programme(play: Play) -> str:
    return (
        f"{play.workers} worker processes audit the standard library of Python {platform.python_version()}; "
        f"{play.kills} of them and the coordinator will be killed, {play.drop:.0%} of the messages dropped"
    )


async def _perform(play: Play, folder: Path) -> Ending:
    behind_network = folder / "network" / "work.db"
    behind_network.parent.mkdir()
    store = Path(_url(folder).removeprefix("sqlite:///"))
    order = Order(store=_url(folder), strategy=play.strategy, workers=play.workers, tasks=play.tasks)
    fleet = Fleet(f"sqlite:///{behind_network}", order)
    began = time.monotonic()
    async with Network(socket_path(behind_network), socket_path(store), play.drop, play.seed) as network:
        try:
            await fleet.start()
            code, said = await _watch(play, fleet)
        finally:
            await fleet.stop()
    wall_s = time.monotonic() - began
    log = await _read(store)
    ending = next((entry for entry in reversed(log) if entry.kind in ENDINGS and entry.stream == run_stream(RUN)), None)
    if ending is None:
        raise ConcertedError(f"the coordinator has ended with exit code {code} before the run: {said or 'no word'}")
    done = [entry.value()["result"] for entry in log if entry.kind == "task.done" and entry.ref == REPORT]
    data = ending.value()
    return Ending(
        strategy=play.strategy,
        status=ENDINGS[ending.kind],
        reason=str(data.get("reason") or (data.get("outcome") or {}).get("reason") or data.get("error") or ""),
        wall_s=round(wall_s, 1),
        workers=play.workers,
        workers_killed=tuple(fleet.killed_workers),
        coordinators_killed=fleet.killed_coordinators,
        ledger=count(log, RUN),
        messages=Messages.of(network.traffic),
        report=msgspec.convert(done[0], Report) if done else None,
        store=None,
    )


async def _watch(play: Play, fleet: Fleet) -> tuple[int, str]:
    """Show how it goes, kill as was ordered, and wait for the end; return the coordinator's code and last words."""
    picture = Picture(RUN)
    url = fleet.store
    with _screen() as screen:
        tasks = [
            asyncio.create_task(_follow(url, picture, screen)),
            asyncio.create_task(_direct(play, fleet, picture, screen)),
        ]
        try:
            return await fleet.finished()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(url: str, picture: Picture, screen: Screen) -> None:
    """Be one more client of whoever is the coordinator, and look."""
    with contextlib.suppress(ConcertedError):  # it has ended while it was asked: the log says the rest
        async with open_coordinator(url, may_own=False) as session:
            await follow(session, picture, screen, 0)


async def _direct(play: Play, fleet: Fleet, picture: Picture, screen: Screen) -> None:
    """Kill whoever's turn it is, whenever so much more is done."""
    dice = random.Random(play.seed)
    victims = ["worker"] * play.kills
    victims.insert((play.kills + 1) // 2, "coordinator")
    for number, victim in enumerate(victims, 1):
        await _until(picture, KILLS_UNTIL * number / len(victims))
        if victim == "coordinator":
            screen.line("killing the coordinator (SIGKILL); then the same command again", trouble=True)
            await fleet.kill_coordinator()
        else:
            name = dice.choice(await _busy(fleet, picture))
            held = ", ".join(task for task, (agent, _) in picture.claims.items() if agent == name)
            screen.line(f"killing {name} (SIGKILL), which is at work on {held}", trouble=True)
            await fleet.kill_worker(name)
        await asyncio.sleep(PAUSE_S)


async def _until(picture: Picture, share: float) -> None:
    """Wait until such a share of the tasks is done."""
    while not picture.status or picture.count("done") < share * len(picture.status):  # noqa: ASYNC110 - a picture
        await asyncio.sleep(LOOK_S)


async def _busy(fleet: Fleet, picture: Picture) -> Sequence[str]:
    """Wait until somebody is at work; return who, by name."""
    while True:
        holders = {agent for agent, _ in picture.claims.values()}
        busy = [name for name in fleet.workers if name in holders]
        if busy:
            return busy
        await asyncio.sleep(LOOK_S)


async def _read(store: Path) -> list[Entry]:
    """Read the whole log, which nobody owns any more."""
    reader = await SqliteReader.open(store)
    log: list[Entry] = []
    try:
        while page := await reader.log(after=log[-1].seq if log else 0, limit=PAGE):
            log += page
    finally:
        await reader.close()
    return log


@contextlib.contextmanager
def _screen() -> Iterator[Screen]:
    if not sys.stderr.isatty():
        yield PlainScreen()
        return
    with LiveScreen() as screen:
        yield screen


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'work.db'}"


def _say_where(url: str) -> None:
    show_note(f"\nThe store is kept.  Look at it:\n\n  concerted why {RUN} --store {url}")
    show_note(f"  concerted events --store {url}\n  concerted why auditor-01 --store {url}")
