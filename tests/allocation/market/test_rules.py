"""The rules by which a market is cleared, on markets small enough to be cleared by hand."""

from typing import Any

import pytest

from concerted.allocation.market import rules
from concerted.allocation.market.bids import Bid, Terms
from concerted.allocation.market.market import Clearing, clear
from concerted.allocation.market.rules import Rule
from concerted.errors import Invalid
from concerted.values import AgentId, Task, TaskId

MONEY = Terms(surplus=True)


def task(name: str, budget: float | None = 10.0, priority: int = 0) -> Task:
    return Task(id=TaskId(name), max_budget=budget, priority=priority)


def bid(agent: str, tasks: str, price: float, **facts: Any) -> Bid:
    return Bid(agent=AgentId(agent), tasks=tuple(TaskId(one) for one in tasks.split()), price=price, **facts)


def room(**amounts: float) -> dict[AgentId, float]:
    return {AgentId(agent): amount for agent, amount in amounts.items()}


def won(clearing: Clearing) -> dict[str, str]:
    return {task: award.bid.agent for award in clearing.awards for task in award.bid.tasks}


TWO = [task("dig"), task("sow")]
CROSSED = [bid("ann", "dig", 1.0), bid("ann", "sow", 2.0), bid("bob", "dig", 3.0), bid("bob", "sow", 8.0)]


def test_one_after_the_other_goes_to_the_best_that_is_left() -> None:
    terms = Terms(surplus=True, capacity=room(ann=1, bob=1))
    clearing = clear(TWO, CROSSED, "sequential", terms=terms)
    assert won(clearing) == {"dig": "ann", "sow": "bob"}
    assert (clearing.value, clearing.status) == (11.0, "feasible")
    assert clearing.bound == pytest.approx(9.0 + 8.0)


def test_the_best_assignment_gives_up_the_best_bid_for_a_better_whole() -> None:
    clearing = clear(TWO, CROSSED, "one_to_one", terms=MONEY)
    assert won(clearing) == {"dig": "bob", "sow": "ann"}
    assert (clearing.value, clearing.bound, clearing.status) == (15.0, 15.0, "optimal")


def test_an_agent_may_have_as_many_as_it_has_capacity_for() -> None:
    assert won(clear(TWO, CROSSED, "capacities", terms=MONEY)) == {"dig": "ann", "sow": "ann"}
    tight = Terms(surplus=True, capacity=room(ann=1, bob=1))
    assert won(clear(TWO, CROSSED, "capacities", terms=tight)) == {"dig": "bob", "sow": "ann"}


def test_bids_that_exclude_each_other_leave_an_agent_one_place() -> None:
    bids = [bid("ann", "dig", 1.0, xor="either"), bid("ann", "sow", 2.0, xor="either")]
    assert won(clear(TWO, bids, "capacities", terms=MONEY)) == {"dig": "ann"}


def test_sizes_count_against_capacity() -> None:
    # ann has room for 4: dig alone is worth 8 to her, weed and sow together 6 + 5.
    tasks = [*TWO, task("weed")]
    bids = [bid("ann", "dig", 2.0, size=3.0), bid("ann", "sow", 5.0, size=2.0), bid("ann", "weed", 4.0, size=2.0)]
    clearing = clear(tasks, bids, "generalised", terms=Terms(surplus=True, capacity=room(ann=4)))
    assert won(clearing) == {"sow": "ann", "weed": "ann"}
    assert (clearing.value, clearing.status) == (11.0, "optimal")
    assert clearing.unsold == {"dig": "there are bids, and without them the whole is worth more"}


def test_a_bundle_wins_where_it_is_worth_more_than_its_parts() -> None:
    bids = [bid("ann", "dig sow", 9.0), bid("bob", "dig", 4.0), bid("cy", "sow", 6.0)]
    assert won(clear(TWO, bids, "combinatorial", terms=MONEY)) == {"dig": "ann", "sow": "ann"}
    dearer = [bid("ann", "dig sow", 11.0), *bids[1:]]
    assert won(clear(TWO, dearer, "combinatorial", terms=MONEY)) == {"dig": "bob", "sow": "cy"}


def test_of_bids_that_exclude_each_other_one_wins() -> None:
    bids = [bid("ann", "dig", 1.0, xor="either"), bid("ann", "sow", 2.0, xor="either"), bid("bob", "sow", 9.0)]
    assert won(clear(TWO, bids, "combinatorial", terms=MONEY)) == {"dig": "ann", "sow": "bob"}


def test_a_bundle_larger_than_what_is_left_does_not_win_with_others() -> None:
    bids = [bid("ann", "dig sow", 3.0), bid("ann", "weed", 1.0)]
    tasks = [*TWO, task("weed")]
    clearing = clear(tasks, bids, "combinatorial", terms=Terms(surplus=True, capacity=room(ann=2)))
    assert won(clearing) == {"dig": "ann", "sow": "ann"}


