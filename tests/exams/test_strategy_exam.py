"""The exam of strategies: good ones pass, and each way of being wrong fails where it should."""

import asyncio
import random
import time
import uuid
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from concerted.agent import Agent
from concerted.errors import Invalid, NotAllowed, TimedOut
from concerted.messages import Custom, Judge
from concerted.sim.actors import stand_in
from concerted.strategies import choose
from concerted.testing.strategy_exam import STRATEGY_CHECKS, Setting, check_strategy, plain_setting
from concerted.values import AgentId, Objective, Outcome, Profile, Task, TaskId

REPLAY, DEATH, LOSSY, CANCEL, DEADLINE, WORLD, HASH = STRATEGY_CHECKS


# One that asks for judgements


def judging():
    return Setting(objective=Objective(description="ship it?"), agents=judges, options={"rule": "all"}, matters=verdict)


def judges(seed):
    agents = []
    for name in ("ann", "bob", "cy"):
        agent = Agent(AgentId(name))
        agent.on(Judge)(lambda request: {"choice": "accept", "reason": request.question})
        agent.task()(work)
        agents.append(agent)
    return agents


def verdict(outcome):
    """Return all but the certificate and the order of the ballots, which tell when each has voted."""
    result = outcome.get("result") or {}
    return {**outcome, "result": [result.get("outcome"), result.get("cause"), sorted(result.get("approved_by", []))]}


@pytest.mark.parametrize("check", [REPLAY, DEATH, LOSSY, CANCEL, DEADLINE, WORLD])
def test_consensus_passes_with_agents_that_judge(check):
    check_strategy(choose.load("consensus"), check, setting=judging)


# A small good one


async def poll(run):
    """Ask everybody for a number, have the highest do a task, and say what there is if time runs out."""
    found = None
    try:
        async with run.deadline():
            replies = await run.gather(sorted(run.agents), Custom(name="NUMBER"))
            best = max(replies.ok, key=lambda reply: (reply.value, reply.agent))
            found = best.agent
            done = await run.execute(Task(id=TaskId("t")), best.agent)
            run.record("task.done", agent=done.agent, ref="t", epoch=done.epoch, result=done.value)
            await asyncio.sleep(3)
            return Outcome(success=done.ok, result=[found, done.value])
    except TimedOut:
        return Outcome(success=False, result=[found], timed_out=True, reason="too late")


def polling():
    return Setting(objective=Objective(description="a poll"), agents=pollsters)


def pollsters(seed):
    agents = []
    for number, name in enumerate(("ann", "bob", "cy", "dee", "eve")):
        agent = Agent(AgentId(name))
        agent.on("NUMBER")(lambda request, number=number: number)
        agent.on("SAY")(lambda request: request.data)
        agent.task()(work)
        agents.append(agent)
    return agents


async def work(task):
    await asyncio.sleep(1)
    return f"did {task.id}"


@pytest.mark.parametrize("check", STRATEGY_CHECKS)
def test_a_good_strategy_passes(check):
    check_strategy(poll, check, setting=polling)


@pytest.mark.parametrize("check", [REPLAY, CANCEL, DEADLINE, WORLD, pytest.param(HASH, marks=pytest.mark.seeds)])
@pytest.mark.parametrize("name", ["auction", "contract_net", "leader_follower"])
def test_the_built_in_strategies_pass(name, check):
    """They are killed at every commit in tests/seeds."""
    check_strategy(choose.load(name), check)


def in_clusters():
    """The exam's own setting, in two clusters, each with an auction of its own."""
    plain = plain_setting()
    return replace(plain, options={"clusters": 2}, strategies={"auction": choose.load("auction")})


@pytest.mark.parametrize("check", [REPLAY, CANCEL, DEADLINE, WORLD, pytest.param(HASH, marks=pytest.mark.seeds)])
def test_the_hierarchy_passes(check):
    check_strategy(choose.load("hierarchical"), check, setting=in_clusters)


def with_budgets(**options: str) -> Setting:
    """Return the exam's own setting, with a budget for each task, so that money can decide."""
    plain = plain_setting()
    tasks = tuple(msgspec.structs.replace(task, max_budget=10.0) for task in plain.objective.tasks)
    return replace(plain, objective=Objective(description="a house", tasks=tasks), options=options)


@pytest.mark.parametrize("check", [REPLAY, *(pytest.param(one, marks=pytest.mark.seeds) for one in (DEATH, LOSSY))])
@pytest.mark.parametrize(
    "options",
    [
        {"award": "optimal", "payment": "vcg"},
        {"award": "optimal", "scoring": "minmax"},
        {"award": "generalised", "scoring": "fixed"},
        {"award": "generalised", "payment": "vcg"},
        {"award": "combinatorial"},
        {"award": "combinatorial", "payment": "vcg"},
        {"award": "ascending"},
        {"award": "cbba"},
    ],
    ids=lambda options: "-".join(options.values()),
)
def test_the_other_mechanisms_of_the_auction_pass(options, check):
    check_strategy(choose.load("auction"), check, setting=lambda: with_budgets(**options))


