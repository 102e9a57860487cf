"""The Shapley value where there are too many agents for a table: from samples, with how far off it may be.

Coalitions are sampled by size, none twice.  Every sample counts for every agent, as one with it or as one
without it: an agent's value is the mean, over sizes, of what coalitions with it are worth, less what those
without it are (Kolpaczki et al. 2024).  The sizes of which all coalitions can be asked for are exact.

What is averaged is not the worth but what a simple model of it leaves over: each agent adds an amount that
changes smoothly with the size of what it joins.  The Shapley value of the model itself is known, so a model
that is wrong costs nothing but spread, and one that is right takes nearly all spread away.

The first samples come in pairs, a coalition and all others.  Where what is left over tends to be alike in the
two, it cancels, and pairs go on; where it tends to be opposite, all further samples are single.

Sources: Kolpaczki, Bengs, Muschalik & Huellermeier 2024, "Approximating the Shapley value without marginal
contributions"; Castro et al. 2017, "Improving polynomial estimation of the Shapley value by stratified random
sampling"; Covert & Lee 2021, "Improving KernelSHAP"; Steele et al. 2014, "SplitMix" (the random numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, erf, sqrt
from typing import TYPE_CHECKING, TypeAlias

from concerted.errors import Invalid, Overloaded
from concerted.groups.games import ASK_AT_ONCE, Array, Table
from concerted.groups.shapley import shapley

if TYPE_CHECKING:
    from numpy import bool_, int64, uint64
    from numpy.typing import NDArray

    Ints = NDArray[int64]

__all__ = ["MOST_SAMPLED", "Rows", "Sample", "masks_of", "rows_of", "sample_shapley", "sampled_shapley"]

MOST_SAMPLED = 1_000  # agents
EXACT = 22  # agents up to which all coalitions are asked for, if there are calls enough
MOST_CALLS = 5_000_000
PILOT = 0.3  # of the samples: those that come in pairs, and decide how the others come
DEGREES = 3  # of the model: how an agent's amount may bend with the size
TRIES = 4  # to replace samples that are there already
AT_ONCE = 8_000_000  # products of two agents that are held at once
RIDGE = 1e-10  # of the mean square of the model's features

Rows: TypeAlias = "NDArray[bool_]"


@dataclass(frozen=True, slots=True)
class Sample:
    """Estimated Shapley values.  errors: their standard errors, 0 where all is exact.  calls: worths asked for."""

    values: Array
    errors: Array
    calls: int

    def interval(self, confidence: float = 0.95) -> tuple[Array, Array]:
        """Return the lower and upper ends within which each value lies, with this confidence for each."""
        half = _sigmas(confidence) * self.errors
        return self.values - half, self.values + half


def sample_shapley(
    n: int, calls: int, seed: int, batch: int = ASK_AT_ONCE
) -> Generator[Rows, Sequence[float] | Array, Sample]:
    """Ask for the worths of at most so many coalitions; returns the estimate, whose values sum to the worth of all.

    A generator: it yields the coalitions of a batch, a row for each and a column for each agent, and is sent
    their worths.  What it asks for follows from n, calls, seed and the worths alone, everywhere, so whoever has
    written those down can play it again.  masks_of and rows_of turn rows into bit masks and back.

    Raises:
        Invalid: calls are fewer than 4 n + 2, or an answer is NaN, infinite or missing.
        Overloaded: there are more than MOST_SAMPLED agents, or more than MOST_CALLS calls.
    """
    import numpy as np

    if not 2 <= n <= MOST_SAMPLED or calls > MOST_CALLS:
        raise Overloaded(f"{n} agents and {calls} calls: it takes 2 to {MOST_SAMPLED}, and at most {MOST_CALLS}")
    if n <= EXACT and calls >= 1 << n:
        rows = rows_of(range(1 << n), n)
        worths = yield from _ask(rows, batch)
        return Sample(shapley(worths - worths[0]), np.zeros(n), len(rows))
    if calls < 4 * n + 2:
        raise Invalid(f"{calls} calls are too few for {n} agents; at least {4 * n + 2}", least=4 * n + 2)
    plan = _Plan(n, calls, seed)
    rows, pairs = plan.first()
    worths = yield from _ask(rows, batch)
    paired = _Fit(plan, rows, worths, degrees=1).likeness(pairs) > 0
    more = plan.rest(rows, paired)
    singles = len(rows) - 2 * pairs
    pairs += len(more) // 2 if paired else 0
    rows = np.concatenate([rows, more])
    worths = np.concatenate([worths, (yield from _ask(more, batch))])
    return _Fit(plan, rows, worths).sample(singles, pairs)


def sampled_shapley(n: int, worths: Callable[[Rows], Table], calls: int, seed: int, batch: int = ASK_AT_ONCE) -> Sample:
    """Estimate the Shapley value of a function that takes rows and returns their worths; see `sample_shapley`."""
    asking = sample_shapley(n, calls, seed, batch)
    try:
        rows = next(asking)
        while True:
            rows = asking.send(worths(rows))
    except StopIteration as done:
        sample: Sample = done.value
        return sample


def masks_of(rows: Rows) -> list[int]:
    """Return each row's bit mask; agent k, in column k, is bit k."""
    import numpy as np

    packed = np.packbits(rows, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def rows_of(masks: Sequence[int], n: int) -> Rows:
    """Return the masks as rows of n columns."""
    import numpy as np

    size = (n + 7) // 8
    data = b"".join(mask.to_bytes(size, "little") for mask in masks)
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8).reshape(-1, size), axis=1, count=n, bitorder="little")
    return np.asarray(bits, dtype=np.bool_)


