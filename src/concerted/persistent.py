"""A persistent map: changing it gives another map and leaves this one as it was, at the cost of a dictionary.

All versions share one dictionary, which is that of the version used last; the others know what to undo
on the way to it.  Machines go from each state to the next, so nearly every use is of the newest version and
costs O(1) whatever the size; going back costs O(changes between the two), and a version to which somebody
goes back time and again gets a dictionary of its own.

Source: Baker 1991, "Shallow binding makes functional arrays fast", section 3 (there for arrays).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast, overload

__all__ = ["Map"]

K = TypeVar("K", str, int)
V = TypeVar("V")
D = TypeVar("D")


class _Missing:
    """Stands for a key that was not there."""


_MISSING: Any = _Missing()
NEAR = 16  # changes that are undone and done again without a second thought
COPIED_PER_CHANGE = 64  # entries that are copied in the time in which one change is undone


class Map(Mapping[K, V], Generic[K, V]):
    """An immutable mapping with str or int keys.  Iteration is in the order of the keys, O(n log n).

    Not for several threads at once: reading an older version moves the shared dictionary to it.
    """

    # Either `_entries` is the dictionary, or this version is the one `_newer` but for one key.
    __slots__ = ("_entries", "_far", "_key", "_newer", "_value")

    def __init__(self, entries: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        self._entries: dict[K, V] | None = dict(entries)
        self._newer: Map[K, V] | None = None
        self._key: Any = None
        self._value: Any = None
        self._far = False  # whether somebody has come back to it from afar

    def set(self, key: K, value: V) -> Map[K, V]:
        """Return a map in which `key` stands for `value`."""
        entries = self._entries
        if entries is None:
            entries = self._reached()
        before = entries.get(key, _MISSING)
        if before is value:
            return self
        entries[key] = value
        return self._followed_by(entries, key, before)

    def without(self, key: K) -> Map[K, V]:
        """Return a map without `key`; this one, if it does not have it."""
        entries = self._entries
        if entries is None:
            entries = self._reached()
        before = entries.pop(key, _MISSING)
        return self if before is _MISSING else self._followed_by(entries, key, before)

    def __getitem__(self, key: K) -> V:
        return (self._reached() if self._entries is None else self._entries)[key]

    @overload
    def get(self, key: K, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V | D, /) -> V | D: ...
    def get(self, key: K, default: Any = None, /) -> Any:
        """Return the value of `key`, or `default`."""
        return (self._reached() if self._entries is None else self._entries).get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in (self._reached() if self._entries is None else self._entries)

    def __len__(self) -> int:
        return len(self._reached() if self._entries is None else self._entries)

    def __iter__(self) -> Iterator[K]:
        return iter(sorted(self._reached()))

    def unordered(self) -> Iterator[tuple[K, V]]:
        """Go through the entries in no order, O(n): for sums, counts and tests, where none can be seen."""
        return iter(list(self._reached().items()))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Map):
            return dict(self._reached()) == other._reached()
        return self._reached() == other if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Map({dict(self)!r})"

    def _followed_by(self, entries: dict[K, V], key: K, before: Any) -> Map[K, V]:
        """Hand the changed dictionary to a new version, and remember what to undo."""
        newer: Map[K, V] = Map.__new__(Map)
        newer._entries, newer._newer, newer._key, newer._value, newer._far = entries, None, None, None, False
        self._entries, self._newer, self._key, self._value = None, newer, key, before
        return newer

    def _reached(self) -> dict[K, V]:
        """Make the shared dictionary this version's, undoing one change after the other, the newest first."""
        way: list[Map[K, V]] = []
        at: Map[K, V] = self
        while at._entries is None:
            way.append(at)
            at = cast("Map[K, V]", at._newer)
        entries = at._entries
        if len(way) > NEAR:
            if self._far or len(entries) < COPIED_PER_CHANGE * len(way):
                return self._parted(way, dict(entries))
            self._far = True
        for older in reversed(way):
            key = older._key
            at._newer, at._key, at._value = older, key, entries.get(key, _MISSING)
            at._entries = None
            if older._value is _MISSING:
                del entries[key]
            else:
                entries[key] = older._value
            older._entries, older._newer, older._key, older._value = entries, None, None, None
            at = older
        return entries

    def _parted(self, way: list[Map[K, V]], entries: dict[K, V]) -> dict[K, V]:
        """Give this version a dictionary of its own, made of a copy of the newest one's."""
        for older in reversed(way):
            if older._value is _MISSING:
                del entries[older._key]
            else:
                entries[older._key] = older._value
        self._entries, self._newer, self._key, self._value = entries, None, None, None
        return entries
