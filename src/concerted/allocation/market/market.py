"""The market: tasks, bids, a rule and a payment, cleared by one pure function.

    clear(tasks, bids, rule, payment, terms) -> who wins what, at which price and why; every bid's score by component

The same tasks, bids and terms give the same answer, in whatever order they come: ties go to the task of higher
priority, earlier deadline, smaller id, and to the bid with the higher score (or gain), the lower price, the less
loaded agent, the smaller agent id.  Under `one_to_one` and `capacities` each task in that order gets the bid that it
prefers among all that leave the whole as good as it can be; under the others, a search in that order decides.
Offers for single tasks that are scored already and paid as they stand need none of it: see `allocation.mechanisms`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concerted.allocation.market.bids import Bid, Level, Terms, check_market, judge, refusal
from concerted.allocation.market.gossip import Stake
from concerted.allocation.market.payments import PAYMENTS, Paid, Payment, Sold
from concerted.allocation.market.rules import RULES, Lots, Rule, Solution, Status
from concerted.allocation.optimum.effort import DEFAULT, Effort
from concerted.errors import Invalid
from concerted.values import AgentId, Task, TaskId

__all__ = ["Award", "Clearing", "Judged", "clear", "clear_as_shared", "stakes_of"]

_TERMS = Terms()


@dataclass(frozen=True, slots=True)
class Award:
    """A bid that has won.  score: see `Judged`.  paid: to the agent, in a sale by it.  why: it is that much."""

    bid: Bid
    score: float
    paid: float
    why: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A bid and what it scores: 0..1, or the money gained where money alone counts.

    parts: what each criterion adds.  refused: the hard constraint that it breaks, '' if none; it scores nothing then.
    """

    bid: Bid
    score: float
    parts: dict[str, float]
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Clearing:
    """What came of it.  awards: by task.  judged: every bid, the best first.  unsold: task -> why nobody has it.

    value: what was made large, for all awards together: scores and the worth of tasks given out, or money.  bound: it
    could not be more.  status: `optimal` if value is known to be the most.  rounds: of an auction in rounds.
    """

    awards: tuple[Award, ...]
    judged: tuple[Judged, ...]
    unsold: dict[TaskId, str]
    value: float
    bound: float
    status: Status
    rounds: int = 0


def clear(
    tasks: Sequence[Task],
    bids: Sequence[Bid],
    rule: Rule = "capacities",
    payment: Payment = "as_bid",
    terms: Terms = _TERMS,
    effort: Effort = DEFAULT,
) -> Clearing:
    """Give tasks to bids: no task twice, no agent above its capacity, no bid that breaks a hard constraint.

    effort: how hard to search, for the rules that search (`generalised`, `combinatorial`).  See docs/allocation.md for
    what each rule and payment guarantees and costs.  Equal bids count once.
    Raises: Invalid, if the input is malformed, with all that is wrong in `facts["problems"]`; or if the rule or the
    payment cannot be applied to these bids.
    """
    if rule not in RULES or payment not in PAYMENTS:
        raise Invalid(f"rule {rule}, payment {payment}: take one of {', '.join(RULES)}, and of {', '.join(PAYMENTS)}")
    if rule == "ascending" and payment != "as_bid":
        raise Invalid(f"rule ascending makes its own prices; take payment as_bid, not {payment}")
    check_market(tasks, bids, terms)
    lots, refused = _admit({task.id: task for task in tasks}, bids, terms)
    return _clearing(refused, Sold(lots, RULES[rule](lots, effort), rule, effort), payment)


def stakes_of(tasks: Sequence[Task], bids: Sequence[Bid], terms: Terms = _TERMS) -> dict[AgentId, Stake]:
    """Return what each agent has to win if agents share the tasks out by talk: what its admissible bids are worth.

    Raises: Invalid, as `clear` does by the rule `cbba`.
    """
    check_market(tasks, bids, terms)
    lots, _ = _admit({task.id: task for task in tasks}, bids, terms)
    places = lots.places("cbba")
    worth: dict[AgentId, dict[TaskId, float]] = {agent: {} for agent in lots.agents}
    for (row, agent), at in lots.singles("cbba").items():
        worth[agent][lots.tasks[row].id] = lots.values[at] / lots.unit
    return {agent: Stake(worth[agent], places[agent]) for agent in lots.agents}


