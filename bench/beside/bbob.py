"""The 24 noiseless functions of the black-box optimization benchmark, for many points at once.

Source: Hansen, Finck, Ros & Auger 2009, "Real-parameter black-box optimization benchmarking 2009: noiseless functions
definitions", INRIA RR-6829; where the best point is, is told with each case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
Function = Callable[[Array], Array]

MODULUS, FACTOR = 2**31 - 1, 16_807  # of the generator of all that is drawn


def function(number: int, instance: int, best: Array) -> Function:
    """Return one function less its least value, which is 0 at `best`.  It takes points by row, in [-5, 5]."""
    drawn_as = {18: 17}.get(number, number) + 10_000 * instance
    return SHAPES[number](_Instance(np.array(best, float), drawn_as))


class _Instance:
    """What the shapes are made of.  outer, inner: rotations, as the definitions' R and Q."""

    def __init__(self, best: Array, seed: int) -> None:
        self.best, self.seed, self.count = best, seed, len(best)
        self.grade = np.arange(self.count) / (self.count - 1)
        self.outer, self.inner = _rotation(seed + 1_000_000, self.count), _rotation(seed, self.count)

    def from_best(self, points: Array, *, rotated: bool = True) -> Array:
        offset = points - self.best
        return offset @ self.outer.T if rotated else offset

    def stretch(self, points: Array, condition: float) -> Array:
        return points * condition ** (self.grade / 2)

    def lean(self, points: Array, much: float) -> Array:
        """Make it asymmetric: `T_asy`."""
        up = np.maximum(points, 0.0)
        return np.where(points > 0, up ** (1 + much * self.grade * np.sqrt(up)), points)


def _wave(points: Array) -> Array:
    """Make it a little uneven: `T_osz`."""
    size = np.log(np.abs(np.where(points == 0, 1.0, points)))
    first, second = np.where(points > 0, 10.0, 5.5), np.where(points > 0, 7.9, 3.1)
    return np.sign(points) * np.exp(size + 0.049 * (np.sin(first * size) + np.sin(second * size)))


def _outside(points: Array) -> Array:
    """Return the penalty for points outside of [-5, 5]."""
    return (np.maximum(0.0, np.abs(points) - 5.0) ** 2).sum(axis=1)


def _drawn(count: int, seed: int) -> Array:
    """Return so many numbers in 0..1: a Lehmer generator behind a table of 32."""
    state = max(1, abs(seed))
    table = [0] * 32
    for place in range(39, -1, -1):
        state = FACTOR * state % MODULUS
        if place < 32:
            table[place] = state
    last, found = table[0], []
    for _ in range(count):
        state = FACTOR * state % MODULUS
        place = last // 67_108_865
        last, table[place] = table[place], state
        found.append(last / 2.147483647e9 or 1e-99)
    return np.array(found)


def _rotation(seed: int, count: int) -> Array:
    """Return a random rotation: normal numbers, made orthonormal column by column."""
    even = _drawn(2 * count * count, seed)
    normal = np.sqrt(-2.0 * np.log(even[: count * count])) * np.cos(2.0 * np.pi * even[count * count :])
    columns = normal.reshape(count, count)  # each row is a column of what is returned
    for at in range(count):
        for before in range(at):
            columns[at] -= (columns[at] @ columns[before]) * columns[before]
        columns[at] /= np.sqrt(columns[at] @ columns[at])
    return columns.T


def _hills(points: Array) -> Array:
    return 10.0 * (points.shape[1] - np.cos(2.0 * np.pi * points).sum(axis=1)) + (points**2).sum(axis=1)


def _valley(points: Array) -> Array:
    """Return the two parts of Rosenbrock's function at each pair of neighbours."""
    return 100.0 * (points[:, :-1] ** 2 - points[:, 1:]) ** 2 + (points[:, :-1] - 1.0) ** 2


def _sphere(of: _Instance) -> Function:
    return lambda x: (of.from_best(x, rotated=False) ** 2).sum(axis=1)


def _ellipsoid(of: _Instance, *, rotated: bool = True) -> Function:
    return lambda x: (10.0 ** (6 * of.grade) * _wave(of.from_best(x, rotated=rotated)) ** 2).sum(axis=1)


def _plain_hills(of: _Instance) -> Function:
    return lambda x: _hills(of.stretch(of.lean(_wave(of.from_best(x, rotated=False)), 0.2), 10.0))


