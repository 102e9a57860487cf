"""Conflicts between bids: cliques, prices on them, and the bound that they prove."""

import numpy as np
import pytest

from concerted.allocation.optimum.conflicts import Conflicts, Limit

INT = np.int64


def test_bids_of_one_group_exclude_each_other() -> None:
    field = Conflicts(np.array([3, 2, 2], INT), [[0, 1], [0, 2]], [])
    assert field.rivals.tolist() == [[False, True, True], [True, False, False], [True, False, False]]
    assert field.masks == [0b110, 0b001, 0b001]
    assert not field.allows(np.array([True, True, False]))
    assert field.allows(np.array([False, True, True]))


def test_a_limit_allows_as_much_as_it_has_room_for() -> None:
    field = Conflicts(np.array([1, 1, 1], INT), [], [Limit((0, 1, 2), (2, 2, 1), 3)])
    assert field.allows(np.array([True, False, True]))
    assert not field.allows(np.array([True, True, False]))


def test_the_prices_prove_a_bound() -> None:
    triangle = Conflicts(np.array([10, 10, 10], INT), [[0, 1], [1, 2], [0, 2]], [])
    assert triangle.in_clique.tolist() == [[True, True, True]], "three pairs of rivals are one clique"
    assert triangle.bound == pytest.approx(10.0, rel=1e-6)
    ring = Conflicts(np.full(5, 10, INT), [[i, (i + 1) % 5] for i in range(5)], [])
    assert ring.bound == pytest.approx(25.0, rel=1e-3), "of five in a ring two can win; the relaxation says 2.5"


def test_a_bid_without_rivals_is_a_clique_of_its_own() -> None:
    field = Conflicts(np.array([4, 6, 9], INT), [[0, 1]], [])
    assert sorted(field.in_clique.sum(axis=1).tolist()) == [1, 2]
    assert field.bound == pytest.approx(15.0, rel=1e-6)


def test_the_unit_is_what_two_sums_differ_by_at_least() -> None:
    assert Conflicts(np.array([40, 60, 100], INT), [[0, 1]], []).unit == 20