def in_coalitions():
    """Two tasks that take two trades each, one after the other, and one for anybody."""

    def agents(seed):
        levels = {"ann": {"french": 0.9}, "bob": {"law": 0.6}, "cy": {"law": 0.7, "french": 0.2}}
        return [stand_in(Profile(id=AgentId(name), capabilities=found), seed) for name, found in levels.items()]

    both = {"french": 0.8, "law": 0.5}
    tasks = (
        Task(id=TaskId("deal"), required_capabilities=both, max_budget=20.0),
        Task(id=TaskId("letter"), required_capabilities=both, max_budget=9.0, after=(TaskId("deal"),)),
        Task(id=TaskId("tea")),
    )
    return Setting(
        objective=Objective(description="a firm", tasks=tasks),
        agents=agents,
        matters=lambda outcome: (outcome["success"], sorted((one["id"], one["status"]) for one in outcome["tasks"])),
    )


@pytest.mark.parametrize("check", [REPLAY, CANCEL, DEADLINE, WORLD, pytest.param(HASH, marks=pytest.mark.seeds)])
def test_coalitions_pass(check):
    check_strategy(choose.load("coalition"), check, setting=in_coalitions)


# Wrong ones


async def reads_the_clock(run):
    await run.gather(sorted(run.agents), Custom(name="SAY", data=time.time()))
    return "over"


async def returns_the_clock(run):
    await asyncio.sleep(1)
    return time.perf_counter()


async def rolls_dice(run):
    await run.ask(random.choice(sorted(run.agents)), Custom(name="SAY", data=random.random()))
    return "over"


async def makes_ids(run):
    return str(uuid.uuid4())


async def walks_over_a_set(run):
    for agent in set(run.agents):
        await run.ask(agent, Custom(name="SAY", data=agent))
    return "over"


async def opens_a_file(run):
    return len(Path(__file__).read_text("utf-8"))  # noqa: ASYNC240


async def opens_a_connection(run):
    try:
        await asyncio.open_connection("localhost", 1)
    except NotAllowed as refused:
        raise AssertionError("refused") from refused


async def counts_its_calls(run, calls=[]):  # noqa: B006
    calls.append(1)
    return len(calls)


async def forgets_who_has_done_it(run):
    """Has a task done by whoever is quick, and does not write down whose result it takes."""
    replies = await run.gather(sorted(run.agents), Custom(name="NUMBER"), quorum=1)
    return replies.ok[0].agent


async def accepts_twice(run):
    task = Task(id=TaskId("t"))
    for agent in sorted(run.agents)[:2]:
        reply = await run.execute(task, agent)
        run.record("task.done", agent=agent, ref="t", epoch=reply.epoch, result=reply.value)
    return "over"


async def swallows_the_cancel(run):
    while True:
        try:
            await asyncio.sleep(50)
            return "over"
        except asyncio.CancelledError:
            await asyncio.sleep(500)
            return "at last"


async def minds_no_deadline(run):
    for _ in range(30):
        await run.execute(Task(id=TaskId("t")), sorted(run.agents)[0])
    return "over"


@pytest.mark.parametrize(
    ("wrong", "check", "told"),
    [
        (reads_the_clock, REPLAY, "diverge"),
        (reads_the_clock, WORLD, r"time\.time\(\)"),
        (returns_the_clock, REPLAY, "its end"),
        (returns_the_clock, WORLD, r"time\.perf_counter\(\)"),
        (rolls_dice, WORLD, r"random\.choice\(\)"),
        (rolls_dice, REPLAY, "diverge"),
        (makes_ids, WORLD, "uuid4"),
        (makes_ids, REPLAY, "its end"),
        (walks_over_a_set, HASH, "PYTHONHASHSEED"),
        (opens_a_file, WORLD, r"open\("),
        (opens_a_connection, REPLAY, "refused"),
        (counts_its_calls, REPLAY, "its end"),
        (accepts_twice, REPLAY, "accepted twice"),
        (swallows_the_cancel, CANCEL, "it is timed_out"),
        (minds_no_deadline, DEADLINE, "without an outcome"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_wrong_strategy_fails_where_it_should(wrong, check, told):
    with pytest.raises(AssertionError, match=told):
        check_strategy(wrong, check, setting=polling)


def test_a_strategy_inside_a_function_is_told_to_move_out():
    async def local(run):
        return "over"

    with pytest.raises(Invalid, match="top of a module"):
        check_strategy(local, HASH, setting=polling)


def test_the_clock_and_the_dice_work_again_after_the_exam():
    check_strategy(poll, WORLD, setting=polling)
    assert time.time() > 0
    assert 0 <= random.random() < 1
    assert "noted" not in repr(time.time)
