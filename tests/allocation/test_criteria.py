"""The score of an offer, its floors, and why one has lost."""

import math
from typing import Any

import pytest

from concerted.allocation.criteria import INADMISSIBLE, Offer, explain_score, floor_reason, score_offers, why_lost
from concerted.config.settings import Criteria
from concerted.values import AgentId, Task, TaskId

EVEN = Criteria(cost=0.25, time=0.25, quality=0.25, reliability=0.25)


def offer(agent: str = "ann", task: str = "weed", **facts: Any) -> Offer:
    plain: dict[str, Any] = {"cost": 5.0, "duration_s": 5.0, "quality": 0.5, "reliability": 0.5}
    return Offer(agent=AgentId(agent), task=TaskId(task), **{**plain, **facts})


def task(name: str = "weed", **facts: Any) -> Task:
    return Task(id=TaskId(name), **facts)


def total(of: Task, one: Offer, *others: Offer, weights: Criteria = EVEN, mode: Any = "sound") -> float:
    return score_offers({of.id: of}, [one, *others], weights, mode)[0]


WEED = task(max_budget=10.0, max_duration_s=10.0)


def test_an_offer_that_no_longer_binds_cannot_be_taken_however_good_it_is() -> None:
    late = offer(cost=0.0, valid_until=9.0, judged_at=10.0)
    assert floor_reason(WEED, late) == "no longer valid: it was until 9, and it is 10"
    assert total(WEED, late) == INADMISSIBLE
    in_time = offer(valid_until=10.0, judged_at=10.0)
    assert floor_reason(WEED, in_time) is None
    assert why_lost(WEED, AgentId("ann"), [late], None, EVEN).startswith("no longer valid")


# The sound score


def test_the_best_conceivable_offer_scores_one() -> None:
    perfect = offer(cost=0.0, duration_s=0.0, quality=1.0, reliability=1.0)
    assert total(WEED, perfect, weights=Criteria()) == pytest.approx(1.0)


def test_the_worst_admissible_offer_scores_nothing() -> None:
    assert total(WEED, offer(cost=10.0, duration_s=10.0, quality=0.0, reliability=0.0)) == 0.0


def test_each_criterion_counts_by_its_weight() -> None:
    weights = Criteria(cost=0.4, time=0.3, quality=0.2, reliability=0.1)
    score = explain_score(WEED, offer(cost=2.5, duration_s=4.0, quality=0.5, reliability=0.8), [], weights)
    assert score.parts == pytest.approx({"cost": 0.4 * 0.75, "time": 0.3 * 0.6, "quality": 0.1, "reliability": 0.08})
    assert score.total == pytest.approx(0.66)


def test_a_full_load_halves_what_a_short_time_is_worth() -> None:
    idle = explain_score(WEED, offer(load=0.0), [], EVEN).parts
    busy = explain_score(WEED, offer(load=1.0), [], EVEN).parts
    assert busy == pytest.approx({**idle, "time": idle["time"] / 2})


def test_without_limits_the_dearest_and_the_slowest_offer_are_the_measure() -> None:
    free = task()
    cheap = offer(cost=2.0, duration_s=1.0, quality=0.0, reliability=0.0)
    rival = offer("bob", cost=8.0, duration_s=4.0, quality=0.0, reliability=0.0)
    assert score_offers({free.id: free}, [cheap, rival], EVEN) == [pytest.approx(0.25 * 0.75 * 2), 0.0]


def test_an_inadmissible_offer_is_no_measure() -> None:
    skilled = task(required_capabilities={"dig": 0.5})
    able = {"dig": 0.9}
    lonely = total(skilled, offer(capabilities=able), offer("bob", cost=7.0, capabilities=able))
    wild = offer("cy", cost=1e9, duration_s=1e9)
    assert total(skilled, offer(capabilities=able), offer("bob", cost=7.0, capabilities=able), wild) == lonely


def test_offers_for_other_tasks_are_no_measure() -> None:
    tasks = {name: task(name) for name in ("weed", "sow")}
    alone = score_offers(tasks, [offer()], EVEN)[0]
    assert score_offers(tasks, [offer(), offer("bob", "sow", cost=900.0)], EVEN)[0] == alone


@pytest.mark.parametrize("free", [task(), task(max_budget=0.0)])
def test_what_costs_nothing_and_takes_no_time_divides_by_no_zero(free: Task) -> None:
    assert total(free, offer(cost=0.0, duration_s=0.0, quality=0.0, reliability=0.0)) == 0.5


# The score of the specification


def test_the_specification_gives_thirty_twentyfive_twentyfive_and_twenty_points() -> None:
    needs = task(required_capabilities={"dig": 0.8, "read": 0.5})
    one = offer(cost=500.0, duration_s=1800.0, quality=0.6, capabilities={"dig": 0.4, "read": 0.9})
    score = explain_score(needs, one, [], EVEN, "specification")
    points = {name: 100 * part for name, part in score.parts.items()}
    assert points == pytest.approx({"cost": 15.0, "time": 12.5, "quality": 15.0, "capability": 15.0})
    assert score.total == pytest.approx(0.575)


def test_beyond_its_limits_the_specification_gives_no_points_but_takes_none() -> None:
    assert total(task(), offer(cost=5000.0, duration_s=9000.0, quality=0.0), mode="specification") == 0.0


def test_a_task_that_requires_nothing_matches_nothing_in_the_specification() -> None:
    assert explain_score(task(), offer(), [], EVEN, "specification").parts["capability"] == 0.0


