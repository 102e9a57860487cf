"""Partitions: points find their groups, and sizes are kept to."""

from itertools import product

import numpy as np
import pytest

from concerted.errors import Invalid
from concerted.groups.partition import partition, settle, sizes_allowed

BALANCES = ("none", "max", "exact")


def blobs(sizes: list[int], apart: float = 10.0) -> np.ndarray:
    dice = np.random.default_rng(3)
    return np.concatenate([dice.normal(size=(size, 2)) * 0.5 + [apart * at, 0.0] for at, size in enumerate(sizes)])


@pytest.mark.parametrize("balance", BALANCES)
def test_points_that_lie_together_come_together(balance: str) -> None:
    found = partition(blobs([20, 20, 20, 20]), 4, balance)
    groups = [set(found.labels[at : at + 20].tolist()) for at in range(0, 80, 20)]
    assert [len(group) for group in groups] == [1, 1, 1, 1]
    assert len(set.union(*groups)) == 4


def test_sizes_are_as_they_come_without_balance() -> None:
    sizes = np.bincount(partition(blobs([50, 5, 5]), 3, "none").labels)
    assert sorted(sizes.tolist()) == [5, 5, 50]


def test_under_max_no_group_is_more_than_a_quarter_above_the_mean() -> None:
    sizes = np.bincount(partition(blobs([50, 5, 5]), 3, "max").labels, minlength=3)
    assert max(sizes) == 25
    assert min(sizes) >= 1


def test_under_exact_sizes_differ_by_one_at_most() -> None:
    sizes = np.bincount(partition(blobs([50, 7, 5]), 4, "exact").labels, minlength=4)
    assert sorted(sizes.tolist()) == [15, 15, 16, 16]


@pytest.mark.parametrize("n", [1, 2, 7, 12])
@pytest.mark.parametrize("wide", [0, 1, 3])
def test_points_that_are_all_alike_are_parted_by_number(n: int, wide: int) -> None:
    for k in range(1, n + 1):
        found = partition(np.ones((n, wide)), k, "exact")
        assert set(np.bincount(found.labels, minlength=k).tolist()) <= {n // k, -(-n // k)}
        assert found.inertia == 0.0


@pytest.mark.parametrize(("balance", "least", "most"), [("none", 0, 10), ("max", 1, 5), ("exact", 3, 4)])
def test_the_sizes_that_are_allowed(balance: str, least: int, most: int) -> None:
    assert sizes_allowed(10, 3, balance) == (least, most)  # type: ignore[arg-type]


def test_the_balanced_groups_are_nearly_the_best_there_are() -> None:
    """Against a walk through all ways to part eight points into two fours."""
    for seed in range(10):
        points = np.random.default_rng(seed).random((8, 2))
        best = min(
            sum(float(((points[mask] - points[mask].mean(axis=0)) ** 2).sum()) for mask in (chosen, ~chosen))
            for chosen in (np.array(each) for each in product([False, True], repeat=8))
            if chosen.sum() == 4
        )
        tries = [partition(points, 2, "exact", start).inertia for start in range(12)]
        assert min(tries) == pytest.approx(best, rel=0.02)


def test_inertia_is_that_of_the_labels_and_centres() -> None:
    points = np.random.default_rng(1).random((200, 3))
    for balance in BALANCES:
        found = partition(points, 9, balance)
        plain = sum(
            float(((point - found.centres[at]) ** 2).sum()) for point, at in zip(points, found.labels, strict=True)
        )
        assert found.inertia == pytest.approx(plain)


@pytest.mark.parametrize("balance", BALANCES)
def test_points_that_are_all_the_same_can_be_parted_too(balance: str) -> None:
    for points in (np.ones((23, 2)), np.empty((23, 0))):
        labels = partition(points, 5, balance).labels
        sizes = np.bincount(labels, minlength=5)
        low, high = sizes_allowed(23, 5, balance)  # type: ignore[arg-type]
        assert sizes.min() >= low
        assert sizes.max() <= high


def test_as_many_groups_as_points_leave_each_point_alone() -> None:
    for balance in BALANCES:
        assert sorted(partition(blobs([3, 4]), 7, balance).labels.tolist()) == list(range(7))


def test_the_same_seed_gives_the_same_groups() -> None:
    points = np.random.default_rng(1).random((300, 4))
    assert (partition(points, 17, "max", 5).labels == partition(points, 17, "max", 5).labels).all()


def test_settling_leaves_points_where_they_are_as_long_as_nothing_is_much_better() -> None:
    points = np.array([[0.0], [1.0], [2.0], [8.0], [9.0], [4.5]])
    labels = np.array([0, 0, 0, 1, 1, 0])  # the last is nearer to the other centre, but not by much
    assert settle(points, labels, 2, "none", 0.5).labels.tolist() == [0, 0, 0, 1, 1, 0]
    assert settle(points, labels, 2, "none", 0.0).labels.tolist() == [0, 0, 0, 1, 1, 0]
    points[5] = 7.0
    assert settle(points, labels, 2, "none", 0.5).labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_settling_places_newcomers_and_keeps_to_sizes() -> None:
    points = blobs([10, 10])
    labels = np.array([0] * 10 + [1] * 9 + [-1])
    assert settle(points, labels, 2, "exact", 0.2).labels.tolist() == [0] * 10 + [1] * 10
    moved = settle(points, np.array([0] * 18 + [1, 1]), 2, "exact", 0.2)
    assert moved.labels.tolist() == [0] * 10 + [1] * 10
    with pytest.raises(Invalid, match="no point is in a group yet"):
        settle(points, np.full(20, -1), 2, "max", 0.2)


def test_what_is_no_points_is_refused() -> None:
    with pytest.raises(Invalid, match="rows of finite numbers"):
        partition(np.array([[1.0, float("nan")]]), 1)
    with pytest.raises(Invalid, match="rows of finite numbers"):
        partition(np.array([1.0, 2.0]), 1)
    with pytest.raises(Invalid, match="3 points cannot be parted into 4 groups; 1 to 3"):
        partition(np.zeros((3, 1)), 4)
    with pytest.raises(Invalid, match="into 0 groups"):
        partition(np.zeros((3, 1)), 0)
