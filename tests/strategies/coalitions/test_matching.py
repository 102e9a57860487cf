"""Which agents are meant for which of several tasks."""

import asyncio
from itertools import product
from typing import Any

import msgspec
import pytest

from concerted.agent import Agent
from concerted.groups.overlapping import Work
from concerted.messages import AgreeToContract, GetStatus, decode_request
from concerted.strategies.coalitions.matching import Listed, computed_matching, computed_split
from concerted.strategies.coalitions.result import CoalitionResult
from concerted.values import AgentId, Task, TaskId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def matched(**lists: list[tuple[tuple[str, ...], float]]) -> dict[str, Any]:
    return computed_matching([(TaskId(task), listed) for task, listed in lists.items()])  # type: ignore[misc]


def test_the_sum_decides_and_not_the_first_task() -> None:
    a = [((BOB,), 9.0), ((CY,), 7.0)]
    b = [((ANN, BOB), 16.0)]
    assert matched(a=a, b=b) == {"a": [CY], "b": [ANN, BOB]}


def test_a_task_that_is_in_the_way_of_more_has_nobody_meant_for_it() -> None:
    assert matched(a=[((ANN, BOB), 5.0)], b=[((ANN,), 4.0)], c=[((BOB,), 4.0)]) == {"b": [ANN], "c": [BOB]}


def test_of_equals_the_earlier_task_is_served() -> None:
    same = [((ANN, BOB), 5.0)]
    assert matched(a=same, b=same) == {"a": [ANN, BOB]}


def test_what_promises_nothing_is_meant_for_nobody() -> None:
    assert matched(a=[((ANN,), 0.0), ((BOB,), -1.0)], b=[]) == {}
    assert computed_matching([]) == {}


@pytest.mark.parametrize("seed", range(5))
def test_no_matching_promises_more(seed: int) -> None:
    import random

    dice = random.Random(seed)
    agents = [AgentId(name) for name in "pqrst"]
    lists: dict[str, Listed] = {
        task: [(tuple(sorted(dice.sample(agents, dice.randint(1, 3)))), float(dice.randint(1, 20))) for _ in range(4)]
        for task in ("a", "b", "c")
    }
    lists = {
        task: list({members: (members, worth) for members, worth in each}.values()) for task, each in lists.items()
    }
    most = 0.0
    for choice in product(*([None, *each] for each in lists.values())):
        chosen = [one for one in choice if one is not None]
        inside = [agent for members, _ in chosen for agent in members]
        if len(inside) == len(set(inside)):
            most = max(most, sum(worth for _, worth in chosen))
    meant = matched(**lists)  # type: ignore[arg-type]
    assert sum(dict(lists[task])[tuple(members)] for task, members in meant.items()) == most
    everybody = [agent for members in meant.values() for agent in members]
    assert len(everybody) == len(set(everybody))


async def firm(stage: Any) -> None:
    await stage.agent("ann", capabilities={"french": 0.9, "leadership": 0.9}, cost=3.0)
    await stage.agent("bob", capabilities={"law": 0.6}, cost=1.0)
    await stage.agent("cy", capabilities={"law": 0.7}, cost=4.0)


PAPER = Task(id=TaskId("paper"), required_capabilities={"law": 0.5}, max_budget=10.0)
DEAL = Task(
    id=TaskId("deal"), required_capabilities={"french": 0.8, "law": 0.5}, max_budget=20.0,
    payload={"constraints": {"must_exclude": ["cy"]}},
)  # fmt: skip


