"""Laws of clearing a market: no constraint is broken, no order matters, and exact rules are as good as trying all."""

from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.allocation.market.bids import Bid, Scoring, Terms, refusal
from concerted.allocation.market.market import Clearing, clear
from concerted.allocation.market.payments import Payment
from concerted.allocation.market.rules import RULES, Rule
from concerted.allocation.optimum.effort import Effort
from concerted.values import AgentId, Task, TaskId

EXACT: list[Rule] = ["one_to_one", "capacities", "generalised", "combinatorial"]
SCORINGS: list[Scoring] = ["fixed", "reserve", "minmax"]
QUICK = Effort(steps=20_000)

AMOUNTS = st.sampled_from([0.0, 1.0, 2.0, 2.5, 4.0, 9.0])
SIZES = st.sampled_from([None, 0.0, 0.5, 2.0])
LEVELS = st.sampled_from([0.0, 0.5, 0.8, 1.0])


@dataclass(frozen=True)
class Market:
    """Tasks, bids and terms, with few different values, so that much is equal."""

    tasks: list[Task]
    bids: list[Bid]
    terms: Terms

    def clear(self, rule: Rule, payment: Payment = "as_bid", effort: Effort = QUICK) -> Clearing:
        return clear(self.tasks, self.bids, rule, payment, self.terms, effort)


@st.composite
def markets(draw: st.DrawFn, rule: Rule = "combinatorial", surplus: bool | None = None) -> Market:
    """Draw a market to which a rule applies."""
    money = draw(st.booleans()) if surplus is None else surplus
    tasks = [
        Task(
            id=TaskId(f"t{i}"),
            priority=draw(st.integers(0, 1)),
            required_capabilities=draw(st.sampled_from([{}, {"dig": 0.5}])),
            max_budget=draw(st.sampled_from([4.0, 9.0])) if money else draw(st.sampled_from([None, 2.0, 9.0])),
            deadline_s=draw(st.sampled_from([None, 3.0])),
        )
        for i in range(draw(st.integers(0, 3)))
    ]
    agents = [AgentId(f"a{i}") for i in range(draw(st.integers(1, 3)))]
    own_words = {agent: draw(st.sampled_from(["", "either"])) for agent in agents}
    sizes = {(agent, task.id): draw(SIZES) for agent in agents for task in tasks}
    most = 2 if rule == "combinatorial" else 1
    names = st.lists(st.sampled_from([task.id for task in tasks]), min_size=1, max_size=most, unique=True)
    bids = []
    for _ in range(draw(st.integers(0, 6)) if tasks else 0):
        agent = draw(st.sampled_from(agents))
        facts: dict[str, Any] = {
            "price": draw(AMOUNTS),
            "duration_s": draw(AMOUNTS),
            "quality": draw(LEVELS),
            "load": draw(LEVELS),
            "capabilities": {"dig": draw(LEVELS)},
            "valid_until": draw(st.sampled_from([None, None, 0.5])),
        }
        bundle = tuple(draw(names))
        if rule == "generalised":
            facts["size"] = sizes[agent, bundle[0]]
        else:
            facts["xor"] = own_words[agent]
        if rule in ("combinatorial", "sequential"):
            facts["size"] = draw(SIZES)
        bids.append(Bid(agent=agent, tasks=bundle, **facts))
    capacity = {agent: draw(st.sampled_from([0.0, 1.0, 2.0, 3.5])) for agent in agents} if draw(st.booleans()) else None
    scoring = draw(st.sampled_from(SCORINGS))
    return Market(
        tasks, bids, Terms(capacity=capacity, scoring=scoring, surplus=money, now=draw(st.sampled_from([0.0, 1.0])))
    )


