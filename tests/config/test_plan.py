"""The plan file: what it turns into, what is said of a bad one, and that its description is true."""

import re
from pathlib import Path

import msgspec
import pytest

from concerted.config.draft import AgentEntry, ObjectiveEntry, SyncEntry, TaskEntry
from concerted.config.plan import AgentSpec, Plan, load_plan
from concerted.config.settings import Settings, StoreSettings
from concerted.errors import Invalid
from concerted.values import AgentId, Objective, Profile, Task, TaskId, encode

ROOT = Path(__file__).parents[2]
DESCRIPTION = (ROOT / "docs" / "plan.md").read_text("utf-8")
STRATEGIES = ("auction", "leader_follower")

FULL = """\
plan: release check
agents:
  - id: reader
    run: wc -l "{payload.path}" 'two words' --by={agent.id}
    count: 2
    name: Reader
    capabilities: {read: 0.9, communication: 1}
    capacity: 3
    cost: 2
    speed: 1.5
    bid_validity: 10m
    metadata: {team: [a, 1]}
    env: {LEVEL: 3}
    cwd: data
  - id: reviewer
    python: agents.review:reviewer
  - id: worker
    process: [python3, worker.py, 1]
objective:
  description: Check the release
  data: {version: '1.10'}
tasks:
  - id: fetch
    payload: {path: a.txt}
  - id: merge
    description: Put it together
    kind: merge
    payload: {path: b.txt, deep: {list: [1, null, true]}}
    capabilities: {read: 0.5}
    budget: 10
    penalties: {late: 0.2, cap: 1}
    deliverables: page
    quality_metrics: {recall: 0.8}
    max_duration: 1h30m
    priority: -1
    deadline: 2h
    retries: 0
    after: fetch
    agent: reader-2
    mandatory: false
strategy: {name: auction, award: sequential, bidding_timeout: 2s, note: [x]}
coordination:
  manager: {coordination_timeout: 20m}
store: {url: 'sqlite:///a.db', durability: normal}
"""

BAD = """\
plan: release check
agents:
  - id: reader
    run: "wc -l {payload.paht} {results.fetsh} {nope} {"
    capabilites: {read: 1}
  - id: reader
    python: agents.reader
    process: [python3, worker.py]
  - id: pool
    count: 0
    python: "agents:pool"
  - id: w
    count: 3
    run: "grep 'x"
  - id: w-2
    run: "cat {payload.path}"
    capacity: two
tasks:
  - id: fetch
    payload: {path: a.txt}
    after: merge
    max_duration: 30
  - id: merge
    after: [fetch, fetsh]
    capabilities: {read: 1.5}
  - id: merge
    deadline: 5 parsecs
    retries: -1
  - description: nameless
strategy: {name: auktion, award: best}
coordination:
  manager:
    coordination_timout: 10s
  manager: {}
  strategies:
    auction:
      evaluation_criteria: {cost: 1}
store: [x]
extra: 1
"""

