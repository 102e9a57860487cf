"""Concerted: a plan of N tasks for N local agents, given out by auction; argument `N` or `N:BIDS`.

Tasks and agents differ: prices, speeds and abilities are spread, and every task asks for one of ten abilities that
half of the agents have.  Its agents are plain functions of this process and do nothing, so that all CPU is ours.
BIDS: the most bids of one agent in one round, 32 unless said otherwise.
"""

from __future__ import annotations

import asyncio
import sys

from measuring import measured, peak_mb, resident_mb

from concerted.agent import Agent
from concerted.config.settings import Auction, Coordination, Strategies
from concerted.launch import open_coordinator
from concerted.stores import SqliteStore
from concerted.values import Task, TaskId

ABILITIES = [f"ability-{number}" for number in range(10)]


def agent(number: int) -> Agent:
    """Make one of the agents."""
    abilities = {
        name: 0.5 + (number * 13 + place) % 50 / 100 for place, name in enumerate(ABILITIES) if (number + place) % 2
    }
    made = Agent(
        f"agent-{number:04}", abilities, cost=1.0 + number * 7919 % 100 / 50, speed=0.5 + number * 31 % 100 / 66
    )

    @made.task()
    def work(task: Task) -> str:
        return f"{task.id} done"

    return made


def task(number: int) -> Task:
    """Make one of the tasks."""
    return Task(id=TaskId(f"task-{number:04}"), required_capabilities={ABILITIES[number % 10]: 0.4})


async def main(what: str) -> None:
    """Measure one plan from its submission to its result."""
    size, bids = (int(number) for number in (*what.split(":"), "32")[:2])
    settings = Coordination(strategies=Strategies(auction=Auction(max_bids=bids)))
    async with open_coordinator("sqlite:///plan.db", coordination=settings) as session:
        for number in range(size):
            await session.register(agent(number))
        assert session.owner is not None
        store = session.owner.coordinator.store
        assert isinstance(store, SqliteStore)
        commits, rows, memory = store.commits, store.rows, resident_mb()
        with measured(f"plan {what}", 1) as facts:
            view = await session.run("auction", [task(number) for number in range(size)])
            facts["commits"], facts["rows"] = store.commits - commits, store.rows - rows
            facts["extra_mb"] = peak_mb() - memory
            facts["bids"] = sum(record.get("bid_count", 0) for record in view.result["auction_results"])
            facts["rounds"] = view.result["rounds"]
        assert view.success, view.reason
        assert [one.status for one in view.tasks] == ["done"] * size


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
