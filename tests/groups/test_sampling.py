"""Sampled Shapley values: within their errors, the same everywhere, exact where they can be, and wrong input."""

import math

import numpy as np
import pytest

from concerted.errors import Invalid, Overloaded
from concerted.groups import sampling
from concerted.groups.games import Array, sums
from concerted.groups.sampling import Rows, masks_of, rows_of, sample_shapley, sampled_shapley
from concerted.groups.shapley import shapley


def airport(costs: list[float]) -> tuple[Array, Array]:
    """Return the costs, which are ascending, and what each pays by the formula."""
    steps = np.diff([0.0, *costs])
    return np.array(costs), np.cumsum(steps / np.arange(len(costs), 0, -1))


def dearest(costs: Array, rows: Rows) -> Array:
    return np.asarray(np.where(rows, costs, 0.0).max(axis=1))


# Rows and masks


@pytest.mark.parametrize("n", [3, 8, 9, 100])
def test_rows_and_masks_are_the_same_coalitions(n: int) -> None:
    masks = [0, 1, 1 << (n - 1), (1 << n) - 1, 0b101]
    assert masks_of(rows_of(masks, n)) == masks
    assert rows_of([0b110], 3).tolist() == [[False, True, True]]


# What is estimated


def test_thirty_airlines_pay_what_the_formula_says_within_the_errors() -> None:
    costs, fair = airport([float(agent**2) for agent in range(1, 31)])
    found = sampled_shapley(30, lambda rows: dearest(costs, rows), calls=3000, seed=1)
    assert found.calls <= 3000
    assert np.abs(found.values - fair).max() < 0.02 * costs.max()
    assert (np.abs(found.values - fair) < 5 * found.errors + 1e-9).all()
    lower, upper = found.interval(0.99)
    assert (upper - lower) == pytest.approx(2 * 2.5758 * found.errors, rel=1e-4)


def test_values_sum_to_the_worth_of_all() -> None:
    found = sampled_shapley(40, lambda rows: np.sqrt(rows.sum(axis=1)) + 2.0, calls=400, seed=3)
    assert found.values.sum() == pytest.approx(math.sqrt(40))


def test_what_each_adds_by_itself_is_found_exactly() -> None:
    weights = np.arange(50.0)
    found = sampled_shapley(50, lambda rows: rows @ weights, calls=600, seed=0)
    assert found.values.tolist() == pytest.approx(weights.tolist(), abs=1e-6)
    assert found.errors.max() < 1e-6


