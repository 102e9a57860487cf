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
    the same answer everywhere.  O(rows x edges x log) at worst; 1,000 rows with 32 edges each take
    about a tenth of a second, the worst we know of one second.
    """
    search = _Search(edges, room)
    if len(edges) > SMALL:
        search.price = _guess_prices(edges, _turned(edges, len(room)), room)
    for row in range(len(edges)):
        search.place(row)
    search.settle()
    return search.column_of


def _guess_prices(edges: Edges, offers: Edges, room: Sequence[int]) -> list[int]:
    """Guess what a place in each column costs, as if each value were a row's share plus a column's share.

    A good guess saves most of the search where many rows want the same few columns; a bad one costs time
    and changes no sum, for the search puts it right.
    """
    of_row = _row_shares(edges, offers)
    of_column = [0] * len(offers)
    for _ in range(SWEEPS):
        of_column = _shares(offers, of_row)
        of_row = _shares(edges, of_column)
    places = [
        share
        for share, column, free in zip(of_column, offers, room, strict=True)
        for _ in range(min(len(column), free))
    ]
    if len(edges) < len(places):  # the worst columns stay empty, and there a place costs nothing
        nothing = sorted(places, reverse=True)[len(edges)]
    else:  # the last row that gets no place would pay all that it is worth
        nothing = -sorted(of_row, reverse=True)[min(len(places), len(edges) - 1)]
    return [max(0, share - nothing) if column else 0 for share, column in zip(of_column, offers, strict=True)]


def _row_shares(edges: Edges, offers: Edges) -> list[int]:
    """Start the guess: go from row to row over shared columns, as if a value were nothing but the two shares."""
    of_row: list[int | None] = [None] * len(edges)
    seen = [False] * len(offers)
    for start in range(len(edges)):
        if of_row[start] is not None:
            continue
        of_row[start] = 0
        front = [(start, 0)]
        for row, share in front:  # grows while we go through it
            for column, value in edges[row]:
                if seen[column]:
                    continue
                seen[column] = True
                for other, its_value in offers[column]:
                    if of_row[other] is None:
                        reached = of_row[other] = its_value - value + share
                        front.append((other, reached))
    return [share or 0 for share in of_row]


def _shares(edges: Edges, others: Sequence[int]) -> list[int]:
    """Return for each row the mean of what its scores are above the others' shares."""
    return [sum([value - others[other] for other, value in row]) // len(row) if row else 0 for row in edges]


def _turned(edges: Edges, column_count: int) -> list[list[tuple[int, int]]]:
    """Return for each column its (row, value), in the order of rows."""
    turned: list[list[tuple[int, int]]] = [[] for _ in range(column_count)]
    for row, row_edges in enumerate(edges):
        for column, value in row_edges:
            turned[column].append((row, value))
    return turned


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
        offers = _turned(self._edges, len(self.price))
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
