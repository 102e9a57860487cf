"""What the winners of a market are paid, or in a sale pay, and why.

as_bid        what they bid; in an ascending auction, what prices have come to
second_price  what the next best bidder for the task bid, as if the price alone had to be beaten
second_score  the price at which the bid would have scored as much as the next best one
vcg           the price, and what the whole would lose without the winner: honest bids are then everybody's best

Nobody is paid less than it bid, nor more than the budget; in a sale nobody pays more than it bid, nor less than the
reserve price.  Where there is no next best, the budget, or the reserve price, takes its place.

Source: Vickrey 1961; Clarke 1971; Groves 1973; Che, "Design competition through multidimensional auctions", RAND
Journal of Economics 24, 1993, for the second score; Leonard 1983 for the one-to-one case in one pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from concerted.allocation.market.bids import Bid
from concerted.allocation.market.rules import FEW, RULES, Lots, Rule, Solution
from concerted.allocation.optimum.effort import Effort
from concerted.errors import Invalid
from concerted.values import AgentId

__all__ = ["PAYMENTS", "Paid", "Payment", "Sold"]

Payment = Literal["as_bid", "second_price", "second_score", "vcg"]

EXACT: tuple[Rule, ...] = ("one_to_one", "capacities", "generalised", "combinatorial")


@dataclass(frozen=True, slots=True)
class Paid:
    """What one winner is paid, and why."""

    amount: float
    why: str


@dataclass(frozen=True, slots=True)
class Sold:
    """A market that is cleared, and how."""

    lots: Lots
    solution: Solution
    rule: Rule
    effort: Effort


def _as_bid(sold: Sold) -> dict[int, Paid]:
    """Return bid -> what is paid for it."""
    clock = sold.solution.paid
    return {
        at: Paid(clock[at], f"where prices stood after {sold.solution.rounds} rounds")
        if at in clock
        else Paid(sold.lots.bids[at].price, "as bid")
        for at in sold.solution.chosen
    }


def _second_price(sold: Sold) -> dict[int, Paid]:
    paid = {}
    for at in sold.solution.chosen:
        bid, rival = sold.lots.bids[at], _next_best(sold, at, "second_price")
        if rival is None:
            paid[at] = _unrivalled(sold.lots, bid)
        else:
            other = sold.lots.bids[rival]
            paid[at] = _within(sold.lots, bid, other.price, f"second price: {other.agent} bid {other.price:g}")
    return paid


def _second_score(sold: Sold) -> dict[int, Paid]:
    lots = sold.lots
    if not lots.terms.money_alone and lots.terms.weighing.cost == 0.0:
        raise Invalid("second_score needs scores that depend on the price; give cost a weight")
    sign = 1.0 if lots.terms.direction == "procurement" else -1.0
    paid = {}
    for at in sold.solution.chosen:
        bid, level, rival = lots.bids[at], lots.levels[at], _next_best(sold, at, "second_score")
        if rival is None:
            paid[at] = _unrivalled(lots, bid)
        else:
            other = lots.bids[rival]
            ahead = max(0.0, level.total - lots.levels[rival].total)
            why = f"second score: at this price it scores {lots.levels[rival].total:.3f}, as {other.agent} does"
            paid[at] = _within(lots, bid, bid.price + sign * ahead * level.per_score, why)
    return paid


def _vcg(sold: Sold) -> dict[int, Paid]:
    lots = sold.lots
    if sold.rule not in EXACT:
        raise Invalid(
            f"vcg needs the best of all assignments; rule {sold.rule} does not look for it, take one of {EXACT}"
        )
    if not lots.terms.money_alone:
        raise Invalid("vcg is about money; set surplus in the terms, and give each task a max_budget")
    sign = 1.0 if lots.terms.direction == "procurement" else -1.0
    won: dict[AgentId, list[int]] = {}
    for at in sold.solution.chosen:
        won.setdefault(lots.bids[at].agent, []).append(at)
    quick = _marginals(sold)
    word = "and" if sign > 0 else "less"
    doubt = "" if sold.solution.status == "optimal" else "; the whole is not known to be the best, so lies may pay"
    paid = {}
    for agent, own in won.items():
        gains = {at: lots.levels[at].total for at in own}
        together = math.fsum(gains.values())
        bonus = quick[agent] if agent in quick else _by_solving_again(sold, agent)
        bonus = min(max(0.0, bonus), together)
        for at, gain in gains.items():
            share = bonus * gain / together if together else 0.0
            price = lots.bids[at].price
            why = f"vcg: {price:g}, {word} {share:g} that the whole owes to {agent}{doubt}"
            paid[at] = Paid(price + sign * share, why)
    return paid


def _marginals(sold: Sold) -> Mapping[AgentId, float]:
    """Return what winners add to the whole, from the matrix: all with a single place in one pass, others one by one."""
    table = sold.solution.table
    if table is None:
        return {}
    import numpy as np

    from concerted.allocation.optimum.one_to_one import marginals, match_best

    gains = np.full((len(sold.lots.tasks), len(table.agents)), -1.0)
    column_of: dict[AgentId, list[int]] = {}
    for column, agent in enumerate(table.agents):
        column_of.setdefault(agent, []).append(column)
    for (row, agent), at in table.bid_of.items():
        gains[row, column_of[agent]] = sold.lots.levels[at].total
    whole = _gain(sold.lots, sold.solution)
    added = marginals(gains, table.found).tolist()
    found = {}
    for agent in dict.fromkeys(sold.lots.bids[at].agent for at in sold.solution.chosen):
        columns = column_of[agent]
        if len(columns) == 1:
            found[agent] = added[columns[0]]
            continue
        others = np.delete(gains, columns, axis=1)
        pairs = match_best(others, ours=others.size <= FEW)
        rows = np.flatnonzero(pairs >= 0)
        found[agent] = whole - math.fsum(others[rows, pairs[rows]].tolist())
    return found


def _by_solving_again(sold: Sold, agent: AgentId) -> float:
    """Return what an agent adds to the whole: the gain with it less the best gain without it."""
    others = sold.lots.without(agent)
    without = RULES[sold.rule](others, sold.effort)
    return _gain(sold.lots, sold.solution) - _gain(others, without)


def _gain(lots: Lots, solution: Solution) -> float:
    return math.fsum(lots.levels[at].total for at in solution.chosen)


def _next_best(sold: Sold, at: int, payment: str) -> int | None:
    """Return the bid of another agent for the same task that comes first by preference."""
    bid = sold.lots.bids[at]
    if len(bid.tasks) > 1:
        raise Invalid(f"{bid.agent} has won {', '.join(bid.tasks)} together; {payment} is for single tasks, take vcg")
    others = (one for one, other in enumerate(sold.lots.bids) if other.agent != bid.agent and other.tasks == bid.tasks)
    return next(others, None)


def _limit(lots: Lots, bid: Bid) -> float:
    """Return the most that may be paid for a bid; in a sale, the least that it must pay."""
    if lots.terms.direction == "sale":
        return math.fsum(lots.terms.reserve.get(task, 0.0) for task in bid.tasks)
    budgets = [lots.tasks[lots.row_of[task]].max_budget for task in bid.tasks]
    return math.inf if None in budgets else math.fsum(budget or 0.0 for budget in budgets)


def _unrivalled(lots: Lots, bid: Bid) -> Paid:
    limit = _limit(lots, bid)
    if lots.terms.direction == "sale":
        return Paid(min(limit, bid.price), "nobody else bid: the reserve price")
    if limit == math.inf:
        return Paid(bid.price, "nobody else bid, and there is no budget: as bid")
    return Paid(max(limit, bid.price), "nobody else bid: the budget")


def _within(lots: Lots, bid: Bid, amount: float, why: str) -> Paid:
    """Keep an amount between what was bid and the limit."""
    limit = _limit(lots, bid)
    low, high = (limit, bid.price) if lots.terms.direction == "sale" else (bid.price, max(limit, bid.price))
    if amount < low:
        return Paid(low, f"{why}; not below {low:g}")
    if amount > high:
        return Paid(high, f"{why}; not above {high:g}")
    return Paid(amount, why)


PAYMENTS: Mapping[Payment, Callable[[Sold], dict[int, Paid]]] = {
    "as_bid": _as_bid,
    "second_price": _second_price,
    "second_score": _second_score,
    "vcg": _vcg,
}
