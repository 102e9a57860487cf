"""The score of an offer: cost, time, quality and reliability, weighed; and why one was not the best.

Sound mode.  An offer must pass the hard floors: each required capability and the budget.  Then

    total = cost weight        x (1 - cost / limit)
          + time weight        x (1 - duration / limit) x (1 - load / 2)
          + quality weight     x quality
          + reliability weight x reliability

The limit is the task's own (`max_budget`, `max_duration_s`), or, if it has none, the highest that any
admissible offer for this task names.  The duration is as bid, so the load lowers the time's part only by up to a half.
A duration is an estimate and no promise: one beyond the limit earns nothing for time and is no reason to refuse.

Specification mode.  30 points for cost (of 1,000), 25 for time (of 3,600 s), 25 for quality, 20 for the mean
share of the required capabilities that is covered, over 100.  Capabilities are no floor there.

Source: the specification, "Auction strategy", calculateBidScore.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from concerted.config.settings import Criteria
from concerted.values import AgentId, Instant, Task, TaskId

__all__ = ["INADMISSIBLE", "Offer", "Score", "explain_score", "floor_reason", "score_offers", "why_lost"]

INADMISSIBLE = -1.0  # the score of an offer below a hard floor; all others are 0..1

Mode = Literal["sound", "specification"]

_INF = float("inf")
_COST_LIMIT = 1000.0  # specification mode
_TIME_LIMIT_S = 3600.0  # specification mode
_SHARES = Criteria(cost=0.30, time=0.25, quality=0.25, reliability=0.20)  # specification mode; the last: capabilities


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What one agent would do one task for, and what is known of the agent.

    cost: in the unit of budgets.  quality, reliability, load, capability levels: 0..1.  valid_until: how long it
    binds, None: until it is decided.  judged_at: when it is looked at.
    """

    agent: AgentId
    task: TaskId
    cost: float
    duration_s: float
    quality: float = 1.0
    reliability: float = 1.0
    load: float = 0.0
    capabilities: dict[str, float] = {}
    valid_until: Instant | None = None
    judged_at: Instant = 0.0

    @property
    def is_expired(self) -> bool:
        """Whether it no longer binds."""
        return self.valid_until is not None and self.valid_until < self.judged_at


class Score(NamedTuple):
    """total: 0..1, or INADMISSIBLE.  parts: criterion -> what it adds to the total."""

    total: float
    parts: dict[str, float]


def score_offers(
    tasks: Mapping[TaskId, Task], offers: Sequence[Offer], weights: Criteria, mode: Mode = "sound"
) -> list[float]:
    """Return the score of each offer, in their order; INADMISSIBLE for one below a floor or for no task of these.

    O(offers).  A score depends on the other offers for the same task, where that has no limits of its own.
    """
    admissible = [
        task is not None and floor_reason(task, offer, mode) is None
        for offer, task in ((offer, tasks.get(offer.task)) for offer in offers)
    ]
    limits = _limits(tasks, (offer for offer, ok in zip(offers, admissible, strict=True) if ok))
    scores = []
    for offer, ok in zip(offers, admissible, strict=True):
        if not ok:
            scores.append(INADMISSIBLE)
            continue
        cost, time, quality, last = _weigh(tasks[offer.task], offer, limits[offer.task], weights, mode)
        scores.append(cost + time + quality + last)
    return scores


def explain_score(
    task: Task, offer: Offer, all_offers_of_task: Sequence[Offer], weights: Criteria, mode: Mode = "sound"
) -> Score:
    """Return the score of one offer with its parts: the same total as in bulk, given the same offers."""
    if floor_reason(task, offer, mode) is not None:
        return Score(INADMISSIBLE, {})
    rivals = [one for one in all_offers_of_task if one.task == task.id and floor_reason(task, one, mode) is None]
    limits = _limits({task.id: task}, [*rivals, offer])
    cost, time, quality, last = _weigh(task, offer, limits[task.id], weights, mode)
    name = "reliability" if mode == "sound" else "capability"
    return Score(cost + time + quality + last, {"cost": cost, "time": time, "quality": quality, name: last})


def floor_reason(task: Task, offer: Offer, mode: Mode = "sound") -> str | None:
    """Say why an offer cannot be taken at all: `below the floor: python 0.4 < 0.7`; None if it can."""
    if not (
        0.0 <= offer.cost < _INF
        and 0.0 <= offer.duration_s < _INF
        and 0.0 <= offer.quality <= 1.0
        and 0.0 <= offer.reliability <= 1.0
        and 0.0 <= offer.load <= 1.0
    ):
        return _malformed(offer)
    if offer.valid_until is not None and offer.is_expired:
        return f"no longer valid: it was until {offer.valid_until:g}, and it is {offer.judged_at:g}"
    if task.agent is not None and offer.agent != task.agent:
        return f"not for {offer.agent} to do: the task names {task.agent}"
    if task.required_capabilities and mode == "sound":
        levels = offer.capabilities
        for capability, least in task.required_capabilities.items():
            level = levels.get(capability, 0.0)
            if not level >= least:
                return f"below the floor: {capability} {level:g} < {least:g}"
    if task.max_budget is not None and offer.cost > task.max_budget:
        return f"over budget: {offer.cost:g} > {task.max_budget:g}"
    return None


