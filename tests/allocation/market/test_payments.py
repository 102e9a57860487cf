"""What winners are paid, and why: published cases and some by hand."""

from random import Random
from typing import Any

import pytest

from concerted.allocation.market import rules
from concerted.allocation.market.bids import Bid, Terms, Weights
from concerted.allocation.market.market import Clearing, clear
from concerted.allocation.market.payments import Payment
from concerted.allocation.optimum.effort import Effort
from concerted.errors import Invalid
from concerted.values import AgentId, Task, TaskId

SALE = Terms(direction="sale")
MONEY = Terms(surplus=True)


def task(name: str, budget: float | None = None, **facts: Any) -> Task:
    return Task(id=TaskId(name), max_budget=budget, **facts)


def bid(agent: str, tasks: str, price: float, **facts: Any) -> Bid:
    return Bid(agent=AgentId(agent), tasks=tuple(TaskId(one) for one in tasks.split()), price=price, **facts)


def paid(clearing: Clearing) -> dict[str, float]:
    """Return what each agent is paid, or pays, in all."""
    sums: dict[str, float] = {}
    for award in clearing.awards:
        sums[award.bid.agent] = sums.get(award.bid.agent, 0.0) + award.paid
    return {agent: round(amount, 9) for agent, amount in sums.items()}


# Published cases


@pytest.mark.parametrize("payment", ["second_price", "second_score", "vcg"])
def test_for_one_thing_the_winner_pays_what_the_second_bid(payment: Payment) -> None:
    """Vickrey 1961; the numbers are those of tests/simple.rs in the Rust crate vcg-auction 0.2.0."""
    clearing = clear(
        [task("vase")], [bid("alice", "vase", 10.0), bid("bob", "vase", 20.0)], "one_to_one", payment, SALE
    )
    assert paid(clearing) == {"bob": 10.0}


def test_of_two_chairs_one_is_free() -> None:
    """Two chairs in tests/simple.rs of vcg-auction 0.2.0: alice, 1 for 5 or 2 for 7; bob, 1 for 4."""
    chairs = [task("left"), task("right")]
    bids = [
        bid("alice", "left", 5.0, xor="one"),
        bid("alice", "right", 5.0, xor="one"),
        bid("alice", "left right", 7.0, xor="one"),
        bid("bob", "left", 4.0, xor="one"),
        bid("bob", "right", 4.0, xor="one"),
    ]
    assert paid(clear(chairs, bids, "combinatorial", "vcg", SALE)) == {"alice": 3.0 - 3.0, "bob": 2.0}


def test_two_apples_and_three_bidders() -> None:
    """Two bidders want an apple each, for 5 and 2, the third both for 6; https://en.wikipedia.org/wiki/Vickrey-Clarke-Groves_auction."""
    apples = [task("red"), task("green")]
    bids = [bid(agent, one, price, xor="one") for agent, price in (("a", 5.0), ("b", 2.0)) for one in ("red", "green")]
    clearing = clear(apples, [*bids, bid("c", "red green", 6.0)], "combinatorial", "vcg", SALE)
    assert paid(clearing) == {"a": 4.0, "b": 1.0}


def test_in_procurement_the_cheapest_is_paid_the_second_lowest_price() -> None:
    asks = [bid("ann", "dig", 7.0), bid("bob", "dig", 9.0), bid("cy", "dig", 12.0)]
    clearing = clear([task("dig", 20.0)], asks, "one_to_one", "vcg", MONEY)
    assert paid(clearing) == {"ann": 9.0}
    assert clearing.awards[0].why == "vcg: 7, and 2 that the whole owes to ann"


# By hand


TWO = [task("dig", 10.0), task("sow", 10.0)]
CROSSED = [bid("ann", "dig", 1.0), bid("ann", "sow", 2.0), bid("bob", "dig", 3.0), bid("bob", "sow", 8.0)]


def test_vcg_pays_each_what_the_whole_would_lose_without_it() -> None:
    # Together 7 + 8 = 15; without ann 7, without bob 9: they add 8 and 6 to their prices, 2 and 3.
    assert paid(clear(TWO, CROSSED, "one_to_one", "vcg", MONEY)) == {"ann": 10.0, "bob": 9.0}


def test_vcg_with_several_places_is_found_by_solving_again() -> None:
    # With room for both ann has 9 + 8 = 17; without her bob brings 7 + 2 = 9: 8 more than her 3.
    clearing = clear(TWO, CROSSED, "capacities", "vcg", MONEY)
    assert paid(clearing) == {"ann": 11.0}
    assert [award.paid for award in clearing.awards] == pytest.approx([1.0 + 8 * 9 / 17, 2.0 + 8 * 8 / 17])