def test_a_capability_is_no_floor_in_the_specification() -> None:
    needs = task(required_capabilities={"dig": 0.8})
    assert floor_reason(needs, offer(), "specification") is None
    assert total(needs, offer(), mode="specification") > 0


def test_a_capability_that_is_no_number_matches_nothing() -> None:
    needs = task(required_capabilities={"dig": 0.8})
    parts = explain_score(needs, offer(capabilities={"dig": math.nan}), [], EVEN, "specification").parts
    assert parts["capability"] == 0.0


# Floors


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"required_capabilities": {"dig": 0.7}}, "below the floor: dig 0.4 < 0.7"),
        ({"required_capabilities": {"fly": 0.1}}, "below the floor: fly 0 < 0.1"),
        ({"max_budget": 4.5}, "over budget: 5 > 4.5"),
        ({"agent": AgentId("bob")}, "not for ann to do: the task names bob"),
    ],
)
def test_an_offer_below_a_floor_is_inadmissible_and_it_is_said_why(facts: dict[str, Any], reason: str) -> None:
    strict, one = task(**facts), offer(capabilities={"dig": 0.4})
    assert floor_reason(strict, one) == reason
    assert total(strict, one) == INADMISSIBLE
    assert explain_score(strict, one, [one], EVEN) == (INADMISSIBLE, {})


def test_an_offer_exactly_on_every_floor_is_admissible() -> None:
    strict = task(required_capabilities={"dig": 0.4}, max_budget=5.0, max_duration_s=5.0, agent=AgentId("ann"))
    assert floor_reason(strict, offer(capabilities={"dig": 0.4})) is None


def test_an_estimate_beyond_the_time_limit_earns_nothing_for_time_and_is_no_reason_to_refuse() -> None:
    hurried = task(max_duration_s=3.0)
    assert floor_reason(hurried, offer()) is None
    assert explain_score(hurried, offer(), [], EVEN).parts["time"] == 0.0


@pytest.mark.parametrize(
    ("field", "number", "reason"),
    [
        ("cost", -1.0, "malformed: cost is -1; it must be at least 0 and finite"),
        ("cost", math.nan, "malformed: cost is nan; it must be at least 0 and finite"),
        ("duration_s", math.inf, "malformed: duration is inf; it must be at least 0 and finite"),
        ("quality", 1.5, "malformed: quality is 1.5; levels are 0..1"),
        ("reliability", math.nan, "malformed: reliability is nan; levels are 0..1"),
        ("load", -0.1, "malformed: load is -0.1; levels are 0..1"),
    ],
)
@pytest.mark.parametrize("mode", ["sound", "specification"])
def test_an_offer_that_makes_no_sense_is_inadmissible(field: str, number: float, reason: str, mode: Any) -> None:
    assert floor_reason(task(), offer(**{field: number}), mode) == reason
    assert total(task(), offer(**{field: number}), mode=mode) == INADMISSIBLE


def test_a_required_level_is_not_met_by_what_is_no_number() -> None:
    needs = task(required_capabilities={"dig": 0.0})
    assert floor_reason(needs, offer(capabilities={"dig": math.nan})) == "below the floor: dig nan < 0"


def test_an_offer_for_a_task_nobody_asked_about_is_inadmissible() -> None:
    assert score_offers({WEED.id: WEED}, [offer(task="sow"), offer()], EVEN)[0] == INADMISSIBLE


def test_no_offers_have_no_scores() -> None:
    assert score_offers({WEED.id: WEED}, [], EVEN) == []


# Why one has lost


def test_who_made_no_offer_is_told_so() -> None:
    assert why_lost(WEED, AgentId("ann"), [offer("bob"), offer(task="sow")], AgentId("bob"), EVEN) == "no offer"


def test_who_is_below_a_floor_is_told_which() -> None:
    lost = why_lost(WEED, AgentId("ann"), [offer(cost=11.0), offer("bob")], AgentId("bob"), EVEN)
    assert lost == "over budget: 11 > 10"


def test_who_scored_less_is_told_where_most_of_it_was_lost() -> None:
    offers = [offer(cost=6.0, quality=0.2), offer("bob", quality=0.9)]
    lost = why_lost(WEED, AgentId("ann"), offers, AgentId("bob"), EVEN)
    assert lost == "score 0.400 < 0.600 of bob, most of all for quality: 0.050 < 0.225"


def test_who_scored_no_less_is_told_that_the_round_as_a_whole_decided() -> None:
    offers = [offer(quality=0.9), offer("bob")]
    lost = why_lost(WEED, AgentId("ann"), offers, AgentId("bob"), EVEN)
    assert lost.startswith("score 0.600, not below the 0.500 of bob: ")


def test_of_equal_scores_too_the_round_as_a_whole_decided() -> None:
    lost = why_lost(WEED, AgentId("ann"), [offer(), offer("bob")], AgentId("bob"), EVEN)
    assert lost.startswith("score 0.500, not below the 0.500 of bob: ")


def test_where_nobody_won_the_reason_is_room() -> None:
    lost = why_lost(WEED, AgentId("ann"), [offer()], None, EVEN)
    assert lost == "nobody got it: score 0.500, but ann had no room left in this round"


def test_the_better_of_two_offers_of_an_agent_is_the_one_that_lost() -> None:
    offers = [offer(quality=0.0), offer(quality=0.4), offer("bob", quality=0.9)]
    assert why_lost(WEED, AgentId("ann"), offers, AgentId("bob"), EVEN).startswith("score 0.475 < 0.600 of bob")


def test_the_winner_has_not_lost() -> None:
    assert why_lost(WEED, AgentId("ann"), [offer()], AgentId("ann"), EVEN) == "ann has won it"
