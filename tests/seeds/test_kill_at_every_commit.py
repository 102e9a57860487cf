"""The acceptance test of the one idea: kill the coordinator everywhere, and nothing is different.

Each case is a strategy that uses some of the verbs of `run`.  First it is played without deaths, and the
numbers of commits and rows it took are compared to constants: a run that begins to write more than it
needs is found here.  Then it is played once for every commit and every send, with the coordinator killed
before or after it, and for every takeover that dies itself.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from concerted.agent import Agent, Refused
from concerted.messages import Custom, GetCapabilities
from concerted.ports.commands import Cancel, Signal, Submit
from concerted.sim.actors import stand_in
from concerted.sim.faults import Faults
from concerted.sim.play import ending_of, kills_of, play
from concerted.sim.world import Played, Scenario, Step
from concerted.strategies import choose
from concerted.values import AgentId, Objective, Outcome, Profile, RunId, Task, TaskId

RUN = RunId("r")


# The strategies


async def gather_and_execute(run):
    replies = await run.gather(list(run.agents), Custom(name="PRICE"), deadline=10)
    cheapest = min(replies.ok, key=lambda reply: (reply.value, reply.agent))
    task = Task(id=TaskId("build"), payload={"price": cheapest.value})
    run.record("tasks.added", tasks=[{"id": task.id}])
    reply = await run.execute(task, cheapest.agent)
    run.record("task.done", agent=reply.agent, ref=task.id, epoch=reply.epoch, result=reply.value)
    return Outcome(success=reply.ok, result=[cheapest.agent, reply.value])


async def many_tasks(run):
    agents = sorted(run.agents)
    tasks = [Task(id=TaskId(f"t{number}")) for number in range(6)]
    run.record("tasks.added", tasks=[{"id": task.id} for task in tasks])
    results = {}

    async def work(agent, mine):
        for task in mine:
            reply = await run.execute(task, agent)
            run.record("task.done", agent=agent, ref=task.id, epoch=reply.epoch, result=reply.value)
            results[task.id] = reply.value["digest"]
            run.progress(len(results), len(tasks))

    async with asyncio.TaskGroup() as group:
        for place, agent in enumerate(agents):
            group.create_task(work(agent, tasks[place :: len(agents)]))
    return Outcome(success=True, result=dict(sorted(results.items())))


async def children(run):
    async with asyncio.TaskGroup() as group:
        parts = [group.create_task(run.child("leaf", Objective(description=word))) for word in ("a", "b")]
    inner = await run.child("parent", Objective(description="c"), agents=sorted(run.agents)[:1])
    return Outcome(success=True, result=[part.result().result for part in parts] + [inner.result])


async def leaf(run):
    (reply, *_) = await run.gather(sorted(run.agents), Custom(name="ECHO", data=run.objective.description))
    return reply.value


async def parent(run):
    await asyncio.sleep(0.5)
    outcome = await run.child("leaf", run.objective)
    return outcome.result * 2


async def effects(run):
    number = await run.do("count", lambda: 7)

    async def slowly():
        await asyncio.sleep(0.3)
        return {"slow": number}

    slow = await run.do("slowly", slowly)
    square = await run.compute(pow, number, 2)
    return [number, slow, square]


async def past(run):
    (reply,) = await run.gather(["ann"], Custom(name="PRICE"))
    run.record("task.waiting", ref="t", reason="it has a price")
    found = await run.past("task.waiting", lambda facts: [fact.ref for fact in facts])
    again = await run.ask("ann", Custom(name="ECHO", data=found))
    return [reply.value, again.value]


async def timers(run):
    began = run.now()
    await asyncio.sleep(1.0)
    try:
        async with run.deadline(2.0):
            await asyncio.sleep(60.0)
    except TimeoutError:
        pass
    silent = await run.ask("ann", Custom(name="NEVER"), deadline=3.0)
    done, _ = await asyncio.wait(
        [asyncio.ensure_future(asyncio.sleep(delay, delay)) for delay in (0.9, 0.3, 0.6)],
        return_when=asyncio.FIRST_COMPLETED,
    )
    async with asyncio.timeout(5.0):
        await asyncio.sleep(0.1)
    return [silent.status, [task.result() for task in done], run.now() - began > 6.0]


async def signals(run):
    first = await run.signal("go")
    second = await run.signal("go")
    async with asyncio.timeout(100):
        other = await run.signal("stop")
    return [first, second, other]


async def compensation(run):
    try:
        async with run.compensate("bob", Custom(name="UNBOOK", data="hotel")):
            booked = await run.ask("bob", Custom(name="BOOK", data="hotel"))
            async with run.compensate("ann", Custom(name="UNBOOK", data="flight")):
                await run.ask("ann", Custom(name="BOOK", data="flight"))
                raise ValueError("no seats")
    except ValueError as error:
        return [booked.value, str(error)]


async def cancelled(run):
    async with run.compensate("bob", Custom(name="UNBOOK", data="hotel")):
        await run.ask("bob", Custom(name="BOOK", data="hotel"))
        await asyncio.sleep(1000.0)


async def restarts(run):
    state = run.state or {"round": 0, "seen": []}
    reply = await run.ask("ann", Custom(name="ECHO", data=state["round"]))
    await asyncio.sleep(0.2)
    seen = [*state["seen"], reply.value]
    if len(seen) == 4:
        return seen
    return run.restart({"round": state["round"] + 1, "seen": seen})


async def versions(run):
    newest = run.version("greeting", 2)
    reply = await run.ask("ann", Custom(name="ECHO", data=f"version {newest}"))
    token = str(run.uuid())
    roll = run.random.randint(1, 6)
    again = await run.ask("bob", Custom(name="ECHO", data=[token, roll]))
    return [reply.value, again.value, [token, roll], run.version("greeting", 3)]


async def streams(run):
    firsts = [reply.value async for reply in run.stream(sorted(run.agents), Custom(name="PRICE"), deadline=5)]
    some = await run.gather(sorted(run.agents), Custom(name="PRICE"), quorum=2)
    levels = await run.gather(sorted(run.agents), GetCapabilities())
    run.inform(sorted(run.agents), Custom(name="NEWS", data="over"))
    refused = await run.ask("cy", Custom(name="REFUSE"))
    failed = await run.ask("cy", Custom(name="FAIL"))
    return [sorted(firsts), len(some.ok), [reply.value for reply in levels], refused.status, failed.error]


TABLE = {
    each.__name__: each
    for each in (
        gather_and_execute, many_tasks, children, leaf, parent, effects, past, timers, signals, compensation,
        cancelled, restarts, versions, streams,
    )
}  # fmt: skip


# The agents


def three_agents(seed: int) -> list[Agent]:
    agents = []
    for place, name in enumerate(("ann", "bob", "cy")):
        agent = stand_in(Profile(id=AgentId(name), capabilities={"building": 0.5 + place / 10}), seed)
        agent.on("PRICE")(lambda request, price=3 - place: price)
        agent.on("ECHO")(lambda request: request.data)
        agent.on("BOOK")(lambda request: f"booked {request.data}")
        agent.on("UNBOOK")(lambda request: f"unbooked {request.data}")
        agent.on("REFUSE")(refuse)
        agent.on("FAIL")(fail)
        agent.on("NEVER")(never)
        agents.append(agent)
    return agents


def rowers(seed: int) -> list[Agent]:
    """Seventeen, all of whom are needed: more than can be looked at in full."""
    return [stand_in(Profile(id=AgentId(f"a{at:02}"), capabilities={"oar": 0.059}), seed) for at in range(17)]


def refuse(request):
    raise Refused("not today")


def fail(request):
    raise ValueError("broken")


async def never(request):
    await asyncio.sleep(10_000)


# The cases


PLAIN = Objective(description="test")


@dataclass(frozen=True)
class Case:
    """commits, rows: those of the run and of its children, without deaths.

    more: how many commits more there may be where what children and agents say does not come at the same moment.
    """

    strategy: str
    status: str
    commits: int
    rows: int
    steps: tuple[Step, ...] = ()
    objective: Objective = PLAIN
    options: dict[str, object] = field(default_factory=dict)
    more: int = 0
    agents: Callable[[int], list[Agent]] = three_agents
    name: str = ""


HOUSE = Objective(
    description="a house",
    tasks=(
        Task(id=TaskId("plan"), priority=1),
        Task(id=TaskId("walls"), after=(TaskId("plan"),)),
        Task(id=TaskId("doors"), after=(TaskId("plan"),), required_capabilities={"building": 0.6}),
        Task(id=TaskId("party"), after=(TaskId("walls"), TaskId("doors"))),
        Task(id=TaskId("garden")),
    ),
)
FIRM = Objective(
    description="a firm",
    tasks=(
        Task(id=TaskId("plan"), required_capabilities={"building": 1.0}, max_budget=20.0),
        Task(id=TaskId("walls"), after=(TaskId("plan"),), max_budget=9.0),
    ),
)
GALLEY = Task(id=TaskId("galley"), required_capabilities={"oar": 1.0}, max_budget=60.0)
SIGNALS = (
    Step(0.5, Signal(id=RUN, name="go", payload=1, request_id="one")),
    Step(1.0, Signal(id=RUN, name="stop", payload="x", request_id="two")),
    Step(1.5, Signal(id=RUN, name="go", payload=1, request_id="one")),
    Step(2.0, Signal(id=RUN, name="go", payload=2, request_id="three")),
)
CASES = [
    Case("gather_and_execute", "completed", 3, 12),
    Case("many_tasks", "completed", 7, 34),
    Case("children", "completed", 13, 34),
    Case("effects", "completed", 4, 9),
    Case("past", "completed", 4, 10),
    Case("timers", "completed", 6, 9),
    Case("signals", "completed", 4, 6, SIGNALS),
    Case("compensation", "completed", 5, 11),
    Case("cancelled", "cancelled", 4, 8, (Step(2.0, Cancel(id=RUN, reason="enough")),)),
    Case("restarts", "completed", 9, 18),
    Case("versions", "completed", 3, 8),
    Case("streams", "completed", 6, 19),
]
CASES += [
    Case("auction", "completed", 9, 50, objective=HOUSE),
    Case("contract_net", "completed", 17, 80, objective=HOUSE),
    Case("swarm", "completed", 6, 34, objective=HOUSE),
    Case("leader_follower", "completed", 15, 63, objective=HOUSE),
    Case("hierarchical", "completed", 21, 91, objective=HOUSE, options={"clusters": 2}, more=1),
    Case("coalition", "completed", 16, 55, objective=FIRM),
    Case(
        "coalition", "completed", 24, 153, objective=Objective(description="a galley", tasks=(GALLEY,)), agents=rowers,
        options={"max_coalition_size": 17, "max_sampled": 256, "max_valued": 400}, name="coalition of many",
    ),
]  # fmt: skip
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name or case.strategy)


def scenario(case: Case) -> Scenario:
    return Scenario(
        runs=(Submit(id=RUN, strategy=case.strategy, objective=case.objective, options=case.options),),
        agents=case.agents,
        strategies=lambda name: TABLE.get(name) or choose.load(name),
        steps=case.steps,
    )


@each_case
def test_a_run_writes_as_often_as_it_always_did(case: Case) -> None:
    for seed in (0, 1):
        played, problems = play(scenario(case), seed, Faults(delay=0.0))
        assert played is not None
        assert problems == []
        assert played.records[RUN].status == case.status
        assert case.commits <= sum(played.disk.touched.values()) <= case.commits + case.more
        if seed == 0:  # who is done first may change what a market has to say
            assert sum(played.disk.rows.values()) == case.rows


@each_case
def test_killed_anywhere_a_run_ends_the_same(case: Case) -> None:
    whole, problems = play(scenario(case))
    assert whole is not None
    assert problems == []
    for kills in kills_of(whole):
        played, problems = play(scenario(case), kills=kills)
        assert problems == [], f"killed {kills}"
        assert played is not None
        assert played.coordinators == len(kills) + 1, f"killed {kills}: it did not die as it should"
        assert what_matters(played) == what_matters(whole), f"killed {kills}"


def what_matters(played: Played) -> list[object]:
    """How it ended, and what was done by whom.  Who does a task of a market may depend on who is quicker."""
    status, outcome = ending_of(played, RUN)
    done = [(done.agent, done.what) for done in played.ledger.effects]
    if outcome is None or not outcome["tasks"]:
        return [status, outcome, sorted(done)]
    tasks = {task["id"]: (task["status"], task["result"]) for task in outcome["tasks"]}
    return [status, outcome["success"], tasks, sorted(what for _, what in done)]
