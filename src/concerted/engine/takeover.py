"""Takeover: what a coordinator does at its start with what others have left unfinished.

    adopt (epochs rise) -> read each run's stream -> replay -> send again what is unanswered

Live runs that were evicted come back the same way, without a new epoch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

import msgspec

from concerted.engine.active import Active
from concerted.engine.performer import child_ended
from concerted.errors import ConcertedError, Diverged, NotAllowed, NotFound
from concerted.kinds import run_stream
from concerted.ports.store import AgentRecord, Entry, ReadStore, Row, RunRecord, Write
from concerted.runs.instance import Charter, Coordinate, Input, Instance
from concerted.values import AgentId, RunId, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["check_replay", "hear_of_children", "history", "rebuild_instance", "revive", "take_over"]

PAGE = 50_000  # entries read at once
EXECUTING = "it was executing when the process before this one died"

T = TypeVar("T")


async def take_over(of: Coordinator) -> None:
    """Adopt every unfinished run, replay it, and let it go on.

    A run whose strategy this process does not have is left alone (another process may have it); one that
    cannot be replayed, or has taken the process down too often, is parked with the reason.
    """
    records = await of.store.adopt(of.world.node, of.clock.now())
    of.rounds.news.last_seq = max(of.rounds.news.last_seq, await of.store.last_seq())
    wanted: dict[AgentId, None] = {}
    revived = []
    for record in records:
        try:
            active = await revive(of, record, adopted=True)
        except NotFound as error:
            of.foreign[record.id] = error.message
            continue
        revived.append(active)
        if active.instance.ending is None:
            wanted.update(dict.fromkeys(active.instance.agents))
    agents = [await of.store.get(AgentRecord, agent) for agent in wanted]
    of.box.suspect = None  # its death is counted
    of.roster.expect([agent for agent in agents if agent is not None])
    await asyncio.gather(*(of.roster.reopen(agent) for agent in agents if agent is not None))
    for active in revived:
        of.rounds.touch(active)
    await hear_of_children(of, revived)
    await _call_off_orphans(of, revived)
    for active in revived:
        await of.tail.catch_up(active.id)


async def revive(of: Coordinator, record: RunRecord, *, adopted: bool = False) -> Active:
    """Bring a run back from the log into memory.

    Raises:
        NotFound: its strategy is not known here.
    """
    entries = await history(of.store, record.id)
    coordinate = _strategy(of, entries)
    of.sleepers.dormant.pop(record.id, None)
    if record.id in of.rounds.live:  # two callers woke it
        return of.rounds.live[record.id]
    instance = new_instance(record.id, entries)
    active = Active(instance, epoch=record.epoch, in_flight=True)  # nothing new comes to it before its history
    of.rounds.live[record.id] = active
    deaths = await _deaths(of, record, entries) if adopted and record.id == of.box.suspect else 0
    if deaths > of.config.manager.max_attempts:
        instance.begin(coordinate)
        instance.park(
            f"the process died {deaths} times in a row while run {record.id} was executing; "
            "see what it does, then `concerted resume` it",
            attempts=deaths,
        )
    else:
        await outside_tasks(lambda: _replay(of, active, coordinate, entries))
    active.in_flight = False
    if instance.started_at is not None and adopted:
        of.slots.keep(active)
    elif instance.started_at is not None:
        active.holds_slot = True  # it kept its slot while it slept
    elif instance.ending is None:
        of.slots.enter(active)
    if not adopted:
        of.participants.catch_up(active)
        of.rounds.touch(active)
    return active


async def _deaths(of: Coordinator, record: RunRecord, entries: list[Entry]) -> int:
    """Count, in the log, one more death of the process while this run was executing; progress starts anew."""
    resumed = takewhile(lambda entry: entry.kind == "run.resumed", reversed(entries))
    deaths = 1 + [entry.value()["reason"] for entry in resumed].count(EXECUTING)
    data = {
        "node": of.world.node,
        "epoch": record.epoch,
        "attempts": deaths,
        "reason": EXECUTING,
    }
    row = Row(stream=run_stream(record.id), at=of.clock.now(), kind="run.resumed", data=encode(data))
    await of.store.append([Write(rows=[row], run=record.id, epoch=record.epoch)])
    return deaths


def _replay(of: Coordinator, active: Active, coordinate: Coordinate, entries: list[Entry]) -> None:
    instance = active.instance

    def step() -> None:
        try:
            instance.replay(coordinate, last_life(entries))
        except (Diverged, NotAllowed) as error:
            instance.journal.replaying = False
            instance.park(error.message)

    watch = of.watchdog.over(active.id, step)
    if watch.bit:
        instance.journal.replaying = False
        instance.park(watch.verdict)


async def history(store: ReadStore, run: RunId) -> list[Entry]:
    """Read a run's whole stream."""
    entries: list[Entry] = []
    while page := await store.stream(run_stream(run), after=len(entries), limit=PAGE):
        entries += page
        if len(page) < PAGE:
            break
    return entries


