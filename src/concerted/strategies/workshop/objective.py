"""The tasks of an objective: those it was given, and those that its `decompose` function finds."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import msgspec

from concerted.errors import Invalid
from concerted.run import Run
from concerted.values import Objective, Task, encode

__all__ = ["find_tasks"]


async def find_tasks(run: Run) -> tuple[Task, ...]:
    """Return the tasks of the objective: as given, and as its `decompose` function finds them.

    Raises:
        Invalid: there is no such function, it raised, or what it returned are no tasks.
    """
    objective = run.objective
    if objective.decompose is None:
        return objective.tasks
    name = objective.decompose
    found = await run.do(f"decompose by {name}", lambda: _decompose(name, objective))
    try:
        return objective.tasks + msgspec.convert(found, tuple[Task, ...])
    except msgspec.ValidationError as error:
        raise Invalid(f"{name} returned no list of tasks: {error}") from error


def _decompose(name: str, objective: Objective) -> Any:
    module, separator, function = name.partition(":")
    if not separator:
        raise Invalid(f"{name!r} names no function; it must be module:function")
    if objective.folder is not None and objective.folder not in sys.path:
        sys.path.insert(0, objective.folder)
    found = getattr(importlib.import_module(module), function)(objective)
    return msgspec.json.decode(encode(list(found)))
