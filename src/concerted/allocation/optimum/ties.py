"""The tie-break of an optimal assignment: each row in its turn gets what it likes best among all that cost nothing.

Two solvers may find two different assignments of the same value.  From either, this comes to the same one, so that
the answer depends on the problem alone and not on which libraries are installed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from concerted.allocation.optimum.assignment import UNASSIGNED

__all__ = ["settle"]


def settle(
    values: NDArray[np.int64],
    found: NDArray[np.intp],
    prices: tuple[NDArray[np.int64], NDArray[np.int64]],
    likes: Sequence[Sequence[int]],
) -> NDArray[np.intp]:
    """Return, of all assignments as good as `found`, the first one: row 0 is as well off as it can be, then row 1 ...

    values: int64[rows, columns], at least 0 where a pair may be, negative elsewhere.  prices: those of rows and of
    columns that prove that `found` is the best, from `shadow_prices`.  likes: for each row the columns that it may
    have, those it likes best first; having one is better than none.  Only pairs whose prices add up to their value can
    be in an assignment this good, so where there are no ties there is nothing to do: O(rows x columns).
    """
    row_prices, column_prices = prices
    tight = ((row_prices[:, None] + column_prices) == values) & (values >= 0)
    counts = tight.sum(axis=1)
    if (counts <= (found >= 0)).all():
        return found
    options = [
        [column for column in liked if row_tight[column]] if count > 1 else np.flatnonzero(row_tight).tolist()
        for liked, row_tight, count in zip(likes, tight, counts, strict=True)
    ]
    board = _Board(options, found.tolist(), row_prices.tolist(), column_prices.tolist())
    for row in range(len(likes)):
        board.improve(row)
    return np.array(board.column_of, np.intp)


class _Board:
    """An optimal assignment, and the ways to change it that keep it so."""

    def __init__(
        self, options: list[list[int]], column_of: list[int], row_prices: list[int], column_prices: list[int]
    ) -> None:
        self.column_of = column_of
        self._options = options
        self._row_prices, self._column_prices = row_prices, column_prices
        self._row_of = [UNASSIGNED] * len(column_prices)
        for row, column in enumerate(column_of):
            if column >= 0:
                self._row_of[column] = row
        self._wanted_by: list[list[int]] = [[] for _ in column_prices]
        for row, option in enumerate(options):
            for column in option:
                self._wanted_by[column].append(row)
        self._settled = 0  # rows below this one keep what they have

    def improve(self, row: int) -> None:
        """Give a row the first of its options for which the others can make place."""
        self._settled = row + 1
        for column in self._options[row]:
            if column == self.column_of[row] or self._move(row, column):
                return

    def _move(self, row: int, column: int) -> bool:
        """Move a row if those with later turns can go somewhere else, and what it leaves does not stay empty."""
        left, holder = self.column_of[row], self._row_of[column]
        moves = [] if holder < 0 else self._find_place_for(holder, left)
        if moves is None:
            return False
        refilled = left < 0 or any(to == left for _, to in moves)
        if not refilled:
            more = self._find_row_for(left)
            if more is None:
                return False
            moves = moves + more
        moves = [(row, column), *moves]
        for one, _ in moves:
            if self.column_of[one] >= 0:
                self._row_of[self.column_of[one]] = UNASSIGNED
        for one, to in moves:
            self.column_of[one] = to
            if to >= 0:
                self._row_of[to] = one
        return True

    def _find_place_for(self, start: int, best: int) -> list[tuple[int, int]] | None:
        """Return the moves by which a row that must go finds a place: `best` if it can be, or one that is free."""
        if start < self._settled:
            return None
        came_by: dict[int, int] = {}  # column -> the row that would move to it
        rows, end = [start], None
        for row in rows:  # grows while we go through it
            if end is None and self._row_prices[row] == 0:
                end = (row, UNASSIGNED)
            for column in self._options[row]:
                if column in came_by or column == self.column_of[row]:
                    continue
                holder = self._row_of[column]
                if column == best:
                    return self._back(row, best, came_by, start)
                if holder < 0:
                    came_by[column] = row
                    end = end or (row, column)
                elif holder >= self._settled:
                    came_by[column] = row
                    rows.append(holder)
        return None if end is None else self._back(*end, came_by, start)

    def _back(self, row: int, column: int, came_by: dict[int, int], start: int) -> list[tuple[int, int]]:
        """Go back from the last move to the first."""
        moves = [(row, column)]
        while row != start:
            column = self.column_of[row]
            row = came_by[column]
            moves.append((row, column))
        return moves

    def _find_row_for(self, start: int) -> list[tuple[int, int]] | None:
        """Return the moves that fill a column that must not stay empty."""
        if self._column_prices[start] == 0:
            return []
        goes_to: dict[int, int] = {}  # row -> the column to which it would move
        columns = [start]
        for column in columns:
            for row in self._wanted_by[column]:
                if row < self._settled or row in goes_to:
                    continue
                goes_to[row] = column
                left = self.column_of[row]
                if left < 0 or self._column_prices[left] == 0:
                    return self._forth(row, goes_to, start)
                columns.append(left)
        return None

    def _forth(self, row: int, goes_to: dict[int, int], start: int) -> list[tuple[int, int]]:
        """Go from the last row that moves to the one that comes to the column."""
        moves = [(row, goes_to[row])]
        while moves[-1][1] != start:
            row = self._row_of[moves[-1][1]]
            moves.append((row, goes_to[row]))
        return moves
