"""Several tasks at once: which agents are meant for which task, so that all coalitions together promise the most.

Taken one by one, the first task may get those whom another one needs, and the other waits.  So the coalitions that
are feasible and stable enough are listed for each task, and out of all lists those are taken that promise the most
together, no task and no agent twice: an optimal coalition structure in which the tasks stand among the agents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from concerted.groups.history import History
from concerted.groups.structures import MOST_LISTED, best_of_listed
from concerted.run import Run
from concerted.strategies.coalition_forming import Formation, Rules, ask_applicants
from concerted.strategies.staff import Staff
from concerted.values import AgentId, Task, TaskId

__all__ = ["Listed", "computed_matching", "match"]

MOST_MATCHED = 12  # tasks matched at once, in the order of the run; the others get who is left

Listed = list[tuple[tuple[AgentId, ...], float]]  # coalitions, and what can be expected of each


async def match(
    run: Run, rules: Rules, history: History, staff: Staff, tasks: Sequence[Task],
    withdrawn: Mapping[TaskId, Sequence[AgentId]],
) -> dict[TaskId, tuple[AgentId, ...]]:  # fmt: skip
    """Return the agents meant for each task; a task that is not named has nobody meant for it.

    withdrawn: who is not to be in a coalition for a task.  Where an agent would have to be asked for worths, nothing
    is matched: it would be asked for them twice.
    """
    if len(tasks) < 2 or rules.values == "agents":
        return {}
    applicants, _ = await ask_applicants(run, rules, history, staff)
    lists: list[tuple[TaskId, Listed]] = []
    for task in tasks[:MOST_MATCHED]:
        formation = Formation(run, rules, history, staff, f"{task.id}/0", frozenset(withdrawn.get(task.id, ())))
        found = [(each.agents, each.expected_utility) for each in await formation.candidates(task, applicants)]
        known = {agent for _, listed in lists for agents, _ in listed for agent in agents}
        known.update(agent for agents, _ in found for agent in agents)
        if len(known) + len(lists) + 1 > MOST_LISTED:
            break
        lists.append((task.id, found))
    meant = await run.compute(computed_matching, lists)
    return msgspec.convert(meant, dict[TaskId, tuple[AgentId, ...]])


def computed_matching(lists: Sequence[tuple[TaskId, Listed]]) -> dict[TaskId, Any]:
    """Return task -> the coalition meant for it; of equally good matchings one that serves earlier tasks."""
    agents = sorted({agent for _, listed in lists for members, _ in listed for agent in members})
    place = {agent: number for number, agent in enumerate(agents)}
    most = max((worth for _, listed in lists for _, worth in listed), default=0.0)
    worths: dict[int, float] = {}
    for number, (_, listed) in enumerate(lists):
        earlier = most * 1e-9 * (len(lists) - number)
        for members, worth in listed:
            if worth > 0:
                worths[1 << len(agents) + number | sum(1 << place[agent] for agent in members)] = worth + earlier
    if not worths:
        return {}
    best = best_of_listed(len(agents) + len(lists), worths, leave_out=True)
    meant: dict[TaskId, Any] = {}
    for mask in best.coalitions:
        number = (mask >> len(agents)).bit_length() - 1
        meant[lists[number][0]] = [agent for agent in agents if mask >> place[agent] & 1]
    return {task: meant[task] for task, _ in lists if task in meant}
