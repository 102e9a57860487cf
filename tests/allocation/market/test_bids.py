"""Bids: what is no market, what breaks a hard constraint, and what a bid scores."""

import math
from typing import Any

import pytest

from concerted.allocation.market.bids import Bid, Level, Terms, Weights, check_market, judge, refusal
from concerted.errors import Invalid
from concerted.values import AgentId, Task, TaskId

ANN = AgentId("ann")


def task(name: str, **facts: Any) -> Task:
    return Task(id=TaskId(name), **facts)


def bid(tasks: str = "dig", price: float = 1.0, agent: str = "ann", **facts: Any) -> Bid:
    return Bid(agent=AgentId(agent), tasks=tuple(TaskId(one) for one in tasks.split()), price=price, **facts)


def by_id(*tasks: Task) -> dict[TaskId, Task]:
    return {one.id: one for one in tasks}


def problems(tasks: list[Task], bids: list[Bid], terms: Terms) -> list[str]:
    with pytest.raises(Invalid) as caught:
        check_market(tasks, bids, terms)
    found: list[str] = caught.value.facts["problems"]
    assert str(caught.value).startswith(found[0])
    return found


# What is no market


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"price": -1.0}, "price is -1; it must be at least 0 and finite"),
        ({"price": math.nan}, "price is nan; it must be at least 0 and finite"),
        ({"duration_s": math.inf}, "duration is inf; it must be at least 0 and finite"),
        ({"size": -0.5}, "size is -0.5; it must be at least 0 and finite"),
        ({"quality": 1.5}, "quality is 1.5; levels are 0..1"),
        ({"capabilities": {"dig": math.nan}}, "dig is nan; levels are 0..1"),
        ({"valid_until": math.nan}, "valid_until is nan; it must be an instant"),
        ({"tasks": "dig dig"}, "a task stands in its bundle twice"),
    ],
)
def test_a_bid_that_is_none_is_named_with_its_bidder(wrong: dict[str, Any], says: str) -> None:
    found = problems([task("dig")], [bid(**wrong)], Terms())
    assert len(found) == 1
    assert found[0].startswith("ann's bid for dig")
    assert found[0].endswith(says)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    terms = Terms(capacity={ANN: -1.0}, reserve={TaskId("dig"): math.inf}, increment=0.0)
    bids = [bid("", 1.0), bid("fly"), bid(agent="bob")]
    assert problems([task("dig"), task("dig")], bids, terms) == [
        "task dig stands there twice",
        "the capacity of ann is -1; it must be at least 0 and finite",
        "the reserve price of dig is inf; it must be at least 0 and finite",
        "the increment is 0; it must be above 0 and finite",
        "ann's bid for nothing: a bundle has at least one task",
        "ann bids for fly, which is not offered",
        "bob bids and is not among the agents with a capacity; give it one, or 0",
    ]


def test_a_surplus_needs_the_budget_of_each_task() -> None:
    assert problems([task("dig")], [], Terms(surplus=True)) == [
        "task dig has no max_budget, so nobody knows its surplus"
    ]
    check_market([task("dig")], [], Terms(direction="sale"))


def test_weights_are_shares_of_one() -> None:
    with pytest.raises(Invalid, match=r"weights: together they are 1\.5; they must add up to 1"):
        Weights(cost=0.8)
    with pytest.raises(Invalid, match=r"weights: cost is -0\.2; a share is 0\.\.1"):
        Weights(cost=-0.2, time=0.75)


# Hard constraints


@pytest.mark.parametrize(
    ("of", "offered", "terms", "says"),
    [
        ({}, {"valid_until": 4.0}, {"now": 5.0}, "no longer valid: it was until 4, and it is 5"),
        ({}, {"size": 3.0}, {"capacity": {"ann": 2.0}}, "too large: it takes 3, and ann has capacity for 2"),
        ({"agent": "bob"}, {}, {}, "not for ann to do: dig names bob"),
        ({"required_capabilities": {"dig": 0.5}}, {}, {}, "below the floor: dig 0 < 0.5"),
        ({"max_budget": 7.0}, {"price": 9.0}, {}, "over budget: 9 > 7"),
        ({"deadline_s": 60.0}, {"duration_s": 50.0}, {"now": 20.0}, "too late: done at 70, and dig is due at 60"),
        ({}, {}, {"direction": "sale", "reserve": {"dig": 2.0}}, "below the reserve price: 1 < 2"),
        ({"required_capabilities": {"dig": 0.5}}, {}, {"floors": False}, ""),
        ({"max_budget": 9.0}, {"price": 9.0, "valid_until": 5.0}, {"now": 5.0}, ""),
    ],
)
def test_a_bid_is_refused_for_the_constraint_that_it_breaks(
    of: dict[str, Any], offered: dict[str, Any], terms: dict[str, Any], says: str
) -> None:
    assert refusal(by_id(task("dig", **of)), bid(**offered), Terms(**terms)) == says