BAD_LINES = """\
bad.yaml:4:10: agents[0].run: unknown placeholder {nope}; \
known: task.id, task.description, agent.id, payload.KEY, results.TASK; a brace itself is written {{ or }}
bad.yaml:4:10: agents[0].run: a single { must be written {{
bad.yaml:4:10: agents[0].run: {payload.paht}: no task has 'paht' in its payload; did you mean path?
bad.yaml:4:10: agents[0].run: {results.fetsh}: there is no task 'fetsh'; did you mean fetch?
bad.yaml:5:5: agents[0].capabilites: unknown key; did you mean capabilities?
bad.yaml:6:5: agents[1]: give exactly one of python, process, run: python and process are given
bad.yaml:6:9: agents[1].id: there is another agent 'reader', in line 3; ids are unique
bad.yaml:7:13: agents[1].python: expected `module:object`, such as my_agents:reviewer, got 'agents.reader'
bad.yaml:10:12: agents[2].count: must be at least 1, got 0
bad.yaml:14:10: agents[3].run: cannot be split into words: no closing quotation
bad.yaml:15:9: agents[4].id: there is another agent 'w-2', in line 12; ids are unique
bad.yaml:17:15: agents[4].capacity: expected a whole number, got 'two'
bad.yaml:21:12: tasks[0].after: tasks wait for each other in a circle: fetch -> merge -> fetch
bad.yaml:22:19: tasks[0].max_duration: expected a duration such as 300s, 24h or 100ms, got 30; add a unit: 30s
bad.yaml:24:20: tasks[1].after[1]: there is no task 'fetsh'; did you mean fetch?
bad.yaml:25:26: tasks[1].capabilities.read: must be at most 1, got 1.5
bad.yaml:26:9: tasks[2].id: there is another task 'merge', in line 23; ids are unique
bad.yaml:27:15: tasks[2].deadline: expected a duration such as 300s, 24h or 100ms, got '5 parsecs'
bad.yaml:28:14: tasks[2].retries: must be at least 0, got -1
bad.yaml:29:5: tasks[3].id: missing; it is required
bad.yaml:30:18: strategy.name: there is no strategy 'auktion'; did you mean auction?
bad.yaml:33:5: coordination.manager.coordination_timout: unknown key; did you mean coordination_timeout?
bad.yaml:34:3: coordination.manager: duplicate key; it stands already in line 32
bad.yaml:37:28: coordination.strategies.auction.evaluation_criteria: cost + time + quality + reliability is 1.7; \
these are shares of the score, so they must add up to 1 (a criterion that does not count is 0)
bad.yaml:38:8: store: expected a text or a mapping (key: value), got a list; quote a text that begins with { or [
bad.yaml:39:1: extra: unknown key; known keys: plan, agents, objective, tasks, sync, strategy, coordination, store
env CONCERTED__COORDINATION__MANGER__TASK_LEASE: coordination.manger.task_lease: 'manger' is an unknown key; \
did you mean manager?
env CONCERTED__PLAN: plan: 'plan' is an unknown key; known keys: coordination, store"""


def load(text: str, **env: str) -> Plan:
    return load_plan(text, "plan.yaml", strategies=STRATEGIES, env=env)


def test_a_bad_plan_is_told_everything_at_once() -> None:
    env = {"CONCERTED__COORDINATION__MANGER__TASK_LEASE": "1s", "CONCERTED__PLAN": "x"}
    with pytest.raises(Invalid) as caught:
        load_plan(BAD, "bad.yaml", strategies=STRATEGIES, env=env)
    assert str(caught.value).splitlines() == BAD_LINES.splitlines()
    assert caught.value.facts["problems"] == BAD_LINES.splitlines()


def test_agents_become_specs_that_say_how_to_start_them() -> None:
    reader = Profile(
        id=AgentId("reader-1"), name="Reader", capabilities={"read": 0.9, "communication": 1.0}, capacity=3, cost=2.0,
        speed=1.5, bid_validity_s=600.0, metadata={"team": ["a", 1]},
    )  # fmt: skip
    argv = ("wc", "-l", "{payload.path}", "two words", "--by={agent.id}")
    assert load(FULL).agents == (
        AgentSpec(profile=reader, kind="command", argv=argv, env={"LEVEL": "3"}, cwd="data"),
        AgentSpec(
            profile=msgspec.structs.replace(reader, id="reader-2"),
            kind="command",
            argv=argv,
            env={"LEVEL": "3"},
            cwd="data",
        ),
        AgentSpec(profile=Profile(id=AgentId("reviewer")), kind="python", python="agents.review:reviewer"),
        AgentSpec(profile=Profile(id=AgentId("worker")), kind="process", argv=("python3", "worker.py", "1")),
    )


def test_tasks_and_objective_become_values() -> None:
    assert load(FULL).objective == Objective(
        description="Check the release",
        data={"version": "1.10"},
        tasks=(
            Task(id=TaskId("fetch"), payload={"path": "a.txt"}),
            Task(
                id=TaskId("merge"), description="Put it together", kind="merge", required_capabilities={"read": 0.5},
                payload={"path": "b.txt", "deep": {"list": [1, None, True]}}, max_budget=10.0, max_duration_s=5400.0,
                penalties={"late": 0.2, "cap": 1.0}, deliverables=("page",), quality_metrics={"recall": 0.8},
                priority=-1, deadline_s=7200.0, retries=0, after=(TaskId("fetch"),), agent=AgentId("reader-2"),
                mandatory=False,
            ),
        ),
    )  # fmt: skip


