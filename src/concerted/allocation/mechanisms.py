"""The rules by which a round of sealed offers is cleared: all at once, or one task after the other.

optimal: as many tasks as can be are given out, those of a higher priority first; of all ways to do so, the one
with the highest total score.  sequential: each task in turn goes to the best offer that is left.

This is the plain rule, and the one that a run takes unless it is told otherwise: offers are for one task each, come
with their scores, and are paid as they stand.  It needs no numpy and takes little time for each offer, so rounds of a
hundred thousand are no matter.  `market.clear` is for all else (bundles, sizes, sales, other scores and payments); it
judges the bids itself, and breaks ties otherwise, so the two cannot stand for each other in a run that is replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from concerted.allocation.criteria import Offer
from concerted.allocation.optimum.assignment import UNASSIGNED, assign
from concerted.values import AgentId, Task, TaskId

__all__ = ["Rule", "clear", "ranking"]

UNIT = 1_000_000_000  # a score of 1 as an integer: scores that differ by less than a billionth are equal

Rule = Literal["optimal", "sequential"]


def clear(
    tasks: Sequence[Task],
    offers: Sequence[Offer],
    scores: Sequence[float],
    free: Mapping[AgentId, int],
    rule: Rule = "optimal",
) -> dict[TaskId, Offer]:
    """Return task -> the offer that wins it; a task without a winner is left out.

    scores: one per offer, below 0 for an inadmissible one.  free: agent -> how many tasks it may be given;
    one not named gets none.  The order of the offers never matters; that of the tasks matters under
    `sequential` alone.

    optimal: a task of higher priority is never left out for one of lower priority.  Of equally good ways,
    the one found is decided by `assign` over tasks by priority and id, each with its offers as under
    `sequential`.  See `assign` for the cost.
    sequential: of offers with equal scores the cheaper, then the less loaded, then the smaller agent id wins.
    O(offers).
    """
    best = _best_of_each(tasks, offers, scores, free)
    return _optimal(tasks, best, free) if rule == "optimal" else _sequential(tasks, best, free)


def ranking(offers: Sequence[Offer], scores: Sequence[float]) -> dict[TaskId, list[Offer]]:
    """Return task -> its admissible offers, best first, one of each agent; ties as under `sequential`.

    Tasks without an admissible offer are left out.  O(n log n).
    """
    by_task: dict[TaskId, list[_Scored]] = {}
    for offer, score in zip(offers, scores, strict=True):
        if score >= 0:
            by_task.setdefault(offer.task, []).append((offer, score))
    ranked: dict[TaskId, list[Offer]] = {}
    for task, scored in by_task.items():
        scored.sort(key=_preference)
        best: dict[AgentId, Offer] = {}
        for offer, _ in scored:
            best.setdefault(offer.agent, offer)
        ranked[task] = list(best.values())
    return ranked


_Scored = tuple[Offer, float]


def _best_of_each(
    tasks: Sequence[Task], offers: Sequence[Offer], scores: Sequence[float], free: Mapping[AgentId, int]
) -> dict[TaskId, dict[AgentId, _Scored]]:
    """Return the admissible offers by task and agent; of two bids of an agent for one task the better counts."""
    best: dict[TaskId, dict[AgentId, _Scored]] = {task.id: {} for task in tasks}
    for offer, score in zip(offers, scores, strict=True):
        if not score >= 0 or free.get(offer.agent, 0) <= 0 or offer.task not in best:
            continue
        known = best[offer.task].get(offer.agent)
        if known is None or _preference((offer, score)) < _preference(known):
            best[offer.task][offer.agent] = (offer, score)
    return best


def _optimal(
    tasks: Sequence[Task], best: Mapping[TaskId, Mapping[AgentId, _Scored]], free: Mapping[AgentId, int]
) -> dict[TaskId, Offer]:
    rows = sorted(tasks, key=lambda task: (-task.priority, task.id))
    agents = sorted({agent for scored in best.values() for agent in scored})
    columns = {agent: column for column, agent in enumerate(agents)}
    worth = _worth_of_priorities(rows)
    edges = [
        [
            (columns[offer.agent], worth[task.priority] + round(score * UNIT))
            for offer, score in sorted(best[task.id].values(), key=_preference)
        ]
        for task in rows
    ]
    found = assign(edges, [free[agent] for agent in agents])
    return {
        task.id: best[task.id][agents[column]][0]
        for task, column in zip(rows, found, strict=True)
        if column != UNASSIGNED
    }


def _worth_of_priorities(tasks: Sequence[Task]) -> dict[int, int]:
    """Return priority -> what it is worth that such a task is given out at all.

    One step up is worth more than all scores together.  Equal steps are enough: the sets of tasks that can be
    given out together are a matroid, in which the heaviest set holds as many as possible of the highest
    priority, then of the next, and so on, by whatever weights that grow with the priority (Edmonds 1971).
    """
    step = len(tasks) * UNIT + 1
    return {priority: step * grade for grade, priority in enumerate(sorted({task.priority for task in tasks}), 1)}


def _sequential(
    tasks: Sequence[Task], best: Mapping[TaskId, Mapping[AgentId, _Scored]], free: Mapping[AgentId, int]
) -> dict[TaskId, Offer]:
    won: dict[TaskId, Offer] = {}
    room = dict(free)
    for task in tasks:
        left = [scored for agent, scored in best[task.id].items() if room[agent] > 0]
        if left:
            offer = min(left, key=_preference)[0]
            won[task.id] = offer
            room[offer.agent] -= 1
    return won


def _preference(scored: _Scored) -> tuple[float, float, float, AgentId, float, float]:
    """Sort the best first; the last two decide only between two bids of one agent."""
    offer, score = scored
    return -score, offer.cost, offer.load, offer.agent, offer.duration_s, -offer.quality
