"""Laws of places by auction, against a walk through all ways to give them."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from concerted.groups.places import auction_places


@given(st.integers(1, 6), st.integers(2, 3), st.integers(0, 2**32), st.sampled_from([0.5, 0.1, 0.01]), st.booleans())
def test_places_cost_at_most_a_step_for_each_point_more_than_the_best(
    n: int, k: int, seed: int, step: float, coarse: bool
) -> None:
    costs = np.random.default_rng(seed).random((n, k))
    costs = np.round(costs, 1) if coarse else costs
    most = -(-n // k)
    labels = auction_places(costs, np.zeros(k), (0, most), step, 10_000)
    assert np.bincount(labels, minlength=k).max() <= most
    best = min(
        sum(costs[point, group] for point, group in enumerate(groups))
        for groups in product(range(k), repeat=n)
        if max(groups.count(group) for group in range(k)) <= most
    )
    found = float(costs[np.arange(n), labels].sum())
    assert best - 1e-9 <= found <= best + n * step + 1e-9


@given(st.integers(2, 30), st.integers(2, 6), st.integers(0, 2**32))
def test_prices_of_before_change_nothing_about_what_is_kept_to(n: int, k: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    most = -(-n // k)
    prices = dice.normal(size=k)
    for _ in range(3):
        labels = auction_places(dice.random((n, k)), prices, (n // k, most), 0.05, 10_000)
        assert np.bincount(labels, minlength=k).max() <= most
        assert np.isfinite(prices).all()
