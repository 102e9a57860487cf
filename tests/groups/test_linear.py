"""The linear programs: solved from row to row, contradictions found, and no going round in circles."""

from itertools import product

import numpy as np
import pytest

from concerted.errors import Overloaded
from concerted.groups import linear
from concerted.groups.linear import Program, independent

TOLERANCE = 1e-10


def program(cost: list[float], rows: list[list[float]], bounds: list[float], **more: object) -> Program:
    """Set up a program whose first rows are its basis."""
    return Program(np.array(cost), np.array(rows, dtype=float), np.array(bounds), range(len(cost)), **more)  # type: ignore[arg-type]


def test_the_cheapest_corner_is_found() -> None:
    # given x + y >= 4 and x + 3 y >= 6 beside x, y >= 0
    found = program([2, 3], [[1, 0], [0, 1], [1, 1], [1, 3]], [0, 0, 4, 6])
    assert found.solve(TOLERANCE)
    assert found.y.tolist() == pytest.approx([3, 1])
    assert found.prices.min() >= 0
    assert found.prices @ found.rows[found.basis] == pytest.approx([2, 3])


def test_rows_that_come_later_are_kept_too() -> None:
    found = program([1, 1], [[1, 0], [0, 1]], [0, 0])
    assert found.solve(TOLERANCE)
    assert found.y.tolist() == [0, 0]
    found.add(np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([4.0, 7.0]))
    assert found.solve(TOLERANCE)
    assert found.y.tolist() == pytest.approx([2, 1])


def test_a_fixed_row_stays_in_whatever_its_price() -> None:
    found = program([1, -1], [[1, 1], [1, 0], [1, 0]], [10, 2, 4], fixed=[0])
    assert found.solve(TOLERANCE)
    assert found.y.tolist() == pytest.approx([4, 6])
    assert found.prices.tolist() == pytest.approx([-1, 2])


def test_a_basis_to_start_from_has_no_price_below_0() -> None:
    with pytest.raises(AssertionError, match="a basis"):
        program([0, 1], [[1, 1], [1, 0]], [10, 2])


def test_rows_that_contradict_each_other_have_no_solution() -> None:
    found = program([1.0], [[1], [-1]], [3, -2])
    assert not found.solve(TOLERANCE)


def test_a_program_goes_on_from_the_basis_of_another() -> None:
    first = program([2, 3], [[1, 0], [0, 1], [1, 1], [1, 3]], [0, 0, 4, 6])
    assert first.solve(TOLERANCE)
    again = Program(first.cost, first.rows, np.array([0.0, 0.0, 5.0, 6.0]), first.basis, (), first.inverse)
    assert again.solve(TOLERANCE)
    assert again.y.tolist() == pytest.approx([4.5, 0.5])
    assert again.pivots == 0


def test_a_basis_inverted_many_pivots_ago_is_inverted_anew() -> None:
    """A cube whose corners are cut off one after the other: more pivots than between two inversions."""
    rng = np.random.default_rng(5)
    rows = [np.eye(12), rng.random((400, 12))]
    bounds = np.concatenate([np.zeros(12), rng.random(400)])
    found = Program(np.ones(12), np.concatenate(rows), bounds, range(12))
    assert found.solve(TOLERANCE)
    assert found.pivots > linear.FRESH / 4
    assert (found.rows @ found.y >= found.bounds - 1e-9).all()
    assert found.prices @ found.bounds[found.basis] == pytest.approx(found.y.sum())


def test_many_equal_corners_do_not_make_it_go_round_in_circles(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no patience at all, the rule that cannot circle is the only one."""
    rows = [list(row) for row in product([0.0, 1.0], repeat=4) if any(row)]
    bounds = [float(sum(row) > 2) for row in rows]
    unit = np.eye(4).tolist()
    quick = program([1, 1, 1, 1], unit + rows, [0.0] * 4 + bounds)
    assert quick.solve(TOLERANCE)
    monkeypatch.setattr(linear, "PATIENCE", 0)
    slow = program([1, 1, 1, 1], unit + rows, [0.0] * 4 + bounds)
    assert slow.solve(TOLERANCE)
    assert slow.y.sum() == pytest.approx(quick.y.sum()) == pytest.approx(4 / 3)


def test_too_many_pivots_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MOST_PIVOTS", 1)
    with pytest.raises(Overloaded, match="not solved after 1 pivots"):
        program([2, 3], [[1, 0], [0, 1], [1, 1], [1, 3]], [0, 0, 4, 6]).solve(TOLERANCE)


def test_rows_that_follow_from_others_are_passed_over() -> None:
    rows = np.array([[1.0, 1, 0], [2, 2, 0], [0, 1, 0], [1, 0, 0], [0, 0, 3]])
    assert independent(rows, range(5), 3) == [0, 2, 4]
    assert independent(rows, [4, 3, 3, 1], 2) == [4, 3]