def test_prices_fall_until_one_bidder_is_left() -> None:
    # dig: bob stops at a gain of 7, which ann beats; what she is paid is what she bid and what she gains above that.
    bids = [bid("ann", "dig", 1.0), bid("bob", "dig", 3.0)]
    clearing = clear([task("dig")], bids, "ascending", terms=Terms(surplus=True, increment=1.0))
    assert won(clearing) == {"dig": "ann"}
    assert clearing.awards[0].paid == pytest.approx(4.0)
    assert clearing.rounds > 1
    assert clearing.bound >= clearing.value


def test_in_a_sale_prices_rise() -> None:
    bids = [bid("ann", "dig", 9.0), bid("bob", "dig", 6.0)]
    terms = Terms(direction="sale", reserve={TaskId("dig"): 2.0}, increment=0.5)
    clearing = clear([task("dig")], bids, "ascending", terms=terms)
    assert won(clearing) == {"dig": "ann"}
    assert clearing.awards[0].paid == pytest.approx(5.5, abs=0.5)
    assert clearing.awards[0].why == f"where prices stood after {clearing.rounds} rounds"


def test_agents_that_share_out_by_talking_do_as_the_greedy_would() -> None:
    terms = Terms(surplus=True, capacity=room(ann=1, bob=1))
    clearing = clear(TWO, CROSSED, "cbba", terms=terms)
    assert won(clearing) == {"dig": "ann", "sow": "bob"}
    assert clearing.status == "feasible"
    assert clearing.rounds >= 2


@pytest.mark.parametrize("rule", ["sequential", "one_to_one", "generalised", "combinatorial", "ascending", "cbba"])
def test_a_bid_by_which_no_money_is_gained_wins_where_there_is_no_other(rule: Rule) -> None:
    clearing = clear([task("dig")], [bid("ann", "dig", 10.0)], rule, terms=MONEY)
    assert won(clearing) == {"dig": "ann"}
    assert clearing.value == 0.0


def test_a_task_given_out_outweighs_every_score() -> None:
    bids = [bid("ann", "dig", 0.0), bid("ann", "sow", 10.0), bid("bob", "dig", 10.0, quality=0.0, reliability=0.0)]
    terms = Terms(capacity=room(ann=1, bob=1))
    assert won(clear(TWO, bids, "capacities", terms=terms)) == {"dig": "bob", "sow": "ann"}


def test_a_task_of_higher_priority_comes_before_a_better_score() -> None:
    tasks = [task("dig"), task("sow", priority=1)]
    bids = [bid("ann", "dig", 0.0), bid("ann", "sow", 10.0, quality=0.0)]
    assert won(clear(tasks, bids, "capacities", terms=Terms(capacity=room(ann=1)))) == {"sow": "ann"}


def test_a_market_too_large_for_a_matrix_is_cleared_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = Terms(surplus=True, capacity=room(ann=1, bob=1))
    dense = clear(TWO, CROSSED, "capacities", terms=terms)
    monkeypatch.setattr(rules, "DENSE", 1)
    assert clear(TWO, CROSSED, "capacities", terms=terms) == dense


@pytest.mark.parametrize("rule", ["one_to_one", "capacities", "generalised", "ascending", "cbba"])
def test_a_rule_for_single_tasks_takes_no_bundles(rule: Rule) -> None:
    with pytest.raises(Invalid, match=f"ann bids for dig, sow together; rule {rule} gives out single tasks"):
        clear(TWO, [bid("ann", "dig sow", 1.0)], rule, terms=MONEY)


def test_a_rule_that_counts_tasks_takes_no_sizes_and_no_half_exclusions() -> None:
    with pytest.raises(Invalid, match=r"ann's bid for dig has size 2; .* take rule generalised"):
        clear(TWO, [bid("ann", "dig", 1.0, size=2.0)], "capacities", terms=MONEY)
    some = [bid("ann", "dig", 1.0, xor="either"), bid("ann", "sow", 1.0)]
    with pytest.raises(Invalid, match=r"only some of ann's bids exclude each other \(xor\); take rule combinatorial"):
        clear(TWO, some, "capacities", terms=MONEY)
    with pytest.raises(Invalid, match=r"ann's bids exclude each other \(xor\); take rule combinatorial"):
        clear(TWO, some, "generalised", terms=MONEY)


def test_a_choice_between_a_good_bid_and_a_small_one_is_not_generalised() -> None:
    bids = [bid("ann", "dig", 1.0, size=2.0), bid("ann", "dig", 3.0, size=1.0)]
    with pytest.raises(Invalid, match="ann has two bids for dig, the worse one smaller; take rule combinatorial"):
        clear(TWO, bids, "generalised", terms=MONEY)
    assert won(clear(TWO, [bid("ann", "dig", 1.0), bid("ann", "dig", 3.0)], "generalised", terms=MONEY))


def test_an_ascending_auction_is_about_money() -> None:
    with pytest.raises(Invalid, match="rule ascending is about money; set surplus in the terms"):
        clear(TWO, CROSSED, "ascending")
