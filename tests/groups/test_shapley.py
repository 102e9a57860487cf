"""Shapley, Banzhaf, Owen and Myerson values: published answers, one test per source, and wrong input."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from concerted.errors import Invalid
from concerted.groups.games import Array, sums
from concerted.groups.shapley import banzhaf, banzhaf_index, linked_game, myerson, owen, shapley, shapley_shubik


def in_order_of_size(n: int, values: list[float]) -> Array:
    """Turn values in the order 1, 2, .. 12, 13, .. 123 .. into a table."""
    table = np.zeros(1 << n)
    coalitions = [each for size in range(1, n + 1) for each in combinations(range(n), size)]
    for coalition, value in zip(coalitions, values, strict=True):
        table[sum(1 << agent for agent in coalition)] = value
    return table


def gloves(left: list[int], n: int) -> Array:
    lefts = [float(agent in left) for agent in range(n)]
    return np.minimum(sums(lefts), sums([1 - each for each in lefts]))


def voting(quota: float, weights: list[float]) -> Array:
    return (sums(weights) >= quota).astype(float)


def airport(costs: list[float]) -> Array:
    table = np.zeros(1 << len(costs))
    for place, cost in enumerate(costs):
        table[1 << place : 2 << place] = np.maximum(table[: 1 << place], cost)
    return table


def near(*fractions: str | float) -> list[float]:
    return pytest.approx([float(Fraction(each)) for each in fractions], abs=1e-12)  # type: ignore[return-value]


# Published answers


def test_three_players_of_the_package_coopgame() -> None:
    assert shapley(in_order_of_size(3, [2, 4, 5, 18, 14, 9, 24])).tolist() == near(9.5, 8, 6.5)


def test_one_left_glove_and_two_right_ones() -> None:
    assert shapley(gloves([0], 3)).tolist() == near("2/3", "1/6", "1/6")


def test_three_left_gloves_and_one_right_one() -> None:
    assert shapley(gloves([0, 1, 3], 4)).tolist() == near("1/12", "1/12", "3/4", "1/12")


def test_littlechild_and_owen_share_a_runway() -> None:
    assert shapley(airport([8, 11, 13, 18])).tolist() == near(2, 3, 4, 9)


def test_three_airlines_share_a_runway() -> None:
    assert shapley(airport([1500, 2200, 3000])).tolist() == near(500, 850, 1650)


def test_fifty_forty_nine_and_one_per_cent_of_the_votes() -> None:
    assert shapley_shubik(voting(51, [50, 49, 1])).tolist() == near("2/3", "1/6", "1/6")
    assert banzhaf_index(voting(51, [50, 49, 1])).tolist() == near("3/5", "1/5", "1/5")


def test_where_any_vote_wins_all_have_the_same_power() -> None:
    assert shapley_shubik(voting(1, [50, 49, 1])).tolist() == near("1/3", "1/3", "1/3")
    assert banzhaf_index(voting(1, [50, 49, 1])).tolist() == near("1/3", "1/3", "1/3")


def test_the_parliament_of_catalonia_in_2012() -> None:
    power = shapley_shubik(voting(68, [50, 20, 21, 19, 13, 9, 3]))
    assert power.tolist() == pytest.approx([0.533, 0.133, 0.133, 0.133, 0.0333, 0.0333, 0], abs=5e-4)


def test_the_security_council_of_the_united_nations() -> None:
    council = voting(39, [7.0] * 5 + [1.0] * 10)
    assert shapley_shubik(council).tolist() == near(*["421/2145"] * 5, *["4/2145"] * 10)
    assert banzhaf_index(council).tolist() == near(*["848/5080"] * 5, *["84/5080"] * 10)


def test_owen_s_majority_of_three_in_which_two_have_united() -> None:
    """Owen 1977: of three with one vote each, two who vote together have all the power."""
    assert owen(voting(2, [1, 1, 1]), [[0, 1], [2]]).tolist() == near("1/2", "1/2", 0)


def test_myerson_s_chain_of_three() -> None:
    """Myerson 1977: v(12) = v(13) = 6, v(23) = 6, v(123) = 12, where 1 and 2, and 2 and 3 are linked."""
    game = in_order_of_size(3, [0, 0, 0, 6, 6, 6, 12])
    assert myerson(game, [(0, 1), (0, 2)]).tolist() == near(6, 3, 3)
    assert myerson(game, [(0, 1)]).tolist() == near(3, 3, 0)


# Beside each other


def test_banzhaf_is_what_an_agent_adds_on_average() -> None:
    game = np.array([0.0, 1.0, 2.0, 7.0])
    assert banzhaf(game).tolist() == [((1 - 0) + (7 - 2)) / 2, ((2 - 0) + (7 - 1)) / 2]


def test_unions_of_one_and_one_union_of_all_give_the_shapley_value() -> None:
    game = np.append(0.0, np.random.default_rng(1).normal(size=31))
    everybody = shapley(game).tolist()
    assert owen(game, [[agent] for agent in range(5)]).tolist() == pytest.approx(everybody)
    assert owen(game, [[3, 1, 0, 4, 2]]).tolist() == pytest.approx(everybody)


def test_a_union_gets_what_it_would_as_one() -> None:
    game = np.append(0.0, np.random.default_rng(2).normal(size=31))
    unions = [[0, 3], [1, 2, 4]]
    as_one = np.array([0.0, game[0b01001], game[0b10110], game[0b11111]])
    shares = owen(game, unions)
    assert [shares[union].sum() for union in unions] == pytest.approx(shapley(as_one).tolist())


def test_who_are_all_linked_play_the_whole_game() -> None:
    game = np.append(0.0, np.random.default_rng(3).normal(size=31))
    ring = [(agent, (agent + 1) % 5) for agent in range(5)]
    assert linked_game(game, list(combinations(range(5), 2))).tolist() == pytest.approx(game.tolist())
    assert linked_game(game, ring)[0b00101] == pytest.approx(game[0b00001] + game[0b00100])
    assert linked_game(game, [])[0b11111] == pytest.approx(sum(game[1 << agent] for agent in range(5)))


def test_one_agent_gets_all() -> None:
    assert shapley([0, 5]).tolist() == banzhaf([0, 5]).tolist() == owen([0, 5], [[0]]).tolist() == [5]


@pytest.mark.parametrize("n", [11, 13, 14, 15])
def test_many_agents_get_what_a_formula_says(n: int) -> None:
    """Where a row of the table is shorter than the table: a runway has a formula."""
    costs = [float(agent * agent + 1) for agent in range(n)]
    steps = [now - before for before, now in zip([0.0, *costs], costs, strict=False)]
    fair = [sum(step / (n - place) for place, step in enumerate(steps[: agent + 1])) for agent in range(n)]
    assert shapley(airport(costs)).tolist() == pytest.approx(fair, rel=1e-12)


# Wrong input


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_worth_that_is_no_number_is_named(wrong: float) -> None:
    game = np.array([0.0, 1.0, 2.0, wrong])
    for value in (shapley, banzhaf):
        with pytest.raises(Invalid, match=r"the coalition of agents 0, 1 \(mask 3\) is worth"):
            value(game)
    for value in (lambda table: owen(table, [[0, 1]]), lambda table: myerson(table, [(0, 1)])):
        with pytest.raises(Invalid, match=r"mask 3\) is worth"):
            value(game)


def test_worths_too_large_to_be_added_are_said_to_be() -> None:
    with pytest.raises(Invalid, match="too large to be added up"):
        shapley(np.append(0.0, np.full(7, 1e308)))


def test_a_vote_is_won_or_not_and_joining_never_loses_it() -> None:
    with pytest.raises(Invalid, match="coalition 3 is worth 2; in a game of votes"):
        shapley_shubik([0, 1, 1, 2])
    with pytest.raises(Invalid, match="the game is not monotone: agent 1 joins the coalition of agents 0"):
        banzhaf_index([0, 1, 0, 0])


def test_a_vote_that_nobody_can_win_gives_nobody_power() -> None:
    assert banzhaf_index([0, 0, 0, 0]).tolist() == [0, 0]


@pytest.mark.parametrize("unions", [[[0]], [[0, 1], [1]], [[0, 1, 2]]])
def test_each_agent_is_in_exactly_one_union(unions: list[list[int]]) -> None:
    with pytest.raises(Invalid, match="each of the agents 0 to 1 must be in exactly one union"):
        owen([0, 1, 1, 3], unions)


def test_a_link_names_agents_of_the_game() -> None:
    with pytest.raises(Invalid, match=r"the link \(0, 2\) names no agent of this game; it has the agents 0 to 1"):
        myerson([0, 1, 1, 3], [(0, 2)])
