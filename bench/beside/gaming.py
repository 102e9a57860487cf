"""The games that are measured, the same for everybody, and plain ways to solve them; numpy alone, and one thread."""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable
from math import factorial
from typing import Any

import numpy as np

Array = Any

STRUCTURES = ("uniform", "normal", "ndcs", "modified_uniform", "agent_based")  # the value models of Rahwan et al.
CORES = ("squares", "noise", "votes", "estate", "gloves")
SAMPLED = ("noise", "votes", "airport", "capabilities", "gloves", "unanimity")


def sums(weights: Array) -> Array:
    """Return for each coalition the sum of its members' weights."""
    table = np.zeros(1 << len(weights))
    for place, weight in enumerate(weights):
        table[1 << place : 2 << place] = table[: 1 << place] + weight
    return table


def game(kind: str, n: int, seed: int = 1) -> Array:
    """Return the table of a game."""
    dice = np.random.default_rng(seed)
    size = sums(np.ones(n))
    table = KINDS[kind](n, size, dice)
    table[0] = 0.0
    return table


def _agent_based(n: int, _size: Array, dice: Any) -> Array:
    power, table = dice.random(n) * 10, np.zeros(1 << n)
    for place in range(n):
        with_agent = table.reshape(-1, 2, 1 << place)[:, 1]
        with_agent += dice.random(with_agent.shape) * 2 * power[place]
    return table


def _modified_uniform(n: int, size: Array, dice: Any) -> Array:
    return dice.random(1 << n) * 10 * size + (dice.random(1 << n) < 0.2) * dice.random(1 << n) * 50


def _votes(n: int, _size: Array, dice: Any) -> Array:
    weights = dice.integers(1, 20, n) * 1.0
    return (sums(weights) > weights.sum() / 2) * 1.0


def _estate(n: int, _size: Array, dice: Any) -> Array:
    claims = dice.random(n) * 10
    return np.maximum(0.0, 0.6 * claims.sum() - (claims.sum() - sums(claims)))


def _gloves(n: int, _size: Array, _dice: Any) -> Array:
    left = (np.arange(n) < n // 3) * 1.0
    return np.minimum(sums(left), sums(1.0 - left))


def _airport(n: int, _size: Array, dice: Any) -> Array:
    table = np.zeros(1 << n)
    for place, cost in enumerate(dice.random(n)):
        table[1 << place : 2 << place] = np.maximum(table[: 1 << place], cost)
    return table


def _capabilities(n: int, _size: Array, dice: Any) -> Array:
    needs = dice.random(3) * n / 8 + 1.0
    levels = dice.random((n, 3)) * (dice.random((n, 3)) < 0.5)
    return 100.0 * np.minimum.reduce([np.minimum(1.0, sums(levels[:, each]) / needs[each]) for each in range(3)])


def _unanimity(n: int, _size: Array, dice: Any) -> Array:
    """Fifty groups, of any size, each of which adds an amount when all of it is there."""
    table, masks = np.zeros(1 << n), np.arange(1 << n)
    for _ in range(50):
        group = int((1 << dice.choice(n, dice.integers(1, n + 1), replace=False)).sum())
        table += (masks & group == group) * dice.normal()
    return table


KINDS: dict[str, Callable[[int, Array, Any], Array]] = {
    "uniform": lambda n, size, dice: dice.random(1 << n) * size,
    "normal": lambda n, size, dice: dice.normal(10, 0.1, 1 << n) * size,
    "ndcs": lambda _n, size, dice: dice.normal(size, np.sqrt(size)),
    "modified_uniform": _modified_uniform,
    "agent_based": _agent_based,
    "noise": lambda n, _size, dice: dice.random(1 << n) * 1.0,
    "votes": _votes,
    "estate": _estate,
    "gloves": _gloves,
    "airport": _airport,
    "capabilities": _capabilities,
    "unanimity": _unanimity,
    "squares": lambda n, _size, dice: sums(dice.random(n)) ** 2 + dice.random(1 << n) * 0.1,
}


def plain_shapley(table: Array) -> Array:
    """Return the Shapley value, agent by agent: what everybody is compared with."""
    n = len(table).bit_length() - 1
    weight = np.array([factorial(before) * factorial(n - 1 - before) / factorial(n) for before in range(n)])
    of_size = weight[sums(np.ones(n - 1)).astype(np.int64)] if n > 1 else weight
    shares = []
    for place in range(n):
        pairs = table.reshape(-1, 2, 1 << place)
        shares.append(float(((pairs[:, 1] - pairs[:, 0]).reshape(-1) * of_size).sum()))
    return np.array(shares)
