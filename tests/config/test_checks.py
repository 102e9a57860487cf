"""The checks of a whole plan, one rule at a time: what is refused, where it is said, and what is only a warning."""

import pytest

from concerted.config import checks
from concerted.config.draft import MAX_AGENTS, MAX_TASKS
from concerted.config.plan import Plan, load_plan
from concerted.errors import Invalid

STRATEGIES = ("auction", "leader_follower")

NOTHING = "tasks: there is nothing to do: give tasks, or an objective that has `decompose`"
A_NAME = "expected a name or a mapping with `name` and options; known: auction, auto, leader_follower"
NO_SHELL = "goes to the program as it is: there is no shell; write sh -c '...' if you need one"
IN_SCRIPT = "the shell reads the filled-in text as part of its script; hand it over as a word:"


def plan(agents: str = "- {id: ann, run: echo}", tasks: str = "- {id: t}", rest: str = "") -> Plan:
    """Load a plan of three lines and some: agents from line 3 on, tasks after them."""
    return load_plan(f"plan: p\nagents:\n{agents}\ntasks:\n{tasks}\n{rest}\n", "f", strategies=STRATEGIES)


def complaint(agents: str = "- {id: ann, run: echo}", tasks: str = "- {id: t}", rest: str = "") -> list[str]:
    with pytest.raises(Invalid) as caught:
        plan(agents, tasks, rest)
    return list(caught.value.facts["problems"])