def test_pairs_are_given_up_where_they_say_the_same_twice() -> None:
    """Whoever has a majority leaves the others without one: a coalition and its others are opposite."""
    asked: list[Rows] = []

    def won(rows: Rows) -> Array:
        asked.append(rows)
        return np.asarray(rows @ np.arange(1.0, 26.0) > 162, dtype=float)

    sampled_shapley(25, won, calls=1000, seed=2)
    singles = asked[-1]
    assert len(asked) == 2
    assert not (singles[0::2][: len(singles) // 2] == ~singles[1::2][: len(singles) // 2]).all(axis=1).any()


def test_pairs_go_on_where_what_is_left_over_cancels() -> None:
    asked: list[Rows] = []

    def linked(rows: Rows) -> Array:
        asked.append(rows)
        return np.asarray((rows[:, :-1] & rows[:, 1:]).sum(axis=1) * 1.0)

    found = sampled_shapley(25, linked, calls=1000, seed=2)
    assert (asked[-1][0::2] == ~asked[-1][1::2]).all()
    assert found.values.tolist() == pytest.approx([0.5, *[1.0] * 23, 0.5], abs=1e-6)


def test_no_coalition_is_asked_for_twice() -> None:
    asked: list[int] = []

    def worths(rows: Rows) -> Array:
        asked.extend(masks_of(rows))
        return np.asarray(rows.sum(axis=1) % 3 * 1.0)

    found = sampled_shapley(12, worths, calls=2000, seed=5)
    assert len(asked) == len(set(asked)) == found.calls <= 2000


def test_small_games_are_asked_for_as_a_whole() -> None:
    table = np.append(0.0, np.random.default_rng(0).normal(size=63))
    found = sampled_shapley(6, lambda rows: table[masks_of(rows)] + 7.0, calls=64, seed=0)
    assert found.values.tolist() == pytest.approx(shapley(table).tolist())
    assert found.errors.tolist() == [0] * 6
    assert found.calls == 64


def test_the_same_seed_asks_for_the_same_whatever_the_batch() -> None:
    costs, _ = airport([float(agent) for agent in range(1, 26)])
    whole = sampled_shapley(25, lambda rows: dearest(costs, rows), calls=500, seed=9)
    parts = sampled_shapley(25, lambda rows: dearest(costs, rows), calls=500, seed=9, batch=7)
    other = sampled_shapley(25, lambda rows: dearest(costs, rows), calls=500, seed=10)
    assert parts.values.tolist() == whole.values.tolist() != other.values.tolist()


def test_what_is_asked_for_never_changes_from_one_version_to_the_next() -> None:
    """Runs in flight are replayed: their batches must come again, to the bit."""
    rows = next(sample_shapley(23, 200, seed=1))
    asked = masks_of(rows)
    assert asked[:4] == [0, (1 << 23) - 1, 1, 2]
    assert asked[48:51] == PILOT
    assert next(sample_shapley(23, 200, seed=-1)).shape == rows.shape


PILOT = [36, 8388571, 3145728]


# Wrong input


def test_too_few_calls_are_refused() -> None:
    with pytest.raises(Invalid, match="100 calls are too few for 30 agents; at least 122"):
        sampled_shapley(30, lambda rows: rows.sum(axis=1), calls=100, seed=0)


def test_too_many_agents_or_calls_are_refused() -> None:
    for n, calls in ((1001, 10_000), (1, 10), (30, 10_000_000)):
        with pytest.raises(Overloaded, match=f"{n} agents and {calls} calls"):
            sampled_shapley(n, lambda rows: rows.sum(axis=1), calls=calls, seed=0)


def test_a_worth_that_is_no_number_is_named() -> None:
    with pytest.raises(Invalid, match="coalition 4 is worth nan"):
        sampled_shapley(30, lambda rows: np.where(rows[:, 2] & (rows.sum(axis=1) == 1), np.nan, 1.0), 500, seed=0)
    with pytest.raises(Invalid, match="were asked for and 1 values came"):
        sampled_shapley(30, lambda rows: [1.0], 500, seed=0)


@pytest.mark.parametrize("confidence", [0.0, 1.0, math.nan])
def test_a_confidence_is_between_0_and_1(confidence: float) -> None:
    found = sampled_shapley(6, lambda rows: sums([1.0] * 6)[masks_of(rows)], calls=64, seed=0)
    with pytest.raises(Invalid, match="it must be between 0 and 1"):
        found.interval(confidence)


@pytest.mark.parametrize("calls", [322, 400, 800])
def test_many_agents_and_few_calls_work(calls: int) -> None:
    """Where there are too few coalitions for the model, there is none; the values still sum to the whole."""
    weights = np.linspace(0, 1, 80)
    found = sampled_shapley(80, lambda rows: rows @ weights, calls, seed=0)
    assert found.calls <= calls
    assert found.values.sum() == pytest.approx(weights.sum())


def test_products_are_added_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    costs, _ = airport([float(agent) for agent in range(1, 26)])
    whole = sampled_shapley(25, lambda rows: dearest(costs, rows), calls=500, seed=9)
    monkeypatch.setattr(sampling, "AT_ONCE", 2000)
    parts = sampled_shapley(25, lambda rows: dearest(costs, rows), calls=500, seed=9)
    assert parts.values.tolist() == pytest.approx(whole.values.tolist())
