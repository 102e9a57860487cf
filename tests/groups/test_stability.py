"""The core, the least core and the nucleolus: published answers, one test per source, and wrong input."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from concerted.errors import Invalid
from concerted.groups.games import Array, sums
from concerted.groups.stability import in_core, largest_excess, least_core, nucleolus, say_core, stability


def in_order_of_size(n: int, values: list[float]) -> Array:
    """Turn values in the order 1, 2, .. 12, 13, .. 123 .. into a table."""
    table = np.zeros(1 << n)
    coalitions = [each for size in range(1, n + 1) for each in combinations(range(n), size)]
    for coalition, value in zip(coalitions, values, strict=True):
        table[sum(1 << agent for agent in coalition)] = value
    return table


def bankruptcy(estate: float, claims: list[float]) -> Array:
    """What a coalition gets if all others take what they claim."""
    others = sum(claims) - sums(claims)
    return np.asarray(np.maximum(0.0, estate - others))


def majority(n: int) -> Array:
    return (sums([1.0] * n) > n / 2).astype(float)


def near(*fractions: str | float) -> list[float]:
    return pytest.approx([float(Fraction(each)) for each in fractions], abs=1e-9)  # type: ignore[return-value]


# Published answers


def test_ferguson_s_game_of_three() -> None:
    """Ferguson, Game Theory (UCLA), part IV."""
    assert nucleolus(in_order_of_size(3, [-1, 0, 1, 3, 4, 2, 5])).tolist() == near("8/3", "2/3", "5/3")


def test_the_prenucleolus_may_differ_from_the_nucleolus() -> None:
    game = in_order_of_size(3, [0, 0, 0, 10, 0, 0, 2])
    assert nucleolus(game).tolist() == near(1, 1, 0)
    assert nucleolus(game, "preimputations").tolist() == near(3, 3, -4)


@pytest.mark.parametrize(
    ("estate", "shares"),
    [(100, ["100/3", "100/3", "100/3"]), (200, [50, 75, 75]), (300, [50, 100, 150])],
)
def test_the_talmud_divides_an_estate(estate: float, shares: list[str | float]) -> None:
    """Aumann & Maschler 1985, section 1: claims of 100, 200 and 300."""
    assert nucleolus(bankruptcy(estate, [100, 200, 300])).tolist() == near(*shares)


def test_one_left_glove_gets_all_that_two_right_ones_compete_for() -> None:
    game = np.minimum(sums([1.0, 0, 0]), sums([0, 1.0, 1.0]))
    assert nucleolus(game).tolist() == near(1, 0, 0)
    assert in_core(game, [1, 0, 0])
    assert not in_core(game, [2 / 3, 1 / 6, 1 / 6])


def test_a_majority_of_three_has_no_core() -> None:
    found = least_core(majority(3))
    assert found.epsilon == pytest.approx(1 / 3)
    assert found.shares.tolist() == near("1/3", "1/3", "1/3")
    assert say_core(found.epsilon) == "the core is empty, epsilon = 0.333333"


def test_littlechild_s_runway_is_paid_for_by_those_who_need_its_end() -> None:
    """Littlechild 1974: the nucleolus of the airport game with costs 1, 2, 3 as savings to their owners."""
    costs = [1.0, 2.0, 3.0]
    together = np.zeros(8)
    for place, cost in enumerate(costs):
        together[1 << place : 2 << place] = np.maximum(together[: 1 << place], cost)
    paid = np.array(costs) - nucleolus(sums(costs) - together)
    assert paid.tolist() == near("1/2", "3/4", "7/4")


# Beside each other


def test_the_excess_names_who_gains_most_by_leaving() -> None:
    found = largest_excess(in_order_of_size(3, [0, 0, 0, 6, 4, 2, 7]), [2, 2, 3])
    assert (found.gain, found.mask) == (2, 0b011)


def test_shares_in_the_core_hand_out_all_and_leave_nobody_better_alone() -> None:
    game = in_order_of_size(3, [0, 0, 0, 2, 4, 2, 6])
    assert in_core(game, [2, 1, 3])
    assert not in_core(game, [2, 1, 2])
    assert not in_core(game, [5, 1, 0])
    assert not in_core(game, [3, -1, 4])


def test_epsilon_below_0_says_how_much_all_may_lose() -> None:
    found = least_core(sums([1.0, 2.0, 3.0]) + 3 * (np.arange(8) == 7))
    assert found.epsilon == pytest.approx(-1)
    assert say_core(found.epsilon) == "the core is not empty, epsilon = -1"


def test_imputations_may_be_worse_than_preimputations() -> None:
    game = in_order_of_size(3, [0, 0, 0, 10, 0, 0, 2])
    assert least_core(game, "imputations").epsilon == pytest.approx(8)
    assert least_core(game).epsilon == pytest.approx(4)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_the_unit_of_worth_does_not_matter(scale: float) -> None:
    game = bankruptcy(200, [100, 200, 300])
    assert (nucleolus(game * scale) / scale).tolist() == near(50, 75, 75)


def test_one_and_two_agents_are_games_too() -> None:
    assert nucleolus([0, 5]).tolist() == least_core([0, 5]).shares.tolist() == [5]
    assert nucleolus([0, 1, 2, 9]).tolist() == near(4, 5)
    assert nucleolus([0, 0, 0, 0]).tolist() == [0, 0]
    assert (largest_excess([0, 5], [5]).gain, in_core([0, 5], [5]), in_core([0, 5], [4])) == (0, True, False)


def test_a_coalition_is_as_stable_as_little_can_be_gained_by_leaving() -> None:
    game = majority(3)
    assert stability(game) == pytest.approx(2 / 3)
    assert stability(game, [0.5, 0.5, 0.0]) == pytest.approx(0.5)
    assert stability(bankruptcy(200, [100, 200, 300])) == 1.0


def test_what_is_worth_nothing_is_stable_if_nobody_would_leave_it() -> None:
    assert stability([0, 0, 0, 0]) == 1.0
    assert stability([0, 1, 1, 0]) == 0.0
    assert stability([0, 5, 5, 2]) == 0.0


# Wrong input


def test_a_worth_that_is_no_number_is_named() -> None:
    game = [0, 1, 2, math.nan]
    for solve in (nucleolus, least_core, stability):
        with pytest.raises(Invalid, match=r"\(mask 3\) is worth nan"):
            solve(game)


def test_each_agent_needs_a_share() -> None:
    for ask in (largest_excess, in_core, stability):
        with pytest.raises(Invalid, match="3 shares for 2 agents"):
            ask([0, 1, 1, 3], [1, 1, 1])


def test_who_have_more_alone_have_no_imputations() -> None:
    with pytest.raises(Invalid, match=r"10 together, and all are worth 2\. Ask for `preimputations`"):
        nucleolus([0, 5, 5, 2])
    assert nucleolus([0, 5, 5, 2], "preimputations").tolist() == near(1, 1)
