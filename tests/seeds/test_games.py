"""Games over many seeds: larger ones than the laws have, both methods beside each other, and honest errors."""

import numpy as np
import pytest
from scipy.optimize import linprog

from concerted.groups import structures
from concerted.groups.games import Array, coalition_sizes, sums
from concerted.groups.sampling import masks_of, sampled_shapley
from concerted.groups.shapley import shapley
from concerted.groups.stability import in_core, largest_excess, least_core, nucleolus
from concerted.groups.structures import best_of_listed, best_structure

MODELS = ["uniform", "normal", "ndcs", "modified_uniform", "agent_based", "votes", "whole"]


def drawn(model: str, n: int, seed: int) -> Array:
    """Draw a game: five value models of Rahwan et al., votes, and small whole numbers with many ties."""
    dice = np.random.default_rng(seed)
    size = coalition_sizes(n) * 1.0
    if model == "uniform":
        game = dice.random(1 << n) * size
    elif model == "normal":
        game = dice.normal(10, 0.1, 1 << n) * size
    elif model == "ndcs":
        game = dice.normal(size, np.sqrt(size))
    elif model == "modified_uniform":
        game = dice.random(1 << n) * 10 * size + (dice.random(1 << n) < 0.2) * dice.random(1 << n) * 50
    elif model == "agent_based":
        power, game = dice.random(n) * 10, np.zeros(1 << n)
        for place in range(n):
            game.reshape(-1, 2, 1 << place)[:, 1] += dice.random((1 << (n - 1 - place), 1 << place)) * 2 * power[place]
    elif model == "votes":
        weights = dice.integers(1, 9, n) * 1.0
        game = (sums(weights) > weights.sum() / dice.integers(2, 5)) * 1.0
    else:
        game = dice.integers(-3, 6, 1 << n) * 1.0
    game[0] = 0.0
    return game


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("model", MODELS)
def test_splits_prices_and_lists_find_structures_of_the_same_worth(
    model: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    game = drawn(model, 11, seed)
    by_splits = best_structure(game)
    listed = best_of_listed(11, {mask: float(game[mask]) for mask in range(1, 1 << 11)})
    monkeypatch.setattr(structures, "ALWAYS_SPLITS", 0)
    by_prices = best_structure(game)
    assert by_prices.worth == pytest.approx(by_splits.worth, rel=1e-9)
    assert listed.worth == pytest.approx(by_splits.worth, rel=1e-9)
    assert by_prices.status == listed.status == "optimal"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("model", MODELS)
def test_the_least_core_of_ten_agents_is_what_another_solver_finds(model: str, seed: int) -> None:
    game = drawn(model, 10, seed)
    inside = (np.arange(1, 1023)[:, None] >> np.arange(10) & 1).astype(float)
    found = linprog(
        [0.0] * 10 + [1.0], A_ub=np.hstack([-inside, -np.ones((1022, 1))]), b_ub=-game[1:-1],
        A_eq=[[1.0] * 10 + [0.0]], b_eq=[game[-1]], bounds=(None, None),
    )  # fmt: skip
    scale = float(np.abs(game).max())
    assert least_core(game).epsilon == pytest.approx(found.fun, abs=1e-8 * scale)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("model", MODELS)
def test_the_nucleolus_balances_what_it_cannot_lower(model: str, seed: int) -> None:
    """Kohlberg 1971: the coalitions of the largest excesses cover everybody, with weights that sum to 1 for each.

    So no shift of shares lowers one of them without raising another; this is asked of another solver, level by
    level, for the prenucleolus.
    """
    n = 8
    game = drawn(model, n, seed)
    shares = nucleolus(game, "preimputations")
    masks = np.arange(1, (1 << n) - 1)
    inside = (masks[:, None] >> np.arange(n) & 1).astype(float)
    excess = game[1:-1] - inside @ shares
    slack = 1e-7 * max(1.0, float(np.abs(game).max()))
    for level in np.unique(np.round(excess / slack))[::-1]:
        most = inside[excess >= (level - 1) * slack]
        # a shift of shares that lowers the excesses of some of these, and raises none
        found = linprog(
            -most.sum(axis=0), A_ub=-most, b_ub=np.zeros(len(most)), A_eq=[[1.0] * n], b_eq=[0.0], bounds=(-1, 1)
        )
        assert found.status == 0
        assert -found.fun < 1e-6
        if np.linalg.matrix_rank(most) == n:
            break


@pytest.mark.parametrize("seed", range(5))
def test_sixteen_agents_have_a_nucleolus_in_their_core(seed: int) -> None:
    game = sums(np.random.default_rng(seed).random(16)) ** 2
    shares = nucleolus(game)
    assert in_core(game, shares)
    assert largest_excess(game, shares).gain == pytest.approx(least_core(game).epsilon, abs=1e-9 * game[-1])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("calls", [300, 2000])
def test_nine_of_ten_sampled_values_are_within_their_intervals(model: str, calls: int) -> None:
    game = drawn(model, 14, 1)
    fair = shapley(game)
    within, mean = [], np.zeros(14)
    for seed in range(60):
        found = sampled_shapley(14, lambda rows: game[masks_of(rows)], calls, seed)
        lower, upper = found.interval(0.95)
        within.append(((lower <= fair) & (fair <= upper)).mean())
        mean += found.values / 60
    assert np.mean(within) > 0.85
    # the mean of many is near: nothing pulls the values to one side
    assert np.abs(mean - fair).max() < 6 * float(found.errors.mean()) / np.sqrt(60) + 1e-9