def test_settings_of_the_plan_are_settings() -> None:
    plan = load(FULL, CONCERTED__STORE__DURABILITY="off")
    assert (plan.name, plan.strategy) == ("release check", "auction")
    assert plan.coordination.manager.coordination_timeout == 1200.0
    assert plan.store == StoreSettings(url="sqlite:///a.db", durability="off")
    assert plan.origins["coordination.manager.coordination_timeout"] == "plan.yaml:43:35"
    assert plan.origins["store.durability"] == "env CONCERTED__STORE__DURABILITY"
    assert plan.origins["store.archive_after"] == "default"


def test_options_that_are_settings_are_put_over_them_and_under_the_environment() -> None:
    plan = load(FULL, CONCERTED__COORDINATION__STRATEGIES__AUCTION__BIDDING_TIMEOUT="9s")
    auction = plan.coordination.strategies.auction
    assert (auction.award, auction.bidding_timeout) == ("sequential", 9.0)
    assert plan.options == {"award": "sequential", "bidding_timeout": 9.0, "note": ["x"]}
    assert plan.origins["coordination.strategies.auction.award"] == "plan.yaml:41:34"


def test_a_small_plan_has_defaults_for_the_rest() -> None:
    plan = load(
        "plan: p\nagents: [{id: a, run: echo}]\ntasks: [{id: t}]\nobjective: Say something\nstore: sqlite:///x\n"
    )
    assert (plan.strategy, plan.options, plan.warnings) == ("auto", {}, ())
    assert plan.objective.description == "Say something"
    assert plan.coordination == Settings().coordination
    assert plan.store.url == "sqlite:///x"


def test_everything_of_a_plan_survives_the_log() -> None:
    plan = load(FULL)
    assert msgspec.json.decode(encode(plan), type=Plan) == plan


def test_a_thousand_tasks_that_follow_each_other_are_loaded() -> None:
    tasks = "\n".join(f"- {{id: t{i}, after: [t{i - 1}]}}" for i in range(1, 1000))
    plan = load(f"plan: p\nagents: [{{id: a, run: echo, count: 1000}}]\ntasks:\n- id: t0\n{tasks}\n")
    assert (len(plan.agents), len(plan.objective.tasks)) == (1000, 1000)


def test_the_plans_in_the_description_are_sound() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", DESCRIPTION, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        assert load(block).warnings == ()


@pytest.mark.parametrize(
    ("entry", "heading"),
    [(AgentEntry, "Agents"), (TaskEntry, "Tasks"), (SyncEntry, "Sync"), (ObjectiveEntry, "Objective")],
)
def test_every_key_of_a_plan_is_described_in_its_order(entry: type[msgspec.Struct], heading: str) -> None:
    section = DESCRIPTION.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)
    assert described == [field.encode_name for field in msgspec.structs.fields(entry)]


FIRM = """\
plan: firm
agents:
  - {id: ann, run: a, capabilities: {french: 0.9}}
  - {id: bob, run: b, capabilities: {law: 0.6}}
tasks:
  - {id: deal, capabilities: {french: 0.8, law: 0.5}}
"""


def test_in_coalitions_agents_can_do_together_what_none_can_alone() -> None:
    alone = load_plan(FIRM, "firm.yaml", strategies=["coalition"])
    assert "no agent of this plan can do 'deal'" in alone.warnings[0]
    together = load_plan(FIRM + "strategy: coalition\n", "firm.yaml", strategies=["coalition"])
    assert together.warnings == ()
    missing = load_plan(FIRM.replace("0.8", "0.95") + "strategy: {name: coalition}\n", "f", strategies=["coalition"])
    assert "no agent of this plan can do 'deal'" in missing.warnings[0]


def test_options_of_coalitions_are_settings_of_a_section_of_its_own() -> None:
    text = FIRM + "strategy: {name: coalition, formation_timeout: 2m, max_coalition_size: 3}\n"
    plan = load_plan(text, "firm.yaml", strategies=["coalition"])
    assert plan.coordination.coalition.formation_timeout == 120.0
    assert plan.coordination.coalition.max_coalition_size == 3
    with pytest.raises(Invalid, match="formation_timeout"):
        load_plan(FIRM + "strategy: {name: coalition, formation_timeout: soon}\n", "f", strategies=["coalition"])
