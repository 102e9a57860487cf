"""The mechanism of an auction whose prices follow from all bids, or whose bids are on bundles."""

import json
from random import Random
from typing import Any

import pytest

from concerted.allocation.criteria import INADMISSIBLE
from concerted.allocation.market.bids import Bid
from concerted.config.settings import Auction, Criteria
from concerted.errors import Invalid
from concerted.strategies.auctions import mechanism
from concerted.strategies.auctions.mechanism import PAYMENTS, Cleared, Mechanism, is_plain
from concerted.strategies.auctions.sales import Owed
from concerted.values import AgentId, Task, TaskId


def task(name: str, **facts: Any) -> Task:
    return Task(id=TaskId(name), **{"max_budget": 10.0, **facts})


def bid(agent: str, tasks: str, price: float, **facts: Any) -> Bid:
    return Bid(agent=AgentId(agent), tasks=tuple(TaskId(one) for one in tasks.split()), price=price, **facts)


def cleared(rules: dict[str, Any], *bids: Bid, free: int = 2, now: float = 0.0) -> Cleared:
    tasks = {one.id: one for one in (task("a"), task("b"))}
    room = {one.agent: free for one in bids}
    return Mechanism(Auction(**rules), 0.0).clear(tasks, bids, room, now)


def won(found: Cleared) -> dict[str, str]:
    return {task: found.offers[at].agent for task, at in sorted(found.awards.items())}


def test_single_bids_paid_as_bid_need_no_market() -> None:
    plain = [(award, payment) for award in PAYMENTS for payment in PAYMENTS[award]]
    assert [pair for pair in plain if is_plain(Auction(award=pair[0], payment=pair[1]))] == [  # type: ignore[arg-type]
        ("sequential", "as_bid"),
        ("optimal", "as_bid"),
    ]


@pytest.mark.parametrize(
    ("award", "payment", "says"),
    [
        ("cbba", "vcg", "award cbba does not go with payment vcg: take payment as_bid, or another award"),
        ("generalised", "second_price", "take payment as_bid or vcg, or another award"),
        ("ascending", "vcg", "award ascending does not go with payment vcg: take payment as_bid, or another award"),
        ("sequential", "vcg", "take payment as_bid or second_price or second_score, or another award"),
        ("combinatorial", "second_score", "take payment as_bid or vcg, or another award"),
    ],
)
def test_an_award_and_a_payment_that_do_not_go_together_are_refused(award: Any, payment: Any, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        Mechanism(Auction(award=award, payment=payment), 0.0)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"payment": "vcg", "scoring": "minmax"}, "money decides, and no scores; leave the scoring out"),
        ({"award": "ascending", "scoring": "fixed"}, "scoring fixed does not go with award ascending"),
        ({"mode": "specification", "scoring": "minmax"}, "mode specification, which has limits of its own"),
    ],
)
def test_a_scoring_that_would_not_count_is_refused(rules: dict[str, Any], says: str) -> None:
    assert not is_plain(Auction(**rules))
    with pytest.raises(Invalid, match=says):
        Mechanism(Auction(**rules), 0.0)


def test_each_scoring_measures_a_price_in_its_own_way() -> None:
    bids = [bid("ann", "a", 2.0), bid("bob", "a", 4.0)]
    share = {
        scoring: [one.parts["cost"] for one in cleared({"scoring": scoring, "payment": "second_score"}, *bids).told]
        for scoring in ("reserve", "fixed", "minmax")
    }
    assert share["reserve"] == pytest.approx([0.3 * 0.8, 0.3 * 0.6])  # of the budget of 10
    assert share["fixed"] == pytest.approx([0.3 * 0.998, 0.3 * 0.996])  # of 1,000
    assert share["minmax"] == pytest.approx([0.3, 0.0])  # the cheapest and the dearest


