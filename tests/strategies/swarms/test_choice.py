"""The mode `select`: liars, lost judges, quorums, and bees."""

import asyncio
from typing import Any

from concerted.agent import Agent
from concerted.agent.work import Refused
from concerted.values import Task, TaskId

JUDGE = Task(id=TaskId("judge"), payload={"option": ""})
OPTIONS = [{"name": name, "worth": worth} for name, worth in (("tar", 0.2), ("oak", 0.9), ("elm", 0.5), ("ash", 0.7))]


def judge(name: str, answer: Any = None, takes_s: float = 0.5) -> Agent:
    agent = Agent(name)

    @agent.task()
    async def look(task: Task) -> Any:
        await asyncio.sleep(takes_s)
        return task.payload["option"]["worth"] if answer is None else answer(task)

    return agent


def options(**more: Any) -> dict[str, Any]:
    return {"mode": "select", "options": OPTIONS, **more}


def lies(task: Task) -> dict[str, float]:
    return {"score": 1.0 - float(task.payload["option"]["worth"])}


def test_the_best_is_found_though_one_in_five_lies(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob", "cy", "dee"):
            await stage.enter(judge(name))
        await stage.enter(judge("liar", lies))
        view = await stage.run("swarm", [JUDGE], **options())
        assert view.success
        assert view.result["answer"] == OPTIONS[1]
        assert [one["name"] for one in view.result["details"]["ranking"]] == ["oak", "ash", "elm", "tar"]
        assert view.result["rounds"] == 2
        assert view.result["value"] == 0.9

    play(act)


def test_a_lost_judge_and_one_that_refuses_leave_a_quorum(play: Any) -> None:
    async def act(stage: Any) -> None:
        def refuses(task: Task) -> float:
            raise Refused("I know nothing of trees")

        for name in ("ann", "bob", "cy"):
            await stage.enter(judge(name))
        await stage.enter(judge("dee", refuses))
        lost = await stage.enter(judge("eve", takes_s=900.0))
        await stage.submit("swarm", [JUDGE], **options())
        await asyncio.sleep(1.0)
        lost.lose()
        view = await stage.end()
        assert view.result["answer"]["name"] == "oak"
        assert set(view.result["details"]["by_agent"]) == {"ann", "bob", "cy"}

    play(act)


def test_without_a_quorum_nothing_is_chosen(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(judge("ann"))
        await stage.enter(judge("bob", lambda task: "fine"))
        view = await stage.run("swarm", [JUDGE], **options())
        assert not view.success
        assert view.reason == "no option has the quorum of 2 judges"

    play(act)


def test_one_option_needs_a_quorum_too(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(judge("ann"))
        view = await stage.run("swarm", [JUDGE], **options(options=OPTIONS[:1]))
        assert view.success
        assert view.result["settled"] == "there is one option"

    play(act)


def test_bees_settle_on_the_best_too(play: Any) -> None:
    async def act(stage: Any) -> None:
        for number in range(12):
            await stage.enter(judge(f"bee-{number:02}"))
        nests = [{"name": "bush", "worth": 0.2}, {"name": "hollow", "worth": 0.95}, {"name": "box", "worth": 0.4}]
        view = await stage.run("swarm", [JUDGE], **options(options=nests, rule="honeybee"))
        assert view.success
        assert view.result["answer"]["name"] == "hollow"
        assert view.result["settled"].endswith("of 12 are for it")
        assert view.result["value"] > 0.6

    play(act)


def test_bees_that_like_nothing_come_to_no_answer(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob"):
            await stage.enter(judge(name, lambda task: 0.0))
        view = await stage.run("swarm", [JUDGE], **options(rule="honeybee", rounds=5))
        assert not view.success
        assert view.reason == "the rounds are used up"

    play(act)


def test_a_coordinator_that_dies_asks_nobody_twice(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob", "cy"):
            await stage.enter(judge(name))
        await stage.submit("swarm", [JUDGE], **options())
        await asyncio.sleep(1.2)
        await stage.crash()
        view = await stage.end()
        assert view.result["answer"]["name"] == "oak"
        done = [row.ref for row in await stage.log("task.done")]
        assert len(done) == len(set(done)) == 18

    play(act)
