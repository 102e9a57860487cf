"""The mode `agree`: the mean by neighbours, silent and stubborn ones, and what they say that is no number."""

import asyncio
from typing import Any

import pytest

from concerted.agent import Agent
from concerted.messages import Average
from concerted.values import Task, TaskId

GUESS = Task(id=TaskId("guess"))


def guesser(name: str, number: Any, takes_s: float = 0.1) -> Agent:
    agent = Agent(name)

    @agent.task()
    async def guess(task: Task) -> Any:
        await asyncio.sleep(takes_s)
        return number

    return agent


async def enter(stage: Any, numbers: dict[str, Any]) -> None:
    for name, number in numbers.items():
        await stage.enter(guesser(name, number))


@pytest.mark.parametrize("rule", ["metropolis", "push_sum"])
def test_all_come_to_the_mean_of_what_they_have_said(play: Any, rule: str) -> None:
    async def act(stage: Any) -> None:
        await enter(stage, {f"a{place}": float(place * place) for place in range(9)})
        view = await stage.run("swarm", [GUESS], mode="agree", rule=rule, tolerance=1e-4)
        assert view.success
        assert view.result["answer"] == pytest.approx(204 / 9, rel=1e-3)
        assert view.result["settled"] == "they are as near as asked for"
        numbers = [number for (number,) in view.result["details"]["numbers"].values()]
        assert max(numbers) - min(numbers) <= 1e-4 * 23
        assert view.result["rounds"] < 100

    play(act)


def test_vectors_are_agreed_upon_along_the_neighbours_that_are_given(play: Any) -> None:
    async def act(stage: Any) -> None:
        await enter(stage, {"a": [0, 8], "b": [2, 4], "c": [4, 0]})
        line = {"a": ["b"], "b": ["c"]}
        view = await stage.run("swarm", [GUESS], mode="agree", neighbours=line, tolerance=1e-3)
        assert view.result["answer"] == pytest.approx([2.0, 4.0], abs=0.01)

    play(act)


def test_a_stubborn_one_draws_the_others_to_itself(play: Any) -> None:
    async def act(stage: Any) -> None:
        await enter(stage, {"ann": 0, "bob": 4})
        stubborn = guesser("cy", 10)

        @stubborn.on(Average)
        def stay(request: Average) -> list[float]:
            return [10.0]

        await stage.enter(stubborn)
        view = await stage.run("swarm", [GUESS], mode="agree", tolerance=1e-3, rounds=500)
        assert view.result["answer"] == pytest.approx(10.0, abs=0.05)

    play(act)


@pytest.mark.parametrize("rule", ["metropolis", "push_sum"])
def test_the_others_go_on_without_one_that_is_lost(play: Any, rule: str) -> None:
    async def act(stage: Any) -> None:
        await enter(stage, {"ann": 0, "bob": 6})
        slow = guesser("cy", 3 if rule == "push_sum" else 5)

        @slow.on(Average)
        async def think(request: Average) -> list[float]:
            await asyncio.sleep(2.0)
            return request.own

        player = await stage.enter(slow)
        await stage.submit("swarm", [GUESS], mode="agree", rule=rule, tolerance=1e-3)
        await asyncio.sleep(1.0)
        player.lose()
        view = await stage.end()
        assert view.success
        assert set(view.result["details"]["numbers"]) == {"ann", "bob"}
        if rule == "push_sum":
            assert view.result["answer"] == pytest.approx(3.0, abs=0.01), "what the lost one held is not lost"

    play(act)


def test_who_says_no_number_is_left_out(play: Any) -> None:
    async def act(stage: Any) -> None:
        await enter(stage, {"ann": 1, "bob": "many", "cy": 3, "dee": [1, 2]})
        view = await stage.run("swarm", [GUESS], mode="agree")
        assert view.result["answer"] == pytest.approx(2.0)
        assert sorted(view.result["details"]["wrong"]) == ["bob", "dee"]

    play(act)


def test_where_nobody_says_a_number_there_is_no_answer(play: Any) -> None:
    async def act(stage: Any) -> None:
        await enter(stage, {"ann": None})
        view = await stage.run("swarm", [GUESS], mode="agree")
        assert not view.success
        assert view.reason == "nobody has given a number"

    play(act)


def test_few_rounds_leave_them_apart_and_say_how_far(play: Any) -> None:
    async def act(stage: Any) -> None:
        await enter(stage, {f"a{place}": place for place in range(8)})
        view = await stage.run("swarm", [GUESS], mode="agree", rounds=2)
        assert view.result["settled"] == "the rounds are used up"
        assert view.result["value"] > 0.1

    play(act)
