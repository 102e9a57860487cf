"""The tasks of an objective, as given and as its function finds them."""

import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest

from concerted.values import Objective, Task, TaskId


def split(objective: Objective) -> Any:
    return (Task(id=TaskId(f"part-{number}")) for number in range(objective.data["parts"]))


def rows(objective: Objective) -> Any:
    return [{"id": "x", "priority": 3}]


def nonsense(objective: Objective) -> Any:
    return [{"name": "no id"}]


def broken(objective: Objective) -> Any:
    raise OSError("no such folder")


@pytest.fixture(autouse=True)
def source(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("plan_source")
    for function in (split, rows, nonsense, broken):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "plan_source", module)


def objective(function: str, *tasks: Task) -> Objective:
    return Objective(tasks=tasks, decompose=function, data={"parts": 2})


@pytest.mark.parametrize("strategy", ["auction", "leader_follower"])
def test_the_tasks_given_and_those_found_are_all_done(play: Any, task: Any, strategy: str) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run(strategy, objective("plan_source:split", task("z")))
        assert {one.id: one.status for one in view.tasks} == {"part-0": "done", "part-1": "done", "z": "done"}

    play(act)


def test_the_function_is_called_once_however_often_the_coordinator_dies(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(objective: Objective) -> Any:
        calls.append(objective)
        return split(objective)

    monkeypatch.setattr(sys.modules["plan_source"], "split", counted)

    async def act(stage: Any) -> None:
        await stage.agent("ann")
        await stage.submit("auction", objective("plan_source:split"))
        for _ in range(3):
            await asyncio.sleep(0.4)
            await stage.crash()
        assert (await stage.end()).success
        assert len(calls) == 1

    play(act)


def test_it_may_return_mappings(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", objective("plan_source:rows"))
        assert [one.id for one in view.tasks] == ["x"]

    play(act)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("plan_source:nonsense", "plan_source:nonsense returned no list of tasks"),
        ("plan_source:broken", "OSError: no such folder"),
        ("plan_source:absent", "AttributeError"),
        ("no_such_module:split", "ModuleNotFoundError"),
        ("plan_source", "'plan_source' names no function; it must be module:function"),
    ],
)
def test_what_is_wrong_with_the_function_is_said(play: Any, function: str, why: str) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", objective(function))
        assert (view.status, why in view.reason) == ("failed", True), view.reason

    play(act)