def test_the_same_bids_are_won_otherwise_by_another_scoring() -> None:
    """Of 1,000 a difference of 8 hardly counts, and quality decides; of a budget of 10 it counts most."""
    bids = [bid("ann", "a", 1.0, quality=0.9), bid("bob", "a", 9.0, quality=1.0)]
    weights = Criteria(cost=0.5, time=0.0, quality=0.5, reliability=0.0)
    for scoring, winner in (("fixed", "bob"), ("reserve", "ann")):
        found = cleared({"scoring": scoring, "award": "cbba", "evaluation_criteria": weights}, *bids)
        assert won(found) == {"a": winner}


def test_the_second_score_needs_a_weight_for_cost() -> None:
    free_of_cost = Criteria(cost=0.0, time=0.55)
    with pytest.raises(Invalid, match="give cost a weight"):
        Mechanism(Auction(payment="second_score", evaluation_criteria=free_of_cost), 0.0)
    assert Mechanism(Auction(payment="second_score", evaluation_criteria=free_of_cost, mode="specification"), 0.0)


def test_where_money_decides_each_task_needs_a_budget() -> None:
    tasks = [task("a"), task("b", max_budget=None)]
    with pytest.raises(Invalid, match="b: give each task a budget; with award optimal and payment vcg money decides"):
        Mechanism(Auction(payment="vcg"), 0.0).check_tasks(tasks)
    Mechanism(Auction(award="combinatorial"), 0.0).check_tasks(tasks)


def test_bundles_and_exclusions_are_taken_by_one_award_alone() -> None:
    bundle, either = bid("ann", "a b", 1.0), bid("ann", "a", 1.0, xor="either")
    assert Mechanism(Auction(award="combinatorial"), 0.0).takes(bundle)
    assert not any(Mechanism(Auction(payment="vcg"), 0.0).takes(one) for one in (bundle, either))


def test_a_bid_that_takes_more_than_a_place_counts_where_shares_do() -> None:
    large = bid("ann", "a", 1.0, size=2.0)
    taken = {award: Mechanism(Auction(award=award), 0.0).takes(large) for award in ("generalised", "combinatorial")}  # type: ignore[arg-type]
    assert taken == {"generalised": True, "combinatorial": True}
    assert not any(Mechanism(Auction(award=award), 0.0).takes(large) for award in ("ascending", "cbba"))  # type: ignore[arg-type]
    assert Mechanism(Auction(award="cbba"), 0.0).takes(bid("ann", "a", 1.0, size=1.0))


def test_a_size_below_one_place_for_each_task_is_a_problem() -> None:
    assert Mechanism.problem_of(bid("ann", "a", 1.0, size=0.5)) == "size is 0.5; it must be at least 1 for each task"
    assert Mechanism.problem_of(bid("ann", "a b", 1.0, size=1.5)) == "size is 1.5; it must be at least 1 for each task"
    assert Mechanism.problem_of(bid("ann", "a", 1.0, size=float("nan"))).startswith("size is nan")
    assert Mechanism.problem_of(bid("ann", "a b", 1.0)) == Mechanism.problem_of(bid("ann", "a", 1.0, size=3.0)) == ""


def test_each_bid_takes_its_share_of_an_agent() -> None:
    """ann is the cheapest for both and has two places, of which each task takes more than one."""
    bids = [bid("ann", "a", 1.0, size=1.5), bid("ann", "b", 2.0, size=1.2), bid("bob", "b", 9.0, size=2.0)]
    found = cleared({"award": "generalised"}, *bids)
    assert won(found) == {"a": "ann", "b": "bob"}
    assert found.shares == {"a": 1.5, "b": 2.0}


def test_of_two_bids_of_an_agent_for_one_task_the_cheaper_counts_where_shares_do() -> None:
    bids = [bid("ann", "a", 3.0, size=1.0), bid("ann", "a", 2.0, size=2.0)]
    found = cleared({"award": "generalised"}, *bids)
    assert [(offer.agent, offer.cost) for offer in found.offers] == [("ann", 2.0)]
    assert found.shares == {"a": 2.0}


