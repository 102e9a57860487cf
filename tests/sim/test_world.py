"""Worlds: the same seed is the same world; the dead come back; who was taken for dead meets its fence."""

import asyncio

import pytest

from concerted.agent import Agent
from concerted.ports.commands import Cancel, Signal, Submit
from concerted.sim.actors import stand_in
from concerted.sim.faults import Faults
from concerted.sim.play import ending_of, play
from concerted.sim.virtual_time import run_virtual
from concerted.sim.world import Kill, Scenario, Step, World
from concerted.values import AgentId, Objective, Outcome, Profile, RunId, Task, TaskId

R = RunId("r")


async def two_tasks(run):
    results = []
    for number, agent in enumerate(sorted(run.agents)[:2]):
        for _ in range(5):
            reply = await run.execute(Task(id=TaskId(f"t{number}")), agent)
            if reply.ok:
                break
            await asyncio.sleep(5)
        if reply.ok:
            run.record("task.done", agent=agent, ref=f"t{number}", epoch=reply.epoch, result=reply.value)
        results.append(reply.status)
    return Outcome(success=True, result=results)


async def waits(run):
    return await run.signal("go")


async def hangs(run):
    await run.execute(Task(id=TaskId("endless"), kind="endless"), "ann")


TABLE = {each.__name__: each for each in (two_tasks, waits, hangs)}


def fleet(seed):
    agents = [stand_in(Profile(id=AgentId(name)), seed) for name in ("ann", "bob", "cy")]
    for agent in agents:
        agent.task("endless")(endless)
    return agents


async def endless(task):
    await asyncio.sleep(10**6)


def scenario(strategy="two_tasks", *, steps=(), runs=(R,), **fields):
    return Scenario(
        runs=tuple(Submit(id=run, strategy=strategy, objective=Objective()) for run in runs),
        agents=fleet,
        strategies=TABLE.__getitem__,
        steps=steps,
        **fields,
    )


CHAOS = Faults.parse("drop=0.1,duplicate=0.2,reorder=0.2,delay=1,crash=3,agent_crash=2,pause=1,skew=2")


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_is_the_same_world_to_the_letter(seed):
    one, problems = play(scenario(), seed, CHAOS)
    other, _ = play(scenario(), seed, CHAOS)
    assert problems == []
    assert one.transcript == other.transcript
    assert one.log == other.log
    assert one.ledger.effects == other.ledger.effects


def test_another_seed_is_another_world():
    assert play(scenario(), 1, CHAOS)[0].log != play(scenario(), 2, CHAOS)[0].log


def test_a_world_needs_a_virtual_loop():
    async def main():
        World(scenario(), 0, Faults())

    with pytest.raises(AssertionError, match="virtual loop"):
        asyncio.run(main())


@pytest.mark.parametrize("moment", ["before commit", "after commit", "before send", "after send"])
def test_a_coordinator_dies_where_it_is_told_to(moment):
    played, problems = play(scenario(), 0, kills=(Kill(moment, 6 if "commit" in moment else 1),))
    assert problems == []
    assert played.coordinators == 2
    assert any(f"dies {moment}" in line for line in played.transcript)
    assert played.records[R].epoch == 2
    assert ending_of(played, R)[1]["result"] == ["ok", "ok"]


def test_a_kill_that_never_comes_kills_nobody():
    played, _ = play(scenario(), 0, kills=(Kill("before commit", 10_000),))
    assert played.coordinators == 1


def test_a_coordinator_that_is_taken_for_dead_is_fenced():
    fenced = 0
    for seed in range(20):
        played, problems = play(scenario(), seed, Faults(pause=2))
        assert problems == [], seed
        fenced += any("gives up" in line for line in played.transcript)
    assert fenced > 0, "no coordinator that was taken for dead has met its fence"


