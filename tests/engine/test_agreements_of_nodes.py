"""One key and one log at several nodes on one PostgreSQL: whoever asks wherever is told the same."""

import asyncio
from typing import Any

import pytest

from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator
from concerted.engine.permissions import LOCAL
from concerted.errors import Invalid
from concerted.ports.agreements import (
    AppendToDecisionLog,
    AwaitAgreement,
    CreateAgreement,
    GetAgreement,
    ProposeValue,
    ReadDecisionLog,
)
from concerted.ports.commands import Command
from concerted.values import AgentId

ROUNDS = 10


async def give(node: Coordinator, command: Command) -> Any:
    return await serve(node, command, LOCAL)


def propose(key: str, value: int, **fields: Any) -> ProposeValue:
    return ProposeValue(id=key, agent=AgentId(f"a{value}"), value=value, request_id=f"r{value}", **fields)


def append(value: int) -> AppendToDecisionLog:
    return AppendToDecisionLog(id="l", agent=AgentId("ann"), value=value, request_id=f"r{value}")


def test_of_two_proposers_at_two_nodes_in_the_same_instant_one_is_first(on_nodes: Any) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        for number in range(ROUNDS):
            key = f"k{number}"
            both = await asyncio.gather(*(give(node, propose(key, value)) for value, node in enumerate(nodes)))
            assert sorted(one.yours for one in both) == [False, True]
            (first,) = [value for value, one in enumerate(both) if one.yours]
            assert [one.value for one in both] == [first, first]
            assert [(await give(node, GetAgreement(id=key))).value for node in nodes] == [first, first]

    on_nodes(2, scene)


def test_who_waits_at_one_node_is_told_what_was_proposed_at_another(on_nodes: Any) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        made = await give(nodes[0], CreateAgreement(id="k"))
        assert (made.algorithm, "any coordinator may die" in made.stored_by[0]) == ("database", True)
        waiting = [asyncio.ensure_future(give(node, AwaitAgreement(id="k", wait_s=50))) for node in nodes]
        await give(nodes[0], propose("k", 7, algorithm="database"))
        assert [(await one).value for one in waiting] == [7, 7]
        with pytest.raises(Invalid, match="which is database"):
            await give(nodes[1], propose("k", 7, algorithm="single"))

    on_nodes(2, scene)


def test_appends_at_two_nodes_have_one_order_without_gaps_and_repeats_have_their_position(on_nodes: Any) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        commands = [append(value) for value in range(4 * ROUNDS)]
        told = await asyncio.gather(*(give(nodes[n % 2], command) for n, command in enumerate(commands)))
        assert sorted(one.position for one in told) == list(range(1, len(commands) + 1))
        repeated = await asyncio.gather(*(give(nodes[(n + 1) % 2], command) for n, command in enumerate(commands)))
        assert [one.position for one in repeated] == [one.position for one in told]
        one, two = [(await give(node, ReadDecisionLog(id="l"))).entries for node in nodes]
        assert one == two
        assert [entry.value for entry in one] == sorted(range(len(commands)), key=lambda n: told[n].position)

    on_nodes(2, scene)


def test_the_same_append_at_two_nodes_in_the_same_instant_is_one_entry(on_nodes: Any) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        for number in range(ROUNDS):
            both = await asyncio.gather(*(give(node, append(number)) for node in nodes))
            assert [one.position for one in both] == [number + 1, number + 1]

    on_nodes(2, scene)


def test_who_follows_at_one_node_reads_what_was_appended_at_another(on_nodes: Any) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        await give(nodes[0], append(0))
        waiting = asyncio.ensure_future(give(nodes[1], ReadDecisionLog(id="l", after=1, wait_s=50)))
        await give(nodes[0], append(1))
        assert [entry.value for entry in (await waiting).entries] == [1]

    on_nodes(2, scene)
