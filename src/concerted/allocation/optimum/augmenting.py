"""The search of a dense assignment: shortest augmenting paths, from all rows that are still free at once.

One search grows a forest over reduced costs, and every tree that has reached a free column places its row.

Source: Jonker & Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
Computing 38, 1987.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from concerted.allocation.optimum.assignment import UNASSIGNED

__all__ = ["place_all"]

Numbers = NDArray[Any]  # float64 or int64
Columns = NDArray[np.intp]

SWEEPS = 2  # of the reduction that begins the search


def place_all(costs: Numbers) -> Columns:
    """Return the column of each row so that the sum of costs is the lowest.

    costs: float64 or int64[rows, columns], at least as many columns as rows.  O(n**3) at worst.
    """
    search = _Search(costs)
    search.reduce()
    search.place_all()
    return search.column_of


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
