"""Laws of payments: nobody loses by taking part, and under VCG nobody gains by a lie."""

import math
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from concerted.allocation.market.bids import Bid, Direction, Terms
from concerted.allocation.market.market import Clearing, clear
from concerted.allocation.market.payments import PAYMENTS, Payment
from concerted.allocation.market.rules import Rule
from concerted.allocation.optimum.effort import Effort
from concerted.allocation.optimum.one_to_one import marginals, match_best
from concerted.values import AgentId, Task, TaskId

EXACT: list[Rule] = ["one_to_one", "capacities", "generalised", "combinatorial"]
SIDES: list[Direction] = ["procurement", "sale"]
QUICK = Effort(steps=20_000)

PRICES = st.integers(0, 20).map(float)


@st.composite
def markets(draw: st.DrawFn, rule: Rule) -> tuple[list[Task], list[Bid], dict[AgentId, float]]:
    """Draw tasks with budgets, bids below them, and capacities."""
    tasks = [Task(id=TaskId(f"t{i}"), max_budget=20.0) for i in range(draw(st.integers(1, 3)))]
    agents = [AgentId(f"a{i}") for i in range(draw(st.integers(1, 4)))]
    bids = []
    for agent in agents:
        for task in tasks:
            if draw(st.booleans()):
                size = draw(st.sampled_from([1.0, 2.0])) if rule == "generalised" else None
                bids.append(Bid(agent=agent, tasks=(task.id,), price=draw(PRICES), size=size))
        if rule == "combinatorial" and len(tasks) > 1 and draw(st.booleans()):
            bids.append(Bid(agent=agent, tasks=(tasks[0].id, tasks[1].id), price=draw(PRICES), xor="x"))
    return tasks, bids, {agent: float(draw(st.integers(1, 3))) for agent in agents}


def terms(side: Direction, capacity: dict[AgentId, float]) -> Terms:
    return Terms(direction=side, surplus=side == "procurement", capacity=capacity)


def utility(clearing: Clearing, agent: AgentId, truth: dict[tuple[TaskId, ...], float], side: Direction) -> float:
    """Return what an agent gains: in procurement what it is paid less its true cost, in a sale the other way round."""
    won = [award for award in clearing.awards if award.bid.agent == agent]
    sign = 1.0 if side == "procurement" else -1.0
    return math.fsum(sign * (award.paid - truth[award.bid.tasks]) for award in won)


@given(st.sampled_from(EXACT), st.sampled_from(SIDES), st.data())
def test_under_vcg_no_lie_pays(rule: Rule, side: Direction, dice: st.DataObject) -> None:
    tasks, bids, capacity = dice.draw(markets(rule))
    liar = dice.draw(st.sampled_from(sorted(capacity)))
    truth = {bid.tasks: bid.price for bid in bids if bid.agent == liar}
    lies = [
        msgspec.structs.replace(bid, price=dice.draw(PRICES)) if bid.agent == liar else bid
        for bid in bids
        if bid.agent != liar or dice.draw(st.booleans())
    ]
    honest = clear(tasks, bids, rule, "vcg", terms(side, capacity), QUICK)
    lying = clear(tasks, lies, rule, "vcg", terms(side, capacity), QUICK)
    assert utility(lying, liar, truth, side) <= utility(honest, liar, truth, side) + 1e-6


@given(st.sampled_from(EXACT), st.sampled_from(list(PAYMENTS)), st.sampled_from(SIDES), st.data())
def test_nobody_is_worse_off_for_having_bid_what_it_is_worth(
    rule: Rule, payment: Payment, side: Direction, dice: st.DataObject
) -> None:
    tasks, bids, capacity = dice.draw(markets("capacities" if payment.startswith("second") else rule))
    for award in clear(tasks, bids, rule, payment, terms(side, capacity), QUICK).awards:
        budget = 20.0 * len(award.bid.tasks)
        if side == "procurement":
            assert award.bid.price - 1e-9 <= award.paid <= budget + 1e-9
        else:
            assert -1e-9 <= award.paid <= award.bid.price + 1e-9


@given(st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 7))
def test_what_an_agent_adds_is_the_best_with_it_less_the_best_without_it(seed: int, rows: int, columns: int) -> None:
    dice = Random(seed)
    values = np.array([[dice.choice([-1.0, dice.random(), 0.5]) for _ in range(columns)] for _ in range(rows)])
    added = marginals(values, match_best(values))
    for column in range(columns):
        assert added[column] == pytest.approx(best(values) - best(np.delete(values, column, axis=1)), abs=1e-12)


def best(values: np.ndarray) -> float:
    worth = np.maximum(values, 0.0)
    return float(worth[linear_sum_assignment(worth, maximize=True)].sum())
