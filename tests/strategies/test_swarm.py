"""The strategy swarm: its modes, what may be asked of it, its deadline, and what its log says."""

import asyncio
from typing import Any

import pytest

from concerted.agent import Agent
from concerted.config.settings import Swarm
from concerted.messages import Average, FindTrip
from concerted.strategies.swarm import MODES, RULES
from concerted.values import Objective, Task, TaskId

LOOK = Task(id=TaskId("look"), payload={"x": 0})


def scale(name: str, takes_s: float = 0.1) -> Agent:
    """Make an agent that says how far x is from 3, and y from 1."""
    agent = Agent(name)

    @agent.task()
    async def look(task: Task) -> float:
        await asyncio.sleep(takes_s)
        return float((task.payload["x"] - 3.0) ** 2 + (task.payload.get("y", 1.0) - 1.0) ** 2)

    return agent


SPACE = {"x": {"float": [-10, 10]}, "y": {"float": [-10, 10]}}


def test_every_mode_has_its_rules_and_auto_among_them() -> None:
    assert set(RULES) == {*MODES, "balance"}
    assert all("auto" in rules for rules in RULES.values())
    assert Swarm().mode == "balance"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"mode": "optimize", "rule": "honeybee", "space": SPACE},
            "a swarm that is to optimize has no rule 'honeybee'",
        ),
        ({"mode": "route", "rule": "pso"}, "has no rule 'pso'; take one of auto"),
        ({"mode": "optimize"}, "a space is a mapping"),
        ({"mode": "optimize", "space": {"x": {"float": [3, 1]}}}, "dimension x"),
        ({"mode": "optimize", "evaluations": 0, "space": SPACE}, "evaluations"),
        ({"mode": "fly"}, "fly"),
        ({"mode": "select"}, "give the swarm a list of options"),
        ({"mode": "route"}, "give the swarm points"),
        ({"mode": "route", "points": {"a": [0, 0]}, "distances": {"a": {}}}, "give the swarm points"),
        ({"mode": "route", "points": {"a": [0, "x"]}}, "the stops of the swarm are none"),
        ({"mode": "route", "distances": {"a": {}, "b": {}}}, "no distance between a and b"),
    ],
)
def test_what_cannot_be_is_refused_by_name(play: Any, options: dict[str, Any], told: str) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(scale("ann"))
        await stage.submit("swarm", [LOOK], **options)
        for _ in range(100):
            view = await stage.view()
            if view.ended_at is not None or view.status == "parked":
                break
            await asyncio.sleep(0.1)
        assert view.status in {"failed", "parked"}
        assert told in str([entry.data for entry in await stage.log()])

    play(act)


def test_at_its_deadline_there_is_the_best_so_far(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(scale("ann", 1.0))
        view = await stage.run("swarm", [LOOK], mode="optimize", space=SPACE, timeout_s=30.5)
        assert view.status == "timed_out"
        assert view.result["evaluations"] == 30
        assert view.result["value"] == view.result["curve"][-1][1]

    play(act)


def test_two_patterns_are_one_too_many(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(scale("ann"))
        await stage.submit("swarm", [LOOK, Task(id=TaskId("other"))], mode="optimize", space=SPACE)
        await asyncio.sleep(5.0)
        assert "has 2 tasks" in str([entry.data for entry in await stage.log()])

    play(act)


def test_agents_answer_what_a_swarm_asks_without_functions_of_their_own(play: Any) -> None:
    async def act(stage: Any) -> None:
        player = await stage.agent("ann")
        points = {name: [float(place % 3), float(place // 3)] for place, name in enumerate("abcdef")}
        view = await stage.run("swarm", Objective(data={"points": points}), mode="route", rounds=3)
        assert view.success
        assert "FIND_TRIP" in player.types()
        assert view.result["value"] == 6.0

    play(act)
    assert FindTrip.__struct_config__.tag == "FIND_TRIP"
    assert Average.__struct_config__.tag == "AVERAGE"


def test_its_story_can_be_read(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(scale("ann"))
        await stage.run("swarm", [LOOK], mode="optimize", space=SPACE, evaluations=5)
        story = await stage.why("r")
        assert any("a swarm of" in line and "begins to optimize" in line for line in story)
        assert any("the swarm settles at" in line and "the evaluations are used up" in line for line in story)

    play(act)
