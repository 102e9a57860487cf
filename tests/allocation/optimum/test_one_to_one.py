"""The one-to-one assignment of a dense matrix."""

from collections.abc import Callable

import numpy as np
import pytest

from concerted.allocation.optimum import one_to_one
from concerted.allocation.optimum.one_to_one import marginals, match, match_best, match_ours, shadow_prices
from concerted.errors import Invalid

# Kuhn, "The Hungarian method for the assignment problem", 1955, section 2: four people, four jobs, for which they
# qualify or not.
KUHN = np.array([[1, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]], np.int64)


def test_of_kuhns_four_people_three_find_work() -> None:
    found = match_best(KUHN, ours=True)
    assert sum(KUHN[row, column] for row, column in enumerate(found) if column >= 0) == 3
    assert sorted(found.tolist())[0] == -1, "who does not qualify for anything that is left gets nothing"


@pytest.mark.parametrize("solve", [match, match_ours])
def test_the_sum_of_costs_is_the_lowest(solve: Callable[[np.ndarray], np.ndarray]) -> None:
    # 3 + 1 + 1: the cheapest of each row, 1 + 1 + 1, would give the second column to two rows
    costs = np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]])
    assert solve(costs).tolist() == [1, 0, 2]


@pytest.mark.parametrize("solve", [match, match_ours])
def test_as_many_pairs_as_the_shorter_side_has(solve: Callable[[np.ndarray], np.ndarray]) -> None:
    assert solve(np.array([[5.0, 1.0, 9.0]])).tolist() == [1]
    assert solve(np.array([[5.0], [1.0], [9.0]])).tolist() == [-1, 0, -1]
    assert solve(np.zeros((0, 3))).tolist() == []


def test_integers_too_large_for_floats_are_exact() -> None:
    large = 2**57
    costs = np.array([[large, large + 1], [large + 1, large + 3]], np.int64)
    assert match(costs).tolist() == [1, 0], "2 x large + 2 is less than 2 x large + 3"


def test_no_pair_is_worth_nothing() -> None:
    assert match_best(np.array([[-1.0, 0.0], [3.0, -2.0]])).tolist() == [-1, 0]


def test_a_column_is_worth_what_the_whole_would_lose_without_it() -> None:
    values = np.array([[8.0, 6.0], [7.0, 2.0]])
    found = match_best(values)
    assert found.tolist() == [1, 0]
    # 13 with both; without the first column 6, without the second 8
    assert marginals(values, found).tolist() == [7.0, 5.0]


def test_the_prices_prove_that_there_is_nothing_better() -> None:
    values = np.array([[9, 7, 1], [8, 8, -1], [5, -1, -1], [2, 6, 3]], np.int64)
    found = match_best(values)
    rows, columns = shadow_prices(values, found)
    assert (rows[:, None] + columns >= values).all()
    assert rows.sum() + columns.sum() == sum(values[row, at] for row, at in enumerate(found) if at >= 0)


@pytest.mark.parametrize("square", [True, False])
def test_many_equal_costs_and_large_matrices_come_to_what_scipy_finds(square: bool) -> None:
    from scipy.optimize import linear_sum_assignment

    dice = np.random.default_rng(5)
    for high in (2, 10, 10**6):
        costs = dice.integers(0, high, (60, 60 if square else 90))
        best = costs[linear_sum_assignment(costs)].sum()
        assert costs[np.arange(60), match_ours(costs)].sum() == best


def row_times_column(rows: int, columns: int, noise: float) -> np.ndarray:
    dice = np.random.default_rng(7)
    product = np.outer(dice.random(rows), dice.random(columns))
    return product * (1 + noise * dice.standard_normal((rows, columns)))


SHAPES = [(310, 310), (300, 360), (360, 300), (110, 110), (100, 130), (130, 100)]


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("solve", [match, match_ours])
def test_where_all_rows_want_the_same_columns_the_sum_is_still_the_lowest(
    solve: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int], noise: float
) -> None:
    from scipy.optimize import linear_sum_assignment

    costs = row_times_column(*shape, noise)
    found = solve(costs)
    rows = np.flatnonzero(found >= 0)
    assert len(set(found[rows].tolist())) == min(shape)
    assert costs[rows, found[rows]].sum() == pytest.approx(costs[linear_sum_assignment(costs)].sum(), abs=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("shape", SHAPES)
def test_where_all_rows_want_the_same_columns_each_is_worth_what_solving_again_says(
    shape: tuple[int, int], noise: float
) -> None:
    values = row_times_column(*shape, noise)
    added = marginals(values, match_best(values))
    for column in range(0, shape[1], 60):
        without = best_sum(values) - best_sum(np.delete(values, column, axis=1))
        assert added[column] == pytest.approx(without, abs=1e-9)


def best_sum(values: np.ndarray) -> float:
    found = match_best(values)
    rows = np.flatnonzero(found >= 0)
    return float(values[rows, found[rows]].sum())


@pytest.mark.parametrize("seed", range(60))
def test_prices_of_a_sample_change_no_answer_however_small_the_matrix(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(one_to_one, "MANY", 4)
    monkeypatch.setattr(one_to_one, "MANY_SEARCHED", 4)
    monkeypatch.setattr(one_to_one, "ROUNDS", 0)
    dice = np.random.default_rng(seed)
    rows, columns = dice.integers(4, 12, 2).tolist()
    product = np.outer(dice.integers(0, 30, rows), dice.integers(0, 30, columns))
    values = [product, np.where(dice.random(product.shape) < 0.3, -1, product), product % 7 - 1][seed % 3]
    found = match_best(values)
    by_search = match_best(values, ours=True)
    paired = np.flatnonzero(by_search >= 0)
    assert values[paired, by_search[paired]].sum() == best_sum(values)
    row_prices, column_prices = shadow_prices(values, found)
    assert (row_prices[:, None] + column_prices >= values).all()
    assert row_prices.sum() + column_prices.sum() == best_sum(values)
    without = [best_sum(values) - best_sum(np.delete(values, column, axis=1)) for column in range(columns)]
    assert column_prices.tolist() == without, "each column's price is what the whole loses without it"


def test_whole_numbers_that_have_few_patterns_are_matched_exactly() -> None:
    costs = np.outer(np.arange(310), np.arange(310)) + 2**50  # above what floats can add up
    found = match(costs)
    assert costs[np.arange(310), found].sum() == sum(row * (309 - row) for row in range(310)) + 310 * 2**50


def test_prices_of_a_sample_are_not_taken_off_where_digits_would_be_lost() -> None:
    costs = row_times_column(310, 310, 0.0)
    assert one_to_one._less_prices(costs, match) is not costs
    costs[0, 0] = 1e15  # a pair that must not be
    assert one_to_one._less_prices(costs, match) is costs


def test_a_cost_that_is_no_number_is_named() -> None:
    with pytest.raises(Invalid, match="row 1, column 0: the cost is nan; it must be a finite number"):
        match(np.array([[0.0, 1.0], [np.nan, 1.0]]))
    with pytest.raises(Invalid, match="costs has 1 dimensions; it must have two, rows and columns"):
        match(np.zeros(3))
