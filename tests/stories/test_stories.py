"""Whole runs, told in words: golden transcripts to be read as prose when something changes.

Each story is played by the simulator: the real coordinator, the real strategies and desks, virtual time.
`STORIES=rewrite pytest tests/stories` writes the files anew; then read what has changed, as a reader would.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from concerted.agent import Agent, Refused
from concerted.config.settings import Coordination, ManagerSettings
from concerted.kinds import primitive_stream, run_stream
from concerted.messages import AgreeToContract, CallForProposals, Custom, Judge, Judgement, Proposal
from concerted.ports.commands import Cancel, Submit
from concerted.run import Run
from concerted.sim.faults import Faults
from concerted.sim.virtual_time import run_virtual
from concerted.sim.world import Kill, Played, Scenario, Step, World
from concerted.story.chain import read_story
from concerted.story.primitives import about_primitive
from concerted.strategies import choose
from concerted.values import AgentId, Objective, Outcome, RunId, Task, TaskId

HERE = Path(__file__).parent
CALM = Faults(delay=0.001)  # every message takes a millisecond
READ, SKETCH, WRITE = TaskId("read"), TaskId("sketch"), TaskId("write")
PAGE = (
    Task(id=READ, required_capabilities={"reading": 0.5}, max_duration_s=60.0),
    Task(id=SKETCH, required_capabilities={"drawing": 0.5}, max_duration_s=60.0),
    Task(id=WRITE, required_capabilities={"writing": 0.5}, max_duration_s=60.0, after=(READ, SKETCH)),
)


@dataclass(frozen=True)
class Story:
    """One run to be told.

    deaths: agent -> when it dies for good.  tasks, decisions, agreements: those whose own stories are told besides.
    limits: task -> budget.  objective: by default the page.  options: of the strategy.
    """

    about: str
    strategy: str = "auction"
    runs: tuple[str, ...] = ("page",)
    tasks: tuple[TaskId, ...] = ()
    agents: Callable[[int], list[Agent]] = lambda _: fleet()
    steps: tuple[Step, ...] = ()
    deaths: tuple[tuple[str, float], ...] = ()
    kills: tuple[Kill, ...] = ()
    limits: tuple[tuple[str, float], ...] = ()
    decisions: tuple[str, ...] = ()
    agreements: tuple[str, ...] = ()
    objective: Objective | None = None
    options: dict[str, Any] = field(default_factory=dict)
    page: tuple[Task, ...] = PAGE

    def play(self, seed: int = 1, faults: Faults = CALM) -> Played:
        async def main() -> Played:
            world = World(self._scenario(), seed, faults, self.kills)
            for name, at_s in self.deaths:
                (actor,) = (each for each in world.actors if each.profile.id == name)
                asyncio.get_running_loop().call_at(at_s, actor.die)
            return await world.play()

        played = run_virtual(main())
        assert played.stuck is None
        assert not played.complaints
        return played

    def tell(self, played: Played) -> str:
        """Write the story as it stands in its file."""
        parts = [self.about]
        for run in self.runs:
            story = read_story(run, [entry for entry in played.log if entry.stream == run_stream(run)])
            parts += ["", f"run {run}", *story.chain()]
            for task in self.tasks:
                parts += ["", f"task {run}:{task}", *story.chain(task)]
        of = [("decision", id) for id in self.decisions] + [("agreement", key) for key in self.agreements]
        for kind, id in of:
            stream = primitive_stream(kind, id)
            told = about_primitive(entry for entry in played.log if entry.stream == stream)
            parts += ["", f"{kind} {id}", *told]
        return "\n".join(parts) + "\n"

    def _scenario(self) -> Scenario:
        budgets = dict(self.limits)
        tasks = tuple(
            msgspec.structs.replace(task, max_budget=budgets.get(task.id, task.max_budget)) for task in self.page
        )
        submit = Submit(
            id=RunId(self.runs[0]),
            strategy=self.strategy,
            objective=self.objective or Objective(tasks=tasks),
            options=self.options,
        )
        config = Coordination(manager=ManagerSettings(task_lease=30.0))
        return Scenario(runs=(submit,), agents=self.agents, strategies=strategy_named, config=config, steps=self.steps)


# The cast


def fleet() -> list[Agent]:
    """Three who read, draw and write, each for another price."""
    return [
        worker("ann", 3.0, cost=3.0, capabilities={"reading": 0.9, "writing": 0.9, "leadership": 0.9}),
        worker("bob", 2.0, cost=1.0, capabilities={"reading": 0.6, "drawing": 0.7}),
        worker("cy", 4.0, cost=2.0, capabilities={"drawing": 0.9, "writing": 0.6, "leadership": 0.5}),
    ]


def unwilling_fleet() -> list[Agent]:
    """The same three; bob agrees to no contract."""
    agents = fleet()

    @agents[1].on(AgreeToContract)
    def refuse(request: AgreeToContract) -> dict[str, bool]:
        return {"agreed": False}

    return agents


def worker(name: str, takes_s: float, **profile: Any) -> Agent:
    agent = Agent(name, **profile)

    @agent.task()
    async def work(task: Task) -> str:
        await asyncio.sleep(takes_s)
        return f"{task.id} by {name}"

    @agent.on("BOOK")
    def book(request: Custom) -> str:
        return f"{request.data} is booked"

    @agent.on("UNDO")
    def undo(request: Custom) -> str:
        return f"{request.data} is free again"

    return agent


def seekers() -> list[Agent]:
    """Three who say how far x is from 7."""
    return [seeker("ann", 1.0), seeker("bob", 1.2), seeker("cy", 1.5)]


def seeker(name: str, takes_s: float) -> Agent:
    agent = Agent(name)

    @agent.task()
    async def look(task: Task) -> int:
        await asyncio.sleep(takes_s)
        return abs(int(task.payload["x"]) - 7)

    return agent


async def issue(run: Run) -> Outcome:
    """Have a page made by a run of its own, and then say so."""
    page = await run.child("auction", Objective(tasks=PAGE))
    return Outcome(success=page.success, result={task.id: task.result for task in page.tasks})


async def booked(run: Run) -> Outcome:
    """Book a room, then wait for a word that never comes; whatever happens, the room must not stay booked."""
    ann = AgentId("ann")
    room = await run.ask(ann, Custom(name="BOOK", data="the room"))
    async with run.compensate(ann, Custom(name="UNDO", data="the room")):
        await run.signal("begin")
    return Outcome(success=True, result=room.value)


async def painted(run: Run) -> Outcome:
    """Two of its parts propose a colour at once, and after a night's sleep a third asks again; all paint with one."""
    parts = {"walls": "red", "doors": "blue"}
    told = await asyncio.gather(
        *(run.agree("colour", colour, valid="red|blue", propose_as=AgentId(part)) for part, colour in parts.items())
    )
    await asyncio.sleep(8.0)
    late = await run.agree("colour", "blue", propose_as=AgentId("roof"))
    return Outcome(success=True, result=[one.value for one in (*told, late)])


