"""Clearing a market: what is told about it, whichever rule is taken."""

from typing import Any

import pytest

from concerted.allocation.market.bids import Bid, Terms, Weights
from concerted.allocation.market.market import clear
from concerted.errors import Invalid
from concerted.values import AgentId, Task, TaskId


def task(name: str, **facts: Any) -> Task:
    return Task(id=TaskId(name), **facts)


def bid(agent: str, tasks: str, price: float, **facts: Any) -> Bid:
    return Bid(agent=AgentId(agent), tasks=tuple(TaskId(one) for one in tasks.split()), price=price, **facts)


def test_an_award_says_who_what_how_good_and_for_how_much() -> None:
    clearing = clear([task("dig", max_budget=10.0)], [bid("ann", "dig", 4.0), bid("bob", "dig", 7.0)])
    (award,) = clearing.awards
    assert (award.bid.agent, award.paid, award.why) == ("ann", 4.0, "as bid")
    # 0.3 x 0.6 + 0.25 x 1 + 0.25 x 1 + 0.2 x 1
    assert award.score == pytest.approx(0.88)
    assert clearing.unsold == {}


def test_every_bid_is_judged_the_best_first_and_the_refused_last() -> None:
    bids = [bid("ann", "dig", 12.0), bid("bob", "dig", 7.0), bid("cy", "dig", 4.0)]
    judged = clear([task("dig", max_budget=10.0)], bids).judged
    assert [one.bid.agent for one in judged] == ["cy", "bob", "ann"]
    assert judged[0].parts == pytest.approx(
        {"cost": 0.18, "time": 0.25, "quality": 0.25, "reliability": 0.2, "capability": 0.0}
    )
    assert (judged[2].refused, judged[2].score, judged[2].parts) == ("over budget: 12 > 10", 0.0, {})


def test_what_is_not_sold_says_why() -> None:
    tasks = [task("dig"), task("sow", max_budget=1.0), task("weed")]
    bids = [bid("ann", "sow", 5.0), bid("bob", "sow", 6.0), bid("ann", "weed", 1.0)]
    assert clear(tasks, bids, terms=Terms(capacity={AgentId("ann"): 0.0, AgentId("bob"): 1.0})).unsold == {
        "dig": "nobody bid",
        "sow": "no bid is admissible: ann, too large: it takes 1, and ann has capacity for 0, and 1 more",
        "weed": "no bid is admissible: ann, too large: it takes 1, and ann has capacity for 0",
    }


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"agent": "zoe", "price": 1.0, "load": 0.5}, {"agent": "ann", "price": 2.0, "load": 0.0}),
        ({"agent": "zoe", "price": 1.0, "load": 0.0}, {"agent": "ann", "price": 1.0, "load": 0.5}),
        ({"agent": "ann", "price": 1.0}, {"agent": "zoe", "price": 1.0}),
    ],
)
def test_equal_scores_go_to_the_lower_price_the_lesser_load_the_smaller_name(
    better: dict[str, Any], worse: dict[str, Any]
) -> None:
    bids = [bid(tasks="dig", **worse), bid(tasks="dig", **better)]
    by_quality = Terms(weights=Weights(cost=0.0, time=0.0, quality=1.0, reliability=0.0))
    assert clear([task("dig")], bids, terms=by_quality).awards[0].bid.agent == better["agent"]


def test_ties_between_tasks_go_to_priority_deadline_and_name() -> None:
    terms = Terms(capacity={AgentId("ann"): 1.0})

    def first(*tasks: Task) -> str:
        bids = [bid("ann", one.id, 1.0) for one in tasks]
        return clear(tasks, bids, terms=terms).awards[0].bid.tasks[0]

    assert first(task("dig"), task("sow", priority=1)) == "sow"
    assert first(task("dig", deadline_s=60.0), task("sow", deadline_s=30.0)) == "sow"
    assert first(task("sow"), task("dig")) == "dig"


def test_equal_bids_count_once() -> None:
    same = bid("ann", "dig", 1.0)
    assert len(clear([task("dig")], [same, same, same]).judged) == 1


def test_an_empty_market_is_cleared() -> None:
    clearing = clear([], [])
    assert (clearing.awards, clearing.value, clearing.status) == ((), 0.0, "optimal")


def test_what_cannot_be_cleared_is_refused() -> None:
    with pytest.raises(Invalid, match="rule dutch, payment as_bid: take one of sequential, one_to_one"):
        clear([], [], "dutch")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="rule ascending makes its own prices; take payment as_bid, not vcg"):
        clear([], [], "ascending", "vcg")
    with pytest.raises(Invalid, match="ann bids for fly, which is not offered"):
        clear([task("dig")], [bid("ann", "fly", 1.0)])
