"""How the log and the tables are read from SQLite: every question, on any connection, in one place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from concerted.ports.store import ArchiveRecord, Entry, PrimitiveRecord, Record, RunRecord
from concerted.stores import questions
from concerted.stores.commit import entry_of
from concerted.stores.projections import TABLES, Change, columns_of
from concerted.stores.tables import FIND_LIMIT, Tables
from concerted.values import Instant

__all__ = [
    "blobs_of",
    "ending_of",
    "epoch_of",
    "find",
    "find_all",
    "get",
    "last_seq",
    "length_of",
    "load_tables",
    "log",
    "statement",
    "stream_rows",
]

T = TypeVar("T", bound=Record)


def get(connection: sqlite3.Connection, table: type[T], key: Sequence[str]) -> T | None:
    """Return the record with this key."""
    row = connection.execute(*questions.get(table, key)).fetchone()
    return None if row is None else _record(table, row)


def find(
    connection: sqlite3.Connection, table: type[T], where: Mapping[str, Any] | None, limit: int,
    after: Sequence[str], until: tuple[str, Instant] | None = None,
) -> list[T]:  # fmt: skip
    """Return matching records in key order."""
    rows = connection.execute(*questions.find(table, where, limit, after, until))
    return [_record(table, row) for row in rows]


def find_all(connection: sqlite3.Connection, table: type[T], where: Mapping[str, Any]) -> list[T]:
    """Return all matching records, however many, in key order."""
    found: list[T] = []
    while True:
        after = [getattr(found[-1], name) for name in table.key] if found else []
        page = find(connection, table, where, FIND_LIMIT, after)
        found += page
        if len(page) < FIND_LIMIT:
            return found


def log(
    connection: sqlite3.Connection, after: int, until: int | None, names: Mapping[str, str | None], limit: int
) -> list[Entry]:
    """Return entries with `after < seq <= until`.  names: column -> its value, or a prefix of it and `*`."""
    return [entry_of(row) for row in connection.execute(*questions.log(after, until, names, limit))]


def stream_rows(connection: sqlite3.Connection, stream: str, after: int, limit: int) -> list[Entry]:
    """Return those entries of a stream that are in the log itself."""
    return [entry_of(row) for row in connection.execute(*questions.stream_rows(stream, after, limit))]


def last_seq(connection: sqlite3.Connection) -> int:
    """Return the newest sequence number, 0 for an empty log.

    The newest row of all is always in the log: archiving deletes rows and appends a younger one.
    """
    [seq] = connection.execute("select coalesce(max(seq), 0) from log").fetchone()
    return int(seq)


def epoch_of(connection: sqlite3.Connection, run: str) -> int:
    """Return a run's epoch, 0 if there is no such run."""
    row = connection.execute("select epoch from runs where id = ?", (run,)).fetchone()
    return int(row[0]) if row else 0


def ending_of(connection: sqlite3.Connection, stream: str) -> tuple[RunRecord | None, PrimitiveRecord | None]:
    """Return the record that says whether a stream is finished: of the run, or of the primitive, that has it."""
    run = get(connection, RunRecord, (stream[4:],)) if stream.startswith("run:") else None
    return run, get(connection, PrimitiveRecord, (stream,))


def length_of(connection: sqlite3.Connection, stream: str) -> int:
    """Return the `stream_seq` of a stream's newest row, also if that is archived."""
    [newest] = connection.execute("select max(stream_seq) from log where stream = ?", (stream,)).fetchone()
    if newest is None:
        archived = get(connection, ArchiveRecord, (stream,))
        return archived.entries if archived else 0
    return int(newest)


def blobs_of(connection: sqlite3.Connection, stream: str) -> list[bytes]:
    """Return the hashes of the large data that a stream's rows refer to."""
    question = "select distinct hash from log where stream = ? and hash is not null order by hash"
    return [row[0] for row in connection.execute(question, (stream,))]


def load_tables(connection: sqlite3.Connection) -> Tables:
    """Read all tables into memory; O(records)."""
    tables = Tables()
    for table in TABLES:
        tables.fill(table, _records(connection, table))
    return tables


def statement(change: Change) -> str:
    """Write the SQL that makes a change.  Its values: the columns' in order, then the key's."""
    names = list(change.columns)
    if change.whole:
        return f"replace into {change.table.table}({', '.join(names)}) values ({', '.join('?' * len(names))})"
    test = " and ".join(f"{name} = ?" for name in change.table.key)
    if change.gone:
        return f"delete from {change.table.table} where {test}"
    if change.unless_null:
        test += f" and {change.unless_null} is not null"
    return f"update {change.table.table} set {', '.join(f'{name} = ?' for name in names)} where {test}"


def _records(connection: sqlite3.Connection, table: type[T]) -> Iterator[T]:
    names = ", ".join(columns_of(table).names)
    rows = connection.execute(f"select {names} from {table.table} order by {', '.join(table.key)}")
    return (_record(table, row) for row in rows)


def _record(table: type[T], row: Iterable[Any]) -> T:
    columns = columns_of(table)
    values = dict(zip(columns.names, row, strict=True))
    for name in columns.truth:
        values[name] = bool(values[name])
    return table(**values)
