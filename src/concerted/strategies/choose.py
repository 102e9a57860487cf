"""The table of strategies: built-in, installed (entry points `concerted.strategies`), and `auto`.

`auto` picks by this rule, from top to bottom:

| the run has | strategy |
|---|---|
| no tasks, so that somebody must find them | leader_follower |
| one agent | leader_follower |
| several agents and tasks | auction |

The others are taken only when they are named: they need more than tasks and agents (a question, terms to
bargain over, a space to search), or, as `hierarchical`, pay only for many agents.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from concerted.errors import NotFound
from concerted.run import Run
from concerted.values import Outcome

__all__ = ["AUTO", "BUILT_IN", "GROUP", "auto", "load", "names"]

Coordinate = Callable[[Any], Awaitable[Outcome]]

AUTO = "auto"
GROUP = "concerted.strategies"  # the entry points' group: name = "module" or "module:coordinate"
BUILT_IN: Mapping[str, str] = {
    "auction": "concerted.strategies.auction",
    "coalition": "concerted.strategies.coalition",
    "consensus": "concerted.strategies.consensus",
    "contract_net": "concerted.strategies.contract_net",
    "hierarchical": "concerted.strategies.hierarchical",
    "leader_follower": "concerted.strategies.leader_follower",
    "swarm": "concerted.strategies.swarm",
}


def load(name: str) -> Coordinate:
    """Return the `coordinate` of a strategy.

    Raises:
        NotFound: there is none of this name; `facts["known"]` lists them.
    """
    if name == AUTO:
        return auto
    if name in BUILT_IN:
        coordinate: Coordinate = importlib.import_module(BUILT_IN[name]).coordinate
        return coordinate
    for point in _installed():
        if point.name == name:
            found = point.load()
            return found if callable(found) else found.coordinate  # type: ignore[no-any-return]
    known = names()
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise NotFound(f"there is no strategy {name!r}; {hint}", name=name, known=known)


def names() -> list[str]:
    """Return the names of all strategies, `auto` included."""
    return sorted({AUTO, *BUILT_IN, *(point.name for point in _installed())})


async def auto(run: Run) -> Outcome:
    """Pick a strategy by the rule above, write which, and go on as that one."""
    name = "auction" if run.objective.tasks and len(run.agents) > 1 else "leader_follower"
    run.progress(0, max(1, len(run.objective.tasks)), strategy=name)
    return await load(name)(run)


def _installed() -> list[Any]:
    from importlib.metadata import entry_points  # costs 10 ms, and most processes never ask

    return sorted(entry_points(group=GROUP), key=lambda point: point.name)
