"""The past of a SQLite store: snapshots of all tables now and then, and the tables as of any number."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from concerted.errors import NotFound
from concerted.ports.store import Entry, Record
from concerted.stores.archives import read_archive
from concerted.stores.commit import entry_of
from concerted.stores.projections import PROJECTED, TABLES, columns_of
from concerted.stores.queries import last_seq
from concerted.stores.sqlite_schema import SELECT
from concerted.stores.tables import Tables

__all__ = ["SNAPSHOTS_KEPT", "newest_snapshot", "projected_entries", "surplus", "tables_at", "take_snapshot"]

SNAPSHOTS_KEPT = 32
NEWEST_KEPT = 8  # of these, as they are; the older ones are thinned out

_KINDS = ", ".join(f"'{kind}'" for kind in sorted(PROJECTED))


class _Snapshot(msgspec.Struct, array_like=True):
    """One table's columns and rows."""

    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


_snapshots = msgspec.msgpack.Decoder(list[_Snapshot])


def take_snapshot(connection: sqlite3.Connection, seq: int) -> int:
    """Keep all tables as they are now, in the transaction that is open; return how many records that is."""
    kept = []
    for table in TABLES:
        names = columns_of(table).names
        rows = connection.execute(f"select {', '.join(names)} from {table.table}").fetchall()
        kept.append(_Snapshot(table.table, names, rows))
    records = sum(len(one.rows) for one in kept)
    data = zlib.compress(msgspec.msgpack.encode(kept), 1)
    connection.execute("replace into snapshots(seq, records, data) values (?, ?, ?)", (seq, records, data))
    seqs = [row[0] for row in connection.execute("select seq from snapshots order by seq")]
    connection.executemany("delete from snapshots where seq = ?", [(one,) for one in surplus(seqs)])
    return records


def newest_snapshot(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of the newest snapshot and how many records it has; (0, 0) if there is none."""
    row = connection.execute("select seq, records from snapshots order by seq desc limit 1").fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def surplus(seqs: Sequence[int]) -> list[int]:
    """Say which snapshots to drop: never the newest few, and of the older ones those that leave the smallest gap."""
    kept = list(seqs)
    dropped = []
    while len(kept) > SNAPSHOTS_KEPT:
        older = range(len(kept) - NEWEST_KEPT)
        _, place = min((kept[i + 1] - (kept[i - 1] if i else 0), i) for i in older)
        dropped.append(kept.pop(place))
    return dropped


def tables_at(connection: sqlite3.Connection, folder: Path, seq: int) -> Tables:
    """Return the tables as they were when `seq` was the newest; call it inside one transaction.

    Raises:
        NotFound: there is no such number yet, or it takes the file of an archived stream that is gone.
    """
    newest = last_seq(connection)
    if not 0 <= seq <= newest:
        raise NotFound(f"there is no entry {seq} yet: the newest is {newest}", seq=seq, newest=newest)
    row = connection.execute("select seq, data from snapshots where seq <= ? order by seq desc limit 1", (seq,))
    begin, tables = _load(row.fetchone())
    entries = list(projected_entries(connection, begin, seq))
    moved = [entry for path in _archives(connection, begin, seq) for entry in read_archive(folder / path)]
    entries += [entry for entry in moved if begin < entry.seq <= seq and entry.kind in PROJECTED]
    if moved:
        entries.sort(key=lambda entry: entry.seq)
    tables.fold(entries)
    return tables


def projected_entries(connection: sqlite3.Connection, after: int, until: int) -> Iterator[Entry]:
    """Go through those entries with `after < seq <= until` that change tables."""
    question = f"{SELECT} where seq > ? and seq <= ? and kind in ({_KINDS}) order by seq"
    return (entry_of(row) for row in connection.execute(question, (after, until)))


def _load(row: tuple[int, bytes] | None) -> tuple[int, Tables]:
    tables = Tables()
    if row is None:
        return 0, tables
    seq, data = row
    kept = {one.table: one for one in _snapshots.decode(zlib.decompress(data))}
    for table in TABLES:
        if table.table in kept:
            tables.fill(table, sorted(_restored(table, kept[table.table]), key=_key))
    return seq, tables


def _restored(table: type[Record], kept: _Snapshot) -> Iterator[Record]:
    truth = columns_of(table).truth
    for row in kept.rows:
        columns = dict(zip(kept.columns, row, strict=True))
        yield table(**{name: bool(value) if name in truth else value for name, value in columns.items()})


def _key(record: Record) -> tuple[str, ...]:
    return tuple(getattr(record, name) for name in type(record).key)


def _archives(connection: sqlite3.Connection, begin: int, seq: int) -> list[str]:
    """Name the files with rows between the two numbers that left the log only later."""
    question = f"{SELECT} where stream = 'store' and kind = 'stream.archived' and seq > ? order by seq"
    later = [entry_of(row).value() for row in connection.execute(question, (seq,))]
    return [data["path"] for data in later if data["first_seq"] <= seq and data["last_seq"] > begin]