def new_instance(run: RunId, entries: list[Entry]) -> Instance:
    """Make the instance that `run.created` describes."""
    created = entries[0]
    return Instance(run, msgspec.json.decode(created.data, type=Charter), created.at)


def last_life(entries: list[Entry]) -> list[Entry]:
    """Return the part of a history that must be replayed: from the last `run.restarted` on."""
    for place in range(len(entries) - 1, 0, -1):
        if entries[place].kind == "run.restarted":
            return entries[place:]
    return entries


def rebuild_instance(run: RunId, entries: list[Entry], strategies: Callable[[str], Coordinate]) -> Instance:
    """Replay a history from outside any coordinator.

    Raises:
        Diverged: the code does something else than the log says.  NotFound: no such strategy here.
    """
    instance = new_instance(run, entries)
    try:
        instance.replay(strategies(instance.charter.strategy), last_life(entries))
    except BaseException:
        instance.abandon()
        raise
    return instance


async def check_replay(
    store: ReadStore, runs: list[RunRecord], strategies: Callable[[str], Coordinate]
) -> dict[RunId, str | None]:
    """Replay runs with the code at hand and write nothing: run -> why it would diverge, None if it would not."""
    verdicts: dict[RunId, str | None] = {}
    for record in runs:
        entries = await history(store, record.id)
        try:
            replay = partial(rebuild_instance, record.id, entries, strategies)
            (await outside_tasks(replay)).abandon()
            verdicts[record.id] = None
        except ConcertedError as error:
            verdicts[record.id] = error.message
    return verdicts


async def outside_tasks(fn: Callable[[], T]) -> T:
    """Call `fn` from the host loop itself and not from inside one of its tasks, as every round is called."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def call() -> None:
        try:
            value = fn()
        except ConcertedError as error:
            future.set_exception(error)
        else:
            future.set_result(value)

    loop.call_soon(call)
    return await future


def _strategy(of: Coordinator, entries: list[Entry]) -> Coordinate:
    return of.world.strategies(str(entries[0].value()["strategy"]))


async def _call_off_orphans(of: Coordinator, revived: list[Active]) -> None:
    """Call off children whose parents have ended, or stopped waiting, when nobody could tell them any more."""
    for active in revived:
        parent = active.instance.charter.parent
        if parent is None or active.instance.ending is not None:
            continue
        waiting = of.rounds.live.get(parent)
        record = None if waiting is not None else await of.store.get(RunRecord, parent)
        is_over = record is not None and record.ended_at is not None
        number = int(active.id.rsplit("/", 1)[1])
        left = waiting is not None and waiting.instance.ending is None and number not in waiting.instance.children
        if is_over or left:
            of.stop_child(active.id, f"its parent {parent} no longer waits for it")


async def hear_of_children(of: Coordinator, revived: list[Active]) -> None:
    """Give parents the outcomes of children that ended while nobody could tell them."""
    for active in revived:
        for number, (effect, _) in sorted(active.instance.children.items()):
            record = await of.store.get(RunRecord, effect.run)
            if record is None or record.ended_at is None or effect.run in of.rounds.live:
                continue
            ended = msgspec.json.decode(record.result) if record.result else {}
            data = child_ended(effect.run, record.status, ended.get("outcome"), ended.get("error"))
            of.rounds.post(active, Input("child.ended", of.clock.now(), ref=str(number), data=data))
