"""The mode `balance`: quick ones get more, slow ones are passed over, and what goes wrong."""

import asyncio
from typing import Any

from concerted.agent.work import Refused
from concerted.values import Task, TaskId


def worker(takes_s: float) -> Any:
    async def do(task: Task, work: Any) -> str:
        await asyncio.sleep(takes_s)
        return task.id

    return do


def tasks(count: int, **more: Any) -> list[Task]:
    return [Task(id=TaskId(f"t{place:02}"), **more) for place in range(count)]


def test_the_last_task_waits_for_the_quick_one(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("quick", worker(1.0))
        await stage.agent("slow", worker(20.0))
        view = await stage.run("swarm", tasks(24))
        assert view.success
        assert [task.agent for task in view.tasks].count("slow") == 1, "it is learned after the first"
        assert stage.seconds < 26.0
        assert view.result["details"]["seconds"][""]["quick"] < 2.0

    play(act)


def test_each_kind_of_task_is_learned_by_itself(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob"):
            other = 1.0 if name == "ann" else 9.0

            async def do(task: Task, work: Any, draws_s: float = other) -> None:
                await asyncio.sleep(draws_s if task.kind == "draw" else 10.0 - draws_s)

            await stage.agent(name, do)
        mixed = [Task(id=TaskId(f"{kind}-{place}"), kind=kind) for place in range(12) for kind in ("draw", "write")]
        view = await stage.run("swarm", mixed)
        assert view.success
        done = [(task.id.partition("-")[0], task.agent) for task in view.tasks]
        assert done.count(("draw", "ann")) >= 9
        assert done.count(("write", "bob")) >= 9
        assert set(view.result["details"]["seconds"]) == {"draw", "write"}

    play(act)


def test_order_capabilities_and_owners_are_kept(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", worker(1.0), capabilities={"x": 0.9})
        await stage.agent("bob", worker(1.0))
        house = [
            Task(id=TaskId("plan"), agent="bob"),
            Task(id=TaskId("walls"), after=(TaskId("plan"),), required_capabilities={"x": 0.5}),
            Task(id=TaskId("roof"), after=(TaskId("walls"),)),
        ]
        view = await stage.run("swarm", house)
        assert [task.status for task in view.tasks] == ["done"] * 3
        assert [task.agent for task in view.tasks][:2] == ["bob", "ann"]

    play(act)


def test_what_a_lost_agent_had_is_done_by_another(play: Any) -> None:
    async def act(stage: Any) -> None:
        lost = await stage.agent("ann", worker(1000.0))
        await stage.agent("bob", worker(1.0))
        await stage.submit("swarm", tasks(4))
        await asyncio.sleep(1.5)
        lost.lose()
        view = await stage.end()
        assert view.success
        assert {task.agent for task in view.tasks} == {"bob"}

    play(act)


def test_what_everybody_refuses_fails_after_its_retries_and_what_one_fails_at_another_does(play: Any) -> None:
    async def act(stage: Any) -> None:
        async def refuses(task: Task, work: Any) -> None:
            raise Refused("no")

        await stage.agent("ann", refuses)
        view = await stage.run("swarm", tasks(1, retries=1))
        assert not view.success
        assert "has refused it 2 times" in view.tasks[0].error

    async def again(stage: Any) -> None:
        async def fails(task: Task, work: Any) -> None:
            raise ValueError("broken")

        await stage.agent("ann", fails)
        await stage.agent("bob", worker(3.0))
        view = await stage.run("swarm", tasks(3))
        assert view.success
        assert {task.agent for task in view.tasks} == {"bob"}

    play(act)
    play(again)


def test_a_task_that_nobody_is_able_to_do_waits_and_says_why(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", worker(1.0))
        await stage.submit("swarm", tasks(1, required_capabilities={"wings": 0.5}))
        await asyncio.sleep(7.0)
        (waiting,) = await stage.log("task.waiting")
        assert waiting.data["reason"] == "no agent of the run is able to do it"
        await stage.agent("bob", worker(1.0), capabilities={"wings": 1.0})
        assert (await stage.end()).success

    play(act)
