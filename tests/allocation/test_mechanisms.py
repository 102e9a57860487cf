"""How a round of sealed offers is cleared."""

from typing import Any

import pytest

from concerted.allocation.criteria import Offer
from concerted.allocation.mechanisms import Rule, clear, ranking
from concerted.values import AgentId, Task, TaskId

RULES: list[Rule] = ["optimal", "sequential"]


def task(name: str, priority: int = 0) -> Task:
    return Task(id=TaskId(name), priority=priority)


def offer(agent: str, of: str, **facts: Any) -> Offer:
    return Offer(agent=AgentId(agent), task=TaskId(of), **{"cost": 1.0, "duration_s": 1.0, **facts})


def won(
    tasks: list[Task], bids: dict[tuple[str, str], float], free: dict[str, int], rule: Rule = "optimal"
) -> dict[str, str]:
    """Clear a round.  bids: (agent, task) -> score.  Return task -> agent."""
    offers = [offer(agent, of) for agent, of in bids]
    room = {AgentId(agent): count for agent, count in free.items()}
    return {name: one.agent for name, one in clear(tasks, offers, list(bids.values()), room, rule).items()}


ONE_EACH = {"ann": 1, "bob": 1, "cy": 1}


# Optimal


def test_the_optimal_rule_gives_up_a_good_match_for_a_better_whole() -> None:
    bids = {("ann", "sow"): 0.9, ("ann", "weed"): 0.8, ("bob", "sow"): 0.7, ("bob", "weed"): 0.1}
    tasks = [task("sow"), task("weed")]
    assert won(tasks, bids, ONE_EACH) == {"sow": "bob", "weed": "ann"}
    assert won(tasks, bids, ONE_EACH, "sequential") == {"sow": "ann", "weed": "bob"}


def test_two_tasks_given_out_badly_are_better_than_one_given_out_well() -> None:
    bids = {("ann", "sow"): 1.0, ("ann", "weed"): 0.0, ("bob", "sow"): 0.0}
    assert won([task("sow"), task("weed")], bids, ONE_EACH) == {"sow": "bob", "weed": "ann"}


def test_a_task_of_higher_priority_is_never_left_out_for_a_better_score() -> None:
    bids = {("ann", "sow"): 1.0, ("ann", "weed"): 0.0}
    assert won([task("sow"), task("weed", priority=1)], bids, ONE_EACH) == {"weed": "ann"}


def test_one_urgent_task_comes_before_any_number_of_others() -> None:
    many = [task(f"row-{i}") for i in range(5)]
    bids = {("ann", each.id): 1.0 for each in many} | {("ann", "fire"): 0.0}
    assert won([*many, task("fire", priority=1)], bids, {"ann": 1}) == {"fire": "ann"}


def test_priority_does_not_cost_a_task_that_could_be_given_out_as_well() -> None:
    bids = {("ann", "fire"): 0.9, ("bob", "fire"): 0.1, ("ann", "sow"): 0.2}
    assert won([task("sow"), task("fire", priority=9)], bids, ONE_EACH) == {"fire": "bob", "sow": "ann"}


def test_many_priorities_are_as_exact_as_two() -> None:
    tasks = [task(f"t{i:03}", priority=i) for i in range(200)]
    bids = {("ann", each.id): 1.0 - each.priority / 1000 for each in tasks}
    assert set(won(tasks, bids, {"ann": 3})) == {"t199", "t198", "t197"}


def test_negative_priorities_are_given_out_too() -> None:
    assert won([task("nap", priority=-5)], {("ann", "nap"): 0.0}, ONE_EACH) == {"nap": "ann"}


@pytest.mark.parametrize("turned", [False, True])
def test_of_tasks_as_good_as_each_other_the_smaller_id_is_given_out(turned: bool) -> None:
    tasks = [task("sow"), task("weed")]
    bids = {("ann", "sow"): 0.5, ("ann", "weed"): 0.5}
    assert won(tasks[::-1] if turned else tasks, bids, ONE_EACH) == {"sow": "ann"}


# Sequential


def test_the_sequential_rule_takes_the_tasks_in_the_order_given() -> None:
    bids = {("ann", "sow"): 0.5, ("ann", "weed"): 0.9}
    assert won([task("sow"), task("weed")], bids, ONE_EACH, "sequential") == {"sow": "ann"}
    assert won([task("weed"), task("sow")], bids, ONE_EACH, "sequential") == {"weed": "ann"}


