"""Replay: how fast a run of 100,000 events is brought back from the log, as a takeover does it.

Three histories, each made by a real run and read back from its SQLite file: gathers of 100 (few commands, many
replies), asks one after the other (as many commands as replies, each compared with the log), and an auction of tasks.
The floor decodes the JSON of the same rows and does nothing with it.  Run: `python bench/replay.py [turns]`.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from beside.comparing import BUILD, REPEATS, machine

from concerted.agent import Agent
from concerted.config.settings import StoreSettings
from concerted.engine.takeover import history, rebuild_instance
from concerted.launch import open_coordinator
from concerted.launch.owner import strategy_loader
from concerted.messages import Custom
from concerted.ports.store import Entry
from concerted.run import Run
from concerted.values import Outcome, RunId, Task, TaskId

EVENTS = 100_000
AGENTS = 100
TASK_EVENTS = 6  # of one task in an auction: claimed, sent, answered, done, progress, and its share of the bids


async def gathering(run: Run) -> Outcome:
    """Ask everybody at once until the log is long enough."""
    for number in range(EVENTS // (AGENTS + 1)):
        await run.gather(list(run.agents), Custom(name="COUNT", data=number))
    return Outcome(success=True)


async def asking(run: Run) -> Outcome:
    """Ask one agent after the other until the log is long enough."""
    agents = list(run.agents)
    for number in range(EVENTS // 2):
        await run.ask(agents[number % AGENTS], Custom(name="COUNT", data=number))
    return Outcome(success=True)


STRATEGIES = {"gathering": gathering, "asking": asking}
LOADER = strategy_loader(STRATEGIES)


def main(turns: int) -> None:
    """Print one table."""
    print(f"Measured {machine(turns)}.\n\nReplay of a log of 100,000 events\n")
    print("| a run of | events | CPU | lowest to highest | events/s of CPU | floor: decode the rows | ours / floor |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for what, strategy, tasks in (
        ("gathers of 100", "gathering", 0),
        ("asks, one after the other", "asking", 0),
        ("an auction", "auction", EVENTS // TASK_EVENTS),
    ):
        entries = asyncio.run(record(strategy, tasks))
        ours = [cpu_of(lambda entries=entries: replay(entries)) for _ in range(turns)]
        floors = [cpu_of(lambda entries=entries: decode(entries)) for _ in range(turns)]
        cpu, floor = statistics.median(ours), statistics.median(floors)
        print(
            f"| {what} | {len(entries):,} | {cpu:.2f} s | {min(ours):.2f} to {max(ours):.2f} s "
            f"| {len(entries) / cpu:,.0f} | {floor:.2f} s | {cpu / floor:.1f} |",
            flush=True,
        )


async def record(strategy: str, tasks: int) -> list[Entry]:
    """Have a real run write the history, and read it back.  (Written with `durability: off`: only replay is timed.)"""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        url, settings = f"sqlite:///{Path(folder) / 'replay.db'}", StoreSettings(durability="off")
        async with open_coordinator(url, store=settings, strategies=STRATEGIES) as session:
            for number in range(AGENTS):
                await session.register(worker(f"agent-{number:03}"))
            work = [Task(id=TaskId(f"task-{number:05}")) for number in range(tasks)]
            view = await session.run(strategy, work or "count", id="long", timeout_s=3600)
            assert view.success, view.reason
            assert session.owner is not None
            return await history(session.owner.coordinator.store, RunId("long"))


def worker(name: str) -> Agent:
    """Make an agent that answers numbers and does tasks."""
    agent = Agent(name, capacity=10)
    agent.on("COUNT")(lambda request: request.data + 1)

    @agent.task()
    async def work(task: Task) -> str:
        return f"{task.id} done"

    return agent


def replay(entries: list[Entry]) -> None:
    """Do what a takeover does, and see that the run ends as it ended."""
    instance = rebuild_instance(RunId("long"), entries, LOADER)
    assert instance.ending is not None
    assert instance.ending.status == "completed"


def decode(entries: list[Entry]) -> None:
    """Only decode the JSON of every row."""
    for entry in entries:
        entry.value()


def cpu_of(work: Callable[[], None]) -> float:
    """Return the CPU seconds that this takes."""
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS)
