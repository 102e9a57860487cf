"""Round trips: a map of distances, how long a trip is, and moves that shorten it until none is left.

The moves are 2-opt (turn a part of the trip around) and Or-opt (move one to three stops elsewhere, either way
round), looked for among the nearest neighbours of stops at which something has changed.

Sources: Croes 1958 (2-opt); Or 1976 (Or-opt); Bentley 1992, "Fast algorithms for geometric traveling salesman
problems" (neighbour lists and what need not be looked at again).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from concerted.errors import Invalid

__all__ = ["MOST_STOPS", "Map", "Trip"]

MOST_STOPS = 2_000
NEAR = 10  # neighbours that are looked at from each stop
LONGEST = 3  # stops that Or-opt moves at once
TINY = 1e-9  # a gain below it, relative to the longest distance, is none


class Map:
    """Distances between stops 0..n-1, the same in both directions.  near: each stop's neighbours, nearest first."""

    def __init__(self, distances: Sequence[Sequence[float]]) -> None:
        """Take a square, symmetric matrix of finite distances that are at least 0.

        Raises:
            Invalid: it is none; says where.
        """
        count = len(distances)
        if not 1 <= count <= MOST_STOPS:
            raise Invalid(f"there are {count} stops; a round trip has 1 to {MOST_STOPS}")
        rows = [[float(each) for each in row] for row in distances]
        for one, row in enumerate(rows):
            if len(row) != count:
                raise Invalid(f"row {one} of the distances has {len(row)} numbers, not {count}")
            for other, length in enumerate(row):
                if not (math.isfinite(length) and length >= 0.0) or length != rows[other][one]:
                    raise Invalid(
                        f"the distance from {one} to {other} is {length}, and back {rows[other][one]}; "
                        "distances are at least 0, finite, and the same in both directions"
                    )
        self.rows = rows
        self.near = [
            sorted((other for other in range(count) if other != one), key=lambda other: (row[other], other))[:NEAR]
            for one, row in enumerate(rows)
        ]
        self.least_gain = TINY * max(map(max, rows))

    @classmethod
    def of_points(cls, points: Sequence[Sequence[float]]) -> Map:
        """Take points of a plane or a space; distances are straight lines.

        Raises:
            Invalid: a point has another number of coordinates than the first, or one that is no number.
        """
        for place, point in enumerate(points):
            if len(point) != len(points[0]) or not all(math.isfinite(each) for each in point):
                raise Invalid(f"point {place} is {list(point)}; give every point the same number of finite coordinates")
        return cls([[_straight(one, other) for other in points] for one in points])

    def __len__(self) -> int:
        return len(self.rows)

    def length(self, order: Sequence[int]) -> float:
        """Return how long a round trip is.

        Raises:
            Invalid: it does not visit every stop once.
        """
        if sorted(order) != list(range(len(self))):
            raise Invalid(f"a trip of {len(order)} stops does not visit each of {len(self)} stops once")
        return math.fsum(self.rows[one][other] for one, other in zip(order, [*order[1:], order[0]], strict=True))

    def nearest_first(self) -> list[int]:
        """Return the trip that always goes on to the nearest stop not visited yet, from stop 0."""
        left, order = set(range(1, len(self))), [0]
        while left:
            row = self.rows[order[-1]]
            best = next((near for near in self.near[order[-1]] if near in left), None)
            if best is None:
                best = min(sorted(left), key=row.__getitem__)
            left.discard(best)
            order.append(best)
        return order


