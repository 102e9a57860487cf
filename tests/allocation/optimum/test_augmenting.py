"""The search of a dense assignment by shortest augmenting paths."""

import numpy as np
import pytest

from concerted.allocation.optimum.augmenting import place_all


def test_a_row_gives_way_where_another_loses_more() -> None:
    # both rows like the first column best; the second row would lose 4, the first only 1
    assert place_all(np.array([[1.0, 2.0], [1.0, 5.0]])).tolist() == [1, 0]


def test_columns_to_spare_stay_empty() -> None:
    assert place_all(np.array([[3, 1, 2], [3, 1, 9]], np.int64)).tolist() == [2, 1]


def test_one_column_is_enough_for_one_row() -> None:
    assert place_all(np.array([[7.0]])).tolist() == [0]


@pytest.mark.parametrize("columns", [50, 75])
def test_costs_that_are_all_equal_are_placed_in_one_go(columns: int) -> None:
    found = place_all(np.zeros((50, columns)))
    assert len(set(found.tolist())) == 50


def test_a_chain_through_all_rows_is_followed_to_its_end() -> None:
    # each row has its own column and the one before it; the first has only the last column's rival left
    costs = np.full((6, 6), 100)
    for row in range(6):
        costs[row, row], costs[row, row - 1] = 1, 2
    costs[0, 0] = 100  # so the first takes the last column, and every other moves one down
    assert place_all(costs).tolist() == [5, 0, 1, 2, 3, 4]
