"""Snapshots of all tables, as bytes, and the past that is folded from one: the same in every SQL store."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from concerted.ports.store import Entry, Record
from concerted.stores.projections import PROJECTED, TABLES, columns_of
from concerted.stores.tables import Tables

__all__ = ["SNAPSHOTS_KEPT", "freeze", "left_later", "past", "surplus", "thaw"]

SNAPSHOTS_KEPT = 32
NEWEST_KEPT = 8  # of these, as they are; the older ones are thinned out


class _Snapshot(msgspec.Struct, array_like=True):
    """One table's columns and rows."""

    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


_snapshots = msgspec.msgpack.Decoder(list[_Snapshot])


def freeze(tables: Iterable[tuple[type[Record], list[tuple[Any, ...]]]]) -> tuple[bytes, int]:
    """Return these tables, given as rows of their columns, as bytes; and how many records that is."""
    kept = [_Snapshot(table.table, columns_of(table).names, rows) for table, rows in tables]
    return zlib.compress(msgspec.msgpack.encode(kept), 1), sum(len(one.rows) for one in kept)


def thaw(data: bytes) -> Tables:
    """Return the tables that were frozen; columns that were unknown then have their defaults."""
    kept = {one.table: one for one in _snapshots.decode(zlib.decompress(data))}
    tables = Tables()
    for table in TABLES:
        if table.table in kept:
            tables.fill(table, sorted(_restored(table, kept[table.table]), key=_key))
    return tables


def surplus(seqs: Sequence[int]) -> list[int]:
    """Say which snapshots to drop: never the newest few, and of the older ones those that leave the smallest gap."""
    kept = list(seqs)
    dropped = []
    while len(kept) > SNAPSHOTS_KEPT:
        older = range(len(kept) - NEWEST_KEPT)
        _, place = min((kept[i + 1] - (kept[i - 1] if i else 0), i) for i in older)
        dropped.append(kept.pop(place))
    return dropped


def left_later(archivings: Iterable[Entry], begin: int, seq: int) -> list[str]:
    """Name the archives with rows between the two numbers.  archivings: the `stream.archived` rows after `seq`."""
    later = [entry.value() for entry in archivings]
    return [data["path"] for data in later if data["first_seq"] <= seq and data["last_seq"] > begin]


def past(tables: Tables, begin: int, seq: int, entries: Sequence[Entry], moved: Sequence[Entry]) -> Tables:
    """Fold into the tables as of `begin` what changes them until `seq`.

    entries: from the log, those between the two that are projected.  moved: whole streams out of archives.
    """
    between = [entry for entry in moved if begin < entry.seq <= seq and entry.kind in PROJECTED]
    every = [*entries, *between]
    if between:
        every.sort(key=lambda entry: entry.seq)
    tables.fold(every)
    return tables


def _restored(table: type[Record], kept: _Snapshot) -> Iterator[Record]:
    truth = columns_of(table).truth
    for row in kept.rows:
        columns = dict(zip(kept.columns, row, strict=True))
        yield table(**{name: bool(value) if name in truth else value for name, value in columns.items()})


def _key(record: Record) -> tuple[str, ...]:
    return tuple(getattr(record, name) for name in type(record).key)
