"""The points that are clustered, the same for everybody; numpy alone, and one thread."""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable
from typing import Any

import numpy as np
from measuring import measured

Array = Any
SEEDS = 5


def points(kind: str, n: int, d: int = 8) -> Array:
    """Return n points: `even`, all over the cube, or `roles`, around some dozens of centres of different size."""
    dice = np.random.default_rng(7)
    if kind == "even":
        return dice.random((n, d))
    roles = 40
    weights = dice.dirichlet(np.full(roles, 2.0))
    return 3.0 * dice.normal(size=(roles, d))[dice.choice(roles, n, p=weights)] + dice.normal(size=(n, d))


def repeated(what: str, rows: Array, part: Callable[[int], Array], seeds: int = SEEDS) -> None:
    """Measure a partition with several seeds; reports the mean inertia, and the least and largest group."""
    part(0)
    found = []
    with measured(what, seeds) as facts:
        found += [part(seed) for seed in range(seeds)]
        facts["inertia"] = float(np.mean([inertia(rows, labels) for labels in found]))
        sizes = [np.bincount(labels) for labels in found]
        facts["least"] = min(int(each.min()) for each in sizes)
        facts["most"] = max(int(each.max()) for each in sizes)


def inertia(rows: Array, labels: Array) -> float:
    """Return the sum of squared distances from the means of the groups."""
    total = 0.0
    for group in range(int(labels.max()) + 1):
        inside = rows[labels == group]
        if len(inside):
            total += float(((inside - inside.mean(axis=0)) ** 2).sum())
    return total


def asked(arguments: list[str]) -> tuple[str, str, int, int]:
    """Read what is wanted: balance, kind of points, their number, and that of the groups."""
    balance, kind, n, k = arguments
    return balance, kind, int(n), int(k)