def test_tasks_that_are_ready_together_do_not_take_each_others_members(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        view = await stage.run("coalition", [PAPER, DEAL])
        assert view.success, view.tasks
        found = msgspec.convert(view.result, CoalitionResult)
        assert {one.task.id: one.agents for one in found.coalitions} == {"paper": ("cy",), "deal": ("ann", "bob")}
        paper, deal = found.coalitions
        assert deal.created_at < paper.ended_at  # both are at work at once

    play(act)


def test_one_task_alone_is_not_matched(play: Any) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        await stage.run("coalition", [PAPER])
        heard = [decode_request(one.type, bytes(one.payload)) for one in stage.players["ann"].heard]
        assert sum(isinstance(one, GetStatus) for one in heard) == 1
        assert msgspec.convert((await stage.view()).result, CoalitionResult).coalitions[0].agents == ("bob",)

    play(act)


def test_if_those_meant_for_a_task_refuse_it_gets_who_is_left(play: Any) -> None:

    async def act(stage: Any) -> None:
        await firm(stage)
        shy = Agent("cy", capabilities={"law": 0.7}, cost=4.0)

        @shy.on(AgreeToContract)
        def refuse(request: AgreeToContract) -> dict[str, bool]:
            return {"agreed": False}

        await stage.enter(shy)
        view = await stage.run("coalition", [PAPER, DEAL])
        assert view.success, view.tasks
        found = msgspec.convert(view.result, CoalitionResult)
        assert [(one.task.id, one.agents, one.status) for one in found.coalitions] == [
            ("paper", ("cy",), "refused"), ("deal", ("ann", "bob"), "completed"), ("paper", ("bob",), "completed"),
        ]  # fmt: skip

    play(act)


def test_who_has_room_for_two_is_kept_for_nobody(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", capabilities={"law": 0.9}, cost=1.0, capacity=2)
        tasks = [PAPER, msgspec.structs.replace(PAPER, id=TaskId("other"))]
        view = await stage.run("coalition", tasks)
        assert view.success, view.tasks
        first, second = msgspec.convert(view.result, CoalitionResult).coalitions
        assert second.created_at < first.ended_at

    play(act)


def test_where_agents_are_asked_for_worths_nothing_is_matched(play: Any) -> None:
    from concerted.messages import ValueCoalitions

    async def act(stage: Any) -> None:
        judge = Agent("ann", capabilities={"law": 0.9}, cost=1.0, capacity=2)

        @judge.on(ValueCoalitions)
        def value(request: ValueCoalitions) -> list[float]:
            return [1.0] * len(request.coalitions)

        @judge.task()
        async def do(task: Task) -> str:
            return "done"

        ann = await stage.enter(judge)
        tasks = [PAPER, msgspec.structs.replace(PAPER, id=TaskId("other"))]
        view = await stage.run("coalition", tasks, values="agents")
        assert view.success, view.tasks
        assert ann.types().count("VALUE_COALITIONS") == ann.types().count("GET_STATUS") == 2

    play(act)


# Agents in part


def builders(*names: str, **fields: Any) -> list[Task]:
    return [
        Task(id=TaskId(name), required_capabilities={"hours": 0.9}, **{"max_budget": 30.0, **fields}) for name in names
    ]


async def gang(stage: Any, do: Any = None) -> None:
    for name in ("ann", "bob", "cy"):
        await stage.agent(name, do, capabilities={"hours": 0.6}, cost=1.0)


def test_a_split_gives_each_task_what_it_needs() -> None:
    work = {TaskId(name): Work({"hours": 0.9}, 30.0) for name in ("roof", "wall")}
    levels = {agent: {"hours": 0.6} for agent in (ANN, BOB, CY)}
    parts = computed_split(levels, work, {})
    for given in parts.values():
        assert 0.9 <= sum(0.6 * part for part in given.values()) <= 0.9 + 1e-5
        assert all(part <= 1.0 for part in given.values())
    for agent in levels:
        assert sum(given.get(agent, 0.0) for given in parts.values()) <= 1.0 + 1e-5
    assert len(computed_split(levels, work, {ANN: 0.5})) == 1


def test_agents_in_part_do_at_once_what_they_could_not_as_a_whole(play: Any) -> None:
    async def act(stage: Any, overlapping: bool) -> None:
        told: dict[str, Any] = {}

        async def do(task: Task, work: Any) -> str:
            told[task.id] = task.payload["coalition"]
            await asyncio.sleep(1.0)
            return "done"

        await gang(stage, do)
        view = await stage.run("coalition", builders("roof", "wall"), overlapping=overlapping)
        assert view.success, view.tasks
        first, second = msgspec.convert(view.result, CoalitionResult).coalitions
        assert (second.created_at < first.ended_at) is overlapping
        if not overlapping:
            assert (first.parts, "part" in told["roof"]) == ({}, False)
            return
        for one in (first, second):
            assert sorted(one.parts) == list(one.agents)
            assert sum(0.6 * part for part in one.parts.values()) == pytest.approx(0.9, abs=1e-5)
            assert one.value.total == pytest.approx(30.0 - sum(one.parts.values()))
            assert told[one.task.id]["part"] == one.parts[one.governance.leader]
        asked = [decode_request(one.type, bytes(one.payload)) for one in stage.players["bob"].heard]
        offered = {one.coalition: one.parts for one in asked if isinstance(one, AgreeToContract)}
        assert all(offered[one.id] == one.parts for one in (first, second) if "bob" in one.agents)

    async def in_part(stage: Any) -> None:
        await act(stage, True)

    async def whole(stage: Any) -> None:
        await act(stage, False)

    play(in_part)
    play(whole)


def test_what_there_is_no_capacity_for_waits_until_some_is_free(play: Any) -> None:
    async def act(stage: Any) -> None:
        await gang(stage)
        view = await stage.run("coalition", builders("a", "b", "c"), overlapping=True)
        assert view.success, view.tasks
        *first, last = msgspec.convert(view.result, CoalitionResult).coalitions
        assert last.created_at >= min(one.ended_at for one in first)
        assert all(one.parts for one in (*first, last))

    play(act)


def test_a_task_that_agents_will_not_do_in_part_gets_agents_as_a_whole(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob", "cy"):
            agent = Agent(name, capabilities={"hours": 0.6}, cost=1.0)

            @agent.task()
            async def do(task: Task) -> str:
                await asyncio.sleep(1.0)
                return "done"

            @agent.on(AgreeToContract)
            def agree(request: AgreeToContract) -> dict[str, bool]:
                return {"agreed": not request.parts}

            await stage.enter(agent)
        nothing = Task(id=TaskId("tea"), max_budget=5.0)
        view = await stage.run("coalition", [*builders("roof"), nothing], overlapping=True)
        assert view.success, view.tasks
        refused, *done = msgspec.convert(view.result, CoalitionResult).coalitions
        assert (refused.task.id, refused.status, bool(refused.parts)) == ("roof", "refused", True)
        assert sorted((one.task.id, one.status, len(one.parts)) for one in done if one.status != "refused") == [
            ("roof", "completed", 0), ("tea", "completed", 0),
        ]  # fmt: skip

    play(act)


@pytest.mark.parametrize("overlapping", [False, True])
def test_after_a_crash_each_task_is_still_done_by_those_meant_for_it(play: Any, overlapping: bool) -> None:
    async def act(stage: Any) -> None:
        await firm(stage)
        await stage.submit("coalition", [PAPER, DEAL], overlapping=overlapping)
        await asyncio.sleep(0.5)  # both are at work
        assert len(await stage.log("coalition.formed")) == 2
        await stage.crash()
        view = await stage.end()
        assert view.success, view.tasks
        assert len(await stage.log("coalition.formed")) == 2
        found = msgspec.convert(view.result, CoalitionResult)
        assert sorted(one.task.id for one in found.coalitions if one.status == "completed") == ["deal", "paper"]

    play(act)