def test_a_disk_that_fails_costs_nothing_but_time():
    failed = 0
    for seed in range(20):
        played, problems = play(scenario(), seed, Faults(disk=2))
        assert problems == [], seed
        assert ending_of(played, R)[1]["result"] == ["ok", "ok"]
        failed += any("the disk fails" in line for line in played.transcript)
    assert failed > 5


def test_agents_that_die_come_back_and_do_nothing_twice():
    died = 0
    for seed in range(20):
        played, problems = play(scenario(), seed, Faults(agent_crash=3))
        assert problems == [], seed
        deaths = sum(" dies: " in line for line in played.transcript)
        died += deaths
        assert sum("is back" in line for line in played.transcript) >= deaths - 2
    assert died > 10


def test_agents_that_lose_their_memory_may_do_things_twice_and_the_ledger_sees_it():
    seen = 0
    for seed in range(40):
        played, problems = play(scenario(), seed, Faults(agent_crash=5, amnesia=1.0, crash=2))
        assert problems == [], "with amnesia it is allowed"
        seen += bool(played.ledger.repeated())
    assert seen > 0, "a world in which memory is lost should show it"


def test_steps_are_done_at_their_time_whoever_is_there_to_do_them():
    steps = (
        Step(3.0, Signal(id=R, name="other", request_id="one")),
        Step(5.0, Signal(id=R, name="go", payload=1, request_id="two")),
    )
    for kills in ((), (Kill("after commit", 6),), (Kill("before commit", 6), Kill("after commit", 8))):
        played, problems = play(scenario("waits", steps=steps), 0, kills=kills)
        assert problems == []
        assert played.coordinators == 1 + len(kills)
        assert ending_of(played, R)[1]["result"] == 1


def test_a_step_that_is_refused_is_noted_and_the_next_one_comes():
    steps = (Step(1.0, Cancel(id=RunId("nothing"))), Step(2.0, Signal(id=R, name="go", payload=1, request_id="one")))
    played, problems = play(scenario("waits", steps=steps))
    assert problems == []
    assert any("Cancel is refused" in line for line in played.transcript)


def test_several_runs_go_on_at_once():
    runs = tuple(RunId(f"r{number}") for number in range(15))
    played, problems = play(scenario(runs=runs), 3, Faults(crash=2))
    assert problems == []
    assert {record.status for record in played.records.values()} == {"completed"}


def test_a_world_that_does_not_end_says_who_waits():
    played, problems = play(scenario("waits", limit_s=50.0))
    assert played.stuck is not None
    assert any(problem.startswith("stuck: not over after 50 s") for problem in problems)


def test_a_run_that_hangs_ends_at_its_deadline():
    played, problems = play(scenario("hangs"))
    assert problems == []
    assert played.records[R].status == "timed_out"
    assert 300 < played.virtual_s < 400


def test_plain_functions_of_agents_run_in_virtual_time_without_threads():
    def slow(seed):
        agent = Agent(AgentId("ann"))
        agent.task()(lambda task: f"did {task.id}")
        return [agent, *fleet(seed)[1:]]

    played, problems = play(
        Scenario(runs=scenario().runs, agents=slow, strategies=TABLE.__getitem__), 0, Faults(crash=1)
    )
    assert problems == []
    assert ending_of(played, R)[1]["result"] == ["ok", "ok"]


def test_what_goes_wrong_in_the_coordinator_itself_is_a_problem(monkeypatch):
    def breaks(*_):
        raise ZeroDivisionError("our own bug")

    monkeypatch.setattr("concerted.engine.slots.Slots.enter", breaks)
    _, problems = play(scenario())
    assert any("our own bug" in problem for problem in problems)


def test_the_world_can_be_watched_from_inside():
    async def main():
        world = World(scenario(), 0, Faults())
        playing = asyncio.ensure_future(world.play())
        await asyncio.sleep(0.1)
        alive = [actor.process.alive for actor in world.actors]
        played = await playing
        return alive, played.coordinators

    assert run_virtual(main()) == ([True, True, True], 1)
