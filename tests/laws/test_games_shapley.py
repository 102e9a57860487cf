"""Laws of fair shares: Shapley's axioms, and the same as a plain walk through all orders."""

from collections.abc import Iterable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concerted.groups.games import Array, mask_of, members, sums
from concerted.groups.sampling import masks_of, sampled_shapley
from concerted.groups.shapley import banzhaf, myerson, owen, shapley

few = settings(max_examples=settings().max_examples * 2 // 5)
worths = st.integers(-20, 20).map(float) | st.integers(-9999, 9999).map(lambda each: each / 100)


@st.composite
def games(draw: st.DrawFn, most: int = 5) -> Array:
    """Draw the worths of up to three agents one by one, and those of more from a seed."""
    n = draw(st.integers(1, most))
    if n <= 3:
        return np.array([0.0, *draw(st.lists(worths, min_size=(1 << n) - 1, max_size=(1 << n) - 1))])
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    drawn = dice.integers(-9, 9, 1 << n) * 1.0 if draw(st.booleans()) else dice.normal(size=1 << n) * 50
    drawn[0] = 0.0
    return drawn


def count(game: Array) -> int:
    return len(game).bit_length() - 1


def near(shares: Iterable[float]) -> list[float]:
    return pytest.approx(list(shares), abs=1e-9)  # type: ignore[return-value]


def what_is_added(game: Array, orders: list[tuple[int, ...]]) -> list[float]:
    """Walk through these orders, and take for each agent the mean of what it adds when it comes."""
    added = [0.0] * count(game)
    for order in orders:
        there = 0
        for agent in order:
            added[agent] += float(game[there | 1 << agent] - game[there]) / len(orders)
            there |= 1 << agent
    return added


# Oracles


@few
@given(games())
def test_shapley_is_the_mean_over_all_orders(game: Array) -> None:
    assert shapley(game).tolist() == near(what_is_added(game, list(permutations(range(count(game))))))


@few
@given(games())
def test_banzhaf_is_the_mean_over_all_coalitions_of_the_others(game: Array) -> None:
    n = count(game)
    for agent, share in enumerate(banzhaf(game)):
        others = [mask for mask in range(1 << n) if not mask >> agent & 1]
        assert share == pytest.approx(
            sum(game[mask | 1 << agent] - game[mask] for mask in others) / len(others), abs=1e-9
        )


@few
@given(games(), st.data())
def test_owen_is_the_mean_over_the_orders_in_which_unions_come_together(game: Array, data: st.DataObject) -> None:
    n = count(game)
    union_of = data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))
    unions = [[agent for agent in range(n) if union_of[agent] == union] for union in sorted(set(union_of))]
    together = [
        order
        for order in permutations(range(n))
        if all(is_run([order.index(agent) for agent in union]) for union in unions)
    ]
    assert owen(game, unions).tolist() == near(what_is_added(game, together))


def is_run(places: list[int]) -> bool:
    return max(places) - min(places) == len(places) - 1


@few
@given(games(), st.data())
def test_myerson_is_shapley_where_only_the_linked_work_together(game: Array, data: st.DataObject) -> None:
    n = count(game)
    pairs = [(a, b) for a in range(n) for b in range(a)]
    links = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    split = np.array(
        [sum(game[mask_of(part, range(n))] for part in parts(members(mask, range(n)), links)) for mask in range(1 << n)]
    )
    assert myerson(game, links).tolist() == near(shapley(split))


def parts(agents: tuple[int, ...], links: list[tuple[int, int]]) -> list[set[int]]:
    """Join whom a link joins, until nothing changes."""
    found = [{agent} for agent in agents]
    for a, b in links:
        touched = [part for part in found if part & {a, b}]
        if {a, b} <= set(agents) and len(touched) == 2:
            found = [part for part in found if part not in touched] + [touched[0] | touched[1]]
    return found


# Axioms


@few
@given(games())
def test_all_is_handed_out(game: Array) -> None:
    assert shapley(game).sum() == pytest.approx(game[-1], abs=1e-9)


@few
@given(games(), st.data())
def test_whoever_adds_the_same_gets_the_same(game: Array, data: st.DataObject) -> None:
    """Two agents are made to add the same to every coalition of the others."""
    n = count(game)
    a, b = data.draw(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))
    alike = np.array([(game[mask] + game[swapped(mask, a, b)]) / 2 for mask in range(1 << n)])
    shares = shapley(alike)
    assert shares[a] == pytest.approx(shares[b], abs=1e-9)


def swapped(mask: int, a: int, b: int) -> int:
    if mask >> a & 1 != mask >> b & 1:
        mask ^= 1 << a | 1 << b
    return mask


@few
@given(games(most=4), worths)
def test_who_adds_the_same_to_all_gets_just_that(game: Array, own: float) -> None:
    """One agent more, who adds what it is worth alone to every coalition."""
    more = np.concatenate([game, game + own])
    more[len(game)] = own
    assert shapley(more).tolist() == near([*shapley(game), own])


@few
@given(games(), st.data(), st.floats(-3, 3))
def test_two_games_at_once_are_shared_as_each_by_itself(game: Array, data: st.DataObject, times: float) -> None:
    other = np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=len(game))
    other[0] = 0.0
    assert shapley(game + times * other).tolist() == near(shapley(game) + times * shapley(other))


@few
@given(st.lists(worths, min_size=1, max_size=14))
def test_who_only_add_up_get_what_they_are_worth(weights: list[float]) -> None:
    for value in (shapley, banzhaf):
        assert value(sums(weights)).tolist() == near(weights)


@few
@given(games(), st.lists(st.floats(0, 100), min_size=5, max_size=5))
def test_who_adds_more_everywhere_gets_no_less(game: Array, more: list[float]) -> None:
    raised = game + np.array([more[0] if mask & 1 else 0.0 for mask in range(len(game))])
    assert shapley(raised)[0] >= shapley(game)[0] - 1e-9


# Samples


@few
@given(games(most=4), st.integers(-(2**70), 2**70))
def test_with_calls_enough_a_sample_is_exact(game: Array, seed: int) -> None:
    n = count(game)
    if n > 1:
        found = sampled_shapley(n, lambda rows: game[masks_of(rows)], calls=1 << n, seed=seed)
        assert found.values.tolist() == near(shapley(game))


@few
@given(st.integers(0, 2**64), st.integers(23, 30), st.integers(150, 400))
def test_a_sample_hands_out_all_and_asks_for_no_more_than_it_may(seed: int, n: int, calls: int) -> None:
    found = sampled_shapley(n, lambda rows: rows[:, 0] * 3.0 + (rows.sum(axis=1) > 5), calls, seed)
    assert found.calls <= calls
    assert found.values.sum() == pytest.approx(4.0)
