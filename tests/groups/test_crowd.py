"""Coalitions among many: all where they are few enough, else a search that says how far it may be off."""

import numpy as np
import pytest

from concerted.errors import Invalid, Overloaded
from concerted.groups.crowd import Draw, coalition_count, masks_up_to, member_game, search, worths_of
from concerted.groups.formation import CoalitionConstraints, Terms
from concerted.groups.games import Skills, members, worth
from concerted.values import AgentId

MANY = tuple(AgentId(f"a{number:02}") for number in range(30))


def trade(reward: float = 10.0, **more: object) -> Skills:
    """The first ten know x, the next ten y, the last ten a little of both; each is dearer than the one before."""
    levels = {
        agent: {"x": 0.5} if number < 10 else {"y": 0.5} if number < 20 else {"x": 0.1, "y": 0.1}
        for number, agent in enumerate(MANY)
    }
    costs = {agent: 1.0 + number / 100 for number, agent in enumerate(MANY)}
    return Skills(levels, {"x": 1.0, "y": 0.5}, reward, "all", costs=costs, may_idle=True, **more)  # type: ignore[arg-type]


def terms(skills: Skills, **constraints: object) -> Terms:
    return Terms(CoalitionConstraints(**constraints), skills=skills)  # type: ignore[arg-type]


def test_coalitions_of_bounded_size_are_counted_and_listed() -> None:
    assert list(masks_up_to(3, 2)) == [0b001, 0b010, 0b100, 0b011, 0b101, 0b110]
    assert coalition_count(3, 2) == 6
    assert coalition_count(60, 3) == 60 + 1_770 + 34_220


def test_where_they_are_few_enough_the_best_is_proved() -> None:
    game = trade()
    found = search(game, MANY, terms(game, max_size=3), 5_000)
    assert found.candidates[0].agents == ("a00", "a01", "a10")
    assert (found.status, found.bound, found.valued) == ("optimal", None, 30 + 435 + 4_060)


def test_where_they_are_too_many_a_search_finds_it_and_the_bound_stands_beside_it() -> None:
    game = trade()
    found = search(game, MANY, terms(game, max_size=10), 20_000)
    best = found.candidates[0]
    assert best.agents == ("a00", "a01", "a10")
    assert found.status == "feasible"
    assert found.valued <= 20_000
    assert found.bound is not None
    assert best.expected_utility <= found.bound <= 10.0 - 2.0


def test_a_search_keeps_to_its_budget_and_to_the_constraints() -> None:
    game = trade(synergy={(MANY[3], MANY[14]): 2.0, (MANY[0], MANY[1]): -3.0})
    keeps = terms(
        game, max_size=6, min_size=4, must_include=("a05",), must_exclude=("a00",), incompatible=(("a05", "a10"),)
    )
    found = search(game, MANY, keeps, 7_000)
    assert found.valued <= 7_000
    assert found.candidates
    for each in found.candidates:
        assert each.feasible, each.reasons
    assert {"a03", "a05", "a14"} <= set(found.candidates[0].agents)


def test_what_was_refused_is_not_found_again() -> None:
    game = trade()
    first = 0b1 | 0b10 | 1 << 10
    found = search(
        game, MANY, Terms(CoalitionConstraints(max_size=10), skills=game, refused=frozenset([first])), 20_000
    )
    assert all(each.agents != ("a00", "a01", "a10") for each in found.candidates)
    assert found.candidates


def test_of_listed_worths_only_what_is_listed_is_looked_at() -> None:
    listed = {0b11: 5.0, 1 << 29 | 1: 7.0, 0b1: 1.0}
    found = search(listed, MANY, Terms(), 100)
    assert [each.agents for each in found.candidates] == [("a00", "a29"), ("a00", "a01"), ("a00",)]
    assert (found.status, found.valued) == ("optimal", 3)
    assert member_game(listed, MANY, 1 << 29 | 1).tolist() == [0.0, 1.0, 0.0, 7.0]


def test_the_specification_ranks_by_the_mean_reliability() -> None:
    listed = {0b11: 10.0, 0b1100: 9.0}
    odds = {"a00": 0.5, "a01": 0.5}
    found = search(listed, MANY, Terms(reliability=odds, mode="specification"), 100)
    assert [each.agents for each in found.candidates] == [("a02", "a03"), ("a00", "a01")]
    assert found.candidates[1].value.risk_adjusted == pytest.approx(5.0)


