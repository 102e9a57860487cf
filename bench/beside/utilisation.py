"""How busy a search keeps a fleet: agents of lognormal speeds, in virtual time, asked one by one or by generations."""

from __future__ import annotations

import asyncio
import heapq
from typing import Any

import numpy as np

from concerted.agent import Agent
from concerted.config.settings import Coordination, ManagerSettings
from concerted.ports.commands import Submit
from concerted.sim.faults import Faults
from concerted.sim.play import play
from concerted.sim.world import Scenario
from concerted.strategies import choose
from concerted.swarm.search import Search
from concerted.swarm.space import Space
from concerted.values import Objective, RunId, Task, TaskId

AGENTS = 40
EVALUATIONS = 4_000
DELAY_S = 0.01  # from the answer to the next candidate
WORK_S = 1.0  # of an agent of middling speed


def asynchronous(seed: int) -> float:
    """Return the share of time in which agents are at work, when each gets a candidate as soon as it is free."""
    dice, search = np.random.default_rng(seed), _search(seed)
    speeds = dice.lognormal(0.0, 1.0, AGENTS)
    at_work: list[tuple[float, int, int]] = []
    busy = now = 0.0
    for agent in range(AGENTS):
        busy += _begin(at_work, search, agent, 0.0, _lasts(dice, speeds[agent]))
    while search.told < EVALUATIONS:
        now, agent, candidate = heapq.heappop(at_work)
        search.tell(candidate, float(dice.random()))
        lasts = _lasts(dice, speeds[agent])
        busy += _begin(at_work, search, agent, now + DELAY_S, lasts)
    busy -= sum(end - max(now, 0.0) for end, _, _ in at_work)  # what is still at work when the search ends
    return busy / (now * AGENTS)


def by_generations(seed: int) -> float:
    """Return the same where all wait for the slowest of a generation, each agent with one candidate."""
    dice = np.random.default_rng(seed)
    speeds = dice.lognormal(0.0, 1.0, AGENTS)
    busy = now = 0.0
    for _ in range(EVALUATIONS // AGENTS):
        lasts = [_lasts(dice, speed) for speed in speeds]
        busy += sum(lasts)
        now += max(lasts) + DELAY_S
    return busy / (now * AGENTS)


def whole_run(seed: int) -> float:
    """Return the same of a whole run of the strategy in the simulator, from its start to its end."""
    dice, busy = np.random.default_rng(seed), [0.0]
    speeds = dice.lognormal(0.0, 1.0, AGENTS).tolist()
    agents = [_worker(f"a{place:02}", speed, dice, busy) for place, speed in enumerate(speeds)]
    options = {"mode": "optimize", "space": {f"x{place}": {"float": [-5, 5]} for place in range(10)}}
    objective = Objective(tasks=(Task(id=TaskId("look")),))
    submit = Submit(
        id=RunId("r"), strategy="swarm", objective=objective, options={**options, "evaluations": EVALUATIONS},
        timeout_s=100_000,
    )  # fmt: skip
    config = Coordination(manager=ManagerSettings(coordination_timeout=100_000.0))
    scenario = Scenario(runs=(submit,), agents=lambda _: agents, strategies=choose.load, config=config)
    played, problems = play(scenario, seed, Faults(delay=DELAY_S))
    assert played is not None, problems
    assert not problems, problems
    record = played.records[RunId("r")]
    assert record.ended_at is not None
    assert record.started_at is not None
    return busy[0] / ((record.ended_at - record.started_at) * AGENTS)


def _worker(name: str, speed: float, dice: Any, busy: list[float]) -> Agent:
    agent = Agent(name)

    @agent.task()
    async def look(task: Task) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await asyncio.sleep(_lasts(dice, speed))
        finally:  # it may be called back
            busy[0] += loop.time() - began
        return float(task.payload["x0"])

    return agent


def _search(seed: int) -> Search:
    return Search(Space.of({f"x{place}": {"float": [-5, 5]} for place in range(10)}), seed=seed)


def _begin(at_work: list[tuple[float, int, int]], search: Search, agent: int, at: float, lasts: float) -> float:
    heapq.heappush(at_work, (at + lasts, agent, search.ask().id))
    return lasts


def _lasts(dice: Any, speed: float) -> float:
    """Return how long one evaluation takes: by the agent's speed, and a little by chance."""
    return float(WORK_S / speed * dice.lognormal(0.0, 0.3))
