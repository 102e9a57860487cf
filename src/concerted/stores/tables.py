"""The current-state tables in memory: what a memory store keeps, and what the past looks like when it is folded."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar, cast

import msgspec

from concerted.errors import Invalid
from concerted.ports.store import Entry, Record, Row
from concerted.stores.projections import TABLES, Change, columns_of, project
from concerted.values import Instant

__all__ = ["FIND_LIMIT", "PastView", "Tables", "check_find"]

FIND_LIMIT = 10_000  # records in one answer of `find`

T = TypeVar("T", bound=Record)
Key = tuple[str, ...]


class Tables:
    """All tables, each a mapping from key to record, kept in key order."""

    def __init__(self) -> None:
        self._records: dict[type[Record], dict[Key, Record]] = {table: {} for table in TABLES}
        self._keys: dict[type[Record], list[Key]] = {table: [] for table in TABLES}

    def fold(self, facts: Iterable[Row | Entry]) -> None:
        """Apply everything that these rows change, in their order."""
        for fact in facts:
            for change in project(fact):
                self.apply(change)

    def apply(self, change: Change) -> None:
        """Apply one change."""
        records = self._records[change.table]
        now = records.get(change.key)
        if change.gone:
            if now is not None:
                keys = self._keys[change.table]
                del records[change.key], keys[bisect_left(keys, change.key)]
        elif change.whole:
            if now is None:
                insort(self._keys[change.table], change.key)
            records[change.key] = change.table(**change.columns)
        elif now is not None and (not change.unless_null or getattr(now, change.unless_null) is not None):
            records[change.key] = msgspec.structs.replace(now, **change.columns)

    def fill(self, table: type[T], records: Iterable[T]) -> None:
        """Set all records of a table at once; they come in key order."""
        self._records[table] = {tuple(getattr(one, name) for name in table.key): one for one in records}
        self._keys[table] = list(self._records[table])

    def get(self, table: type[T], key: Key) -> T | None:
        """Return the record with this key."""
        return cast("T | None", self._records[table].get(key))

    def find(
        self, table: type[T], where: Mapping[str, Any] | None, limit: int, after: Sequence[str],
        until: tuple[str, Instant] | None = None,
    ) -> list[T]:  # fmt: skip
        """Return one page of matching records in key order."""
        check_find(table, where, limit, after, until)
        return list(islice(self.matching(table, where or {}, after, until), limit))

    def matching(
        self, table: type[T], where: Mapping[str, Any], after: Sequence[str] = (),
        until: tuple[str, Instant] | None = None,
    ) -> Iterator[T]:  # fmt: skip
        """Go through matching records in key order; only those under an equal first key column are looked at."""
        column, latest = until or ("", 0.0)
        wanted = {name: value if isinstance(value, tuple) else (value,) for name, value in where.items()}
        keys, found = self._keys[table], cast("dict[Key, T]", self._records[table])
        start = bisect_right(keys, tuple(after)) if after else 0
        first = wanted.get(table.key[0], ())
        only = first[0] if len(first) == 1 else None
        if only is not None:
            start = max(start, bisect_left(keys, (only,)))
        for key in islice(keys, start, None):
            if only is not None and key[0] != only:
                break
            record = found[key]
            if column and ((instant := getattr(record, column)) is None or instant > latest):
                continue
            if all(getattr(record, name) in values for name, values in wanted.items()):
                yield record

    def all(self) -> dict[tuple[str, Key], Record]:
        """Return every record under its table's name and its key."""
        return {(table.table, key): self._records[table][key] for table in TABLES for key in self._keys[table]}

    def copy(self) -> Tables:
        """Return tables that change independently; the records, which cannot change, are shared."""
        twin = Tables()
        twin._records = {table: dict(records) for table, records in self._records.items()}
        twin._keys = {table: list(keys) for table, keys in self._keys.items()}
        return twin

    def differences(self, other: Tables) -> set[tuple[str, Key]]:
        """Name the records that only one of the two has, or that are not equal."""
        mine, theirs = self.all(), other.all()
        return {name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)}


class PastView:
    """The tables as of one sequence number, for reading."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self, table: type[T], *key: str) -> T | None:
        """Return the record with this primary key."""
        return self._tables.get(table, key)

    async def find(
        self, table: type[T], where: Mapping[str, Any] | None = None, *, limit: int = 1000,
        after: Sequence[str] = (), until: tuple[str, Instant] | None = None,
    ) -> list[T]:  # fmt: skip
        """Return records whose columns equal `where`, ordered by key."""
        return self._tables.find(table, where, limit, after, until)


def check_find(
    table: type[Record], where: Mapping[str, Any] | None, limit: int, after: Sequence[str],
    until: tuple[str, Instant] | None,
) -> None:  # fmt: skip
    """Refuse a question that no table can answer.

    Raises:
        Invalid: an unknown column, one of no instants, a limit out of bounds, or an `after` that is no key.
    """
    columns = columns_of(table)
    unknown = [name for name in where or {} if name not in columns.names]
    if unknown:
        raise Invalid(f"table {table.table} has no column {unknown[0]!r}; it has {', '.join(columns.names)}")
    if until is not None and until[0] not in columns.instants:
        raise Invalid(f"{until[0]!r} holds no instants in table {table.table}; {', '.join(columns.instants)} do")
    if not 1 <= limit <= FIND_LIMIT:
        raise Invalid(f"limit is {limit}; a page holds 1 to {FIND_LIMIT:,} records, and `after` asks for the next one")
    if after and len(after) != len(table.key):
        raise Invalid(f"after is {tuple(after)!r}; the key of table {table.table} is ({', '.join(table.key)})")
