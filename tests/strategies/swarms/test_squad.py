"""A squad: who gets the next job, what is written down, and what is left when it goes home."""

import asyncio
from typing import Any

from concerted.values import Task, TaskId

PATTERN = Task(id=TaskId("look"), required_capabilities={"eyes": 0.5}, retries=1)
SPACE = {"x": {"float": [0, 1]}}


def options(**more: Any) -> dict[str, Any]:
    return {"mode": "optimize", "space": SPACE, "evaluations": 6, **more}


async def one(task: Task, work: Any) -> float:
    await asyncio.sleep(1.0)
    return 1.0


def test_only_who_is_able_is_given_anything_and_each_as_much_as_it_has_room_for(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", one, capabilities={"eyes": 0.9}, capacity=2)
        await stage.agent("bob", one, capabilities={"eyes": 0.4})
        await stage.agent("cy", one, capabilities={"eyes": 0.5})
        view = await stage.run("swarm", [PATTERN], **options())
        assert view.result["details"]["by_agent"] == {"ann": 4, "cy": 2}
        assert view.status == "completed"
        claims = [row.agent for row in await stage.log("task.claimed")]
        assert claims[:3] == ["ann", "cy", "ann"]

    play(act)


def test_everything_that_is_done_is_in_the_log_once(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", one, capabilities={"eyes": 0.9}, capacity=3)
        await stage.run("swarm", [PATTERN], **options())
        done = [row.ref for row in await stage.log("task.done")]
        assert sorted(done) == [f"look-{number}" for number in range(1, 7)]
        assert len(await stage.log("tasks.added")) == 6

    play(act)


def test_what_fails_again_and_again_is_given_up_after_its_attempts(play: Any) -> None:
    async def act(stage: Any) -> None:
        async def fails(task: Task, work: Any) -> float:
            raise ValueError("broken")

        await stage.agent("ann", fails, capabilities={"eyes": 0.9})
        view = await stage.run("swarm", [PATTERN], **options())
        assert not view.success
        assert len(await stage.log("task.failed")) == 6
        assert [row.data["attempts_left"] for row in await stage.log("task.released")] == [1, 0] * 6

    play(act)


def test_what_is_in_hand_when_it_is_enough_is_called_back(play: Any) -> None:
    async def act(stage: Any) -> None:
        async def slow(task: Task, work: Any) -> float:
            await asyncio.sleep(1000.0)
            return 0.0

        await stage.agent("ann", one, capabilities={"eyes": 0.9})
        player = await stage.agent("bob", slow, capabilities={"eyes": 0.9})
        await stage.run("swarm", [PATTERN], **options(target=2.0))
        assert [row.ref for row in await stage.log("task.cancelled")] == ["look-2"]
        assert "CANCEL_TASK" in player.types()

    play(act)


def test_near_the_end_a_slow_one_begins_nothing_that_the_others_would_have_done_before(play: Any) -> None:
    async def act(stage: Any) -> None:
        async def slow(task: Task, work: Any) -> float:
            await asyncio.sleep(20.0)
            return 1.0

        await stage.agent("ann", one, capabilities={"eyes": 0.9})
        await stage.agent("bob", slow, capabilities={"eyes": 0.9})
        view = await stage.run("swarm", [PATTERN], **options(evaluations=31))
        assert view.result["details"]["by_agent"] == {"ann": 30, "bob": 1}
        assert stage.seconds < 31.0

    play(act)


def test_what_was_left_by_a_lost_one_is_done_though_all_was_given_out(play: Any) -> None:
    async def act(stage: Any) -> None:
        async def never(task: Task, work: Any) -> float:
            await asyncio.sleep(1e6)
            return 1.0

        lost = await stage.agent("bob", never, capabilities={"eyes": 0.9}, capacity=3)
        await stage.agent("ann", one, capabilities={"eyes": 0.9})
        await stage.submit("swarm", [PATTERN], **options(evaluations=6))
        await asyncio.sleep(3.5)
        lost.lose()
        view = await stage.end()
        assert view.success
        assert view.result["details"]["by_agent"] == {"ann": 6}

    play(act)


def test_a_crew_waits_for_somebody_who_is_able(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("bob", one)
        await stage.submit("swarm", [PATTERN], **options())
        await asyncio.sleep(10.0)
        assert not await stage.log("task.claimed")
        await stage.agent("ann", one, capabilities={"eyes": 0.9})
        assert (await stage.end()).result["evaluations"] == 6

    play(act)