def test_where_every_bid_takes_one_place_shares_change_nothing() -> None:
    """Each of sixty agents does one of sixty tasks: the search alone leaves some out, the assignment none."""
    names = [f"t{number}" for number in range(60)]
    tasks = {TaskId(name): task(name) for name in names}
    bids = [
        bid(f"a{agent}", names[(agent * 7 + step * step) % 60], 1.0 + (agent * 13 + step * 29) % 8)
        for agent in range(60)
        for step in range(6)
    ]
    room = {one.agent: 1 for one in bids}
    found = {
        award: Mechanism(Auction(award=award, payment="vcg"), 0.0).clear(tasks, bids, room, 0.0)  # type: ignore[arg-type]
        for award in ("optimal", "generalised")
    }
    assert won(found["generalised"]) == won(found["optimal"])
    assert [one.amount for one in found["generalised"].owed] == [one.amount for one in found["optimal"].owed]


def test_the_shares_of_agents_without_an_auctioneer_can_be_seen() -> None:
    """The best task goes to its best agent, again and again; the assignment gives up some of it for a better whole."""
    bids = [bid("ann", "a", 1.0), bid("ann", "b", 2.0), bid("bob", "a", 2.0), bid("bob", "b", 9.5)]
    assert won(cleared({"award": "cbba"}, *bids, free=1)) == {"a": "ann", "b": "bob"}
    assert won(cleared({"award": "optimal", "scoring": "fixed"}, *bids, free=1)) == {"a": "bob", "b": "ann"}


def test_vcg_owes_each_winner_what_the_whole_would_lose_without_it() -> None:
    # ann and bob have one place each: 8 + 5 = 13; without ann 7, without bob 8.
    bids = [bid("ann", "a", 2.0), bid("bob", "a", 3.0), bid("bob", "b", 5.0)]
    found = cleared({"payment": "vcg"}, *bids, free=1)
    assert won(found) == {"a": "ann", "b": "bob"}
    assert [(one.agent, one.tasks, one.amount) for one in found.owed] == [
        ("ann", ("a",), 2.0 + 13.0 - 7.0),
        ("bob", ("b",), 5.0 + 13.0 - 8.0),
    ]


def test_a_bundle_is_won_as_a_whole_and_told_for_each_of_its_tasks() -> None:
    found = cleared({"award": "combinatorial"}, bid("ann", "a b", 6.0), bid("bob", "a", 9.0), bid("cy", "b", 9.0))
    assert won(found) == {"a": "ann", "b": "ann"}
    assert found.owed == (Owed(AgentId("ann"), (TaskId("a"), TaskId("b")), 6.0, "as bid"),)
    told = {(offer.agent, offer.task): one for offer, one in zip(found.offers, found.told, strict=True)}
    assert told["ann", "a"].tasks == told["ann", "b"].tasks == ("a", "b")
    assert [told[key].reason == "" for key in sorted(told)] == [True, True, False, False]


def test_rising_prices_end_where_the_second_stops() -> None:
    found = cleared({"award": "ascending"}, bid("ann", "a", 2.0), bid("bob", "a", 5.0))
    (owed,) = found.owed
    assert won(found) == {"a": "ann"}
    assert owed.amount == pytest.approx(5.0, abs=0.1)
    assert found.told[1].reason == "others went on to bid when it had stopped, or it had no room left"


def test_second_prices_go_with_tasks_one_after_the_other() -> None:
    found = cleared({"award": "sequential", "payment": "second_price"}, bid("ann", "a", 2.0), bid("bob", "a", 5.0))
    assert [(one.amount, one.why) for one in found.owed] == [(5.0, "second price: bob bid 5")]
    assert found.told[1].reason.startswith("score 0.850 < 0.940")


def test_a_bid_that_cannot_win_says_why() -> None:
    late = task("a", deadline_s=60.0)
    bids = [bid("ann", "a", 11.0), bid("bob", "a", 1.0, duration_s=50.0), bid("cy", "a", 5.0)]
    found = Mechanism(Auction(payment="vcg"), 0.0).clear({late.id: late}, bids, {one.agent: 1 for one in bids}, 20.0)
    told = {offer.agent: (score, one.reason) for offer, score, one in zip(found.offers, found.scores, found.told)}  # noqa: B905
    assert won(found) == {"a": "cy"}
    assert told["ann"] == (INADMISSIBLE, "over budget: 11 > 10")
    assert told["bob"] == (INADMISSIBLE, "too late: done at 70, and a is due at 60")


