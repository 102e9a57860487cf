"""Strategies made by dice, of all the verbs, in worlds made by dice: what they have done they do again the same."""

import asyncio
import contextlib
import random

import pytest

from concerted.errors import Invalid, TimedOut
from concerted.messages import Custom, GetCapabilities
from concerted.ports.commands import Cancel, Signal, Submit
from concerted.sim.actors import stand_in
from concerted.sim.faults import Faults
from concerted.sim.play import play
from concerted.sim.world import Scenario, Step
from concerted.values import AgentId, Objective, Outcome, Profile, RunId, Task, TaskId

R = RunId("r")
SEEDS = 250


class Program:
    """A program of a seed: the same steps whenever it is run, whatever the world answers."""

    def __init__(self, run, seed, depth):
        self.run, self.dice, self.depth = run, random.Random(seed), depth
        self.done = 0

    async def steps(self, count):
        for _ in range(count):
            step = getattr(self, self.dice.choice(STEPS))
            await step()
            self.done += 1

    def agents(self):
        there = sorted(self.run.agents) or ["nobody"]
        return self.dice.sample(there, self.dice.randint(1, len(there)))

    async def ask(self):
        limit = self.dice.choice([0.01, 1, 20])
        await self.run.ask(self.agents()[0], Custom(name="ECHO", data=self.done), deadline=limit)

    async def gather(self):
        names = self.agents()
        how = self.dice.choice([{}, {"quorum": 1}, {"until": lambda reply: reply.ok}, {"deadline": 0.05}])
        await self.run.gather(names, Custom(name="ECHO", data=[self.done]), **how)

    async def stream(self):
        seen = 0
        async for _ in self.run.stream(self.agents(), Custom(name="ECHO"), deadline=5):
            seen += 1
            if seen == self.dice.randint(1, 3):
                break

    async def capabilities(self):
        await self.run.gather(self.agents(), GetCapabilities())

    async def execute(self):
        name = TaskId(f"t{self.depth}-{self.dice.randint(0, 3)}")
        task = Task(id=name, max_duration_s=self.dice.choice([None, 0.3, 60.0]))
        await self.run.execute(task, self.agents()[0])

    async def sleep(self):
        await asyncio.sleep(self.dice.choice([0, 0.01, 1.0, 7.0]))

    async def hurry(self):
        try:
            async with self.dice.choice([asyncio.timeout, self.run.deadline])(self.dice.choice([0.0, 0.02, 0.5])):
                await self.steps(2)
        except (TimeoutError, TimedOut):
            pass

    async def together(self):
        async with asyncio.TaskGroup() as group:
            for seed in (self.dice.random(), self.dice.random()):
                other = Program(self.run, seed, self.depth + 1)
                group.create_task(other.steps(0 if self.depth > 3 else 2))

    async def race(self):
        runners = [asyncio.ensure_future(self.run.ask(agent, Custom(name="ECHO"))) for agent in self.agents()]
        done, pending = await asyncio.wait(runners, return_when=asyncio.FIRST_COMPLETED, timeout=3)
        for task in pending:
            task.cancel()
        self.run.record("raced", done=sorted(task.result().agent for task in done))

    async def child(self):
        if self.depth > 1:
            return
        options = {"seed": self.dice.random(), "depth": self.depth + 1}
        names = self.dice.choice([None, self.agents()])
        try:
            async with asyncio.timeout(self.dice.choice([0.05, 1.0, 60.0])):
                await self.run.child("program", Objective(), agents=names, options=options)
        except TimeoutError:
            pass

    async def do(self):
        await self.run.do("side", lambda: self.depth)

    async def fail(self):
        with contextlib.suppress(Invalid):
            await self.run.do("broken", lambda: 1 // 0)

    async def compute(self):
        await self.run.compute(divmod, 7, 2)

    async def undo(self):
        try:
            async with self.run.compensate(self.agents()[0], Custom(name="UNDO")):
                await self.steps(1)
                if self.dice.random() < 0.5:
                    raise KeyError("undo it")
        except KeyError:
            pass

    async def tell(self):
        self.run.inform(self.agents(), Custom(name="NEWS"))
        self.run.progress(self.done, self.done + 1, dice=self.run.random.random(), id=str(self.run.uuid()))

    async def signal(self):
        try:
            async with asyncio.timeout(2):
                await self.run.signal(self.dice.choice("ab"))
        except TimeoutError:
            pass

    async def version(self):
        self.run.record("versions", chosen=self.run.version(self.dice.choice("xy"), 3))


STEPS = [name for name in vars(Program) if not name.startswith("_") and name not in ("steps", "agents")]


async def program(run):
    lives = run.state or 0
    mine = Program(run, f"{run.options['seed']}/{lives}", run.options["depth"])
    await mine.steps(mine.dice.randint(1, 6))
    if lives < mine.dice.randint(0, 2):
        run.restart(lives + 1)
    return Outcome(success=True, result=[lives, mine.done, run.random.random()])


def fleet(seed):
    agents = []
    for name in ("ann", "bob", "cy"):
        agent = stand_in(Profile(id=AgentId(name), capabilities={"x": 0.5}), seed)
        for kind in ("ECHO", "UNDO"):
            agent.on(kind)(lambda request: request.data)
        agents.append(agent)
    return agents


def scenario(seed: int) -> Scenario:
    dice = random.Random(f"scenario {seed}")
    steps = [
        Step(round(dice.uniform(0, 20), 3), Signal(id=R, name=dice.choice("ab"), request_id=f"s{number}"))
        for number in range(dice.randint(0, 4))
    ]
    if dice.random() < 0.2:
        steps.append(Step(dice.uniform(0, 30), Cancel(id=R, reason="by dice")))
    return Scenario(
        runs=(Submit(id=R, strategy="program", objective=Objective(), options={"seed": seed, "depth": 0}),),
        agents=fleet,
        strategies=lambda _: program,
        steps=tuple(sorted(steps, key=lambda step: step.at_s)),
    )


@pytest.mark.parametrize("faults", ["", "swarm"])
def test_whatever_a_strategy_does_it_does_it_again_the_same(faults: str) -> None:
    statuses: set[str] = set()
    for seed in range(SEEDS):
        played, problems = play(scenario(seed), seed, Faults.parse(faults))
        assert problems == [], f"seed {seed}"
        assert played is not None
        statuses.add(played.records[R].status)
    assert "completed" in statuses