def test_a_bundle_may_cost_what_its_tasks_may_cost_together() -> None:
    tasks = by_id(task("dig", max_budget=3.0), task("sow", max_budget=4.0))
    assert refusal(tasks, bid("dig sow", 7.0), Terms()) == ""
    assert refusal(tasks, bid("dig sow", 8.0), Terms()) == "over budget: 8 > 7"


# Scores


def score(offer: Bid, terms: Terms, *others: Bid, **of: Any) -> Level:
    return judge(by_id(task("dig", **of), task("sow", **of)), [offer, *others], terms)[0]


def test_the_fixed_score_is_the_specifications() -> None:
    # 30 x (1 - 200/1000) + 25 x (1 - 900/3600) + 25 x 0.8 + 20 x 0.4/0.5 = 24 + 18.75 + 20 + 16 = 78.75
    offer = bid(price=200.0, duration_s=900.0, quality=0.8, load=1.0, capabilities={"dig": 0.4})
    level = score(offer, Terms(scoring="fixed", floors=False), required_capabilities={"dig": 0.5})
    assert level.parts == pytest.approx(
        {"cost": 0.24, "time": 0.1875, "quality": 0.2, "reliability": 0.0, "capability": 0.16}
    )
    assert level.total == pytest.approx(0.7875)


def test_the_fixed_score_gives_nothing_for_capability_where_none_is_required() -> None:
    assert score(bid(), Terms(scoring="fixed")).parts["capability"] == 0.0


def test_the_reserve_score_measures_by_the_tasks_limits() -> None:
    # 0.3 x (1 - 2/8) + 0.25 x (1 - 30/60) x (1 - 0.4/2) + 0.25 x 0.8 + 0.2 x 0.5 = 0.225 + 0.1 + 0.2 + 0.1
    offer = bid(price=2.0, duration_s=30.0, quality=0.8, reliability=0.5, load=0.4)
    assert score(offer, Terms(), max_budget=8.0, max_duration_s=60.0).total == pytest.approx(0.625)


def test_without_limits_the_highest_bid_is_the_limit() -> None:
    level = score(bid(price=2.0, duration_s=30.0), Terms(), bid(price=8.0, duration_s=60.0, agent="bob"))
    assert level.parts["cost"] == pytest.approx(0.3 * 0.75)
    assert level.parts["time"] == pytest.approx(0.25 * 0.5)


def test_the_minmax_score_compares_with_the_other_bids() -> None:
    others = [bid(price=8.0, quality=0.2, agent="bob"), bid(price=4.0, quality=0.7, agent="cy")]
    level = score(bid(price=5.0, quality=0.6), Terms(scoring="minmax"), *others)
    assert level.parts["cost"] == pytest.approx(0.3 * 0.75)
    assert level.parts["quality"] == pytest.approx(0.25 * 0.8)
    assert level.parts["reliability"] == pytest.approx(0.2), "all are equal"


def test_a_bundle_is_measured_by_all_its_tasks_limits() -> None:
    level = score(bid("dig sow", price=8.0), Terms(), max_budget=8.0)
    assert level.parts["cost"] == pytest.approx(0.3 * 0.5)
    assert score(bid("dig sow", price=1000.0), Terms(scoring="fixed")).parts["cost"] == pytest.approx(0.15)


def test_other_weights_weigh_other_things() -> None:
    weights = Weights(cost=0.0, time=0.0, quality=0.0, reliability=0.0, capability=1.0)
    offer = bid(capabilities={"dig": 0.25})
    assert score(offer, Terms(weights=weights, floors=False), required_capabilities={"dig": 0.5}).total == 0.5


def test_where_money_alone_counts_the_score_is_the_gain() -> None:
    assert score(bid(price=3.0), Terms(surplus=True), max_budget=8.0) == Level(5.0, {"price": 5.0}, 1.0)
    terms = Terms(direction="sale", reserve={TaskId("dig"): 2.0})
    assert score(bid(price=3.0), terms) == Level(1.0, {"price": 1.0}, 1.0)