@pytest.mark.parametrize(
    ("agents", "problem"),
    [
        ("- {id: ann}", "f:3:3: agents[0]: give exactly one of python, process, run: none is given"),
        (
            "- {id: ann, run: a, process: [a]}",
            "f:3:3: agents[0]: give exactly one of python, process, run: process and run are given",
        ),
        (
            "- {id: ' ann', run: a}",
            "f:3:8: agents[0].id: ' ann' cannot be a name: 1..200 printable bytes, no space at either end",
        ),
        (
            "- {id: a, run: a}\n- {id: a, run: b}",
            "f:4:8: agents[1].id: there is another agent 'a', in line 3; ids are unique",
        ),
        (
            "- {id: a, run: a, count: 2}\n- {id: a-2, run: b}",
            "f:4:8: agents[1].id: there is another agent 'a-2', in line 3; ids are unique",
        ),
        ("- {id: a, count: 0, run: a}", "f:3:18: agents[0].count: must be at least 1, got 0"),
        ("- {id: a, count: 100001, run: a}", "f:3:18: agents[0].count: must be at most 100000, got 100001"),
        ("- {id: a, run: ''}", "f:3:16: agents[0].run: names no program"),
        ("- {id: a, process: []}", "f:3:20: agents[0].process: names no program"),
        ("- {id: a, run: 'echo \"x'}", "f:3:16: agents[0].run: cannot be split into words: no closing quotation"),
        ("- {id: a, run: 'echo x\\'}", "f:3:16: agents[0].run: cannot be split into words: no escaped character"),
        (
            "- {id: a, python: my_agents}",
            "f:3:19: agents[0].python: expected `module:object`, such as my_agents:reviewer, got 'my_agents'",
        ),
        (
            "- {id: a, python: 'a:b', cwd: x}",
            "f:3:31: agents[0].cwd: only programs have one; a python agent lives in this process",
        ),
        (
            '- {id: a, process: [a, "\\0"]}',
            "f:3:20: agents[0].process: holds a NUL character, which no program can be given",
        ),
        ("- {id: a, run: a, env: {A=B: c}}", "f:3:30: agents[0].env.A=B: 'A=B' cannot name an environment variable"),
        ("- {id: a, run: 'a {x'}", "f:3:16: agents[0].run: a single { must be written {{"),
        ("- {id: a, run: 'a {payload.x}'}", "f:3:16: agents[0].run: {payload.x}: no task has 'x' in its payload"),
        ("- {id: a, run: 'a {results.x}'}", "f:3:16: agents[0].run: {results.x}: there is no task 'x'; known: t"),
        ("- {id: a, run: a, capabilities: {x: 1.1}}", "f:3:37: agents[0].capabilities.x: must be at most 1, got 1.1"),
        ("- {id: a, run: a, capacity: 0}", "f:3:29: agents[0].capacity: must be at least 1, got 0"),
        ("- {id: a, run: a, speed: 0}", "f:3:26: agents[0].speed: must be above 0, got 0"),
    ],
)
def test_an_agent_is_refused(agents: str, problem: str) -> None:
    assert complaint(agents=agents) == [problem]


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ("- {id: t}\n- {id: t}", "f:6:8: tasks[1].id: there is another task 't', in line 5; ids are unique"),
        (
            "- {id: 'a\tb'}",
            "f:5:8: tasks[0].id: 'a\\tb' cannot be a name: 1..200 printable bytes, no space at either end",
        ),
        (
            "- {id: fetch}\n- {id: t, after: fetsh}",
            "f:6:18: tasks[1].after: there is no task 'fetsh'; did you mean fetch?",
        ),
        ("- {id: t, after: [u, x]}\n- {id: u}", "f:5:22: tasks[0].after[1]: there is no task 'x'; known: t, u"),
        ("- {id: t, after: t}", "f:5:18: tasks[0].after: tasks wait for each other in a circle: t -> t"),
        (
            "- {id: z}\n- {id: a, after: [z, b]}\n- {id: b, after: [a]}",
            "f:6:18: tasks[1].after: tasks wait for each other in a circle: a -> b -> a",
        ),
        ("- {id: t, agent: anne}", "f:5:18: tasks[0].agent: there is no agent 'anne'; did you mean ann?"),
        ("- {id: t, max_duration: 0s}", "f:5:25: tasks[0].max_duration: must be above 0s, got '0s'"),
        ("- {id: t, retries: 1.5}", "f:5:20: tasks[0].retries: expected a whole number, got 1.5"),
        ("- {id: t, budget: -1}", "f:5:19: tasks[0].budget: must be at least 0, got -1"),
        ("- {id: t, penalties: {late: -1}}", "f:5:29: tasks[0].penalties.late: must be at least 0, got -1"),
        ("- {id: t, penalties: {lat: 1}}", "f:5:23: tasks[0].penalties.lat: unknown key; did you mean late?"),
        (
            "- {id: t, quality_metrics: {recall: 2}}",
            "f:5:37: tasks[0].quality_metrics.recall: must be at most 1, got 2",
        ),
        (
            "- {id: t, required_capabilities: {}}",
            "f:5:11: tasks[0].required_capabilities: unknown key; did you mean capabilities?",
        ),
        ("- {description: x}", "f:5:3: tasks[0].id: missing; it is required"),
    ],
)
def test_a_task_is_refused(tasks: str, problem: str) -> None:
    assert complaint(tasks=tasks) == [problem]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["f:1:1: plan: missing; it is required", "f:1:1: agents: missing; it is required", f"f:1:1: {NOTHING}"]),
        ("plan: p\nagents: []\ntasks: [{id: t}]", ["f:2:9: agents: a plan needs at least one agent"]),
        ("plan: p\nagents: [{id: a, run: a}]\ntasks: []", [f"f:3:8: {NOTHING}"]),
        ("plan: p\nagents: [{id: a, run: a}]\ntasks: x", ["f:3:8: tasks: expected a list, got 'x'"]),
        ("plan: p\nagents:\ntasks: [{id: t}]", ["f:2:8: agents: expected a list, got nothing"]),
        ("- a", ["f:1:1: expected a mapping (key: value), got a list"]),
    ],
)
def test_a_plan_needs_a_name_agents_and_work(text: str, problems: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        load_plan(text, "f", strategies=STRATEGIES)
    assert caught.value.facts["problems"] == problems


@pytest.mark.parametrize("strategy", ["leader_follower", "hierarchical"])
def test_a_leader_may_find_the_tasks_in_the_data(strategy: str) -> None:
    text = "plan: p\nagents: [{id: a, run: a}]\nobjective: {data: {below: 10}}\nstrategy: "
    assert not load_plan(text + strategy, "f", strategies=(*STRATEGIES, "hierarchical")).objective.tasks


def test_without_data_or_a_leader_there_is_nothing_to_find_tasks_in() -> None:
    text = "plan: p\nagents: [{id: a, run: a}]\nobjective: {data: {below: 10}}\nstrategy: "
    with pytest.raises(Invalid, match="there is nothing to do"):
        load_plan(text + "auction", "f", strategies=STRATEGIES)
    with pytest.raises(Invalid, match="there is nothing to do"):
        load_plan("plan: p\nagents: [{id: a, run: a}]\nstrategy: leader_follower", "f", strategies=STRATEGIES)


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        ("strategy: auktion", "f:6:11: strategy: there is no strategy 'auktion'; did you mean auction?"),
        ("strategy: {name: x}", f"f:6:18: strategy.name: there is no strategy 'x'; {A_NAME.partition('; ')[2]}"),
        (
            "strategy: [auction]",
            f"f:6:11: strategy: {A_NAME}",
        ),
        (
            "strategy: {award: optimal}",
            f"f:6:11: strategy: {A_NAME}",
        ),
        (
            "strategy: {name: auction, mode: best}",
            "f:6:33: coordination.strategies.auction.mode: expected one of sound, specification, got 'best'",
        ),
        (
            "strategy: {name: auction, x: .inf}",
            "f:6:30: strategy.x: .inf has no JSON form; use a finite number or quotes",
        ),
        (
            "objective: {decompose: split}",
            "f:6:24: objective.decompose: expected `module:function`, such as my_plan:split, got 'split'",
        ),
        ("objective: {data: [x]}", "f:6:19: objective.data: expected a mapping (name: value), got a list"),
    ],
)
def test_the_rest_is_refused(rest: str, problem: str) -> None:
    assert complaint(rest=rest) == [problem]


