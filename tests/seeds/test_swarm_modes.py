"""The swarm in each mode over many seeds, each with its own mix of faults; a failure prints what replays it."""

import asyncio

import pytest

from concerted.agent import Agent
from concerted.ports.commands import Submit
from concerted.sim.faults import Faults
from concerted.sim.play import simulate
from concerted.sim.world import Scenario
from concerted.strategies import choose
from concerted.values import AgentId, Objective, RunId, Task, TaskId

SEEDS = 80
PLACES = {name: [float(7 * place % 5), float(3 * place % 4)] for place, name in enumerate("abcdefgh")}
MODES = {
    "optimize": {"mode": "optimize", "space": {"x": {"float": [-5, 5]}, "n": {"int": [0, 9]}}, "evaluations": 40},
    "route": {"mode": "route", "points": PLACES, "rounds": 6},
    "select": {"mode": "select", "options": ["a", "bbb", "cc", "dddd"]},
    "honeybee": {"mode": "select", "rule": "honeybee", "options": ["a", "bbbbbbbb"], "rounds": 20},
    "agree": {"mode": "agree", "tolerance": 1e-3},
    "push_sum": {"mode": "agree", "rule": "push_sum", "tolerance": 1e-2},
}


def fleet(seed: int) -> list[Agent]:
    return [member(f"a{place}", place) for place in range(5)]


def member(name: str, place: int) -> Agent:
    agent = Agent(AgentId(name), capacity=1 + place % 2)

    @agent.task(on_restart="fail")
    async def do(task: Task) -> float:
        await asyncio.sleep(0.2 + place / 5)
        if "option" in task.payload:
            return len(task.payload["option"]) / 10
        return (task.payload["x"] - 2.0) ** 2 + task.payload["n"] if "x" in task.payload else float(place)

    return agent


@pytest.mark.parametrize("name", MODES)
def test_whatever_breaks_the_swarm_comes_to_an_answer(name: str) -> None:
    tasks = () if name == "route" else (Task(id=TaskId("do")),)
    scenario = Scenario(
        runs=(Submit(id=RunId("r"), strategy="swarm", objective=Objective(tasks=tasks), options=MODES[name]),),
        agents=fleet,
        strategies=choose.load,
    )
    report = simulate(scenario, range(SEEDS), Faults(swarm=True))
    assert report.ok, "\n".join(f"{failure.command}\n  {failure.problems}" for failure in report.failures)
    assert report.coordinators > SEEDS, "no coordinator has died at all"
    assert report.statuses["completed"] >= 0.9 * SEEDS, report.statuses