def clear_as_shared(
    tasks: Sequence[Task], bids: Sequence[Bid], terms: Terms, bundles: Mapping[AgentId, Sequence[TaskId]], rounds: int
) -> Clearing:
    """Return what it comes to that agents have shared tasks out among themselves.  bundles: no task twice."""
    lots, refused = _admit({task.id: task for task in tasks}, bids, terms)
    bid_of = lots.singles("cbba")
    chosen = [bid_of[lots.row_of[task], agent] for agent, bundle in sorted(bundles.items()) for task in bundle]
    value = sum(lots.values[at] for at in chosen)
    solution = Solution(tuple(sorted(chosen)), value, max(lots.ceiling, value), rounds=rounds)
    return _clearing(refused, Sold(lots, solution, "cbba", DEFAULT), "as_bid")


def _clearing(refused: Sequence[Judged], sold: Sold, payment: Payment) -> Clearing:
    """Say what a solution comes to: who is paid what, and how each bid fared."""
    lots, solution, terms = sold.lots, sold.solution, sold.lots.terms
    paid = PAYMENTS[payment](sold)
    value = solution.value / lots.unit
    if terms.money_alone:  # without the hair by which a sale that gains nothing is preferred to none
        value = math.fsum(lots.levels[at].total for at in solution.chosen)
    judged = [Judged(bid, level.total, level.parts) for bid, level in zip(lots.bids, lots.levels, strict=True)]
    return Clearing(
        awards=_awards(lots, solution, paid),
        judged=(*judged, *refused),
        unsold=_unsold(lots, solution, refused),
        value=value,
        bound=value if solution.status == "optimal" else solution.bound / lots.unit,
        status=solution.status,
        rounds=solution.rounds,
    )


def _admit(tasks: dict[TaskId, Task], bids: Sequence[Bid], terms: Terms) -> tuple[Lots, list[Judged]]:
    """Leave out what breaks a hard constraint, score the rest, and put all of it in order."""
    ordered = sorted({_identity(bid): bid for bid in bids}.items())
    reasons = [(bid, refusal(tasks, bid, terms)) for _, bid in ordered]
    admitted = [bid for bid, reason in reasons if not reason]
    levels = judge(tasks, admitted, terms)
    ranked = sorted(zip(admitted, levels, strict=True), key=_preference)
    lots = Lots(
        tasks=tuple(sorted(tasks.values(), key=_urgency)),
        bids=tuple(bid for bid, _ in ranked),
        levels=tuple(level for _, level in ranked),
        terms=terms,
    )
    return lots, [Judged(bid, 0.0, {}, reason) for bid, reason in reasons if reason]


def _urgency(task: Task) -> tuple[int, float, str]:
    return -task.priority, float("inf") if task.deadline_s is None else task.deadline_s, task.id


def _preference(judged: tuple[Bid, Level]) -> tuple[float, float, float, str]:
    """Sort the best first; what is still equal stays in the order of `_identity`."""
    bid, level = judged
    return -level.total, bid.price, bid.load, bid.agent


def _identity(bid: Bid) -> tuple[object, ...]:
    """Return what tells two bids apart, so that it can be sorted."""
    until = float("inf") if bid.valid_until is None else bid.valid_until
    levels = tuple(sorted(bid.capabilities.items()))
    own = (bid.price, bid.load, bid.duration_s, -bid.quality, -bid.reliability, bid.room, bid.xor, until, levels)
    return bid.agent, tuple(sorted(bid.tasks)), *own, bid.tasks


def _awards(lots: Lots, solution: Solution, paid: dict[int, Paid]) -> tuple[Award, ...]:
    chosen = sorted(solution.chosen, key=lambda at: min(lots.row_of[task] for task in lots.bids[at].tasks))
    return tuple(Award(lots.bids[at], lots.levels[at].total, paid[at].amount, paid[at].why) for at in chosen)


def _unsold(lots: Lots, solution: Solution, refused: Sequence[Judged]) -> dict[TaskId, str]:
    sold = {task for at in solution.chosen for task in lots.bids[at].tasks}
    wanted = {task for bid in lots.bids for task in bid.tasks}
    reasons: dict[TaskId, list[str]] = {}
    for one in refused:
        for name in one.bid.tasks:
            reasons.setdefault(name, []).append(f"{one.bid.agent}, {one.refused}")
    unsold = {}
    for task in lots.tasks:
        if task.id in sold:
            continue
        if task.id in wanted:
            unsold[task.id] = "there are bids, and without them the whole is worth more"
        elif task.id in reasons:
            first, *others = reasons[task.id]
            unsold[task.id] = f"no bid is admissible: {first}" + (f", and {len(others)} more" if others else "")
        else:
            unsold[task.id] = "nobody bid"
    return unsold
