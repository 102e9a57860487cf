"""The mode `optimize`: agents that are quick and slow, lost and wrong; new histories."""

import asyncio
from typing import Any

import pytest

from concerted.agent import Agent
from concerted.agent.work import Refused
from concerted.strategies.swarms import search
from concerted.values import Task, TaskId

LOOK = Task(id=TaskId("look"), payload={"unit": "m"})
SPACE = {"x": {"float": [-10, 10]}, "kind": {"choice": ["a", "b"]}}


def scale(name: str, takes_s: float = 0.1, answer: Any = None, **profile: Any) -> Agent:
    agent = Agent(name, **profile)

    @agent.task()
    async def look(task: Task) -> Any:
        await asyncio.sleep(takes_s)
        if answer is not None:
            return answer(task)
        assert task.payload["unit"] == "m", "what the pattern holds is handed on"
        return {"value": (task.payload["x"] - 3.0) ** 2 + (task.payload["kind"] == "b")}

    return agent


def options(**more: Any) -> dict[str, Any]:
    return {"mode": "optimize", "space": SPACE, "evaluations": 300, **more}


def test_the_least_is_found_and_quick_agents_look_more_often(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(scale("quick", 0.1, capacity=2))
        await stage.enter(scale("slow", 1.0))
        view = await stage.run("swarm", [LOOK], **options())
        assert view.success
        assert view.result["settled"] == "the evaluations are used up"
        assert view.result["answer"]["kind"] == "a"
        assert abs(view.result["answer"]["x"] - 3.0) <= 0.1
        counts = view.result["details"]["by_agent"]
        assert counts["quick"] > 10 * counts["slow"]

    play(act)


def test_a_target_that_is_reached_is_enough(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(scale("ann"))
        view = await stage.run("swarm", [LOOK], **options(target=1.0))
        assert view.result["settled"] == "the target is reached"
        assert view.result["value"] <= 1.0
        assert view.result["evaluations"] < 300

    play(act)


def test_the_most_is_found_too(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(scale("ann"))
        view = await stage.run("swarm", [LOOK], **options(goal="most", rule="shade", evaluations=200))
        assert view.result["value"] == pytest.approx(170.0, abs=2.0), "at x = -10, of kind b"
        assert view.result["evaluations"] == 200
        values = [value for _, value in view.result["curve"]]
        assert values == sorted(values)

    play(act)


def test_without_anything_better_for_long_it_is_enough(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(scale("ann", answer=lambda task: 1.0))
        view = await stage.run("swarm", [LOOK], **options(patience=25))
        assert view.result["settled"] == "nothing better in 25 evaluations"
        assert view.result["evaluations"] == 26

    play(act)


def test_what_a_lost_agent_had_in_hand_is_looked_at_by_another(play: Any) -> None:
    async def act(stage: Any) -> None:
        lost = await stage.enter(scale("bob", 1000.0))
        await stage.enter(scale("ann"))
        await stage.submit("swarm", [LOOK], **options(evaluations=40))
        await asyncio.sleep(1.0)
        lost.lose()
        view = await stage.end()
        assert view.success
        assert view.result["evaluations"] == 40
        released = await stage.log("task.released")
        (again,) = [row for row in await stage.log("task.done") if row.ref == released[0].ref]
        assert (released[0].agent, again.agent) == ("bob", "ann")

    play(act)


def test_who_fails_who_refuses_and_who_talks_nonsense_uses_up_attempts_and_nothing_else(play: Any) -> None:
    async def act(stage: Any) -> None:
        def fails(task: Task) -> float:
            raise ValueError("broken")

        def refuses(task: Task) -> float:
            raise Refused("not today")

        await stage.enter(scale("ann"))
        await stage.enter(scale("bob", answer=fails))
        await stage.enter(scale("cy", answer=refuses))
        await stage.enter(scale("dee", answer=lambda task: "far"))
        view = await stage.run("swarm", [LOOK], **options(evaluations=60))
        assert view.success
        assert view.result["evaluations"] == 60
        assert view.result["value"] < 20.0

    play(act)


def test_what_is_overdue_at_the_end_is_looked_at_by_somebody_quicker_as_well(play: Any) -> None:
    async def act(stage: Any) -> None:
        looks = 0

        async def stalls(task: Task, work: Any) -> float:
            nonlocal looks
            looks += 1
            await asyncio.sleep(10.0 if looks < 4 else 5_000.0)
            return 1.0

        await stage.enter(scale("quick", 1.0, answer=lambda task: 2.0))
        slow = await stage.agent("slow", stalls)
        began = stage.seconds
        view = await stage.run("swarm", [LOOK], **options(evaluations=50))
        assert looks == 4, "it is at its fourth when nothing else is left"
        assert view.result["evaluations"] == 50
        (second,) = [row for row in await stage.log("task.claimed") if row.ref.endswith("-again")]
        assert second.agent == "quick"
        assert (await stage.log("task.cancelled"))[0].ref == second.ref.removesuffix("-again")
        assert "CANCEL_TASK" in slow.types()
        assert stage.seconds - began < 60.0
        assert [row.data["version"] for row in await stage.log("version.chosen")] == [1]

    play(act)


def test_of_two_looks_at_one_candidate_the_first_counts_and_a_failed_one_waits_for_the_other(play: Any) -> None:
    async def act(stage: Any) -> None:
        looks = 0

        async def stalls(task: Task, work: Any) -> float:
            nonlocal looks
            looks += 1
            await asyncio.sleep(10.0 if looks < 4 else 30.0)
            return 1.0

        def answer(task: Task) -> Any:
            if task.id.endswith("-again"):
                raise ValueError("not twice")
            return 2.0

        await stage.enter(scale("quick", 1.0, answer=answer))
        await stage.agent("slow", stalls)
        view = await stage.run("swarm", [LOOK], **options(evaluations=50))
        assert [row.ref[-6:] for row in await stage.log("task.released")] == ["-again"]
        assert view.result["evaluations"] == 50
        assert view.result["details"]["by_agent"]["slow"] == 4, "what it has found in the end counts"

    play(act)


def test_a_long_search_begins_new_histories_and_goes_on_as_one(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "HISTORY", 50)

    async def act(stage: Any) -> None:
        await stage.enter(scale("ann", capacity=3))
        view = await stage.run("swarm", [LOOK], **options(evaluations=170, rule="shade"))
        assert view.result["evaluations"] == 170
        assert len(await stage.log("run.restarted")) == 3
        assert len(await stage.log("swarm.begun")) == 1
        values = [value for _, value in view.result["curve"]]
        assert values == sorted(values, reverse=True)

    play(act)


def test_a_coordinator_that_dies_goes_on_with_the_same_search(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(scale("ann"))
        await stage.submit("swarm", [LOOK], **options(evaluations=60))
        await asyncio.sleep(2.0)
        before = [row.data for row in await stage.log("swarm.improved")]
        await stage.crash()
        view = await stage.end()
        assert view.result["evaluations"] == 60
        after = [row.data for row in await stage.log("swarm.improved")]
        assert after[: len(before)] == before

    play(act)
