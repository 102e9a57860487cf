"""Wrong plans: each is explained, with its place where there is one, and nothing is started."""

from collections.abc import Callable
from pathlib import Path
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
def test_a_wrong_plan_is_explained_and_nothing_is_started(
    concerted: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    text, words = WRONG[name]
    (tmp_path / "plan.yaml").write_text(text)

    ended = concerted("run", "plan.yaml", "--json")

    assert ended.code == 2, ended.err
    assert words in ended.err
    assert ended.json()["error"]["facts"]["problems"]
    assert not (tmp_path / ".concerted").exists()


def test_every_mistake_is_told_at_once(concerted: Callable[..., Any], tmp_path: Path) -> None:
    wrong = "plan: x\nagents:\n- {id: w}\n- {id: w, run: echo}\ntasks:\n- {id: a, retries: -1}\n"
    (tmp_path / "plan.yaml").write_text(wrong)

    ended = concerted("run", "plan.yaml")

    assert [line.split(":")[:3] for line in ended.err.splitlines()] == [
        ["error", " plan.yaml", line] for line in ("3", "4", "6")
    ]


def test_a_plan_that_is_not_there_is_a_wrong_argument(concerted: Callable[..., Any]) -> None:
    ended = concerted("run", "nowhere.yaml")

    assert ended.code == 2
    assert "nowhere.yaml cannot be read: No such file" in ended.err
