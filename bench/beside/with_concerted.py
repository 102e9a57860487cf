"""Concerted: agents are Python functions in the coordinator's process; the store is SQLite at `synchronous = FULL`.

Everything goes through the public door, `open_coordinator`, as a program of a user's would.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from measuring import (
    AGENTS,
    ASKS,
    AUCTIONS,
    DURABLE_ASKS,
    DURABLE_ROUNDS,
    ROUNDS,
    RUN_AGENTS,
    RUNS,
    WARM_UP,
    measured,
    peak_mb,
    resident_mb,
)

from concerted.agent import Agent
from concerted.config.settings import Coordination, ManagerSettings
from concerted.launch import Session, open_coordinator
from concerted.messages import Custom
from concerted.run import Run
from concerted.stores import SqliteStore
from concerted.values import Outcome, Task, TaskId

EVERYBODY = [f"agent-{number:03}" for number in range(AGENTS)]


def counter(number: int) -> Agent:
    """Make an agent that answers a number with the next one, bids by default, and does any task."""
    agent = Agent(EVERYBODY[number], cost=1.0 + number * 7919 % 1000 / 100)

    @agent.on("COUNT")
    def count(request: Custom) -> int:
        return request.data + 1  # type: ignore[no-any-return]

    @agent.on("COUNT_LATER")
    async def count_later(request: Custom) -> int:
        return request.data + 1  # type: ignore[no-any-return]

    @agent.task("quick")
    async def quick(task: Task) -> str:
        return f"{task.id} done"

    @agent.task("threaded")
    def threaded(task: Task) -> str:  # a plain function runs in a worker thread
        return f"{task.id} done"

    return agent


async def asking(run: Run) -> Outcome:
    """Ask one agent, again and again; each answer is on disk before the next question leaves."""
    (agent,) = run.agents
    for number in range(run.options["times"]):
        reply = await run.ask(agent, Custom(name="COUNT", data=number))
        assert reply.value == number + 1
    return Outcome(success=True)


async def gathering(run: Run) -> Outcome:
    """Ask everybody at once, again and again."""
    agents = list(run.agents)
    for number in range(run.options["times"]):
        replies = await run.gather(agents, Custom(name="COUNT", data=number))
        assert len(replies.ok) == len(agents)
    return Outcome(success=True)


async def tender(run: Run) -> Outcome:
    """Ask ten agents for an offer, and have the best one do the task."""
    offers = await run.gather(list(run.agents), Custom(name="COUNT", data=1))
    best = min(offers.ok, key=lambda reply: (reply.value, reply.agent))
    (task,) = run.objective.tasks
    reply = await run.execute(task, best.agent)
    return Outcome(success=reply.ok, result=reply.value)


async def main(wanted: list[str]) -> None:
    """Measure what is wanted."""
    places = 10 if "runs ten" in wanted else RUNS  # 10 is the default: the other runs wait for a slot
    settings = Coordination(manager=ManagerSettings(max_concurrent_coordinations=places))
    strategies: dict[str, Any] = {"asking": asking, "gathering": gathering, "tender": tender}
    async with open_coordinator("sqlite:///concerted.db", coordination=settings, strategies=strategies) as session:
        assert session.owner is not None
        assert session.owner.coordinator.store.durability == "full"
        for number in range(AGENTS):
            await session.register(counter(number))
        await not_durable(wanted, session)
        await durable(wanted, session)
        if "auction" in wanted:
            await auction(session)
        for what, strategy, kind in (
            ("runs", "tender", "quick"),
            ("runs ten", "tender", "quick"),
            ("runs threads", "tender", "threaded"),
            ("runs auction", "auction", "quick"),
        ):
            if what in wanted:
                await runs(session, what, strategy, Task(id=TaskId("work"), kind=kind))


async def not_durable(wanted: list[str], session: Session) -> None:
    """Measure outside any run."""
    for what, name in (("ask", "COUNT"), ("ask async", "COUNT_LATER")):
        if what in wanted:
            for number in range(WARM_UP):
                await session.ask(EVERYBODY[0], Custom(name=name, data=number))
            with measured(what, ASKS):
                for number in range(ASKS):
                    reply = await session.ask(EVERYBODY[0], Custom(name=name, data=number))
                    assert reply.value == number + 1
    for what, name in (("gather", "COUNT"), ("gather async", "COUNT_LATER")):
        if what in wanted:
            await session.gather(EVERYBODY, Custom(name=name, data=0))
            with measured(what, ROUNDS):
                for number in range(ROUNDS):
                    replies = await session.gather(EVERYBODY, Custom(name=name, data=number))
                    assert len(replies.ok) == AGENTS


async def durable(wanted: list[str], session: Session) -> None:
    """Measure inside a run; the run's own beginning and end are counted, too."""
    for what, strategy, agents, times in (
        ("durable ask", "asking", EVERYBODY[:1], DURABLE_ASKS),
        ("durable gather", "gathering", EVERYBODY, DURABLE_ROUNDS),
    ):
        if what in wanted:
            await session.run(strategy, "warm up", agents=agents, options={"times": WARM_UP})
            before = commits(session)
            with measured(what, times) as facts:
                view = await session.run(strategy, "count", agents=agents, options={"times": times})
                facts["commits"] = (commits(session) - before) / times
            assert view.success, view.reason
    if "durable run" in wanted:
        before = commits(session)
        with measured("durable run", DURABLE_ASKS) as facts:
            for _ in range(DURABLE_ASKS):
                view = await session.run("asking", "count", agents=EVERYBODY[:1], options={"times": 1})
                assert view.success, view.reason
            facts["commits"] = (commits(session) - before) / DURABLE_ASKS


async def auction(session: Session) -> None:
    """Measure auctions of one task among a hundred bidders, from submission to result."""
    task = Task(id=TaskId("work"), kind="quick")
    for _ in range(WARM_UP):
        await session.run("auction", [task])
    before, rows = commits(session), await newest(session)
    with measured("auction", AUCTIONS) as facts:
        for _ in range(AUCTIONS):
            view = await session.run("auction", [task])
            assert view.success, view.reason
        facts["commits"] = (commits(session) - before) / AUCTIONS
        facts["rows"] = (await newest(session) - rows) / AUCTIONS


async def runs(session: Session, what: str, strategy: str, task: Task) -> None:
    """Measure a thousand runs given at once, with ten agents each, until the last one has its result."""

    async def one() -> None:
        view = await session.run(strategy, [task], agents=EVERYBODY[:RUN_AGENTS])
        assert view.success, view.reason

    await one()
    before, rows, memory = commits(session), await newest(session), resident_mb()
    with measured(what, 1) as facts:
        await asyncio.gather(*(one() for _ in range(RUNS)))
        facts["extra_mb"] = peak_mb() - memory
        facts["commits"] = commits(session) - before
        facts["rows"] = await newest(session) - rows


def commits(session: Session) -> int:
    """Return how many transactions the store has committed so far."""
    assert session.owner is not None
    store = session.owner.coordinator.store
    assert isinstance(store, SqliteStore)
    return store.commits


async def newest(session: Session) -> int:
    """Return how many rows the log has."""
    return (await session.status()).seq


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