@pytest.mark.parametrize(
    ("ann", "bob"),
    [
        ({"cost": 2.0, "load": 0.0}, {"cost": 1.0, "load": 0.9}),  # the cheaper
        ({"cost": 1.0, "load": 0.5}, {"cost": 1.0, "load": 0.4}),  # the less loaded
    ],
)
def test_of_equal_scores_the_cheaper_then_the_less_loaded_wins(ann: dict[str, float], bob: dict[str, float]) -> None:
    offers = [offer("ann", "sow", **ann), offer("bob", "sow", **bob)]
    room = {AgentId("ann"): 1, AgentId("bob"): 1}
    assert clear([task("sow")], offers, [0.5, 0.5], room, "sequential")[TaskId("sow")].agent == "bob"
    assert [one.agent for one in ranking(offers, [0.5, 0.5])[TaskId("sow")]] == ["bob", "ann"]


@pytest.mark.parametrize("rule", RULES)
def test_of_equals_in_all_the_smaller_id_wins(rule: Rule) -> None:
    assert won([task("sow")], {("cy", "sow"): 0.5, ("bob", "sow"): 0.5}, ONE_EACH, rule) == {"sow": "bob"}


# Both


@pytest.mark.parametrize("rule", RULES)
def test_an_agent_gets_no_more_than_it_has_room_for(rule: Rule) -> None:
    tasks = [task(name) for name in ("hoe", "sow", "weed")]
    bids = {("ann", each.id): 0.9 for each in tasks} | {("bob", each.id): 0.1 for each in tasks}
    found = won(tasks, bids, {"ann": 2, "bob": 1}, rule)
    assert sorted(found.values()) == ["ann", "ann", "bob"]


@pytest.mark.parametrize("rule", RULES)
def test_who_has_no_room_or_is_not_named_gets_nothing(rule: Rule) -> None:
    bids = {("ann", "sow"): 0.9, ("bob", "sow"): 0.8, ("cy", "sow"): 0.1}
    assert won([task("sow")], bids, {"ann": 0, "cy": 1}, rule) == {"sow": "cy"}


@pytest.mark.parametrize("rule", RULES)
def test_a_negative_room_is_no_room(rule: Rule) -> None:
    assert won([task("sow")], {("ann", "sow"): 0.9}, {"ann": -1}, rule) == {}


@pytest.mark.parametrize("rule", RULES)
def test_an_inadmissible_offer_never_wins(rule: Rule) -> None:
    assert won([task("sow")], {("ann", "sow"): -1.0}, ONE_EACH, rule) == {}


@pytest.mark.parametrize("rule", RULES)
def test_an_admissible_offer_wins_even_with_a_score_of_nothing(rule: Rule) -> None:
    assert won([task("sow")], {("ann", "sow"): 0.0}, ONE_EACH, rule) == {"sow": "ann"}


@pytest.mark.parametrize("rule", RULES)
def test_offers_for_tasks_not_in_this_round_are_ignored(rule: Rule) -> None:
    assert won([task("sow")], {("ann", "fly"): 0.9}, ONE_EACH, rule) == {}


@pytest.mark.parametrize("rule", RULES)
def test_nothing_offered_is_nothing_won(rule: Rule) -> None:
    assert won([], {}, {}, rule) == {}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_offers_of_an_agent_for_a_task_the_better_counts(rule: Rule, turned: bool) -> None:
    offers, scores = [offer("ann", "sow", cost=7.0), offer("ann", "sow", cost=3.0)], [0.3, 0.7]
    if turned:
        offers, scores = offers[::-1], scores[::-1]
    assert clear([task("sow")], offers, scores, {AgentId("ann"): 1}, rule)[TaskId("sow")].cost == 3.0


def test_each_offer_needs_its_score() -> None:
    with pytest.raises(ValueError, match="zip"):
        clear([task("sow")], [offer("ann", "sow")], [], {AgentId("ann"): 1})


# Ranking


def test_a_ranking_names_each_admissible_bidder_once_best_first() -> None:
    offers = [offer("ann", "sow"), offer("bob", "sow"), offer("ann", "sow"), offer("cy", "sow"), offer("cy", "weed")]
    ranked = ranking(offers, [0.2, 0.5, 0.9, -1.0, 0.1])
    assert {name: [one.agent for one in best] for name, best in ranked.items()} == {
        "sow": ["ann", "bob"],
        "weed": ["cy"],
    }
    assert ranked[TaskId("sow")][0] is offers[2]


def test_a_task_without_an_admissible_offer_is_not_ranked() -> None:
    assert ranking([offer("ann", "sow")], [-1.0]) == {}
