"""The one-to-one assignment of a dense matrix: the pairs, what each column adds to the whole, and which of equals.

Shortest augmenting paths, from all rows that are still free at once: one search grows a forest over reduced costs,
and every tree that has reached a free column places its row.  Where scipy is installed, it finds the pairs.

Source: Jonker & Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
Computing 38, 1987; for what a column adds: Leonard, "Elicitation of honest preferences for the assignment of
individuals to positions", Journal of Political Economy 91, 1983.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from concerted.allocation.optimum.assignment import UNASSIGNED
from concerted.errors import Invalid

__all__ = ["marginals", "match", "match_best", "match_ours", "shadow_prices"]

Numbers = NDArray[Any]  # float64 or int64
Columns = NDArray[np.intp]

SWEEPS = 2  # of the reduction that begins the search
NEARLY_SQUARE = 20  # with at most a twentieth more columns than rows, empty rows make the matrix square
TIED = 4  # cheapest columns of a row; where there are more, a search for one free column looks at nearly all of them
SAMPLE = 32  # rows in which they are counted


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
        return match_ours(costs)
    if costs.dtype.kind == "i" and not _exact_as_floats(costs):
        return match_ours(costs)
    rows, columns = linear_sum_assignment(costs)
    found = np.full(len(costs), UNASSIGNED, np.intp)
    found[rows] = columns
    return found


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
    if costs.dtype.kind != "i":
        costs = costs.astype(np.float64, copy=False)
    row_count, column_count = costs.shape
    if row_count > column_count:
        found = np.full(row_count, UNASSIGNED, np.intp)
        row_of = _match_wide(np.ascontiguousarray(costs.T))
        found[row_of] = np.arange(column_count)
        return found
    return _match_wide(costs)


def shadow_prices(values: Numbers, found: Columns) -> tuple[Numbers, Numbers]:
    """Return the price of each row and of each column that prove that `found` is the best: the columns' highest.

    row price + column price >= value, equal where a pair is; 0 for what has no pair.  values: at least 0 where a
    pair may be, negative elsewhere.  A column's price is what the whole loses if the column is taken away, so VCG
    payments come of it in one pass of shortest paths: O(rows x columns) times the longest way round, mostly below 20.
    """
    row_count, column_count = values.shape
    taken = np.flatnonzero(found >= 0)
    used = found[taken]
    spare = np.ones(column_count, bool)
    spare[used] = False
    again = np.zeros(row_count, values.dtype)  # what a row is still worth without its column
    if spare.any():
        np.maximum(again, values[:, spare].max(axis=1), out=again)
    worth = values[taken, used]
    tiny = np.abs(values).max(initial=0) * 1e-15 if values.dtype.kind == "f" else 0
    better = np.arange(len(taken))
    for _ in range(row_count):
        # a row may take the column of another, and that one looks for another in its turn
        reach = (values[:, used[better]] + (again[taken[better]] - worth[better])).max(axis=1, initial=0)
        rises = reach > again + tiny
        again[rises] = reach[rises]
        better = np.flatnonzero(rises[taken])
        if not len(better):
            break
    prices = np.zeros(column_count, values.dtype)
    prices[used] = worth - again[taken]
    again[found < 0] = 0
    return again, prices


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


def _match_wide(costs: Numbers) -> Columns:
    """Match at least as many columns as rows."""
    row_count, column_count = costs.shape
    if not row_count:
        return np.zeros(0, np.intp)
    extra = column_count - row_count
    if extra <= row_count // NEARLY_SQUARE or (extra <= row_count and _tied(costs)):
        costs = np.concatenate([costs, np.zeros((extra, column_count), costs.dtype)])
    search = _Search(costs)
    search.reduce()
    search.place_all()
    return search.column_of[:row_count]


def _tied(costs: Numbers) -> bool:
    """Say whether rows have many columns that are equally cheap."""
    some = costs[:SAMPLE]
    return bool((some == some.min(axis=1, keepdims=True)).sum() > TIED * len(some))


class _Search:
    """Pairs found so far, and the columns' prices, under which each pair is its row's cheapest."""

    def __init__(self, costs: Numbers) -> None:
        row_count, column_count = costs.shape
        self._costs = costs
        self._square = row_count == column_count
        self._never = np.inf if costs.dtype.kind == "f" else np.int64(2**61)
        self._price = costs.min(axis=0) if self._square else np.zeros(column_count, costs.dtype)
        self.column_of = np.full(row_count, UNASSIGNED, np.intp)
        self._row_of = np.full(column_count, UNASSIGNED, np.intp)
        columns, rows = np.unique((costs - self._price).argmin(axis=1), return_index=True)
        self._row_of[columns] = rows
        self.column_of[rows] = columns

    def reduce(self) -> None:
        """Give each free row its cheapest column and lower that one's price as far as the second best allows."""
        costs, price, column_of, row_of = self._costs, self._price, self.column_of, self._row_of
        if len(price) < 2:
            return
        free = np.flatnonzero(column_of < 0).tolist()
        for _ in range(SWEEPS):
            later: list[int] = []
            left = 4 * len(free)
            stack = free[::-1]
            while stack:
                row = stack.pop()
                reduced = costs[row] - price
                column = int(reduced.argmin())
                lowest = reduced[column]
                reduced[column] = self._never
                second = int(reduced.argmin())
                gap = reduced[second] - lowest
                if gap > 0:
                    price[column] -= gap
                elif row_of[column] >= 0:
                    column = second
                loser = int(row_of[column])
                row_of[column], column_of[row] = row, column
                if loser >= 0:
                    column_of[loser] = UNASSIGNED
                    left -= 1
                    (stack if gap > 0 and left > 0 else later).append(loser)
            free = later

    def place_all(self) -> None:
        """Place the rows that are left: in a square matrix many at a time, else one by one.

        With columns to spare a search must end at the first of them, for an empty column has no price.
        """
        together = self._square
        while len(free := np.flatnonzero(self.column_of < 0)):
            roots = free if together else free[:1]
            wanted = -(-len(roots) // 2)
            placed = _Forest(self._costs, self._price, self._row_of, roots).place(self.column_of, wanted)
            if placed < wanted:
                self._place_over_ties()
                together = placed > 1  # where one tree takes all, one root is enough

    def _place_over_ties(self) -> None:
        """Place rows whose cheapest column is free: where many costs are equal, one tree would take all columns."""
        for row in np.flatnonzero(self.column_of < 0).tolist():
            reduced = self._costs[row] - self._price
            free = np.flatnonzero((reduced == reduced.min()) & (self._row_of < 0))
            if len(free):
                self.column_of[row], self._row_of[free[0]] = free[0], row


class _Forest:
    """The cheapest ways from some free rows over reduced costs, grown column by column, nearest first."""

    def __init__(self, costs: Numbers, price: Numbers, row_of: Columns, roots: Columns) -> None:
        self._costs, self._price, self._row_of = costs, price, row_of
        reduced = costs[roots] - price
        reduced -= reduced.min(axis=1, keepdims=True)
        self._far = reduced.min(axis=0)  # the distance of each column not yet reached
        self._before = roots[reduced.argmin(axis=0)]  # the row from which it is reached
        self._root = np.full(len(costs), UNASSIGNED, np.intp)
        self._root[roots] = roots
        self._never = np.inf if costs.dtype.kind == "f" else np.int64(2**61)
        self._open = price.copy()  # a column reached is no longer in reach: its price here is the lowest
        self._reached: list[int] = []
        self._distances: list[Any] = []
        self._ends: dict[int, int] = {}  # root -> the free column at the end of its way

    def place(self, column_of: Columns, wanted: int) -> int:
        """Grow until so many roots have a way to a free column; set prices, go the ways, return how many."""
        far, last = self._far, None
        while len(self._ends) < wanted:
            column = int(far.argmin())
            distance = far[column]
            if distance == self._never:
                break
            # Equal distances come in numbers or not at all: look for others only when there was one before.
            columns = np.flatnonzero(far == distance) if distance == last else [column]
            last = distance
            if len(columns) == 1:
                self._reach(column, distance)
            else:
                self._reach_many(np.asarray(columns), distance)
        limit = self._distances[-1]
        self._price[self._reached] += np.array(self._distances, self._price.dtype) - limit
        for end in self._ends.values():
            column = end
            while column != UNASSIGNED:
                row = self._before[column]
                self._row_of[column] = row
                column, column_of[row] = int(column_of[row]), column
        return len(self._ends)

    def _reach(self, column: int, distance: Any) -> None:
        row = int(self._row_of[column])
        root = int(self._root[self._before[column]])
        self._close(column, distance)
        if row < 0:
            self._ends.setdefault(root, column)
            return
        self._root[row] = root
        offset = distance - (self._costs[row, column] - self._price[column])
        self._come_from(self._costs[row] + offset, row)

    def _reach_many(self, columns: Columns, distance: Any) -> None:
        rows = self._row_of[columns]
        roots = self._root[self._before[columns]]
        for column in columns.tolist():
            self._close(column, distance)
        for column, root in zip(columns[rows < 0].tolist(), roots[rows < 0].tolist(), strict=True):
            self._ends.setdefault(root, column)
        held = rows >= 0
        rows, columns = rows[held], columns[held]
        if len(rows):
            self._root[rows] = roots[held]
            offsets = distance - (self._costs[rows, columns] - self._price[columns])
            ways = self._costs[rows] + offsets[:, None]
            nearest = ways.argmin(axis=0)
            self._come_from(ways[nearest, np.arange(len(nearest))], rows[nearest])

    def _come_from(self, ways: Numbers, rows: Any) -> None:
        """Note the ways that are shorter than those known."""
        ways -= self._open
        shorter = ways < self._far
        np.copyto(self._far, ways, where=shorter)
        np.copyto(self._before, rows, where=shorter)

    def _close(self, column: int, distance: Any) -> None:
        self._reached.append(column)
        self._distances.append(distance)
        self._far[column] = self._never
        self._open[column] = -2 * self._never  # so that no way there is ever the shorter
