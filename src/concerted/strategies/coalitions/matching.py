"""Several tasks at once: which agents are meant for which task, so that all coalitions together promise the most.

Taken one by one, the first task may get those whom another one needs, and the other waits.  So the coalitions that
are feasible and stable enough are listed for each task, and out of all lists those are taken that promise the most
together, no task and no agent twice: an optimal coalition structure in which the tasks stand among the agents.

Where coalitions may overlap, agents split their capacity instead, and give each task the part that it needs of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from concerted.groups.coalition import Coalition
from concerted.groups.history import History
from concerted.groups.overlapping import MOST_PARTS, Work, split_capacity
from concerted.groups.structures import MOST_LISTED, best_of_listed
from concerted.run import Run
from concerted.strategies.coalitions.forming import Formation, Rules, ask_applicants
from concerted.strategies.workshop.staff import Staff
from concerted.values import AgentId, Task, TaskId

__all__ = ["Listed", "computed_matching", "computed_split", "match", "split"]

MOST_MATCHED = 12  # tasks matched at once, in the order of the run; the others get who is left
HAIR = 1e-6  # of its part: what an agent gives more, so that what rounding takes away is not missing
LEFT = 1e-5  # of its capacity: with less left an agent has none

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


async def split(
    run: Run, tasks: Sequence[Task], active: Iterable[Coalition]
) -> dict[TaskId, dict[AgentId, float]]:  # fmt: skip
    """Return task -> agent -> the part of its capacity that it is to give, for those tasks that can be done so.

    active: the coalitions at work; a member gives its part to them, or all of itself.  Tasks that require nothing are
    not split.  A task counts its budget, without one as much as all agents cost.
    """
    left = dict.fromkeys(sorted(run.agents), 1.0)
    for coalition in active:
        for agent in coalition.agents:
            left[agent] = max(0.0, left.get(agent, 0.0) - coalition.parts.get(agent, 1.0))
    needs = {task.id: {name: need for name, need in task.required_capabilities.items() if need > 0} for task in tasks}
    names = sorted({name for each in needs.values() for name in each})
    levels: dict[AgentId, dict[str, float]] = {}
    for agent, profile in sorted(run.agents.items()):
        have = {name: profile.capabilities[name] for name in names if profile.capabilities.get(name, 0.0) > 0}
        if have and left[agent] > LEFT:
            levels[agent] = have
    everything = sum(run.agents[agent].cost for agent in levels) or 1.0
    work = {
        task.id: Work(needs[task.id], task.max_budget if task.max_budget is not None else everything)
        for task in [task for task in tasks if needs[task.id]][: MOST_PARTS // max(1, len(levels))]
    }
    if not work or not levels:
        return {}
    found = await run.compute(computed_split, levels, work, {agent: left[agent] for agent in levels})
    return msgspec.convert(found, dict[TaskId, dict[AgentId, float]])


def computed_split(
    levels: Mapping[AgentId, Mapping[str, float]], work: Mapping[TaskId, Work], left: Mapping[AgentId, float]
) -> dict[TaskId, Any]:
    """Return the parts of the split that earns the most, each with a hair more than is needed, and at most 1."""
    parts = split_capacity(levels, work, left).parts
    return {
        task: {agent: min(1.0, part * (1.0 + HAIR)) for agent, part in sorted(given.items())}
        for task, given in sorted(parts.items())
    }