def broken(market: Market, rule: Rule, chosen: list[Bid]) -> str:
    """Say what is wrong with a choice of bids; '' if nothing is."""
    tasks = {task.id: task for task in market.tasks}
    given_out = [task for bid in chosen for task in bid.tasks]
    if len(set(given_out)) < len(given_out):
        return "a task is given out twice"
    for bid in chosen:
        if reason := refusal(tasks, bid, market.terms):
            return reason
    for agent in {bid.agent for bid in chosen}:
        own = [bid for bid in chosen if bid.agent == agent]
        words = [bid.xor for bid in own if bid.xor]
        if len(set(words)) < len(words):
            return f"{agent} gets two that exclude each other"
        if rule == "one_to_one" and len(own) > 1:
            return f"{agent} gets two"
        capacity = market.terms.capacity
        if capacity is not None and sum(bid.room for bid in own) > capacity[agent] + 1e-9:
            return f"{agent} has not the capacity"
    return ""


def drawn(rule: Rule) -> st.SearchStrategy[Market]:
    return markets(rule, surplus=True if rule == "ascending" else None)


@pytest.mark.parametrize("rule", RULES)
@given(dice=st.data())
def test_no_rule_breaks_a_constraint(rule: Rule, dice: st.DataObject) -> None:
    market = dice.draw(drawn(rule))
    clearing = market.clear(rule)
    assert broken(market, rule, [award.bid for award in clearing.awards]) == ""
    assert len(clearing.unsold) + sum(len(award.bid.tasks) for award in clearing.awards) == len(market.tasks)


@pytest.mark.parametrize("rule", RULES)
@given(dice=st.data())
def test_the_order_of_tasks_and_bids_changes_nothing(rule: Rule, dice: st.DataObject) -> None:
    market = dice.draw(drawn(rule))
    turned = Market(dice.draw(st.permutations(market.tasks)), dice.draw(st.permutations(market.bids)), market.terms)
    assert turned.clear(rule) == market.clear(rule)


@pytest.mark.parametrize("rule", EXACT)
@given(dice=st.data())
def test_exact_rules_are_as_good_as_trying_everything(rule: Rule, dice: st.DataObject) -> None:
    market = dice.draw(drawn(rule))
    clearing = market.clear(rule)
    ways = chain.from_iterable(combinations(market.bids, count) for count in range(len(market.bids) + 1))
    best = 0.0
    for way in ways:
        if broken(market, rule, list(way)) == "":
            best = max(best, sum(value_of(market, clearing, bid) for bid in way))
    assert clearing.value == pytest.approx(best, abs=1e-6)
    assert clearing.status == "optimal"
    assert clearing.bound == clearing.value


def value_of(market: Market, clearing: Clearing, bid: Bid) -> float:
    """Return what is made large: the score, and that tasks are given out at all, those of higher priority first."""
    score = next(one.score for one in clearing.judged if one.bid == bid)
    if market.terms.money_alone:
        return score
    grades = sorted({task.priority for task in market.tasks})
    tasks = {task.id: grades.index(task.priority) + 1 for task in market.tasks}
    return sum(tasks[task] * (len(market.tasks) + 1) for task in bid.tasks) + score * len(bid.tasks)


@pytest.mark.parametrize("scoring", SCORINGS)
@given(dice=st.data())
def test_a_score_is_the_sum_of_its_parts_and_between_nothing_and_one(scoring: Scoring, dice: st.DataObject) -> None:
    market = dice.draw(markets("combinatorial", surplus=False))
    clearing = clear(market.tasks, market.bids, "combinatorial", terms=Terms(scoring=scoring), effort=QUICK)
    for one in clearing.judged:
        assert one.score == pytest.approx(sum(one.parts.values()))
        assert -1e-12 <= one.score <= 1.0 + 1e-12
        assert all(part >= 0.0 for part in one.parts.values())


@given(markets("capacities", surplus=False))
def test_a_task_of_higher_priority_is_not_left_out_for_one_of_lower(market: Market) -> None:
    clearing = market.clear("capacities")
    urgent = {task.id for task in market.tasks if task.priority == 1}
    alone = Market([task for task in market.tasks if task.id in urgent], [], market.terms)
    bids = [bid for bid in market.bids if set(bid.tasks) <= urgent]
    most = len(Market(alone.tasks, bids, market.terms).clear("capacities").awards)
    assert sum(award.bid.tasks[0] in urgent for award in clearing.awards) == most