def _steeper_hills(of: _Instance) -> Function:
    def shape(x: Array) -> Array:
        uneven = _wave(of.from_best(x, rotated=False))
        odd = np.arange(of.count) % 2 == 0
        scale = 10.0 ** (of.grade / 2) * np.where((uneven > 0) & odd, 10.0, 1.0)
        return _hills(scale * uneven) + 100.0 * _outside(x)

    return shape


def _slope(of: _Instance) -> Function:
    rise = np.sign(of.best) * 10.0**of.grade

    def shape(x: Array) -> Array:
        kept = np.where(of.best * x < 25.0, x, of.best)
        return (5.0 * np.abs(rise) - rise * kept).sum(axis=1)

    return shape


def _sector(of: _Instance) -> Function:
    def shape(x: Array) -> Array:
        turned = of.stretch(of.from_best(x), 10.0) @ of.inner.T
        steep = np.where(turned * of.best > 0, 100.0, 1.0)
        return _wave(((steep * turned) ** 2).sum(axis=1)) ** 0.9

    return shape


def _steps(of: _Instance) -> Function:
    def shape(x: Array) -> Array:
        near = of.stretch(of.from_best(x), 10.0)
        level = np.where(np.abs(near) > 0.5, np.floor(0.5 + near), np.floor(0.5 + 10.0 * near) / 10.0)
        turned = level @ of.inner.T
        whole = (10.0 ** (2 * of.grade) * turned**2).sum(axis=1)
        return 0.1 * np.maximum(np.abs(near[:, 0]) / 1e4, whole) + _outside(x)

    return shape


def _rosenbrock(of: _Instance) -> Function:
    scale = max(1.0, np.sqrt(of.count) / 8.0)
    return lambda x: _valley(scale * (x - of.best) + 1.0).sum(axis=1)


def _rosenbrock_turned(of: _Instance) -> Function:
    scale = max(1.0, np.sqrt(of.count) / 8.0)
    return lambda x: _valley(scale * x @ of.inner.T + 0.5).sum(axis=1)


def _discus(of: _Instance) -> Function:
    weights = np.where(np.arange(of.count) == 0, 1e6, 1.0)
    return lambda x: (weights * _wave(of.from_best(x)) ** 2).sum(axis=1)


def _cigar(of: _Instance) -> Function:
    weights = np.where(np.arange(of.count) == 0, 1.0, 1e6)
    return lambda x: (weights * (of.lean(of.from_best(x), 0.5) @ of.outer.T) ** 2).sum(axis=1)


def _ridge(of: _Instance) -> Function:
    def shape(x: Array) -> Array:
        turned = of.stretch(of.from_best(x), 10.0) @ of.inner.T
        return turned[:, 0] ** 2 + 100.0 * np.sqrt((turned[:, 1:] ** 2).sum(axis=1))

    return shape


def _powers(of: _Instance) -> Function:
    return lambda x: np.sqrt((np.abs(of.from_best(x)) ** (2.0 + 4.0 * of.grade)).sum(axis=1))


def _hills_turned(of: _Instance) -> Function:
    def shape(x: Array) -> Array:
        return _hills(of.stretch(of.lean(_wave(of.from_best(x)), 0.2) @ of.inner.T, 10.0) @ of.outer.T)

    return shape


def _weierstrass(of: _Instance) -> Function:
    halves, thirds = 0.5 ** np.arange(12), 2.0 * np.pi * 3.0 ** np.arange(12)
    least = float((halves * np.cos(thirds / 2.0)).sum())

    def shape(x: Array) -> Array:
        turned = of.stretch(_wave(of.from_best(x)) @ of.inner.T, 0.01) @ of.outer.T
        rough = (halves * np.cos(thirds * (turned[..., None] + 0.5))).sum(axis=(1, 2)) / of.count
        return 10.0 * (rough - least) ** 3 + 10.0 / of.count * _outside(x)

    return shape


def _schaffers(of: _Instance, condition: float) -> Function:
    def shape(x: Array) -> Array:
        turned = of.stretch(of.lean(of.from_best(x), 0.5) @ of.inner.T, condition)
        size = np.sqrt(turned[:, :-1] ** 2 + turned[:, 1:] ** 2)
        part = np.sqrt(size) * (1.0 + np.sin(50.0 * size**0.2) ** 2)
        return part.mean(axis=1) ** 2 + 10.0 * _outside(x)

    return shape


