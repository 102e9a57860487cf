"""The best structure: published instances, limits of size, agents left out, lists, and both methods alike."""

import gzip
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from concerted.errors import Invalid, Overloaded
from concerted.groups import structures
from concerted.groups.games import FORBIDDEN, Array, coalition_sizes, sums
from concerted.groups.structures import Structure, best_of_listed, best_structure


@pytest.fixture(params=["splits", "prices"])
def method(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small games be solved by one method or the other."""
    monkeypatch.setattr(structures, "ALWAYS_SPLITS", 22 if request.param == "splits" else 0)


def random_game(n: int, seed: int = 0) -> Array:
    game = np.random.default_rng(seed).normal(size=1 << n)
    game[0] = 0
    return game


# Published instances: the value models of Rahwan et al., optima by two other methods


@pytest.mark.usefixtures("method")
@pytest.mark.parametrize(
    ("file", "optimum"),
    [
        ("uniform-8", 7.566), ("uniform-10", 9.851), ("normal-8", 81.723), ("normal-10", 102.798),
        ("ndcs-8", 16.841), ("ndcs-10", 21.911), ("modified_uniform-8", 189.8), ("modified_uniform-10", 179.693),
        ("agent_based-8", 45.016), ("agent_based-10", 82.493),
    ],
)  # fmt: skip
def test_the_optimum_of_each_value_model_is_found(file: str, optimum: float, data: Callable[[str], Path]) -> None:
    with gzip.open(data(f"allocation/csg/{file}.txt.gz"), "rt") as lines:
        game = [float(line) for line in lines if not line.startswith("#")]
    found = best_structure(game)
    assert found.worth == pytest.approx(optimum)
    assert found.status == "optimal"


# What a structure is


@pytest.mark.usefixtures("method")
def test_everybody_is_in_exactly_one_coalition() -> None:
    found = best_structure(random_game(7))
    assert sum(found.coalitions) == 127
    assert all(first & second == 0 for first, second in combinations(found.coalitions, 2))
    assert found.worth == pytest.approx(sum(random_game(7)[mask] for mask in found.coalitions))
    assert found.bound == found.worth


@pytest.mark.usefixtures("method")
def test_all_stay_together_where_more_is_worth_more_than_its_parts() -> None:
    assert best_structure(coalition_sizes(5) ** 2.0) == Structure((31,), 25.0, "optimal", 25.0)


@pytest.mark.usefixtures("method")
def test_all_stay_alone_where_parts_are_worth_more() -> None:
    assert best_structure(np.sqrt(coalition_sizes(4))).coalitions == (1, 2, 4, 8)


@pytest.mark.usefixtures("method")
def test_limits_of_size_are_kept() -> None:
    together = coalition_sizes(6) ** 2.0
    assert best_structure(together, max_size=4).worth == 20
    assert [mask.bit_count() for mask in best_structure(together, max_size=3).coalitions] == [3, 3]
    assert [mask.bit_count() for mask in best_structure(-together, min_size=2).coalitions] == [2, 2, 2]


@pytest.mark.usefixtures("method")
def test_limits_that_nobody_can_keep_are_refused() -> None:
    with pytest.raises(Invalid, match=r"there is no way to place everybody: agent \d stays alone"):
        best_structure(coalition_sizes(5) ** 2.0, min_size=2, max_size=2)


@pytest.mark.usefixtures("method")
def test_who_may_be_left_out_is_where_that_is_better() -> None:
    game = np.array([0.0, -1.0, 2.0, -3.0, -1.0, -3.0, 4.0, 0.0])
    assert best_structure(game).coalitions == (1, 6)
    assert best_structure(game, leave_out=True) == Structure((6,), 4.0, "optimal", 4.0, idle=1)
    assert best_structure(game, min_size=2, leave_out=True) == Structure((6,), 4.0, "optimal", 4.0, idle=1)
    assert best_structure(coalition_sizes(5) * 1.0, min_size=2, max_size=2, leave_out=True).worth == 4


@pytest.mark.usefixtures("method")
def test_coalitions_that_are_forbidden_are_not_formed() -> None:
    game = coalition_sizes(3) ** 2.0
    game[7] = FORBIDDEN
    assert best_structure(game).worth == 5
    game[[3, 5, 6]] = FORBIDDEN
    assert best_structure(game).coalitions == (1, 2, 4)


@pytest.mark.usefixtures("method")
@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_worth_does_not_matter(scale: float) -> None:
    assert best_structure(random_game(6) * scale).coalitions == best_structure(random_game(6)).coalitions


@pytest.mark.usefixtures("method")
def test_one_agent_is_alone() -> None:
    assert best_structure([0, -2]) == Structure((1,), -2.0, "optimal", -2.0)
    assert best_structure([0, 0, 0, 0]).worth == 0


def test_rows_of_splits_may_be_shorter_than_the_game(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = best_structure(random_game(9))
    monkeypatch.setattr(structures, "LOW_BITS", 3)
    assert best_structure(random_game(9)) == whole


def test_where_prices_say_too_little_splits_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    votes = (sums([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]) >= 10).astype(float)
    whole = best_structure(votes)
    monkeypatch.setattr(structures, "ALWAYS_SPLITS", 0)
    monkeypatch.setattr(structures, "MOST_STEPS", 10)
    assert best_structure(votes) == whole


# Lists


def test_many_agents_are_placed_by_the_coalitions_that_are_listed() -> None:
    neighbours = {3 << agent: 10.0 for agent in range(0, 30, 2)}
    pairs = {1 << a | 1 << b: float((a * 7 + b * 3) % 10) for a, b in combinations(range(30), 2)}
    found = best_of_listed(30, {**pairs, **neighbours})
    assert found == Structure(tuple(neighbours), 150.0, "optimal", 150.0)


def test_a_list_of_all_coalitions_is_the_game() -> None:
    game = random_game(7, seed=4)
    listed = best_of_listed(7, {mask: float(game[mask]) for mask in range(1, 128)})
    assert listed.coalitions == best_structure(game).coalitions


def test_a_search_that_ends_early_says_how_far_off_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any three of ten are worth 1: three such coalitions can be formed, and prices alone allow for 10 / 3."""
    worths = {mask: float(mask.bit_count() >= 3) for mask in range(1, 1024)}
    assert best_of_listed(10, worths).status == "optimal"
    monkeypatch.setattr(structures, "MOST_STEPS", 10)
    found = best_of_listed(10, worths)
    assert (found.status, found.worth) == ("feasible", 3)
    assert found.bound == pytest.approx(10 / 3)
    assert sum(found.coalitions) == 1023


def test_a_list_without_a_place_for_somebody_is_refused() -> None:
    with pytest.raises(Invalid, match="agent 2 stays alone, which is not allowed"):
        best_of_listed(3, {1: 1.0, 2: 1.0, 3: 5.0})
    assert best_of_listed(3, {1: 1.0, 2: 1.0, 3: 5.0}, leave_out=True) == Structure((3,), 5.0, "optimal", 5.0, idle=4)


# Wrong input


def test_a_worth_that_is_no_number_is_named() -> None:
    with pytest.raises(Invalid, match=r"\(mask 2\) is worth nan"):
        best_structure([0, 1, math.nan, 3])
    with pytest.raises(Invalid, match=r"\(mask 3\) is worth inf"):
        best_structure([0, 1, 2, math.inf])
    with pytest.raises(Invalid, match=r"\(mask 2\) is worth nan"):
        best_of_listed(2, {1: 1.0, 2: math.nan})


def test_masks_name_agents_of_the_game() -> None:
    with pytest.raises(Invalid, match="mask 4 is no coalition of 2 agents"):
        best_of_listed(2, {4: 1.0})


def test_too_many_agents_are_told_to_list_what_matters() -> None:
    with pytest.raises(Overloaded, match=r"at most 24 agents\. List those that matter"):
        best_structure(np.zeros(1 << 25))
    with pytest.raises(Overloaded, match="63 agents; a list of coalitions can have 1 to 62"):
        best_of_listed(63, {})
