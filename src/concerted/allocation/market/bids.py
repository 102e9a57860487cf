"""Bids on bundles of tasks, the terms of a market, what a bid is refused for, and what it scores.

A bid is for all of its tasks or none.  Bids of one agent are independent of each other (OR), but of those that carry
the same `xor` word at most one can win.  Every score is 0..1, the weighed mean of five levels, each 0..1:

              fixed                   reserve                                minmax
    cost      1 - price / 1,000       1 - price / budget                     (dearest - price) / (dearest - cheapest)
    time      1 - duration / 1 h      (1 - duration / limit) x (1 - load/2)  in the same way, x (1 - load / 2)
    quality, reliability, capability: as they are                            (level - lowest) / (highest - lowest)

`fixed` is the specification's; prices and durations are those for one task, so a bundle of two is measured by twice
the limit.  A task without budget or limit is measured by the highest that is bid for it.  `minmax` compares with the
bids that share a task; a level in which they are all equal is 1.  capability is the mean share of what is required
that is covered; where nothing is required it is 1, in `fixed` 0.  No level is below 0.

Source: the specification, "Auction strategy", calculateBidScore, and "Contract net strategy", evaluateProposal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec

from concerted.errors import Invalid
from concerted.values import AgentId, Instant, Task, TaskId

__all__ = [
    "Bid",
    "Direction",
    "Level",
    "Scoring",
    "Terms",
    "Weights",
    "check_market",
    "judge",
    "problems_of",
    "refusal",
]

Scoring = Literal["fixed", "reserve", "minmax"]
Direction = Literal["procurement", "sale"]

SLACK = 1e-9  # by how much sums of sizes may be over, for they are rounded
_PRICE_LIMIT = 1000.0  # `fixed`
_DURATION_LIMIT_S = 3600.0  # `fixed`


class Bid(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one agent would do all of these tasks for, and what is known of it.

    price: for the whole bundle; in a sale, what the agent pays.  duration_s: of the whole bundle.  size: how much of
    the agent's capacity it takes, by default 1 for each task.  quality, reliability, load, levels: 0..1.
    """

    agent: AgentId
    tasks: tuple[TaskId, ...]
    price: float
    duration_s: float = 0.0
    quality: float = 1.0
    reliability: float = 1.0
    load: float = 0.0
    capabilities: dict[str, float] = {}
    size: float | None = None
    xor: str = ""
    valid_until: Instant | None = None

    @property
    def room(self) -> float:
        """How much of the agent's capacity it takes."""
        return float(len(self.tasks)) if self.size is None else self.size


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """How much each criterion counts; together 1."""

    cost: float = 0.30
    time: float = 0.25
    quality: float = 0.25
    reliability: float = 0.20
    capability: float = 0.0

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in self.__struct_fields__}
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise Invalid(f"weights: {name} is {share:g}; a share is 0..1")
        if abs(sum(shares.values()) - 1.0) > 1e-6:
            raise Invalid(f"weights: together they are {sum(shares.values()):g}; they must add up to 1")


