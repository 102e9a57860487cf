"""The packing of bids that exclude each other."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from concerted.allocation.optimum import packing
from concerted.allocation.optimum.conflicts import Limit
from concerted.allocation.optimum.effort import Effort
from concerted.allocation.optimum.packing import Packing, pack
from concerted.errors import Invalid

INT = np.int64


def test_two_that_go_together_beat_the_most_valuable_one() -> None:
    assert pack(np.array([5, 4, 3], INT), [[0, 1], [0, 2]]) == Packing((1, 2), 7, 7.0, "optimal")


def test_of_five_in_a_ring_two_win_and_it_is_proved() -> None:
    # The relaxation says 2.5 x 10: only looking at everything shows that there is no more than 20.
    found = pack(np.full(5, 10, INT), [[i, (i + 1) % 5] for i in range(5)])
    assert (found.value, found.bound, found.status) == (20, 20.0, "optimal")


def test_no_limit_is_broken() -> None:
    values = np.array([6, 5, 4], INT)
    assert pack(values, [], [Limit((0, 1, 2), (3, 2, 2), 4)]).chosen == (1, 2)
    assert pack(values, [], [Limit((0, 1, 2), (3, 0, 2), 4)]).chosen == (0, 1)


def test_bids_worth_nothing_and_none_at_all_are_no_problem() -> None:
    assert pack(np.zeros(0, INT), []) == Packing((), 0, 0.0, "optimal")
    assert pack(np.zeros(3, INT), [[0, 1]]).value == 0


def test_it_is_never_below_greedy_and_the_bound_says_how_far_off_it_may_be() -> None:
    dice = np.random.default_rng(6)
    wanted = [dice.choice(30, 4, replace=False) for _ in range(120)]
    values = dice.integers(50, 150, 120)
    groups = [[bid for bid, bundle in enumerate(wanted) if good in bundle] for good in range(30)]
    greedy, sold = 0, set[int]()
    for bid in np.argsort(-values, kind="stable").tolist():
        if sold.isdisjoint(wanted[bid].tolist()):
            sold.update(wanted[bid].tolist())
            greedy += int(values[bid])
    hasty, longer = (pack(values, groups, effort=Effort(steps=steps)) for steps in (1, 5_000))
    assert greedy <= hasty.value <= longer.value <= longer.bound <= hasty.bound
    assert hasty.status == "feasible"


def test_what_is_no_problem_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Invalid, match="bid 1: the value is -2; it must be at least 0"):
        pack(np.array([1, -2], INT), [])
    with pytest.raises(Invalid, match="bid 0: its size is 5, and its limit has room for 4; leave it out"):
        pack(np.array([1], INT), [], [Limit((0,), (5,), 4)])
    with pytest.raises(Invalid, match="measure them in a larger unit"):
        pack(np.array([2**60], INT), [])
    monkeypatch.setattr(packing, "MOST_BIDS", 2)
    with pytest.raises(Invalid, match="3 bids on bundles; at most 2 are cleared at once"):
        pack(np.ones(3, INT), [])


def test_the_answer_is_that_of_a_solver(solver_installed: bool) -> None:
    if not solver_installed:
        pytest.skip("neither scipy nor highspy is installed")
    dice = np.random.default_rng(8)
    values = dice.integers(50, 150, 60)
    groups = [dice.choice(60, 6, replace=False).tolist() for _ in range(25)]
    limits = [Limit(tuple(range(10)), (1,) * 10, 3)]
    solved = pack(values, groups, limits, Effort(steps=1, solver_s=30.0))
    assert solved.status == "optimal"
    assert pack(values, groups, limits).value == solved.value


@pytest.mark.parametrize(("name", "optimum"), [("2atom-100-100-0000", 25472523.0), ("3atom-1000-100-0000", 35773.761)])
def test_published_auctions_are_solved(data: Callable[[str], Path], name: str, optimum: float) -> None:
    """CATS: Leyton-Brown, Pearson & Shoham, "Towards a universal test suite for combinatorial auctions", 2000."""
    text = gzip.decompress(data(f"allocation/cats/{name}.txt.gz").read_bytes()).decode()
    bids = [line.split() for line in text.splitlines() if line[:1].isdigit()]
    bidders: dict[str, list[int]] = {}
    for at, (_, _, *goods, _) in enumerate(bids):
        for good in goods:
            bidders.setdefault(good, []).append(at)
    values = np.array([round(float(price) * 10_000) for _, price, *_ in bids], INT)
    found = pack(values, list(bidders.values()))
    assert found.value / 10_000 == pytest.approx(optimum, rel=1e-6)
    assert found.status == "optimal"
