"""A fair queue as a frozen value: first come, first served, with priorities, and nobody starves.

A place in the queue is `(turn, number, ticket)`.  The turn is the instant at which the ticket was asked for, less
AGEING_S for each level of its priority; whoever has the earlier turn comes first, and of equal turns the smaller
number.  This is the same as a priority that rises by one level in each AGEING_S of waiting, yet it never changes:
so the order is fixed when a ticket joins, and a ticket can be overtaken only by those that are asked for at most
3 x AGEING_S after it.

Places stand in chunks of at most CHUNK: putting one in or taking one out copies one chunk and the list of chunks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping

import msgspec

from concerted.machine import Priority
from concerted.values import Instant

__all__ = ["AGEING_S", "EMPTY", "QUEUE_MAX", "RANKS", "Place", "Queue", "turn"]

AGEING_S = 60.0  # waiting for so long is worth one level of priority
QUEUE_MAX = 10_000  # tickets that may wait in one queue
RANKS: Mapping[Priority, int] = {"low": 0, "medium": 1, "high": 2, "critical": 3}
CHUNK = 64

Place = tuple[float, int, str]  # its turn (or any instant by which to sort), its number, its ticket


def turn(asked_at: Instant, priority: Priority) -> float:
    """Return by what a ticket is sorted that is asked for at this instant with this priority."""
    return asked_at - RANKS[priority] * AGEING_S


class Queue(msgspec.Struct, frozen=True):
    """Places in order.  chunks: none is empty."""

    chunks: tuple[tuple[Place, ...], ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.chunks))

    def __iter__(self) -> Iterator[Place]:
        return (place for chunk in self.chunks for place in chunk)

    @property
    def first(self) -> Place | None:
        """Who comes next."""
        return self.chunks[0][0] if self.chunks else None

    def put(self, place: Place) -> Queue:
        """Return the queue with this place in it."""
        if not self.chunks:
            return Queue(((place,),))
        at = max(0, bisect_right(self.chunks, place, key=_first) - 1)
        chunk = self.chunks[at]
        inner = bisect_left(chunk, place)
        longer = (*chunk[:inner], place, *chunk[inner:])
        halves = (longer,) if len(longer) <= CHUNK else (longer[: CHUNK // 2], longer[CHUNK // 2 :])
        return Queue((*self.chunks[:at], *halves, *self.chunks[at + 1 :]))

    def without(self, place: Place) -> Queue:
        """Return the queue without this place; as it is, if it has none such."""
        at = bisect_right(self.chunks, place, key=_first) - 1
        if at < 0:
            return self
        chunk = self.chunks[at]
        inner = bisect_left(chunk, place)
        if inner == len(chunk) or chunk[inner] != place:
            return self
        shorter = (*chunk[:inner], *chunk[inner + 1 :])
        return Queue((*self.chunks[:at], *([shorter] if shorter else ()), *self.chunks[at + 1 :]))

    def before(self, place: Place) -> Iterator[Place]:
        """Go through those who come before this place, in order."""
        for other in self:
            if other >= place:
                return
            yield other

    def back_from(self, place: Place) -> Iterator[Place]:
        """Go through those who come before this place, the nearest first."""
        for chunk in reversed(self.chunks):
            if chunk[0] < place:
                yield from (other for other in reversed(chunk) if other < place)

    def position(self, place: Place) -> int:
        """Return how many come before this place, and one: 1 is next.  O(n / CHUNK)."""
        at = max(0, bisect_right(self.chunks, place, key=_first) - 1)
        inner = bisect_left(self.chunks[at], place) if self.chunks else 0
        return 1 + inner + sum(map(len, self.chunks[:at]))


EMPTY = Queue()


def _first(chunk: tuple[Place, ...]) -> Place:
    return chunk[0]