def _griewank(of: _Instance) -> Function:
    scale = max(1.0, np.sqrt(of.count) / 8.0)

    def shape(x: Array) -> Array:
        part = _valley(scale * x @ of.inner.T + 0.5)
        return 10.0 * (part / 4000.0 - np.cos(part)).mean(axis=1) + 10.0

    return shape


def _schwefel(of: _Instance) -> Function:
    middle = 2.0 * np.abs(of.best)

    def shape(x: Array) -> Array:
        mirrored = 2.0 * np.sign(of.best) * x
        chained = mirrored.copy()
        chained[:, 1:] += 0.25 * (mirrored[:, :-1] - middle[:-1])
        far = 100.0 * (of.stretch(chained - middle, 10.0) + middle)
        waves = (far * np.sin(np.sqrt(np.abs(far)))).sum(axis=1)
        return 4.189828872724339 - waves / (100.0 * of.count) + 100.0 * _outside(far / 100.0)

    return shape


def _peaks(of: _Instance, count: int) -> Function:
    turned = _rotation(of.seed, of.count)
    first, wide = (1000.0**0.5, 10.0) if count == 101 else (1000.0, 9.8)
    ranks = np.argsort(_drawn(count - 1, of.seed))
    conditions = np.array([first, *(1000.0 ** (ranks / (count - 2)))])
    heights = np.array([10.0, *(1.1 + 8.0 * np.arange(count - 1) / (count - 2))])
    orders = np.array([np.argsort(_drawn(of.count, of.seed + 1000 * peak)) for peak in range(count)])
    scales = conditions[:, None] ** (orders / (of.count - 1) - 0.5)
    places = (wide * _drawn(count * of.count, of.seed).reshape(count, of.count) - wide / 2) @ turned.T
    places[0] = of.best @ turned.T

    def shape(x: Array) -> Array:
        away = (x @ turned.T)[:, None, :] - places
        found = heights * np.exp(-(scales * away**2).sum(axis=2) / (2.0 * of.count))
        return _wave(10.0 - found.max(axis=1)) ** 2 + _outside(x)

    return shape


def _katsuura(of: _Instance) -> Function:
    powers = 2.0 ** np.arange(1, 33)

    def shape(x: Array) -> Array:
        turned = of.stretch(of.from_best(x), 100.0) @ of.inner.T
        wide = turned[..., None] * powers
        rough = (np.abs(wide - np.rint(wide)) / powers).sum(axis=2)
        whole = np.prod((1.0 + np.arange(1, of.count + 1) * rough) ** (10.0 / of.count**1.2), axis=1)
        return 10.0 / of.count**2 * (whole - 1.0) + _outside(x)

    return shape


def _two_hollows(of: _Instance) -> Function:
    depth = 2.5
    shape_of = 1.0 - 1.0 / (2.0 * np.sqrt(of.count + 20.0) - 8.2)
    other = -np.sqrt((depth**2 - 1.0) / shape_of)

    def shape(x: Array) -> Array:
        mirrored = 2.0 * np.sign(of.best) * x
        near = mirrored - depth
        ripples = of.stretch(near @ of.outer.T, 100.0) @ of.inner.T
        first = (near**2).sum(axis=1)
        second = of.count + shape_of * ((mirrored - other) ** 2).sum(axis=1)
        waves = 10.0 * (of.count - np.cos(2.0 * np.pi * ripples).sum(axis=1))
        return np.minimum(first, second) + waves + 1e4 * _outside(x)

    return shape


SHAPES: dict[int, Callable[[_Instance], Function]] = {
    1: _sphere,
    2: lambda of: _ellipsoid(of, rotated=False),
    3: _plain_hills,
    4: _steeper_hills,
    5: _slope,
    6: _sector,
    7: _steps,
    8: _rosenbrock,
    9: _rosenbrock_turned,
    10: _ellipsoid,
    11: _discus,
    12: _cigar,
    13: _ridge,
    14: _powers,
    15: _hills_turned,
    16: _weierstrass,
    17: lambda of: _schaffers(of, 10.0),
    18: lambda of: _schaffers(of, 1000.0),
    19: _griewank,
    20: _schwefel,
    21: lambda of: _peaks(of, 101),
    22: lambda of: _peaks(of, 21),
    23: _katsuura,
    24: _two_hollows,
}