def _ask(rows: Rows, batch: int) -> Generator[Rows, Sequence[float] | Array, Array]:
    """Ask for the worths of rows in batches, and refuse what is no number."""
    import numpy as np

    parts = [np.zeros(0)]
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        worths = np.asarray((yield some), dtype=np.float64)
        if worths.shape != (len(some),):
            raise Invalid(f"{len(some)} coalitions were asked for and {worths.size} values came; send one for each")
        wrong = ~np.isfinite(worths)
        if wrong.any():
            row = int(wrong.argmax())
            mask = masks_of(some[row : row + 1])[0]
            raise Invalid(f"coalition {mask} is worth {worths[row]:g}; every coalition needs a finite worth", mask=mask)
        parts.append(worths)
    return np.concatenate(parts)


class _Plan:
    """Which coalitions are asked for.  wanted: how many of each size; whole: sizes of which that is all."""

    def __init__(self, n: int, calls: int, seed: int) -> None:
        self.n = n
        self.wanted, self.whole = _allotted(n, calls)
        # a coalition's mark is the sum of its members' random numbers: equal marks, equal coalitions
        self._seed = seed & (2**64 - 1)
        self._drawn = 0
        self._weights = self._random(n)
        self._all = self._weights.sum(keepdims=True)

    def first(self) -> tuple[Rows, int]:
        """Return all coalitions of the whole sizes, then pairs; and how many pairs."""
        import numpy as np

        n = self.n
        rows = [np.zeros((1, n), dtype=np.bool_), np.ones((1, n), dtype=np.bool_)]
        for size in np.flatnonzero(self.whole[1 : n // 2 + 1]) + 1:
            every = np.array(list(combinations(range(n), int(size))))
            some = np.zeros((len(every), n), dtype=np.bool_)
            some[np.arange(len(every))[:, None], every] = True
            rows += [some, ~some] if 2 * size != n else [some]
        pilot = np.ceil(PILOT * np.where(self.whole, 0, self.wanted)).astype(np.int64)
        half = self._distinct(_halved(pilot), np.zeros(0, dtype=np.uint64), paired=True)
        return np.concatenate([*rows, _with_others(half)]), len(half)

    def rest(self, asked: Rows, paired: bool) -> Rows:
        """Return what is still wanted of each size, in pairs or not, and not what was asked for."""
        import numpy as np

        left = np.maximum(self.wanted - np.bincount(asked.sum(axis=1), minlength=self.n + 1), 0)
        left[self.whole] = 0
        known = self._marks(asked)
        if not paired:
            return self._distinct(left, known, paired=False)
        return _with_others(self._distinct(_halved(left), np.minimum(known, self._all - known), paired=True))

    def _distinct(self, wanted: Ints, known: NDArray[uint64], paired: bool) -> Rows:
        """Draw so many coalitions of each size, none of them known or twice; in the end perhaps fewer."""
        import numpy as np

        found = np.zeros((0, self.n), dtype=np.bool_)
        marks = np.zeros(0, dtype=np.uint64)
        for _ in range(TRIES):
            missing = wanted - np.bincount(found.sum(axis=1), minlength=self.n + 1)
            if not missing.any():
                break
            drawn = self._drawn_of(np.repeat(np.arange(self.n + 1), missing))
            mark = self._marks(drawn)
            if paired:
                mark = np.minimum(mark, self._all - mark)
            every = np.concatenate([known, marks, mark])
            first = np.unique(every, return_index=True)[1] - len(known) - len(marks)
            new = np.sort(first[first >= 0])
            found, marks = np.concatenate([found, drawn[new]]), np.concatenate([marks, mark[new]])
        return found

    def _drawn_of(self, sizes: Ints) -> Rows:
        """Draw one coalition of each of these sizes: the members with the least random numbers."""
        import numpy as np

        numbers = self._random(len(sizes) * self.n).reshape(-1, self.n)
        last = np.take_along_axis(np.sort(numbers, axis=1), sizes[:, None] - 1, axis=1)
        return np.asarray(numbers <= last)

    def _marks(self, rows: Rows) -> NDArray[uint64]:
        import numpy as np

        return np.asarray(np.where(rows, self._weights, np.uint64(0)).sum(axis=1, dtype=np.uint64))

    def _random(self, count: int) -> NDArray[uint64]:
        """Return the next so many of SplitMix64's numbers."""
        import numpy as np

        steps = np.arange(self._drawn + 1, self._drawn + count + 1, dtype=np.uint64)
        self._drawn += count
        bits = steps * np.array(0x9E3779B97F4A7C15, dtype=np.uint64) + np.array([self._seed], dtype=np.uint64)
        bits = (bits ^ (bits >> np.uint64(30))) * np.array([0xBF58476D1CE4E5B9], dtype=np.uint64)
        bits = (bits ^ (bits >> np.uint64(27))) * np.array([0x94D049BB133111EB], dtype=np.uint64)
        return np.asarray(bits ^ (bits >> np.uint64(31)))


def _allotted(n: int, calls: int) -> tuple[Ints, NDArray[bool_]]:
    """Share the calls out over the sizes, as their weight in the spread asks for; all of a size where that is less.

    A size s is in proportion to 1 / sqrt(s (n - s)): that is best where the worths of all sizes spread alike.
    """
    import numpy as np

    sizes = np.arange(n + 1)
    whole = (sizes <= 1) | (sizes >= n - 1)
    counts = [comb(n, size) for size in range(n + 1)]
    weight = np.zeros(n + 1)
    weight[1:n] = 1.0 / np.sqrt(sizes[1:n] * (n - sizes[1:n]))
    while True:
        left = calls - sum(count for count, all_ in zip(counts, whole, strict=True) if all_)
        weight[whole] = 0.0
        share = left * weight / weight.sum() if weight.any() else weight
        fit = [not all_ and float(share[size]) >= counts[size] for size, all_ in enumerate(whole)]
        if not any(fit):
            break
        whole = whole | np.array(fit)
    wanted = np.floor(share).astype(np.int64)
    wanted[whole] = [count for count, all_ in zip(counts, whole, strict=True) if all_]
    return wanted, whole


def _halved(counts: Ints) -> Ints:
    """Return how many pairs of each size s and n - s make these counts; they stand at the smaller size."""
    import numpy as np

    n = len(counts) - 1
    size = np.arange(n + 1)
    return np.asarray(np.where(2 * size < n, counts, np.where(2 * size == n, counts // 2, 0)))


def _with_others(half: Rows) -> Rows:
    """Put behind each coalition the one of all others."""
    import numpy as np

    return np.stack([half, ~half], axis=1).reshape(-1, half.shape[1])


class _Fit:
    """The model of what was answered, and what it leaves over.

    The model of a coalition of size s: for each member a sum over d of slope[d, member] x bend(s)^d, where bend
    goes from -1 at nobody to 1 at all, and an amount for the size itself.  That amount is in none of the values,
    so worths and rows are taken less their means of each size.  All that is needed of the rows is sums over
    those of one size: they are sorted by size, and each size is a few small products.
    """

    def __init__(self, plan: _Plan, rows: Rows, worths: Array, degrees: int = DEGREES) -> None:
        import numpy as np

        n = self.n = plan.n
        self.size = size = rows.sum(axis=1)
        self._order = np.argsort(size, kind="stable")
        self._rows = rows[self._order].astype(np.float64)
        self.count = np.bincount(size, minlength=n + 1)
        self._ends = np.cumsum(self.count).tolist()
        self.share = 1.0 - np.array([int(self.count[s]) / comb(n, s) for s in range(n + 1)])  # not asked for, of a size
        self.gain = float(worths[size == n][0] - worths[size == 0][0])
        mean = np.bincount(size, worths, minlength=n + 1) / np.maximum(self.count, 1)
        centred = worths - mean[size]
        middle = np.arange(1, n)
        spread = np.zeros(n + 1)  # what a unit of what is left over does to the spread of the estimate
        spread[1:n] = (self.share[1:n] + 1e-6) / np.maximum(self.count[1:n], 1) ** 2 / (middle * (n - middle))
        spread /= spread.max()
        self.free = int(self.count[~plan.whole].sum())
        self._inside, products = self._by_size(np.ones(len(rows)), centred)
        self._outside = self.count[:, None] - self._inside
        degrees = min(degrees, (self.free - 1) // (2 * n))  # at least two coalitions for each slope
        self._bends = (2.0 * np.arange(n + 1) / n - 1.0)[:, None] ** np.arange(degrees)
        products = (self._bends * spread[:, None]).T @ products
        square = float((spread[size] * centred**2).sum())
        squares = self._squares(spread) if degrees > 0 else np.zeros((0, 0))
        self.slopes = _best_model(squares, products.reshape(-1), square, n, self.free)
        self.left = centred - self._modelled()

    def likeness(self, pairs: int) -> float:
        """Return whether what is left over of a coalition and of all others is alike, above 0, or opposite."""
        pair = self.left[len(self.left) - 2 * pairs :].reshape(-1, 2)
        return float((pair[:, 0] * pair[:, 1]).sum())

    def sample(self, singles: int, pairs: int) -> Sample:
        """Return the estimate: the model's own value and that of what is left over, summing to the whole.

        singles: how many rows are before the pairs; what comes behind the pairs is single too.
        """
        import numpy as np

        n, left = self.n, self.left
        both = np.zeros(len(left))
        first, second = slice(singles, singles + 2 * pairs, 2), slice(singles + 1, singles + 2 * pairs, 2)
        both[first] = left[first] * left[second]
        numbers = (left, left**2, both)
        within = self._by_size(*numbers)
        without = np.array([np.bincount(self.size, each, minlength=n + 1) for each in numbers])[:, :, None] - within
        inside, outside = np.maximum(self._inside, 1), np.maximum(self._outside, 1)
        slope = self._bends[:, : len(self.slopes)] @ self.slopes
        means = (n * slope - slope.sum(axis=1, keepdims=True)) / (n - 1) + within[0] / inside - without[0] / outside
        values = means[1:n].sum(axis=0) / n
        values += (self.gain - values.sum()) / n
        scale = np.sqrt(np.maximum(self.share, 0.0))[:, None] / n
        gives, takes = scale / inside, scale / outside
        square = gives**2 * within[1] + takes**2 * without[1]
        # a pair is one draw: what its two add to an agent's value is summed before it is squared
        square -= 2.0 * (gives * takes[::-1] * within[2] + takes * gives[::-1] * without[2])
        variance = np.maximum(square.sum(axis=0), 0.0) * self.free / max(1, self.free - self.slopes.size)
        return Sample(np.asarray(values), np.asarray(np.sqrt(variance)), len(left))

    def _squares(self, spread: Array) -> Array:
        """Return the products of the model's features with each other, less their means, summed over rows, weighed."""
        import numpy as np

        n, degrees = self.n, self._bends.shape[1]
        weight = spread[:, None] * (2.0 * np.arange(n + 1) / n - 1.0)[:, None] ** np.arange(2 * degrees - 1)
        moments = np.zeros((2 * degrees - 1, n * n))
        step = max(1, AT_ONCE // (n * n))
        for start in range(0, n + 1, step):
            sizes = range(start, min(start + step, n + 1))
            cross = np.zeros((len(sizes), n, n))
            for place, s in enumerate(sizes):
                rows = self._rows[self._ends[s] - int(self.count[s]) : self._ends[s]]
                np.matmul(rows.T, rows, out=cross[place])
            moments += weight[start : start + step].T @ cross.reshape(len(sizes), -1)
        scaled = weight / np.maximum(self.count, 1)[:, None]
        moments -= np.stack([((self._inside * each[:, None]).T @ self._inside).reshape(-1) for each in scaled.T])
        parts = moments.reshape(-1, n, n)
        return np.block([[parts[left + right] for right in range(degrees)] for left in range(degrees)])

    def _modelled(self) -> Array:
        """Return what the model says of each row, less the mean of its size."""
        import numpy as np

        slope = self._bends[:, : len(self.slopes)] @ self.slopes
        mean = (self._inside * slope).sum(axis=1) / np.maximum(self.count, 1)
        size = self.size[self._order]
        modelled = np.empty(len(size))
        modelled[self._order] = np.einsum("ra,ra->r", self._rows, slope[size]) - mean[size]
        return modelled

    def _by_size(self, *numbers: Array) -> Array:
        """Return for each size and agent the sum of the rows' numbers, over the rows that have the agent."""
        import numpy as np

        inorder = np.stack(numbers)[:, self._order]
        sums = np.zeros((len(numbers), self.n + 1, self.n))
        for s, end in enumerate(self._ends):
            part = slice(end - int(self.count[s]), end)
            np.matmul(inorder[:, part], self._rows[part], out=sums[:, s])
        return sums


def _best_model(squares: Array, products: Array, square: float, n: int, free: int) -> Array:
    """Return the slopes of the model that would leave least over of coalitions not asked for; perhaps none at all.

    The more slopes, the more of them is chance: Akaike's final prediction error says how much.
    """
    import numpy as np

    best, slopes = square, np.asarray(np.zeros((0, n)))
    for degree in range(1, len(products) // n + 1):
        count = degree * n
        ridge = RIDGE * float(np.trace(squares)) / len(squares) + 1e-300
        found = np.linalg.solve(squares[:count, :count] + ridge * np.eye(count), products[:count])
        error = max(0.0, square - float(found @ products[:count])) * (free + count) / (free - count)
        if error < best:
            best, slopes = error, np.asarray(found.reshape(degree, n), dtype=np.float64)
    return slopes


def _sigmas(confidence: float) -> float:
    """Return how many standard errors to each side hold a value with this confidence: 1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise Invalid(f"the confidence is {confidence}; it must be between 0 and 1")
    low, high = 0.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if erf(middle / sqrt(2)) < confidence else (low, middle)
    return low