def why_lost(
    task: Task, agent: AgentId, offers: Sequence[Offer], winner: AgentId | None, weights: Criteria, mode: Mode = "sound"
) -> str:
    """Say in one line why an agent did not get a task.  offers: of the round; those for other tasks are ignored.

    Costs a look at all offers, so it is computed when somebody asks.
    """
    of_task = [offer for offer in offers if offer.task == task.id]
    own = [offer for offer in of_task if offer.agent == agent]
    if agent == winner:
        return f"{agent} has won it"
    if not own:
        return "no offer"
    mine = _best(task, own, of_task, weights, mode)
    if mine.total == INADMISSIBLE:
        return next(reason for reason in (floor_reason(task, offer, mode) for offer in own) if reason is not None)
    if winner is None:
        return f"nobody got it: score {mine.total:.3f}, but {agent} had no room left in this round"
    won = [offer for offer in of_task if offer.agent == winner]
    assert won, f"{winner} has won {task.id} without an offer"
    theirs = _best(task, won, of_task, weights, mode)
    if theirs.total <= mine.total:
        return (
            f"score {mine.total:.3f}, not below the {theirs.total:.3f} of {winner}: "
            "more tasks or a higher total score came of giving it to them"
        )
    gaps = {name: theirs.parts[name] - part for name, part in mine.parts.items()}
    widest = max(gaps, key=lambda name: gaps[name])
    return (
        f"score {mine.total:.3f} < {theirs.total:.3f} of {winner}, "
        f"most of all for {widest}: {mine.parts[widest]:.3f} < {theirs.parts[widest]:.3f}"
    )


class _Limits(NamedTuple):
    cost: float
    duration_s: float


def _limits(tasks: Mapping[TaskId, Task], admissible: Iterable[Offer]) -> dict[TaskId, _Limits]:
    """Return what is the most a task may cost and take, by itself or by the offers for it."""
    costs: dict[TaskId, float] = {}
    durations: dict[TaskId, float] = {}
    for offer in admissible:
        task = offer.task
        if offer.cost > costs.get(task, -1.0):
            costs[task] = offer.cost
        if offer.duration_s > durations.get(task, -1.0):
            durations[task] = offer.duration_s
    return {
        task: _Limits(
            costs[task] if known.max_budget is None else known.max_budget,
            durations[task] if known.max_duration_s is None else known.max_duration_s,
        )
        for task, known in ((task, tasks[task]) for task in costs)
    }


def _weigh(
    task: Task, offer: Offer, limits: _Limits, weights: Criteria, mode: Mode
) -> tuple[float, float, float, float]:
    """Return what each criterion adds, in the order in which they are added up."""
    if mode == "sound":
        cost = 1.0 - offer.cost / limits.cost if limits.cost else 1.0
        time = max(0.0, 1.0 - offer.duration_s / limits.duration_s) if limits.duration_s else 1.0
        time *= 1.0 - 0.5 * offer.load
        last = offer.reliability
    else:
        weights = _SHARES
        cost = max(0.0, 1.0 - offer.cost / _COST_LIMIT)
        time = max(0.0, 1.0 - offer.duration_s / _TIME_LIMIT_S)
        last = _match(task.required_capabilities, offer.capabilities)
    return weights.cost * cost, weights.time * time, weights.quality * offer.quality, weights.reliability * last


def _match(required: Mapping[str, float], levels: Mapping[str, float]) -> float:
    """Return the mean share of the required levels that is covered, 0..1; 0 if nothing is required."""
    if not required:
        return 0.0
    covered = 0.0
    for capability, least in required.items():
        level = levels.get(capability, 0.0)
        if level >= least:
            covered += 1.0
        elif level > 0.0:
            covered += level / least
    return covered / len(required)


def _best(task: Task, own: Sequence[Offer], of_task: Sequence[Offer], weights: Criteria, mode: Mode) -> Score:
    scores = [explain_score(task, offer, of_task, weights, mode) for offer in own]
    return max(scores, key=lambda score: score.total)


def _malformed(offer: Offer) -> str:
    for name, number in (("cost", offer.cost), ("duration", offer.duration_s)):
        if not 0.0 <= number < _INF:
            return f"malformed: {name} is {number:g}; it must be at least 0 and finite"
    for name, number in (("quality", offer.quality), ("reliability", offer.reliability), ("load", offer.load)):
        if not 0.0 <= number <= 1.0:
            return f"malformed: {name} is {number:g}; levels are 0..1"
    raise AssertionError(offer)