def test_the_name_of_a_group_is_no_agent_and_the_error_says_who_is() -> None:
    assert complaint(agents="- {id: w, run: a, count: 3}", tasks="- {id: t, agent: w}") == [
        "f:5:18: tasks[0].agent: 'w' stands for w-1 .. w-3; name one of them"
    ]


def test_faults_of_one_kind_do_not_hide_those_of_another_and_do_not_make_others_up() -> None:
    problems = complaint(
        agents="- {id: ann, run: 'a {payload.x}', capacity: x}\n- {id: bob, run: b, count: many}",
        tasks="- {id: t, retries: x, payload: {x: .nan}, after: u}\n- {id: u, agent: bob-1, after: t}",
    )
    assert [line.partition(": ")[2] for line in problems] == [
        "agents[0].capacity: expected a whole number, got 'x'",
        "agents[1].count: expected a whole number, got 'many'",
        "tasks[0].retries: expected a whole number, got 'x'",
        "tasks[0].payload.x: .nan has no JSON form; use a finite number or quotes",
        "tasks[0].after: tasks wait for each other in a circle: t -> u -> t",
    ]


def test_what_decompose_finds_is_not_known_beforehand() -> None:
    found = plan(
        agents="- {id: a, run: 'a {payload.x} {results.u}'}",
        tasks="- {id: t, payload: {y: 1}}",
        rest="objective: {decompose: 'm:f'}",
    )
    assert len(found.objective.tasks) == 1


def test_there_is_a_bound_to_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (MAX_AGENTS, MAX_TASKS) == (100_000, 100_000)
    monkeypatch.setattr(checks, "MAX_AGENTS", 5)
    assert complaint(agents="- {id: a, run: a, count: 3}\n- {id: b, run: a, count: 3}") == [
        "f:4:3: agents[1]: with this one there are more than 5 agents; that is the bound"
    ]


def test_there_is_a_bound_to_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_TASKS", 2)
    assert complaint(tasks="- {id: t}\n- {id: u}\n- {id: v}") == ["f:5:1: tasks: there are 3 tasks; the bound is 2"]


@pytest.mark.parametrize(
    ("agents", "tasks", "warning"),
    [
        (
            "- {id: a, run: a, capabilities: {read: 0.5}}",
            "- {id: t, capabilities: {read: 1, write: 1}}",
            (
                "f:5:25: tasks[0].capabilities: no agent of this plan can do 't': none has read >= 1, "
                "write >= 1; it waits for one that joins"
            ),
        ),
        (
            "- {id: a, run: a}\n- {id: b, run: a, capabilities: {read: 1}}",
            "- {id: t, agent: a, capabilities: {read: 0.6}}",
            "f:6:18: tasks[0].agent: agent 'a', who must do it, lacks read >= 0.6",
        ),
        (
            "- {id: a, run: 'a {payload.x}'}",
            "- {id: t, payload: {x: 1}}\n- {id: u}",
            (
                "f:3:16: agents[0].run: {payload.x}: task u may come to this agent, but with no such value in the "
                "payload, and would fail"
            ),
        ),
        (
            "- {id: a, run: 'a {results.t}', capabilities: {sum: 1}}\n- {id: b, run: b, capabilities: {get: 1}}",
            "- {id: t, capabilities: {get: 1}}\n- {id: u}\n- {id: v}\n- {id: w, after: t}\n- {id: x}\n- {id: y}",
            (
                "f:3:16: agents[0].run: {results.t}: tasks u, v, x and 1 more may come to this agent, but with no 't' "
                "in `after`, and would fail"
            ),
        ),
        (
            "- {id: a, run: cat x | wc}",
            "- {id: t}",
            f"f:3:16: agents[0].run: | {NO_SHELL}",
        ),
        (
            "- {id: a, run: 'ls $HOME'}",
            "- {id: t}",
            f"f:3:16: agents[0].run: $HOME {NO_SHELL}",
        ),
        (
            "- {id: a, run: \"/bin/bash -ec 'rm {payload.x}'\"}",
            "- {id: t, payload: {x: 1}}",
            f"f:3:16: agents[0].run: {IN_SCRIPT} " + "sh -c 'wc -l \"$1\"' sh {payload.path}",
        ),
    ],
)
def test_what_may_go_wrong_is_a_warning(agents: str, tasks: str, warning: str) -> None:
    assert plan(agents, tasks).warnings == (warning,)


