"""Places by auction: who needs a place most keeps it, and prices fall again where there is room."""

import numpy as np
import pytest

from concerted.groups.places import auction_places

ROUNDS = 1_000


def test_without_a_full_group_everybody_is_where_it_is_nearest_and_nothing_has_a_price() -> None:
    prices = np.zeros(2)
    labels = auction_places(np.array([[0.0, 5.0], [5.0, 0.0]]), prices, (0, 1), 0.1, ROUNDS)
    assert labels.tolist() == [0, 1]
    assert prices.tolist() == [0.0, 0.0]


def test_a_place_goes_to_who_would_lose_most_without_it() -> None:
    costs = np.array([[0.0, 2.0], [0.0, 9.0], [0.0, 4.0]])
    prices = np.zeros(2)
    labels = auction_places(costs, prices, (0, 1), 0.1, 1)
    assert labels.tolist() == [1, 0, 1]
    assert prices.tolist() == pytest.approx([4.1, 0.0])


def test_it_ends_after_its_rounds_also_where_there_are_fewer_places_than_points() -> None:
    labels = auction_places(np.zeros((3, 2)), np.zeros(2), (0, 1), 0.1, 50)
    assert sorted(np.bincount(labels, minlength=2).tolist()) == [1, 2]


def test_a_group_that_too_few_want_becomes_cheaper_until_enough_do() -> None:
    costs = np.array([[0.0, 3.0], [0.0, 1.0], [0.0, 2.0], [0.0, 9.0]])
    prices = np.zeros(2)
    labels = auction_places(costs, prices, (2, 2), 0.1, ROUNDS)
    assert labels.tolist() == [0, 1, 1, 0]
    assert prices[1] == pytest.approx(-2.0)


def test_a_price_of_before_keeps_nobody_out_of_a_group_with_room() -> None:
    prices = np.array([100.0, 0.0])
    labels = auction_places(np.array([[0.0, 5.0], [5.0, 0.0]]), prices, (0, 2), 0.1, ROUNDS)
    assert labels.tolist() == [0, 1]
    assert prices.tolist() == [0.0, 0.0]
