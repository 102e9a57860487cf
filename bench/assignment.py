"""The one-to-one assignment beside scipy's, with and without scipy, and VCG payments beside solving again.

Run: `python bench/assignment.py [turns]`.  One process, one thread, turn by turn; medians of CPU time.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from beside.comparing import in_words, machine
from scipy.optimize import linear_sum_assignment

from concerted.allocation.optimum.one_to_one import marginals, match, match_best, match_ours

Matrix = Any
SIZES = ((200, 200), (1_000, 1_000), (1_000, 1_200))
AGAIN = 10  # columns that are taken away, to solve again

KINDS: dict[str, Callable[[Any, int, int], Matrix]] = {
    "uniform": lambda dice, rows, columns: dice.random((rows, columns)),
    "whole numbers to 100": lambda dice, rows, columns: dice.integers(0, 100, (rows, columns)),
    "whole numbers to 5": lambda dice, rows, columns: dice.integers(0, 5, (rows, columns)),
    "row x column": lambda dice, rows, columns: np.outer(dice.random(rows), dice.random(columns)),
    "row x column, and noise": lambda dice, rows, columns: (
        np.outer(dice.random(rows), dice.random(columns)) * (1 + 0.1 * dice.standard_normal((rows, columns)))
    ),
    "a sum of three such": lambda dice, rows, columns: dice.random((rows, 3)) @ dice.random((3, columns)),
}


def main(turns: int) -> None:
    """Print the table of assignments, then that of payments."""
    print(f"Measured {machine(turns)}, one thread.\n")
    print("| costs | rows x columns | scipy | ours with scipy | ratio | ours without | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind, make in KINDS.items():
        for rows, columns in SIZES:
            costs = make(np.random.default_rng(1), rows, columns)
            assert np.isclose(_sum(costs, match_ours(costs)), costs[linear_sum_assignment(costs)].sum())
            times = _medians([linear_sum_assignment, match, match_ours], costs, turns)
            cells = [in_words(times[0])]
            for seconds in times[1:]:
                cells += [in_words(seconds), f"{seconds / times[0]:.2f}"]
            print(f"| {kind} | {rows:,} x {columns:,} | {' | '.join(cells)} |", flush=True)
    print("\n| values | rows x columns | assignment and VCG payments | payments alone | error, to solving again |")
    print("|---|---:|---:|---:|---:|")
    for kind, make in KINDS.items():
        values = make(np.random.default_rng(2), 1_000, 1_200)
        whole, alone = _medians([_both, partial(marginals, found=match_best(values))], values, turns)
        error = _error(values, match_best(values))
        print(f"| {kind} | 1,000 x 1,200 | {in_words(whole)} | {in_words(alone)} | {error:.1e} |", flush=True)


def _both(values: Matrix) -> Matrix:
    return marginals(values, match_best(values))


def _medians(ways: list[Callable[[Matrix], object]], matrix: Matrix, turns: int) -> list[float]:
    """Let each take its turn, so many times."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(turns):
        for way, spent in zip(ways, times, strict=True):
            began = time.process_time()
            way(matrix)
            spent.append(time.process_time() - began)
    return [statistics.median(spent) for spent in times]


def _sum(costs: Matrix, columns: Matrix) -> float:
    return float(costs[np.arange(len(costs)), columns].sum())


def _error(values: Matrix, found: Matrix) -> float:
    """Compare what some columns add with the best sum less the best sum without them."""
    added, best = marginals(values, found), _best(values)
    some = np.random.default_rng(3).choice(values.shape[1], AGAIN, replace=False)
    return max(abs(best - _best(np.delete(values, one, axis=1)) - float(added[one])) for one in some)


def _best(values: Matrix) -> float:
    worth = np.maximum(values, 0)
    return float(worth[linear_sum_assignment(worth, maximize=True)].sum())


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