def market() -> list[Agent]:
    """Make three who bargain, and eve, who manages: ann comes down in price, bob withdraws, cy is late."""
    ann, bob, cy = fleet()

    @ann.on(CallForProposals)
    def come_down(request: CallForProposals) -> Proposal:
        wanted = None if request.counter is None else request.counter.cost
        return Proposal(cost=6.0 if wanted is None else max(4.0, wanted), estimated_duration_s=60.0)

    bob.tasks.clear()

    @bob.task()
    async def withdraw(task: Task) -> None:
        await asyncio.sleep(1.0)
        raise Refused("somebody pays more")

    @cy.on(CallForProposals)
    def promise(request: CallForProposals) -> Proposal:
        return Proposal(cost=2.0, estimated_duration_s=2.0)

    return [ann, bob, cy, worker("eve", 1.0, capabilities={"leadership": 1.0})]


def panel() -> list[Agent]:
    """Make three who judge: ann and bob accept, and cy, who has a veto, takes longest and rejects."""
    thinks = {"ann": (1.0, "accept", "it is short"), "bob": (2.0, "accept", ""), "cy": (6.0, "reject", "it is wrong")}

    def judging(agent: Agent) -> Agent:
        after_s, choice, reason = thinks[agent.id]

        @agent.on(Judge)
        async def judge(request: Judge) -> Judgement:
            await asyncio.sleep(after_s)
            return Judgement(choice=choice, reason=reason)

        return agent

    return [judging(agent) for agent in fleet()]


def strategy_named(name: str) -> Any:
    return {"issue": issue, "booked": booked, "painted": painted}.get(name) or choose.load(name)


# The stories

