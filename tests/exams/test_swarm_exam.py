"""The swarm sits the exam of strategies in each of its modes; the deaths and the lossy network are in tests/seeds."""

import asyncio

import pytest

from concerted.agent import Agent
from concerted.strategies.swarm import coordinate
from concerted.testing.strategy_exam import STRATEGY_CHECKS, Setting, check_strategy, plain_setting
from concerted.values import AgentId, Objective, Task, TaskId

REPLAY, DEATH, LOSSY, CANCEL, DEADLINE, WORLD, HASH = STRATEGY_CHECKS
PLACES = {name: [float(7 * place % 5), float(3 * place % 4)] for place, name in enumerate("abcdefgh")}


def agents(seed):
    return [agent(name, place) for place, name in enumerate(("ann", "bob", "cy", "dee"))]


def agent(name, place):
    made = Agent(AgentId(name))

    @made.task()
    async def do(task):
        await asyncio.sleep(0.3 + place / 10)
        if "option" in task.payload:
            return len(task.payload["option"]) - (place == 3) * 10
        return (task.payload["x"] - 2.0) ** 2 if "x" in task.payload else place

    return made


def one(name, **data):
    return Objective(description=name, tasks=(Task(id=TaskId(name)),), data=data)


def succeeded(outcome):
    """Which candidates there are hangs on who is quicker; that they are looked at does not."""
    return outcome["success"], outcome["result"]["evaluations"]


def optimize():
    options = {"mode": "optimize", "space": {"x": {"float": [-5, 5]}}, "evaluations": 7, "population": 4}
    return Setting(objective=one("look"), agents=agents, options=options, matters=succeeded)


def route():
    objective = Objective(data={"points": PLACES})
    return Setting(
        objective=objective, agents=agents, options={"mode": "route", "rounds": 3},
        matters=lambda outcome: (outcome["success"], round(outcome["result"]["value"], 6)),
    )  # fmt: skip


def select():
    options = {"mode": "select", "options": ["a", "bbb", "cc"], "repeats": 1}
    return Setting(
        objective=one("judge"), agents=agents, options=options,
        matters=lambda outcome: (outcome["success"], outcome["result"]["answer"]),
    )  # fmt: skip


def agree():
    return Setting(
        objective=one("guess"), agents=agents, options={"mode": "agree", "rounds": 4},
        matters=lambda outcome: (outcome["success"], round(outcome["result"]["answer"], 6)),
    )  # fmt: skip


def balance():
    return plain_setting()


MODES = [optimize, route, select, agree, balance]
each_mode = pytest.mark.parametrize("setting", MODES, ids=lambda each: each.__name__)


@each_mode
@pytest.mark.parametrize("check", [REPLAY, CANCEL, DEADLINE, WORLD])
def test_the_swarm_passes(setting, check):
    check_strategy(coordinate, check, setting=setting)


@pytest.mark.seeds
@each_mode
@pytest.mark.parametrize("check", [DEATH, LOSSY, HASH])
def test_the_swarm_passes_the_long_checks(setting, check):
    check_strategy(coordinate, check, setting=setting)
