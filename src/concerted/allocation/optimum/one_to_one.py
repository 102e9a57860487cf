"""The one-to-one assignment of a dense matrix: the pairs, what each column adds to the whole, and which of equals.

Where scipy is installed, it finds the pairs; else `augmenting` does.  Either is slow where all rows agree on which
columns are good, as they do where a cost is one number of the row times one of the column: each search then goes
through nearly all columns.  There a sample of the matrix is matched first, and its prices are taken off the whole.

Source: for what a column adds: Leonard, "Elicitation of honest preferences for the assignment of individuals to
positions", Journal of Political Economy 91, 1983; prices of some columns make prices of all: Villani, "Topics in
Optimal Transportation", 2003, section 2.4 (the c-transform).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concerted.allocation.optimum.assignment import UNASSIGNED
from concerted.allocation.optimum.augmenting import place_all
from concerted.errors import Invalid

__all__ = ["marginals", "match", "match_best", "match_ours", "shadow_prices"]

Numbers = NDArray[Any]  # float64 or int64
Columns = NDArray[np.intp]

Solve = Callable[[Numbers], Columns]  # of a matrix with at least as many columns as rows

NEARLY_SQUARE = 20  # with at most a twentieth more columns than rows, empty rows make the matrix square
TIED = 4  # cheapest columns of a row; where there are more, a search for one free column looks at nearly all of them
SAMPLE = 32  # rows in which they are counted; rows and columns in which patterns are sought
MANY = 300  # rows from which on it pays to look for patterns
MANY_SEARCHED = 100  # the same where scipy is not there, and each search costs more
STRIDE = 4  # of so many rows and columns one is in the sample that is matched first
PATTERNS = 3  # rows are sums of so many patterns, each times a number
RESIDUE = 0.25  # but for this share
SCARCE = 0.25  # mean price of a column, in standard deviations of the costs, from which on columns are contended for
WILD = 10_000  # how far costs may lie apart, in middle distances, before sums with prices lose too many digits
ROUNDS = 8  # in which all prices are found at once, before they are found one by one


def match(costs: Numbers) -> Columns:
    """Return the column of each row so that the sum of costs is the lowest; as many pairs as the shorter side has.

    costs: float64 or int64[rows, columns], finite.  Rows without a column are UNASSIGNED.  O(n**3) at worst.
    Which of several equally good answers this is may depend on whether scipy is installed: see `ties.settle`.
    Raises: Invalid, if a cost is no number or infinite, with its row and column.
    """
    _check(costs)
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        return _match(costs, _by_searching)
    if costs.dtype.kind == "i" and not _exact_as_floats(costs):
        return _match(costs, _by_searching)

    def by_scipy(wide: Numbers) -> Columns:
        return np.asarray(linear_sum_assignment(wide)[1], np.intp)

    return _match(costs, by_scipy)


def match_best(values: Numbers, ours: bool = False) -> Columns:
    """Return the column of each row so that the sum of values is the highest; no pair is worth 0 or less.

    ours: do without scipy, which takes longer to load than a small matrix takes to match.
    """
    worth = np.maximum(values, 0)
    found = match_ours(-worth) if ours else match(-worth)
    rows = np.flatnonzero(found >= 0)
    found[rows[worth[rows, found[rows]] <= 0]] = UNASSIGNED
    return found


def match_ours(costs: Numbers) -> Columns:
    """Do as `match`, by our own code alone.  Integers are exact up to 2**61 over the longer side."""
    _check(costs)
    return _match(costs if costs.dtype.kind == "i" else costs.astype(np.float64, copy=False), _by_searching)


def shadow_prices(values: Numbers, found: Columns) -> tuple[Numbers, Numbers]:
    """Return the price of each row and of each column that prove that `found` is the best: the columns' highest.

    row price + column price >= value, equal where a pair is; 0 for what has no pair.  values: at least 0 where a
    pair may be, negative elsewhere.  A column's price is what the whole loses if the column is taken away, so VCG
    payments come of it in one pass of shortest paths: O(rows x columns) times the longest way round, mostly below 20.
    Where that is long, as it is where all rows agree on which columns are good, prices of a sample show the way.
    """
    taken = np.flatnonzero(found >= 0)
    used = found[taken]
    pairs = np.ascontiguousarray(values[taken][:, used])
    worth = pairs.diagonal()
    spare = np.ones(values.shape[1], bool)
    spare[used] = False
    again = np.zeros(len(taken), values.dtype)  # what a row of a pair is still worth without its column
    if spare.any():
        np.maximum(again, values[np.ix_(taken, spare)].max(axis=1), out=again)
    if not _raise_together(pairs, again):
        again = worth - _cheapest_ways(pairs, worth - again, _prices_of_sample(-values, match)[used])
    rows, columns = (np.zeros(count, values.dtype) for count in values.shape)
    rows[taken], columns[used] = again, worth - again
    return rows, columns


def marginals(values: Numbers, found: Columns) -> Numbers:
    """Return what each column adds to the whole: the best sum with it less the best sum without it."""
    return shadow_prices(values, found)[1]


def _check(costs: Numbers) -> None:
    if costs.ndim != 2:
        raise Invalid(f"costs has {costs.ndim} dimensions; it must have two, rows and columns")
    if costs.dtype.kind == "f" and not np.isfinite(costs).all():
        row, column = (int(one) for one in np.argwhere(~np.isfinite(costs))[0])
        raise Invalid(f"row {row}, column {column}: the cost is {costs[row, column]}; it must be a finite number")


def _exact_as_floats(costs: Numbers) -> bool:
    return bool(np.abs(costs).max(initial=0) * max(costs.shape) < 2**51)


def _raise_together(pairs: Numbers, again: Numbers) -> bool:
    """Raise what rows are worth without their columns, all at once in each round; say whether nothing rises more.

    pairs: [row, column of a row].  A row may take the column of another, and that one looks for another in its turn.
    """
    worth, slack = pairs.diagonal(), _slack(pairs)
    left = ROUNDS * len(again) if len(again) >= MANY else len(again) ** 2
    news = np.arange(len(again))
    while len(news) and left > 0:
        left -= len(news)
        reach = (pairs[:, news] + (again[news] - worth[news])).max(axis=1)
        news = np.flatnonzero(reach > again + slack)
        again[news] = reach[news]
    return not len(news)


def _cheapest_ways(pairs: Numbers, ends: Numbers, guess: Numbers) -> Numbers:
    """Return the prices of columns, as the lengths of the shortest ways: a row gives up its column, takes another's ...

    pairs: [row, column of a row].  ends: what a row loses that goes without any of these columns.  guess: of the
    prices.  First the guess is lowered until no step is negative, and that is soon where it was good; then one search
    from the ends finds all (Dijkstra 1959, on the lengths of Johnson 1977).  O(n**2) and the lowering.
    """
    steps = np.ascontiguousarray((pairs.diagonal()[:, None] - pairs).T)  # price of row's < price of the other's + step
    prices, slack = guess.copy(), _slack(pairs)
    order = np.argsort(prices, kind="stable").tolist()
    is_news = np.ones(len(prices), bool)
    for _ in range(len(prices)):  # as in Bellman & Ford's: each sweep makes right what is one step longer, or more
        for at in order:
            if is_news[at]:
                ways = steps[at] + prices[at]
                is_lower = ways < prices - slack
                is_news |= is_lower
                is_news[at] = False
                prices[is_lower] = ways[is_lower]
        if not is_news.any():
            break
        order.reverse()
    steps += prices[:, None] - prices
    lengths = ends - prices
    never = np.inf if lengths.dtype.kind == "f" else np.int64(2**61)
    waiting = lengths.copy()
    for _ in range(len(lengths)):
        at = int(waiting.argmin())
        waiting[at] = never
        ways = steps[at] + lengths[at]
        is_shorter = (ways < lengths) & (waiting < never)
        lengths[is_shorter] = waiting[is_shorter] = ways[is_shorter]
    return lengths + prices


def _slack(values: Numbers) -> Any:
    """Return what is lost in rounding, and is no gain."""
    return np.abs(values).max(initial=0) * 1e-15 if values.dtype.kind == "f" else 0


def _match(costs: Numbers, solve: Solve) -> Columns:
    row_count, column_count = costs.shape
    if row_count > column_count:
        found = np.full(row_count, UNASSIGNED, np.intp)
        found[_match(np.ascontiguousarray(costs.T), solve)] = np.arange(column_count)
        return found
    if not row_count:
        return np.zeros(0, np.intp)
    many = MANY_SEARCHED if solve is _by_searching else MANY
    if row_count >= many and _has_few_patterns(costs):
        costs = _less_prices(costs, solve)
    return solve(costs)[:row_count]


def _by_searching(costs: Numbers) -> Columns:
    row_count, column_count = costs.shape
    extra = column_count - row_count
    if extra <= row_count // NEARLY_SQUARE or (extra <= row_count and _tied(costs)):
        costs = _squared(costs, np.zeros(column_count, costs.dtype))
    return place_all(costs)


def _squared(costs: Numbers, filling: Numbers) -> Numbers:
    """Add rows, all of them like this one, until there are as many as columns."""
    extra = costs.shape[1] - len(costs)
    return np.concatenate([costs, np.broadcast_to(filling, (extra, len(filling)))])


def _tied(costs: Numbers) -> bool:
    """Say whether rows have many columns that are equally cheap."""
    some = costs[:SAMPLE]
    return bool((some == some.min(axis=1, keepdims=True)).sum() > TIED * len(some))


def _has_few_patterns(costs: Numbers) -> bool:
    """Say whether each row is, but for a rest, a number of its own and a sum of a few rows, each times a number."""
    rows, columns = (np.linspace(0, count - 1, SAMPLE).astype(np.intp) for count in costs.shape)
    some = costs[np.ix_(rows, columns)].astype(np.float64)
    some -= some.mean()
    whole = float((some**2).sum())
    some -= some.mean(axis=0)
    some -= some.mean(axis=1, keepdims=True)
    residue = float((np.linalg.svd(some, compute_uv=False)[PATTERNS:] ** 2).sum())
    return whole > 0 and residue <= RESIDUE * whole


def _less_prices(costs: Numbers, solve: Solve) -> Numbers:
    """Return a matrix with the same best pairs, in which columns that many rows want cost more; rows may be added.

    Whatever the prices are, the pairs stay the best: of a square matrix each column is taken once, so what is added
    to a column is added to every answer.
    """
    some = costs[::STRIDE, ::STRIDE]
    if np.ptp(costs) > WILD * np.median(np.abs(some - np.median(some))):
        return costs
    prices = _prices_of_sample(costs, solve)
    if prices.mean() < SCARCE * some.std():
        return costs
    reduced = _squared(costs + prices, prices)
    reduced -= reduced.min(axis=1, keepdims=True)
    return reduced


def _prices_of_sample(costs: Numbers, solve: Solve) -> Numbers:
    """Return prices of all columns, at which no row of a sample is better off with one that is not in the sample."""
    some = np.ascontiguousarray(costs[::STRIDE, ::STRIDE])
    _, prices = shadow_prices(some.max() - some, _match(some, solve))
    lowest = (costs[::STRIDE, ::STRIDE] + prices).min(axis=1)
    highest: Numbers = (lowest[:, None] - costs[::STRIDE]).max(axis=0)
    return np.maximum(highest, 0)
