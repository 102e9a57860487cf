"""Wrong plans: each is explained, with its place where there is one, and nothing is started."""

import json
from typing import Any

import pytest

GOOD = """
plan: good
agents: [{id: w, run: echo hi}]
tasks: [{id: a}]
"""

WRONG = {
    "a key that is none": (GOOD.replace("tasks:", "taks:"), "plan.yaml:4:1: taks: unknown key; did you mean tasks?"),
    "a task that waits for nobody": (GOOD.replace("{id: a}", "{id: a, after: b}"), "after"),
    "a circle": (GOOD.replace("{id: a}", "{id: a, after: b}, {id: b, after: a}"), "a -> b -> a"),
    "an unknown placeholder": (GOOD.replace("echo hi", "'echo {payload.x}'"), "payload.x"),
    "an unknown strategy": (GOOD + "strategy: auktion\n", "did you mean auction?"),
    "no YAML": (GOOD + "  - ]\n", "plan.yaml:5:"),
    "a program that is not there": (
        GOOD.replace("echo hi", "no-such-program hi"),
        "no program no-such-program on PATH",
    ),
    "a module that is not there": (
        GOOD.replace("run: echo hi", 'python: "no_such:thing"'),
        "No module named 'no_such'",
    ),
    "a folder that is not there": (GOOD.replace("run: echo hi", "run: echo hi, cwd: nowhere"), "there is no folder"),
    "a function that is not there": (
        GOOD + 'objective: {decompose: "no_such:split"}\n',
        "objective.decompose: no_such",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plan_is_explained_and_nothing_is_started(shell: Any, name: str) -> None:
    text, words = WRONG[name]
    shell.write("plan.yaml", text)

    done = shell.run("run", "plan.yaml", "--json")

    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["error"]["facts"]["problems"]
    assert not (shell.folder / ".concerted").exists()


def test_every_mistake_is_told_at_once(shell: Any) -> None:
    shell.write("plan.yaml", "plan: x\nagents:\n- {id: w}\n- {id: w, run: echo}\ntasks:\n- {id: a, retries: -1}\n")

    done = shell.run("run", "plan.yaml")

    assert [line.split(":")[:3] for line in done.stderr.splitlines()] == [
        ["error", " plan.yaml", line] for line in ("3", "4", "6")
    ]


def test_a_plan_that_is_not_there_is_a_wrong_argument(shell: Any) -> None:
    done = shell.run("run", "nowhere.yaml")

    assert done.returncode == 2
    assert "nowhere.yaml cannot be read: No such file" in done.stderr
