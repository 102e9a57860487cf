"""Ten thousand agents in one process, in clusters, in virtual time."""

import asyncio
from typing import Any

import msgspec

from concerted.agent import Agent
from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator, World
from concerted.engine.permissions import LOCAL
from concerted.links.local import LocalLink
from concerted.ports.commands import GetRun, Submit
from concerted.sim.virtual_time import SimClock, run_virtual
from concerted.stores.memory import MemoryStore
from concerted.strategies import choose
from concerted.strategies.hierarchies.tree import HierarchyResult
from concerted.values import AgentId, Objective, RunId, Task, TaskId

AGENTS, TASKS, TRADES = 10_000, 10_000, 20


def worker(number: int) -> Agent:
    levels = {f"trade-{number % TRADES}": 0.5 + number % 7 / 14, "leadership": number % 100 / 100}
    agent = Agent(AgentId(f"a{number:05}"), capabilities=levels)

    @agent.task()
    async def do(task: Task) -> str:
        return "done"

    return agent


def test_ten_thousand_agents_do_ten_thousand_tasks_in_a_hundred_clusters() -> None:
    async def main() -> Any:
        clock = SimClock(asyncio.get_running_loop())
        store = MemoryStore()
        await store.open()
        world = World(store=store, clock=clock, strategies=choose.load, open_link=None, threads=False)  # type: ignore[arg-type]
        coordinator = Coordinator(world)
        await coordinator.start()
        for number in range(AGENTS):
            agent = worker(number)
            await coordinator.roster.register(agent.profile, LocalLink(agent, now=clock.now), kind="local")
        tasks = tuple(
            Task(id=TaskId(f"t{number:05}"), required_capabilities={f"trade-{number % TRADES}": 0.5})
            for number in range(TASKS)
        )
        submit = Submit(id=RunId("r"), strategy="hierarchical", objective=Objective(tasks=tasks))
        await serve(coordinator, submit, LOCAL)
        view = await serve(coordinator, GetRun(id=RunId("r"), wait_s=7200), LOCAL)
        await coordinator.close()
        return view

    view = run_virtual(main())
    assert view.success, view.reason
    found = msgspec.convert(view.result, HierarchyResult)
    assert (found.total_agents, found.clusters_formed, found.tasks_completed) == (AGENTS, 100, TASKS)
    assert max(cluster.agent_count for cluster in found.cluster_results) <= 125
    assert len(view.participants) == AGENTS