@pytest.mark.parametrize("coverage", ["all", "least", "mean"])
@pytest.mark.parametrize("combine", ["sum", "max"])
def test_worths_of_many_at_once_are_those_of_each(coverage: str, combine: str) -> None:
    levels = {agent: {"x": 0.1 + number / 40, "y": 0.3} for number, agent in enumerate(MANY)}
    synergy = {(MANY[0], MANY[3]): 1.5, (MANY[2], MANY[29]): -1.0}
    game = Skills(levels, {"x": 0.8, "y": 0.5}, 6.0, coverage, combine, {MANY[1]: 2.0}, synergy, 0.25)  # type: ignore[arg-type]
    masks = np.random.default_rng(1).integers(1, 1 << 30, 50)
    slow = [worth(game, members(int(mask), MANY)) for mask in masks]
    assert worths_of(game, MANY, masks).tolist() == pytest.approx(slow)


def builders(count: int = 20) -> tuple[Skills, tuple[AgentId, ...]]:
    """As many as are needed, each with as much of what is needed; the later ones cost more."""
    agents = MANY[:count]
    levels = {agent: {"x": 1.0 / count} for agent in agents}
    costs = {agent: float(number) for number, agent in enumerate(agents)}
    return Skills(levels, {"x": 1.0}, 400.0, "least", costs=costs), agents


def test_the_values_of_more_than_16_members_are_estimated_within_intervals() -> None:
    """Everybody adds a twentieth of the reward less its own cost, whoever is there."""
    game, agents = builders()
    found = search(game, agents, Terms(CoalitionConstraints(max_size=20, min_size=20)), 60_000, draw=Draw(7, 500))
    (best,) = found.candidates
    assert best.agents == agents
    for number, agent in enumerate(agents):
        low, high = best.value.intervals[agent]
        assert low - 1e-6 <= 20.0 - number <= high + 1e-6
        assert best.value.individual_contributions[agent] == pytest.approx(20.0 - number, abs=0.5)
    assert sum(best.value.individual_contributions.values()) == pytest.approx(400.0 - 190.0)
    assert best.stability == pytest.approx(1.0, abs=1e-6)


def test_the_same_seed_estimates_the_same_and_another_one_something_else() -> None:
    game, agents = builders(18)
    game = Skills(game.levels, game.thresholds, 400.0, "all", costs=game.costs)
    wants = Terms(CoalitionConstraints(max_size=18), dict.fromkeys(agents, 0.99), skills=game)
    first, again, other = (search(game, agents, wants, 5_000, draw=Draw(seed, 500)) for seed in (1, 1, 2))
    assert first == again
    assert first.candidates[0].agents == other.candidates[0].agents == agents
    assert first.candidates[0] != other.candidates[0]
    assert first.candidates[0].value.risk_adjusted == pytest.approx(0.99**18 * (400 - 153), rel=0.1)


def test_a_member_who_would_do_better_alone_is_found_among_many() -> None:
    listed = {0b1: 60.0, (1 << 20) - 1: 100.0}
    (best, _) = search(listed, MANY, Terms(CoalitionConstraints(max_size=20)), 100, draw=Draw(0, 500)).candidates
    assert len(best.agents) == 20
    assert best.stability <= 1.0
    assert best.value.individual_contributions["a00"] > best.value.individual_contributions["a01"]


def test_what_is_too_much_is_refused() -> None:
    with pytest.raises(Overloaded, match="63 agents to choose from; 1 to 62"):
        search({1: 1.0}, [AgentId(str(number)) for number in range(63)], Terms(), 100)
    with pytest.raises(Overloaded, match="2 coalitions are listed; at most 1"):
        search({1: 1.0, 2: 1.0}, MANY, Terms(), 1)
    with pytest.raises(Overloaded, match="a coalition of 17 members; at most 16"):
        member_game(trade(), MANY, (1 << 17) - 1)
    with pytest.raises(Invalid, match="coalition a00, a01 has no finite worth"):
        search({0b11: float("nan")}, MANY, Terms(), 10)
