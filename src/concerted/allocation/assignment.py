"""The optimal assignment of rows to columns with room for several, by shortest augmenting paths.

It is ours and not a library's, because a run is replayed on other machines and must come to the same
there, also where several assignments are equally good.  All values are integers, so nothing is rounded
and no two machines differ.

Source: Jonker & Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment
problems", Computing 38, 1987; Crouse, "On implementing 2D rectangular assignment algorithms", 2016.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

__all__ = ["UNASSIGNED", "assign"]

UNASSIGNED = -1
SMALL = 64  # rows; below it the search is so quick that a guess at the prices does not pay
SWEEPS = 4  # of the guess

Edges = Sequence[Sequence[tuple[int, int]]]


def assign(edges: Edges, room: Sequence[int]) -> list[int]:
    """Return the column of each row, UNASSIGNED if it gets none, so that the sum of values is the highest.

    edges: for each row its (column, value), each column once, in order of preference among equals; what
    is worth 0 or less is never taken.  room: how many rows each column may have.  Of equally good
    assignments the answer is one that the order of rows and edges alone decides: the same input gives
    the same answer everywhere.  O(rows x edges x log) at worst; 32,000 edges take a tenth of a second.
    """
    search = _Search(edges, room)
    if len(edges) > SMALL:
        search.price = guess_prices(edges, room)
    for row in range(len(edges)):
        search.place(row)
    search.settle()
    return search.column_of


def guess_prices(edges: Edges, room: Sequence[int]) -> list[int]:
    """Guess what a place in each column is worth, as if a value were a row's share plus a column's share.

    A good guess saves most of the search where many rows want the same few columns; a bad one costs time
    and changes no sum.
    """
    of_row = [0] * len(edges)
    of_column = [0] * len(room)
    counts = [0] * len(room)
    for row_edges in edges:
        for column, _ in row_edges:
            counts[column] += 1
    for _ in range(SWEEPS):
        sums = [0] * len(room)
        for row, row_edges in enumerate(edges):
            if row_edges:
                share = sum([value - of_column[column] for column, value in row_edges]) // len(row_edges)
                of_row[row] = share
                for column, value in row_edges:
                    sums[column] += value - share
        of_column = [total // count if count else 0 for total, count in zip(sums, counts, strict=True)]
    places = sorted(
        (share for share, count, free in zip(of_column, counts, room, strict=True) for _ in range(min(count, free))),
        reverse=True,
    )
    if len(edges) < len(places):  # the worst columns stay empty, and there a place is worth nothing
        nothing = places[len(edges)]
    else:  # the last row that gets a place pays all it has
        nothing = -sorted(of_row, reverse=True)[min(len(places), len(edges) - 1)]
    return [max(0, share - nothing) if count else 0 for share, count in zip(of_column, counts, strict=True)]


class _Search:
    """Rows placed so far, and the prices that prove that it could not be done better.

    profit[row] + price[column] >= value, with equality where a row is placed.  A row with a profit is
    placed.  A column with a price is full: at the latest when `settle` returns.
    """

    def __init__(self, edges: Edges, room: Sequence[int]) -> None:
        self._edges = edges
        self._room = list(room)
        self.price = [0] * len(room)
        self._profit = [0] * len(edges)
        self._rows_of: list[list[int]] = [[] for _ in room]
        self.column_of = [UNASSIGNED] * len(edges)

    def place(self, row: int) -> None:
        """Place one more row, moving others or leaving one out where that is better."""
        price, room = self.price, self._room
        best, free = 0, UNASSIGNED
        for column, value in self._edges[row]:
            gain = value - price[column]
            if gain > best:
                best = gain
                free = column if room[column] else UNASSIGNED
            elif gain == best and free == UNASSIGNED and room[column] and gain > 0:
                free = column
        self._profit[row] = best
        if free != UNASSIGNED:
            self._give(row, free)
        elif best > 0:
            self._augment(row)

    def settle(self) -> None:
        """Lower the prices of columns that are not full, to nothing or until somebody comes."""
        too_dear = [column for column, price in enumerate(self.price) if price > 0 and self._room[column]]
        if not too_dear:
            return
        offers: list[list[tuple[int, int]]] = [[] for _ in self.price]
        for row, row_edges in enumerate(self._edges):
            for column, value in row_edges:
                offers[column].append((row, value))
        for column in too_dear:
            while self.price[column] > 0 and self._room[column]:
                self._cheapen(column, offers)

    def _augment(self, start: int) -> None:
        """Find the cheapest way to make place for a row, from column to column; then go it."""
        edges, room, price, profit = self._edges, self._room, self.price, self._profit
        distance: dict[int, int] = {}
        came_from: dict[int, int] = {}
        rows = [(start, 0)]
        columns: list[tuple[int, int]] = []
        heap: list[tuple[int, int]] = []
        cheapest, end, left_out = profit[start], UNASSIGNED, start  # leaving `start` itself out
        scan = rows
        while True:
            for row, so_far in scan:
                reach = so_far + profit[row]
                if reach < cheapest:
                    cheapest, end, left_out = reach, UNASSIGNED, row
                for column, value in edges[row]:
                    cost = reach + price[column] - value
                    if cost < cheapest and cost < distance.get(column, cheapest):
                        distance[column] = cost
                        came_from[column] = row
                        if room[column]:
                            cheapest, end = cost, column
                        else:
                            heapq.heappush(heap, (cost, column))
            while heap and heap[0][0] > distance[heap[0][1]]:
                heapq.heappop(heap)
            if not heap or heap[0][0] >= cheapest:
                break
            cost, column = heapq.heappop(heap)
            columns.append((column, cost))
            scan = [(row, cost) for row in self._rows_of[column]]
            rows = rows + scan
        for row, cost in rows:
            profit[row] -= cheapest - cost
        for column, cost in columns:
            price[column] += cheapest - cost
        if end == UNASSIGNED and left_out != start:
            end = self._take_away(left_out)
        while end != UNASSIGNED:
            row = came_from[end]
            before = self._take_away(row) if row != start else UNASSIGNED
            self._give(row, end)
            end = before

    def _cheapen(self, start: int, offers: Edges) -> None:
        """Lower one column's price as far as it goes: a row comes to it in the end, or it is nothing.

        The mirror of `_augment`: rows come in over tight edges, and the columns they leave get cheaper too.
        """
        price, profit = self.price, self._profit
        distance: dict[int, int] = {}
        goes_to: dict[int, int] = {}
        columns = [(start, 0)]
        rows: list[tuple[int, int]] = []
        came_by: dict[int, int] = {}
        heap: list[tuple[int, int]] = []
        cheapest, comes = price[start], UNASSIGNED
        column, so_far = start, 0
        while True:
            for row, value in offers[column]:
                cost = so_far + profit[row] + price[column] - value
                if cost < cheapest and cost < distance.get(row, cheapest):
                    distance[row] = cost
                    goes_to[row] = column
                    if self.column_of[row] == UNASSIGNED:
                        cheapest, comes = cost, row
                    else:
                        heapq.heappush(heap, (cost, row))
            column = UNASSIGNED
            while heap and heap[0][0] < cheapest and column == UNASSIGNED:
                so_far, row = heapq.heappop(heap)
                if so_far > distance[row]:
                    continue
                rows.append((row, so_far))
                held = self.column_of[row]
                if held != start and held not in came_by:
                    column = held
            if column == UNASSIGNED:
                break
            came_by[column] = row
            columns.append((column, so_far))
            if so_far + price[column] < cheapest:
                cheapest, comes = so_far + price[column], row
        for column, cost in columns:
            price[column] -= cheapest - cost
        for row, cost in rows:
            profit[row] += cheapest - cost
        while comes != UNASSIGNED:
            column = goes_to[comes]
            if self.column_of[comes] != UNASSIGNED:
                self._take_away(comes)
            self._give(comes, column)
            comes = came_by.get(column, UNASSIGNED)

    def _give(self, row: int, column: int) -> None:
        self.column_of[row] = column
        self._rows_of[column].append(row)
        self._room[column] -= 1

    def _take_away(self, row: int) -> int:
        column = self.column_of[row]
        self.column_of[row] = UNASSIGNED
        self._rows_of[column].remove(row)
        self._room[column] += 1
        return column
