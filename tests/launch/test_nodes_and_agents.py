"""Nodes on one PostgreSQL database, and agents that live by themselves beside them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from concerted.agent import Agent, Service, ServiceLimits
from concerted.agent.addresses import NodePlaces
from concerted.config.settings import Coordination, ManagerSettings
from concerted.errors import NotAllowed, Unreachable
from concerted.launch import Session, open_coordinator
from concerted.values import Task, TaskId

QUICK = Coordination(manager=ManagerSettings(heartbeat_interval=0.3, health_check_interval=0.3))
SOON = ServiceLimits(first_pause_s=0.01, longest_pause_s=0.05, look_s=0.02)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


async def known(session: Session, *agents: str) -> None:
    """Wait until these have come to the node."""
    while [view.id for view in await session.agents() if view.state == "alive"] != list(agents):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def logged(session: Session, *kinds: str) -> None:
    """Wait until just this is in the log about agents."""
    while (found := [event.kind for event in await session.events(stream="agent:*")]) != list(kinds):
        assert len(found) <= len(kinds), f"{found} is more than {kinds}"
        await asyncio.sleep(0.01)


def worker(name: str) -> Agent:
    agent = Agent(name)
    agent.task()(lambda task: f"{task.id} by {name}")
    return agent


def test_an_agent_serves_every_node_of_the_machine(postgres: Callable[[], str], places: Path) -> None:
    async def test() -> None:
        url = postgres()
        service = Service(worker("ann"), url, limits=SOON)
        serving = asyncio.create_task(service.run())
        async with open_coordinator(url, coordination=QUICK) as one, open_coordinator(url, coordination=QUICK) as two:
            await known(one, "ann")
            await known(two, "ann")
            views = await asyncio.gather(
                *(
                    node.run("auction", [Task(id=TaskId(f"t{number}"))], id=f"r{number}")
                    for number, node in enumerate((one, two))
                )
            )
            assert [view.tasks[0].result for view in views] == ["t0 by ann", "t1 by ann"]
            assert len(NodePlaces(url).sockets()) == 2
            service.stop()
            await serving
            await known(one)
            await known(two)
        assert NodePlaces(url).sockets() == []
        assert list((places / "concerted").iterdir()) == []

    run(test)


def test_an_agent_that_is_in_the_log_is_not_written_there_again_by_the_next_nodes(
    postgres: Callable[[], str],
) -> None:
    async def test() -> None:
        url = postgres()
        service = Service(worker("ann"), url, limits=SOON)
        serving = asyncio.create_task(service.run())
        async with open_coordinator(url, coordination=QUICK) as one:
            await logged(one, "agent.registered")
            for _ in range(2):
                async with open_coordinator(url, coordination=QUICK) as other:
                    await known(other, "ann")
            await logged(one, "agent.registered")
            service.stop()
            await serving
            await logged(one, "agent.registered", "agent.left")
            again = asyncio.create_task(Service(worker("ann"), url, limits=SOON).run())
            await logged(one, "agent.registered", "agent.left", "agent.registered")
            again.cancel()
            await asyncio.wait([again])

    run(test)


def test_a_node_shows_also_the_agents_of_the_others(postgres: Callable[[], str]) -> None:
    async def test() -> None:
        url = postgres()
        async with open_coordinator(url, coordination=QUICK) as one, open_coordinator(url, coordination=QUICK) as two:
            await one.register(worker("bob"))
            await two.register(worker("ann"))
            assert [(view.id, view.state) for view in await one.agents()] == [("ann", "elsewhere"), ("bob", "alive")]
            assert [(view.id, view.state) for view in (await two.status()).agents] == [
                ("ann", "alive"),
                ("bob", "elsewhere"),
            ]

    run(test)


def test_a_node_that_agents_could_not_reach_does_not_open(postgres: Callable[[], str], places: Path) -> None:
    async def test() -> None:
        url = postgres()
        (places / "concerted").mkdir(mode=0o755)
        with pytest.raises(NotAllowed, match="not a private folder of this user"):
            await open_coordinator(url).open()

    run(test)


def test_a_node_whose_database_does_not_answer_leaves_no_trace(places: Path) -> None:
    async def test() -> None:
        with pytest.raises(Unreachable):
            await open_coordinator("postgresql://nobody@127.0.0.1:9/work").open()
        assert list((places / "concerted").iterdir()) == []

    run(test)