STORIES = {
    "auction_all_answer": Story(
        "Three agents bid on the tasks of a page, and everybody answers.",
        tasks=(READ, WRITE),
    ),
    "auction_winner_killed": Story(
        "Bob wins a task and dies while he is at work on it; the task is awarded to another.",
        deaths=(("bob", 1.5),),
        tasks=(READ, SKETCH),
    ),
    "auction_vcg": Story(
        "Money decides, and honest bids are everybody's best: winners are owed what the whole would lose without them.",
        options={"payment": "vcg"},
        limits=(("read", 5.0), ("sketch", 5.0), ("write", 5.0)),
        tasks=(READ, WRITE),
    ),
    "coordinator_killed": Story(
        "The coordinator dies in the middle; the next one takes the run over, and no task is done again.",
        kills=(Kill("after commit", 9),),
    ),
    "leader_failover": Story(
        "Ann leads and dies; another is elected, and what was done stays done.",
        strategy="leader_follower",
        deaths=(("ann", 2.5),),
        agents=lambda _: [*fleet(), worker("dee", 5.0, capabilities={"reading": 0.5, "writing": 0.7})],
    ),
    "contract_net": Story(
        "Eve manages: one contract is bargained over, one withdrawn from, and one is fulfilled late.",
        strategy="contract_net",
        agents=lambda _: market(),
        tasks=(READ,),
        limits=(("read", 5.0),),
    ),
    "decision_veto_last": Story(
        "Two of three accept, which would do, and the coordinator dies; then comes the veto.",
        strategy="consensus",
        agents=lambda _: panel(),
        options={"question": "shall the page be printed?", "id": "print", "rule": {"vetoes": ["cy"]}},
        kills=(Kill("after commit", 13),),
        decisions=("print",),
    ),
    "agreement_two_at_once": Story(
        "Two propose at once, and the coordinator dies before they are told; they and a third are told the same.",
        strategy="painted",
        kills=(Kill("after commit", 6),),
        agreements=("colour",),
    ),
    "swarm_finds": Story(
        "Three agents look for the least value; bob dies with a candidate in hand, and another looks at it.",
        strategy="swarm",
        agents=lambda _: seekers(),
        deaths=(("bob", 1.5),),
        objective=Objective(
            tasks=(Task(id=TaskId("look")),),
            data={"space": {"x": {"int": [0, 9]}}},
        ),
        options={"mode": "optimize", "evaluations": 8, "population": 4},
    ),
    "child_run": Story(
        "A run has another run make the page.",
        strategy="issue",
        runs=("page", "page/1"),
    ),
    "coalition_refused": Story(
        "A book is to be read and drawn, which takes two; bob will not be in a coalition, so the next best is formed.",
        strategy="coalition",
        agents=lambda _: unwilling_fleet(),
        page=(Task(id=TaskId("book"), required_capabilities={"reading": 0.8, "drawing": 0.6}, max_budget=12.0),),
    ),
    "hierarchy": Story(
        "Two clusters; ann, who is one of them all by herself, dies at work, and the other does what she has not done.",
        strategy="hierarchical",
        runs=("page", "page/4"),
        deaths=(("ann", 1.5),),
        agents=lambda _: [*fleet(), worker("dee", 2.0, capabilities={"drawing": 0.8})],
        options={"clusters": 2},
    ),
    "cancel_with_compensation": Story(
        "Somebody calls the run off while a room is booked; the booking is undone first.",
        strategy="booked",
        steps=(Step(5.0, Cancel(id=RunId("page"), reason="nobody reads it", by="cy")),),
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_the_story_is_told_as_it_was(name: str) -> None:
    told, path = STORIES[name].tell(STORIES[name].play()), HERE / f"{name}.txt"
    if os.environ.get("STORIES") == "rewrite":
        path.write_text(told, "utf-8")
    assert path.exists(), f"write it with STORIES=rewrite pytest {HERE.name}, and read it"
    assert told == path.read_text("utf-8"), "if the new story is the better one: STORIES=rewrite pytest tests/stories"


def test_every_file_here_is_a_story_that_is_played() -> None:
    assert sorted(path.stem for path in HERE.glob("*.txt")) == sorted(STORIES)


def test_the_same_seed_tells_the_same_story() -> None:
    story, rough = STORIES["auction_winner_killed"], Faults(drop=0.2, duplicate=0.2, reorder=0.3, delay=0.5, crash=2)
    first, again, other = (story.play(seed, rough) for seed in (7, 7, 8))
    assert story.tell(first) == story.tell(again)
    assert first.transcript == again.transcript
    assert first.log == again.log
    assert story.tell(other) != story.tell(first)


def test_a_story_with_another_ending_is_another_story() -> None:
    """The golden files can fail: nobody dies here, and it is noticed."""
    story = STORIES["auction_winner_killed"]
    assert replace(story, deaths=()).tell(replace(story, deaths=()).play()) != story.tell(story.play())