def test_a_bid_that_has_run_out_is_told_with_its_end() -> None:
    late, fresh = bid("ann", "a", 1.0, valid_until=4.0), bid("bob", "a", 2.0, valid_until=5.0)
    found = cleared({"payment": "second_price"}, late, fresh, now=5.0)
    assert won(found) == {"a": "bob"}
    assert [(offer.agent, offer.valid_until, offer.is_expired) for offer in found.offers] == [
        ("bob", 5.0, False),
        ("ann", 4.0, True),
    ]
    assert found.told[1].reason == "no longer valid: it was until 4, and it is 5"


@pytest.mark.parametrize("award", ["generalised", "combinatorial"])
def test_a_search_says_whether_its_find_is_proved_and_looks_no_further_than_its_steps(award: Any) -> None:
    """Eight tasks of different sizes and two agents: one step is not enough to prove anything."""
    dice = Random(3)
    tasks = {one.id: one for one in (task(f"t{number}") for number in range(8))}
    bids = [
        bid(agent, one, dice.uniform(1.0, 9.0), size=dice.uniform(1.0, 4.0))
        for agent in ("ann", "bob")
        for one in tasks
    ]
    room = {one.agent: 9.0 for one in bids}
    short, long = (
        Mechanism(Auction(award=award, search_steps=steps), 0.0).clear(tasks, bids, room, 0.0) for steps in (1, 400_000)
    )
    assert short.found is not None
    assert long.found is not None
    assert (short.found.status, long.found.status) == ("feasible", "optimal")
    assert short.found.value <= long.found.value == long.found.bound <= short.found.bound
    assert cleared({"payment": "vcg"}, bid("ann", "a", 1.0)).found is None


def test_a_solver_may_look_as_well_and_its_find_is_never_below_ours() -> None:
    bids = [bid("ann", "a b", 3.0), bid("ann", "a", 9.0), bid("bob", "b", 8.0)]
    alone, helped = (
        cleared({"award": "combinatorial", "solver_timeout": seconds, "search_steps": 1}, *bids)
        for seconds in (0.0, 2.0)
    )
    assert alone.found is not None
    assert helped.found is not None
    assert helped.found.value >= alone.found.value
    assert won(helped) == {"a": "ann", "b": "ann"}


def test_a_bid_of_the_whole_budget_wins_where_there_is_no_other() -> None:
    assert won(cleared({"payment": "vcg"}, bid("ann", "a", 10.0))) == {"a": "ann"}


def test_in_the_specifications_mode_capability_is_no_floor() -> None:
    hard = task("a", required_capabilities={"dig": 1.0})
    rules = Auction(award="combinatorial", mode="specification")
    found = Mechanism(rules, 0.0).clear({hard.id: hard}, [bid("ann", "a", 1.0)], {AgentId("ann"): 1}, 0.0)
    assert won(found) == {"a": "ann"}
    assert "capability" in found.told[0].parts


def test_of_too_many_bids_on_bundles_the_cheapest_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanism, "MOST_BUNDLES", 1)
    found = cleared({"award": "combinatorial"}, bid("ann", "a", 4.0), bid("bob", "a b", 6.0))
    assert [offer.agent for offer in found.offers] == ["bob", "bob"]


def test_what_is_computed_aside_comes_back_as_it_was() -> None:
    market = Mechanism(Auction(award="combinatorial", payment="vcg"), 0.0)
    bids = [bid("ann", "a b", 6.0), bid("bob", "a", 9.0, capabilities={"dig": 0.5}), bid("cy", "b", 19.0)]
    round_of = ({one.id: one for one in (task("a"), task("b"))}, bids, {one.agent: 2 for one in bids}, 0.0)
    found = json.loads(json.dumps(market.clear_aside(*round_of)))
    assert market.told_aside(found) == market.clear(*round_of)
    assert market.is_heavy
    assert all(Mechanism(Auction(award=award), 0.0).is_heavy for award in ("generalised", "cbba"))  # type: ignore[arg-type]
    assert not Mechanism(Auction(payment="second_price"), 0.0).is_heavy