def test_vcg_from_the_matrix_is_what_solving_again_without_each_winner_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = Random(4)
    tasks = [task(f"t{i}", 20.0) for i in range(12)]
    agents = [AgentId(f"a{i}") for i in range(6)]
    bids = [bid(agent, one.id, dice.uniform(0, 20)) for agent in agents for one in tasks if dice.random() < 0.7]
    terms = Terms(surplus=True, capacity={agent: float(at % 3 + 1) for at, agent in enumerate(agents)})
    from_matrix = paid(clear(tasks, bids, "capacities", "vcg", terms))
    monkeypatch.setattr(rules, "DENSE", 1)  # then there is no matrix
    again = paid(clear(tasks, bids, "capacities", "vcg", terms))
    assert from_matrix == pytest.approx(again, abs=1e-6)


def test_vcg_says_so_where_the_whole_is_not_known_to_be_the_best() -> None:
    # Five bids in a ring, each on two neighbours: two can win, and prices alone only show that it is no more than 2.5.
    tasks = [task(f"t{i}", 10.0) for i in range(5)]
    bids = [bid(f"a{i}", f"t{i} t{(i + 1) % 5}", 15.0 + i / 100) for i in range(5)]
    clearing = clear(tasks, bids, "combinatorial", "vcg", MONEY, Effort(steps=1))
    assert clearing.status == "feasible"
    assert all("not known to be the best" in award.why for award in clearing.awards)


def test_the_second_price_is_kept_between_bid_and_budget() -> None:
    # ann wins by quality; bob asks less than she does.
    bids = [bid("ann", "dig", 6.0), bid("bob", "dig", 5.0, quality=0.1)]
    award = clear([task("dig", 10.0)], bids, "sequential", "second_price").awards[0]
    assert (award.bid.agent, award.paid, award.why) == ("ann", 6.0, "second price: bob bid 5; not below 6")


def test_at_the_second_score_the_winner_would_score_as_the_next_best() -> None:
    # Costs weigh 0.5 of 10: bob's 0.5 x 0.2 + 0.5 x 1 = 0.6; ann scores 0.8, and 0.6 at 4 more.
    terms = Terms(weights=Weights(cost=0.5, time=0.0, quality=0.5, reliability=0.0))
    bids = [bid("ann", "dig", 4.0), bid("bob", "dig", 8.0)]
    award = clear([task("dig", 10.0)], bids, "sequential", "second_score", terms).awards[0]
    assert award.paid == pytest.approx(8.0)
    assert award.why == "second score: at this price it scores 0.600, as bob does"


@pytest.mark.parametrize("payment", ["second_price", "second_score"])
def test_without_a_rival_the_budget_is_paid_and_without_a_budget_the_bid(payment: Payment) -> None:
    def one(budget: float | None) -> tuple[float, str]:
        award = clear([task("dig", budget)], [bid("ann", "dig", 4.0)], "sequential", payment).awards[0]
        return award.paid, award.why

    assert one(10.0) == (10.0, "nobody else bid: the budget")
    assert one(None) == (4.0, "nobody else bid, and there is no budget: as bid")


def test_without_a_rival_a_sale_brings_the_reserve_price() -> None:
    terms = Terms(direction="sale", reserve={TaskId("vase"): 3.0})
    award = clear([task("vase")], [bid("ann", "vase", 8.0)], "sequential", "second_price", terms).awards[0]
    assert (award.paid, award.why) == (3.0, "nobody else bid: the reserve price")


def test_as_bid_is_what_was_bid() -> None:
    assert [award.paid for award in clear(TWO, CROSSED, "one_to_one", terms=MONEY).awards] == [3.0, 2.0]


def test_a_payment_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Invalid, match="vcg needs the best of all assignments; rule sequential does not look for it"):
        clear(TWO, CROSSED, "sequential", "vcg", MONEY)
    with pytest.raises(Invalid, match="vcg is about money; set surplus in the terms"):
        clear(TWO, CROSSED, "one_to_one", "vcg")
    with pytest.raises(Invalid, match="ann has won dig, sow together; second_price is for single tasks, take vcg"):
        clear(TWO, [bid("ann", "dig sow", 1.0)], "combinatorial", "second_price", MONEY)
    no_cost = Terms(weights=Weights(cost=0.0, quality=0.55))
    with pytest.raises(Invalid, match="second_score needs scores that depend on the price; give cost a weight"):
        clear(TWO, CROSSED, "one_to_one", "second_score", no_cost)