class Trip:
    """A round trip that is being changed.  order: stop after stop; place: stop -> where in the order."""

    def __init__(self, where: Map, order: Sequence[int]) -> None:
        self.map = where
        self.order = list(order)
        self.place = [0] * len(self.order)
        self._number(range(len(self.order)))

    def follow(self, one: int, other: int) -> None:
        """Move `other` to directly behind `one`."""
        order, place = self.order, self.place
        here, there = place[one], place[other]
        if there > here:
            order[here + 1 : there + 1] = [other, *order[here + 1 : there]]
            self._number(range(here + 1, there + 1))
        else:
            order[there : here + 1] = [*order[there + 1 : here + 1], other]
            self._number(range(there, here + 1))

    def improve(self, around: Iterable[int] | None = None) -> None:
        """Make moves that shorten the trip until none is left; begin at these stops, by default at all."""
        if len(self.order) < 5:
            self._try_all()
            return
        waiting = list(self.order if around is None else around)
        is_waiting = [False] * len(self.order)
        for stop in waiting:
            is_waiting[stop] = True
        while waiting:
            stop = waiting.pop()
            is_waiting[stop] = False
            changed = self._turn(stop) or self._move(stop)
            if changed:
                for each in (*changed, stop):
                    if not is_waiting[each]:
                        is_waiting[each] = True
                        waiting.append(each)

    def _turn(self, a: int) -> tuple[int, ...] | None:
        """Make the first 2-opt move at a stop that gains; returns the stops where the trip has changed."""
        order, place, rows, least = self.order, self.place, self.map.rows, self.map.least_gain
        last, row_a, near = len(order) - 1, rows[a], self.map.near[a]
        at = place[a]
        for forward in (True, False):
            b = (order[at + 1] if at < last else order[0]) if forward else order[at - 1]
            now, row_b = row_a[b], rows[b]
            for c in near:
                gain = now - row_a[c]
                if gain <= least:
                    break
                there = place[c]
                d = (order[there + 1] if there < last else order[0]) if forward else order[there - 1]
                if gain + rows[c][d] - row_b[d] > least:
                    if forward:
                        self._reverse(place[b], there)
                    else:
                        self._reverse(at, place[d])
                    return a, b, c, d
        return None

    def _move(self, a: int) -> tuple[int, ...] | None:
        """Move a part of the trip that begins or ends at `a` to next to a near stop, if that gains."""
        order, place, rows, least = self.order, self.place, self.map.rows, self.map.least_gain
        count, row_a, near, at = len(order), rows[a], self.map.near[a], place[a]
        for step in (1, -1):
            p = order[(at - step) % count]
            for length in range(min(LONGEST, count - 3)):
                e = order[(at + step * length) % count]
                q = order[(at + step * (length + 1)) % count]
                row_e = rows[e]
                saved = row_a[p] + row_e[q] - rows[p][q] - least
                for c in near:
                    if row_a[c] >= saved:
                        break
                    if (place[c] - at) * step % count <= length:
                        continue  # it is in the part itself
                    for way in (1, -1):
                        s = order[(place[c] + way) % count]
                        if (place[s] - at) * step % count <= length:
                            continue
                        if row_a[c] + row_e[s] - rows[c][s] < saved:
                            self._insert([order[(at + step * k) % count] for k in range(length + 1)], c, way)
                            return a, e, p, q, c, s
        return None

    def _insert(self, part: list[int], c: int, way: int) -> None:
        """Take a part out and put it next to `c`, its first stop beside it."""
        inside = set(part)
        rest = [stop for stop in self.order if stop not in inside]
        at = rest.index(c)
        if way == 1:
            rest[at + 1 : at + 1] = part
        else:
            rest[at:at] = part[::-1]
        self.order[:] = rest
        self._number(range(len(rest)))

    def _reverse(self, first: int, last: int) -> None:
        """Turn around the part from one place to another, or the rest, which is the same trip; whichever is shorter."""
        order, count = self.order, len(self.order)
        inner = (last - first) % count + 1
        if 2 * inner > count:
            first, last, inner = (last + 1) % count, (first - 1) % count, count - inner
        if first <= last:
            order[first : last + 1] = order[first : last + 1][::-1]
            self._number(range(first, last + 1))
            return
        for k in range(inner // 2):
            one, other = (first + k) % count, (last - k) % count
            order[one], order[other] = order[other], order[one]
            self.place[order[one]], self.place[order[other]] = one, other

    def _number(self, places: range) -> None:
        order, place = self.order, self.place
        for at in places:
            place[order[at]] = at

    def _try_all(self) -> None:
        """Take the shortest of the at most three different trips through four stops."""
        trips = [list(self.order)]
        if len(self.order) == 4:
            a, b, c, d = self.order
            trips += [[a, c, b, d], [a, b, d, c]]
        self.order[:] = min((self.map.length(trip), trip) for trip in trips)[1]
        self._number(range(len(self.order)))


def _straight(one: Sequence[Any], other: Sequence[Any]) -> float:
    return math.sqrt(math.fsum((a - b) * (a - b) for a, b in zip(one, other, strict=True)))
