"""The mode `route`: many boards and one, refusals, wrong trips, and the coordinator that computes itself."""

import asyncio
from typing import Any

import pytest

from concerted.agent import Agent
from concerted.agent.work import Refused
from concerted.messages import FindTrip
from concerted.swarm.dice import Dice
from concerted.swarm.tours import Map
from concerted.values import Objective

PLACES = {f"p{place}": point for place, point in enumerate(Dice(11).uniform(30, 2).tolist())}


def objective(**data: Any) -> Objective:
    return Objective(data=data or {"points": PLACES})


def test_what_all_find_is_a_trip_that_is_as_long_as_it_says(play: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob", "cy"):
            await stage.agent(name)
        view = await stage.run("swarm", objective(), mode="route", rounds=6)
        assert view.success
        where = Map.of_points([PLACES[name] for name in sorted(PLACES)])
        order = [sorted(PLACES).index(name) for name in view.result["answer"]]
        assert view.result["value"] == pytest.approx(where.length(order))
        assert view.result["rounds"] == 6
        assert view.result["settled"] == "the rounds are used up"

    play(act)


def test_distances_may_be_given_in_one_direction(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        square = {"a": {"b": 1, "d": 1, "c": 5}, "b": {"c": 1, "d": 5}, "c": {"d": 1}, "d": {}}
        view = await stage.run("swarm", objective(distances=square), mode="route", rounds=2)
        assert view.result["value"] == 4.0

    play(act)


def test_nothing_better_for_long_enough_and_a_target_are_enough(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("swarm", objective(), mode="route", rounds=500, patience=4)
        assert view.result["settled"] == "nothing better in 4 rounds"

    async def reach(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("swarm", objective(), mode="route", target=100.0)
        assert (view.result["settled"], view.result["rounds"]) == ("the target is reached", 1)

    play(act)
    play(reach)


def test_where_all_refuse_the_coordinator_computes(play: Any) -> None:
    async def act(stage: Any) -> None:
        agent = Agent("ann")

        @agent.on(FindTrip)
        def find(request: FindTrip) -> list[int]:
            raise Refused("no legs")

        await stage.enter(agent)
        view = await stage.run("swarm", objective(), mode="route", rounds=2)
        assert view.success
        assert [row.data["name"] for row in await stage.log("effect.started")] == ["explore", "explore"]

    play(act)


def test_a_trip_that_is_none_is_laid_nowhere_and_its_agent_asked_no_more(play: Any) -> None:
    async def act(stage: Any) -> None:
        wrong = Agent("ann")

        @wrong.on(FindTrip)
        def find(request: FindTrip) -> list[int]:
            return [1, 1, 2]

        player = await stage.enter(wrong)
        await stage.agent("bob")
        view = await stage.run("swarm", objective(), mode="route", rounds=5)
        assert view.success
        assert player.types().count("FIND_TRIP") == 1
        assert "does not visit each of 30 stops once" in view.result["details"]["wrong"]["ann"]

    play(act)


def test_a_coordinator_that_dies_goes_on_with_the_same_board(play: Any) -> None:
    async def act(stage: Any) -> None:
        agent = Agent("ann")

        @agent.on(FindTrip)
        async def find(request: FindTrip) -> list[int]:
            await asyncio.sleep(1.0)
            return list(request.board["order"])

        await stage.enter(agent)
        await stage.submit("swarm", objective(), mode="route", rounds=5)
        await asyncio.sleep(2.5)
        await stage.crash()
        view = await stage.end()
        assert (view.success, view.result["rounds"]) == (True, 5)

    play(act)
