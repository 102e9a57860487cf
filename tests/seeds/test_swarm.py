"""Many seeds, each with its own mix of faults; a failure prints the command that replays it."""

import pytest

from concerted.agent import Agent
from concerted.ports.commands import Submit
from concerted.sim.actors import stand_in
from concerted.sim.faults import Faults
from concerted.sim.play import simulate
from concerted.sim.world import Scenario
from concerted.strategies import choose
from concerted.values import AgentId, Objective, Profile, RunId, Task, TaskId

SEEDS = {"coalition": 60}  # which takes longest for one
MANY = 150  # of all others


def fleet(seed: int) -> list[Agent]:
    return [
        stand_in(Profile(id=AgentId(f"a{number}"), capabilities={"x": number / 5}, capacity=1 + number % 2), seed)
        for number in range(5)
    ]


def work(run: str) -> Objective:
    first = tuple(Task(id=TaskId(f"{run}-{number}"), payload={"n": number}) for number in range(6))
    able = Task(id=TaskId(f"{run}-able"), required_capabilities={"x": 0.5}, after=(first[0].id,))
    last = Task(id=TaskId(f"{run}-last"), after=tuple(task.id for task in (*first, able)))
    return Objective(description=run, tasks=(*first, able, last))


@pytest.mark.parametrize(
    "strategy", ["auction", "coalition", "contract_net", "hierarchical", "leader_follower", "swarm"]
)
def test_nothing_is_lost_and_nothing_is_accepted_twice_whatever_breaks(strategy: str) -> None:
    scenario = Scenario(
        runs=tuple(Submit(id=RunId(run), strategy=strategy, objective=work(run)) for run in ("r", "q")),
        agents=fleet,
        strategies=choose.load,
        plan=f"{strategy}.yaml",
    )
    seeds = SEEDS.get(strategy, MANY)
    report = simulate(scenario, range(seeds), Faults(swarm=True))
    assert report.ok, "\n".join(f"{failure.command}\n  {failure.problems}" for failure in report.failures)
    assert report.seeds == seeds
    assert report.coordinators > seeds, "no coordinator has died at all"
    assert report.statuses["completed"] >= 0.9 * 2 * seeds, report.statuses