_SPECIFIED = Weights(reliability=0.0, capability=0.20)


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all bids of a market.

    capacity: agent -> how much it can be given, in the unit of sizes; only agents named here may bid.  None: anybody,
    as much as it likes.  weights: None stands for 0.30 cost, 0.25 time, 0.25 quality, 0.20 reliability, in `fixed`
    0.20 capability in its place.  floors: a required capability must be there at its level.  surplus: the whole that
    is made as large as can be is money (in procurement the tasks' budgets less what is bid), and not tasks first and
    scores second; a sale is always so.  reserve: task -> the least it is sold for.  now, started_at: an agent must be
    done by `started_at` + the task's `deadline_s` if it begins now.  increment: by which prices rise in `ascending`,
    None: a hundredth of the highest gain.
    """

    direction: Direction = "procurement"
    capacity: Mapping[AgentId, float] | None = None
    scoring: Scoring = "reserve"
    weights: Weights | None = None
    floors: bool = True
    surplus: bool = False
    reserve: Mapping[TaskId, float] = field(default_factory=dict)
    now: Instant = 0.0
    started_at: Instant = 0.0
    increment: float | None = None

    @property
    def money_alone(self) -> bool:
        """Whether what is made large is money."""
        return self.surplus or self.direction == "sale"

    @property
    def weighing(self) -> Weights:
        """The weights, also where none are given."""
        return self.weights or (_SPECIFIED if self.scoring == "fixed" else Weights())


class Level(NamedTuple):
    """A score and what each criterion adds to it.  per_score: how much money a score of 1 is worth in the price."""

    total: float
    parts: dict[str, float]
    per_score: float


def check_market(tasks: Sequence[Task], bids: Sequence[Bid], terms: Terms) -> None:
    """Raise Invalid if something is no market at all; `facts["problems"]` lists everything that is wrong."""
    known = {task.id for task in tasks}
    problems = [f"task {task.id} stands there twice" for task in _repeated(tasks)]
    for what, amounts in (("capacity", terms.capacity or {}), ("reserve price", terms.reserve)):
        for name, amount in sorted(amounts.items()):
            if not 0.0 <= amount < math.inf:
                problems.append(f"the {what} of {name} is {amount:g}; it must be at least 0 and finite")
    if terms.increment is not None and not 0.0 < terms.increment < math.inf:
        problems.append(f"the increment is {terms.increment:g}; it must be above 0 and finite")
    for bid in bids:
        problems += [
            f"{bid.agent}'s bid for {', '.join(bid.tasks) or 'nothing'}: {problem}" for problem in problems_of(bid)
        ]
        problems += [f"{bid.agent} bids for {task}, which is not offered" for task in bid.tasks if task not in known]
        if terms.capacity is not None and bid.agent not in terms.capacity:
            problems.append(f"{bid.agent} bids and is not among the agents with a capacity; give it one, or 0")
    if terms.money_alone and terms.direction == "procurement":
        problems += [
            f"task {task.id} has no max_budget, so nobody knows its surplus"
            for task in tasks
            if task.max_budget is None
        ]
    if problems:
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise Invalid(problems[0] + more, problems=problems)


def refusal(tasks: Mapping[TaskId, Task], bid: Bid, terms: Terms) -> str:
    """Say which hard constraint a bid breaks, whatever the others bid: `over budget: 9 > 7`; '' if none."""
    if bid.valid_until is not None and bid.valid_until < terms.now:
        return f"no longer valid: it was until {bid.valid_until:g}, and it is {terms.now:g}"
    if terms.capacity is not None and bid.room > terms.capacity[bid.agent] + SLACK:
        return f"too large: it takes {bid.room:g}, and {bid.agent} has capacity for {terms.capacity[bid.agent]:g}"
    bundle = [tasks[task] for task in bid.tasks]
    for task in bundle:
        if task.agent is not None and task.agent != bid.agent:
            return f"not for {bid.agent} to do: {task.id} names {task.agent}"
        for capability, least in task.required_capabilities.items() if terms.floors else ():
            level = bid.capabilities.get(capability, 0.0)
            if level < least:
                return f"below the floor: {capability} {level:g} < {least:g}"
        if task.deadline_s is not None and terms.now + bid.duration_s > terms.started_at + task.deadline_s:
            done_at, due_at = terms.now + bid.duration_s, terms.started_at + task.deadline_s
            return f"too late: done at {done_at:g}, and {task.id} is due at {due_at:g}"
    return _refused_price(bundle, bid, terms)


def _refused_price(bundle: Sequence[Task], bid: Bid, terms: Terms) -> str:
    if terms.direction == "sale":
        least = math.fsum(terms.reserve.get(task.id, 0.0) for task in bundle)
        return f"below the reserve price: {bid.price:g} < {least:g}" if bid.price < least - SLACK else ""
    budgets = [task.max_budget for task in bundle if task.max_budget is not None]
    most = math.fsum(budgets)
    over = len(budgets) == len(bundle) and bid.price > most + SLACK
    return f"over budget: {bid.price:g} > {most:g}" if over else ""


def judge(tasks: Mapping[TaskId, Task], bids: Sequence[Bid], terms: Terms) -> list[Level]:
    """Return the score of each of these bids, which are all admissible.  The order of the bids does not matter.

    In a sale and where money alone counts there is one part: `price`, the money gained, and it is not 0..1.
    O(bids x tasks of a bid).
    """
    if terms.money_alone:
        return [_gain(tasks, bid, terms) for bid in bids]
    rates = [_rate(tasks, bid) for bid in bids]
    spans = _spans(bids, rates)
    return [_score(tasks, bid, rate, spans, terms) for bid, rate in zip(bids, rates, strict=True)]


_CRITERIA = ("cost", "time", "quality", "reliability", "capability")
_Span = dict[str, tuple[float, float]]  # criterion -> the lowest and the highest of all bids that share a task


def _rate(tasks: Mapping[TaskId, Task], bid: Bid) -> dict[str, float]:
    """Return what is measured of a bid: money and time for one task, and levels."""
    return {
        "cost": bid.price / len(bid.tasks),
        "time": bid.duration_s / len(bid.tasks),
        "quality": bid.quality,
        "reliability": bid.reliability,
        "capability": _covered([tasks[task] for task in bid.tasks], bid.capabilities),
    }


def _spans(bids: Sequence[Bid], rates: Sequence[Mapping[str, float]]) -> dict[TaskId, _Span]:
    spans: dict[TaskId, _Span] = {}
    for bid, rate in zip(bids, rates, strict=True):
        for task in bid.tasks:
            span = spans.setdefault(task, {})
            for name, value in rate.items():
                low, high = span.get(name, (value, value))
                span[name] = min(low, value), max(high, value)
    return spans


def _score(
    tasks: Mapping[TaskId, Task], bid: Bid, rate: Mapping[str, float], spans: Mapping[TaskId, _Span], terms: Terms
) -> Level:
    shown = [spans[task] for task in bid.tasks]
    weights = terms.weighing
    lazy = 1.0 if terms.scoring == "fixed" else 1.0 - 0.5 * bid.load
    if terms.scoring == "minmax":
        lows = {name: min(span[name][0] for span in shown) for name in _CRITERIA}
        highs = {name: max(span[name][1] for span in shown) for name in _CRITERIA}
        levels = {name: _between(rate[name], lows[name], highs[name]) for name in _CRITERIA}
        levels["cost"] = _between(-rate["cost"], -highs["cost"], -lows["cost"])
        levels["time"] = _between(-rate["time"], -highs["time"], -lows["time"]) * lazy
        width = (highs["cost"] - lows["cost"]) * len(bid.tasks)
    else:
        levels = dict(rate)
        if terms.scoring == "fixed":
            width, length_s = _PRICE_LIMIT * len(bid.tasks), _DURATION_LIMIT_S * len(bid.tasks)
            levels["capability"] *= any(tasks[task].required_capabilities for task in bid.tasks)
        else:
            width, length_s = _limits(tasks, bid, spans)
        levels["cost"] = max(0.0, 1.0 - bid.price / width) if width else 1.0
        levels["time"] = (max(0.0, 1.0 - bid.duration_s / length_s) if length_s else 1.0) * lazy
    parts = {name: getattr(weights, name) * levels[name] for name in _CRITERIA}
    return Level(math.fsum(parts.values()), parts, width / weights.cost if weights.cost else math.inf)


def _limits(tasks: Mapping[TaskId, Task], bid: Bid, spans: Mapping[TaskId, _Span]) -> tuple[float, float]:
    """Return what a bundle may cost and take, by its tasks or by what is bid for them."""
    width, length_s = [], []
    for task in (tasks[name] for name in bid.tasks):
        span = spans[task.id]
        width.append(span["cost"][1] if task.max_budget is None else task.max_budget)
        length_s.append(span["time"][1] if task.max_duration_s is None else task.max_duration_s)
    return math.fsum(width), math.fsum(length_s)


def _between(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 1.0


def _covered(bundle: Iterable[Task], levels: Mapping[str, float]) -> float:
    """Return the mean share of the required levels that is there; 1 if nothing is required."""
    shares = [
        min(1.0, levels.get(capability, 0.0) / least) if least > 0.0 else 1.0
        for task in bundle
        for capability, least in sorted(task.required_capabilities.items())
    ]
    return math.fsum(shares) / len(shares) if shares else 1.0


def _gain(tasks: Mapping[TaskId, Task], bid: Bid, terms: Terms) -> Level:
    """Return what the market gains by a bid: in procurement the budgets less the price, in a sale the price."""
    if terms.direction == "sale":
        gain = bid.price - math.fsum(terms.reserve.get(task, 0.0) for task in bid.tasks)
    else:
        gain = math.fsum(tasks[task].max_budget or 0.0 for task in bid.tasks) - bid.price
    return Level(max(0.0, gain), {"price": gain}, 1.0)


def problems_of(bid: Bid) -> list[str]:
    """Say what is malformed in a bid, whatever is offered: `price is -1; it must be at least 0 and finite`."""
    problems = []
    if not bid.tasks:
        problems.append("a bundle has at least one task")
    if len(set(bid.tasks)) < len(bid.tasks):
        problems.append("a task stands in its bundle twice")
    amounts = {"price": bid.price, "duration": bid.duration_s, "size": bid.room}
    levels = {"quality": bid.quality, "reliability": bid.reliability, "load": bid.load, **bid.capabilities}
    problems += [
        f"{name} is {amount:g}; it must be at least 0 and finite"
        for name, amount in amounts.items()
        if not 0.0 <= amount < math.inf
    ]
    problems += [f"{name} is {level:g}; levels are 0..1" for name, level in levels.items() if not 0.0 <= level <= 1.0]
    if bid.valid_until is not None and math.isnan(bid.valid_until):
        problems.append("valid_until is nan; it must be an instant")
    return problems


def _repeated(tasks: Sequence[Task]) -> list[Task]:
    seen: set[TaskId] = set()
    again = []
    for task in tasks:
        if task.id in seen:
            again.append(task)
        seen.add(task.id)
    return again
