"""One decision at several nodes on one PostgreSQL: ballots come in anywhere, and everybody has the same outcome."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from concerted.consensus.decisions.certificate import verify
from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator, World
from concerted.engine.permissions import LOCAL
from concerted.errors import Conflict, Invalid, NotFound
from concerted.launch.clock import SystemClock
from concerted.ports.commands import Command
from concerted.ports.decisions import AwaitDecision, CastBallot, CreateDecision, GetDecision
from concerted.stores.postgres.store import PostgresStore
from concerted.values import AgentId

WITHIN_S = 30.0  # for what must come; it comes within milliseconds

Url = Callable[[], str]
Give = Callable[[int, Command], Awaitable[Any]]


def _nothing(name: object) -> Any:
    raise NotFound(f"there is no {name}")


def on_nodes(url: str, count: int, scene: Callable[[Give], Awaitable[None]]) -> None:
    async def main() -> None:
        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with AsyncExitStack() as stack, asyncio.timeout(WITHIN_S):
            nodes = []
            for number in range(count):
                store = PostgresStore(url, durability="off")
                await store.open()
                world = World(
                    store=store, clock=SystemClock(), strategies=_nothing, open_link=_nothing, node=f"node-{number}",
                    threads=False,
                )  # fmt: skip
                nodes.append(await stack.enter_async_context(Coordinator(world)))
            await scene(lambda node, command: serve(nodes[node], command, LOCAL))
        assert complaints == [], "an error that was nobody's"

    asyncio.run(main())


def opened(question: str = "ship it?", **fields: Any) -> CreateDecision:
    voters = {AgentId(f"v{i}"): 1 for i in range(5)}
    return CreateDecision(id="d", question=question, electorate=voters, **fields)


def vote(voter: int, choice: str, **fields: Any) -> CastBallot:
    return CastBallot(id="d", agent=AgentId(f"v{voter}"), choice=choice, **fields)


def test_ballots_come_in_at_any_node_and_everybody_has_the_same_certificate(postgres: Url) -> None:
    async def scene(give: Give) -> None:
        made = await give(0, opened())
        assert (made.algorithm, "any coordinator may die" in made.stored_by[0]) == ("database", True)
        waiting = [asyncio.ensure_future(give(node, AwaitDecision(id="d", wait_s=20))) for node in (0, 1)]
        choices = ("accept", "reject", "accept", "abstain", "accept")
        await asyncio.gather(*(give(voter % 2, vote(voter, choice)) for voter, choice in enumerate(choices)),
                             return_exceptions=True)  # fmt: skip
        told = [await one for one in waiting]
        assert [one.status for one in told] == ["accepted"] * 2
        assert told[0].certificate == told[1].certificate
        assert verify(told[0].certificate).valid

    on_nodes(postgres(), 2, scene)


def test_the_same_voter_at_two_nodes_in_the_same_instant_counts_once(postgres: Url) -> None:
    async def scene(give: Give) -> None:
        await give(0, opened())
        both = await asyncio.gather(give(0, vote(1, "accept")), give(1, vote(1, "reject")))
        assert sorted(one.ignored for one in both) == [False, True]
        assert both[0].ballot == both[1].ballot
        assert (await give(1, GetDecision(id="d"))).voted == 1

    on_nodes(postgres(), 2, scene)


def test_of_two_proposers_at_two_nodes_in_the_same_instant_one_opens_it(postgres: Url) -> None:
    async def scene(give: Give) -> None:
        both = await asyncio.gather(give(0, opened("this?")), give(1, opened("that?")), return_exceptions=True)
        (refused,) = [one for one in both if isinstance(one, Exception)]
        (made,) = [one for one in both if not isinstance(one, Exception)]
        assert isinstance(refused, Conflict)
        assert (await give(1, GetDecision(id="d"))).question == made.question

    on_nodes(postgres(), 2, scene)


def test_a_database_is_no_embedded_store(postgres: Url) -> None:
    async def scene(give: Give) -> None:
        with pytest.raises(Invalid, match="which is database"):
            await give(0, opened(algorithm="single"))
        assert (await give(0, opened(algorithm="database"))).algorithm == "database"

    on_nodes(postgres(), 1, scene)