def test_a_misspelt_setting_of_the_strategy_is_a_warning_and_any_other_option_is_not() -> None:
    found = plan(rest="strategy: {name: auction, awards: optimal, colour: red}")
    assert found.options == {"awards": "optimal", "colour": "red"}
    assert found.warnings == (
        "f:6:35: strategy.awards: is no setting of this strategy and goes to it as it is; did you mean award?",
    )


@pytest.mark.parametrize("own", ["consensus, electorate: {ann: 2}", "swarm, space: {x: 1}", "swarm, options: [a]"])
def test_an_option_that_only_looks_a_little_like_a_setting_is_no_warning(own: str) -> None:
    text = f"plan: p\nagents: [{{id: ann, run: echo}}]\ntasks: [{{id: t}}]\nstrategy: {{name: {own}, question: q}}\n"
    assert load_plan(text, "f", strategies=["consensus", "swarm"]).warnings == ()


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("search_steps: 0", "f:6:41: coordination.strategies.auction.search_steps: must be at least 1, got 0"),
        ("solver_timeout: -1s", "f:6:43: coordination.strategies.auction.solver_timeout: expected a duration"),
    ],
)
def test_an_effort_that_is_none_is_refused(option: str, problem: str) -> None:
    (told,) = complaint(rest=f"strategy: {{name: auction, {option}}}")
    assert told.startswith(problem)


def test_terms_of_contracts_are_a_warning_where_no_contracts_are_made() -> None:
    task = "- {id: t, penalties: {late: 1}, deliverables: page, quality_metrics: {recall: 0.5}}"
    told = plan(tasks=task, rest="strategy: auction").warnings
    what = "strategy auction makes no contracts, so this counts for nothing; contract_net does"
    assert told == (
        f"f:5:22: tasks[0].penalties: {what}",
        f"f:5:47: tasks[0].deliverables: {what}",
        f"f:5:70: tasks[0].quality_metrics: {what}",
    )
    plain = f"plan: p\nagents: [{{id: a, run: a}}]\ntasks:\n{task}\nstrategy: "
    for strategy in ("contract_net", "hierarchical"):
        assert load_plan(plain + strategy, "f", strategies=(strategy,)).warnings == ()


@pytest.mark.parametrize(
    ("agents", "tasks"),
    [
        ("- {id: a, run: 'a {payload.x}', capabilities: {one: 1}}", "- {id: t, payload: {x: 1}}"),
        (
            "- {id: a, run: 'a {payload.x}', capabilities: {one: 1}}\n- {id: b, run: b}",
            "- {id: t, payload: {x: 1}}\n- {id: u, agent: b}",
        ),
        ("- id: a\n  run: sh -c 'cat \"$1\" | wc' sh {payload.x}", "- {id: t, payload: {x: 1}}"),
        ("- {id: a, run: a, count: 3, capabilities: {one: 0.5}}", "- {id: t, agent: a-3, capabilities: {one: 0.5}}"),
    ],
)
def test_a_sound_plan_has_no_warnings(agents: str, tasks: str) -> None:
    assert plan(agents, tasks).warnings == ()


def test_a_plan_too_large_to_compare_everything_is_loaded_without_those_warnings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "_MAX_COMPARISONS", 1)
    tasks = "- {id: t, capabilities: {x: 1}}\n- {id: u, capabilities: {y: 1}, payload: {k: 1}}"
    found = plan(agents="- {id: a, run: 'a {payload.k}', capabilities: {x: 1, y: 1}}\n- {id: b, run: b}", tasks=tasks)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("rest", "problems"),
    [
        ("strategy: consensus", 1),
        ("strategy: {name: consensus, question: ship it?}", 0),
        ("strategy: consensus\nobjective: {description: ship it?}", 0),
    ],
)
def test_a_strategy_that_asks_needs_a_question_and_no_tasks(rest: str, problems: int) -> None:
    text = f"plan: p\nagents: [{{id: ann, run: echo}}]\n{rest}\n"
    if not problems:
        assert load_plan(text, "f", strategies=("consensus",)).strategy == "consensus"
        return
    with pytest.raises(Invalid) as caught:
        load_plan(text, "f", strategies=("consensus",))
    (told,) = caught.value.facts["problems"]
    assert "there is nothing to decide: give the strategy a `question`" in told
