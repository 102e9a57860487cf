"""Playing many worlds: the report, and the one command that replays a failure."""

import asyncio

import msgspec
import pytest

from concerted.config.plan import load_plan
from concerted.errors import Invalid
from concerted.ports.commands import Submit
from concerted.sim.actors import stand_in
from concerted.sim.faults import Faults
from concerted.sim.play import kills_of, parse_seeds, play, scenario_of, simulate
from concerted.sim.world import Kill, Scenario
from concerted.strategies import choose
from concerted.values import AgentId, Objective, Profile, RunId

PLAN = """
plan: house
agents:
  - id: ann
    run: "build {task.id}"
    capabilities: {building: 0.9}
  - id: bob
    process: [python3, builder.py]
    count: 2
tasks:
  - id: plan
  - id: walls
    after: [plan]
strategy: auction
"""


async def fine(run):
    return "fine"


def scenario(strategy, plan=None):
    return Scenario(
        runs=(Submit(id=RunId("r"), strategy="s", objective=Objective()),),
        agents=lambda seed: [stand_in(Profile(id=AgentId(f"a{number}")), seed) for number in range(1 + seed % 3)],
        strategies=lambda _: strategy,
        plan=plan,
    )


async def counts_its_calls(run):
    """Replays differently where there are two agents."""
    counts_its_calls.count += 1
    return counts_its_calls.count if len(run.agents) == 2 else 0


counts_its_calls.count = 0


def test_a_report_counts_what_there_was():
    report = simulate(scenario(fine), range(6), Faults(delay=0.1))
    assert report.ok
    assert (report.seeds, report.coordinators, report.statuses) == (6, 6, {"completed": 6})
    assert report.commits > 6
    assert report.virtual_s > 0
    assert msgspec.json.decode(msgspec.json.encode(report))["faults"] == "delay=0.1"


def test_a_failure_carries_the_one_command_that_replays_it():
    report = simulate(scenario(counts_its_calls, "my plans/house.yaml"), range(6), Faults.parse("drop=0.1,crash=2"))
    assert not report.ok
    assert [failure.seed for failure in report.failures] == [1, 4]
    first = report.failures[0]
    assert first.command == "concerted simulate 'my plans/house.yaml' --seeds 1..1 --faults drop=0.1,crash=2"
    assert any("diverge" in problem for problem in first.problems)
    assert first.transcript[0].endswith("coordinator 1 starts")


def test_a_swarm_is_replayed_as_a_swarm_and_says_what_its_mix_was():
    report = simulate(scenario(counts_its_calls, "p.yaml"), [1], Faults.parse("swarm"))
    (failure,) = report.failures
    assert failure.command == "concerted simulate p.yaml --seeds 1..1 --faults swarm"
    assert failure.faults != "swarm"


def test_without_faults_the_command_names_none():
    report = simulate(scenario(counts_its_calls), [1])
    assert report.failures[0].command == "concerted simulate PLAN --seeds 1..1"


def test_it_stops_after_so_many_failures_and_tells_as_it_goes():
    told = []
    report = simulate(
        scenario(counts_its_calls), range(100), most_failures=2,
        watch=lambda seed, played, problems: told.append((seed, bool(problems))),
    )  # fmt: skip
    assert len(report.failures) == 2
    assert report.seeds == 5
    assert told == [(0, False), (1, True), (2, False), (3, False), (4, True)]


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", range(3)), ("17..17", range(17, 18)), (" 0..2 ", range(3)), ("1", range(1))]
)
def test_seeds_are_a_count_or_a_range(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "x", "5..3", "-1..3", "1..", "..3", "2000000", "-3"])
def test_other_seeds_are_refused(text):
    with pytest.raises(Invalid, match="seeds"):
        parse_seeds(text)


def test_the_places_of_death_are_all_commits_and_sends_and_the_takeovers():
    played, _ = play(scenario(fine))
    places = list(kills_of(played))
    assert (Kill("before commit", 1),) in places
    assert (Kill("after commit", played.commits),) in places
    assert (Kill("after commit", 1), Kill("after commit", 2)) in places
    assert len(places) == 4 * played.commits + 2 * played.sends
    assert len(list(kills_of(played, sends=False))) == 4 * played.commits


def test_a_plan_is_played_with_stand_ins_for_its_programs():
    plan = load_plan(PLAN, "house.yaml", strategies=choose.names())
    made = scenario_of(plan, choose.load, path="house.yaml")
    assert [agent.profile.id for agent in made.agents(0)] == [spec.profile.id for spec in plan.agents]
    report = simulate(made, range(3), Faults.parse("drop=0.1,crash=1"))
    assert report.ok, report.failures
    assert report.statuses == {"completed": 3}


def test_a_question_is_put_to_stand_ins_and_whatever_breaks_the_outcome_follows_from_the_ballots():
    text = "plan: q\nagents: [{id: w, run: echo, count: 5}]\nstrategy: {name: consensus, question: ship it?}\n"
    made = scenario_of(load_plan(text, "q.yaml", strategies=choose.names()), choose.load, path="q.yaml")
    report = simulate(made, range(8), Faults.parse("drop=0.2,crash=2,agent_crash=2"))
    assert report.ok, report.failures
    assert set(report.statuses) == {"completed", "failed"}  # accepted, and not


def test_stand_ins_give_the_same_result_for_the_same_task_whoever_does_it():
    plan = load_plan(PLAN, "house.yaml", strategies=choose.names())
    made = scenario_of(plan, choose.load, path="house.yaml", strategy="leader_follower")
    results = []
    for seed in range(3):
        played, _ = play(made, seed)
        outcome = msgspec.json.decode(played.records[RunId("house")].result)["outcome"]
        results.append({task["id"]: task["result"] for task in outcome["tasks"]})
    assert results[0] == results[1] == results[2]
    assert results[0]["plan"] != results[0]["walls"]


def test_a_world_in_which_nothing_can_happen_any_more_is_a_problem(monkeypatch):
    async def stops(self):
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("concerted.sim.world.World.play", stops)
    played, problems = play(scenario(fine))
    assert played is None
    assert "nothing will ever happen again" in problems[0]
