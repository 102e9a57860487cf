"""Whose requests were carried out, so that none is twice (section 4.1: "to ensure exactly-once semantics").

The paper's clients wait for one answer before they ask again, so that their newest timestamp is enough.  Here they may
have several requests under way: the numbers above `floor` that were carried out are kept, at most `limit` of them, and
then the floor rises; what lies at or below it is never carried out any more.  So how far numbers lie apart does not
matter, but how many higher ones were carried out before: up to `limit` do no harm.  The table follows from the log.
"""

from __future__ import annotations

import msgspec

__all__ = ["Done"]


class Done:
    """Numbers by client.  limit: how many are kept of each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._floors: dict[str, int] = {}
        self._above: dict[str, set[int]] = {}

    def has(self, client: str, number: int) -> bool:
        """Say whether a request was carried out, or is too old to be."""
        return number <= self._floors.get(client, 0) or number in self._above.get(client, ())

    def add(self, client: str, number: int) -> bool:
        """Note that a request is carried out; False if it was before, or is too old."""
        if self.has(client, number):
            return False
        above = self._above.setdefault(client, set())
        above.add(number)
        floor = self._floors.get(client, 0)
        if len(above) > self._limit:
            floor = min(above)
        while floor + 1 in above:
            floor += 1
        above.difference_update([each for each in above if each <= floor] if floor in above else ())
        self._floors[client] = floor
        return True

    def dump(self) -> bytes:
        """Return all there is, in one form only."""
        return msgspec.msgpack.encode(
            [(client, self._floors[client], sorted(self._above[client])) for client in sorted(self._floors)]
        )

    @classmethod
    def load(cls, limit: int, data: bytes) -> Done:
        """Read what `dump` has written; nothing, if there is nothing."""
        done = cls(limit)
        for client, floor, above in _table.decode(data) if data else ():
            done._floors[client], done._above[client] = floor, set(above)
        return done


_table = msgspec.msgpack.Decoder(list[tuple[str, int, list[int]]])
