"""The past of a SQLite store: snapshots of all tables now and then, and the tables as of any number."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from concerted.errors import NotFound
from concerted.ports.store import Entry
from concerted.stores import questions
from concerted.stores.archives import read_archive
from concerted.stores.commit import entry_of
from concerted.stores.projections import TABLES, columns_of
from concerted.stores.queries import last_seq
from concerted.stores.snapshots import freeze, left_later, past, surplus, thaw
from concerted.stores.tables import Tables

__all__ = ["newest_snapshot", "projected_entries", "tables_at", "take_snapshot"]


def take_snapshot(connection: sqlite3.Connection, seq: int) -> int:
    """Keep all tables as they are now, in the transaction that is open; return how many records that is."""
    rows = []
    for table in TABLES:
        question = f"select {', '.join(columns_of(table).names)} from {table.table}"
        rows.append((table, connection.execute(question).fetchall()))
    data, records = freeze(rows)
    connection.execute("replace into snapshots(seq, records, data) values (?, ?, ?)", (seq, records, data))
    seqs = [row[0] for row in connection.execute(questions.ALL_SNAPSHOTS)]
    connection.executemany("delete from snapshots where seq = ?", [(one,) for one in surplus(seqs)])
    return records


def newest_snapshot(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of the newest snapshot and how many records it has; (0, 0) if there is none."""
    row = connection.execute("select seq, records from snapshots order by seq desc limit 1").fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def tables_at(connection: sqlite3.Connection, folder: Path, seq: int) -> Tables:
    """Return the tables as they were when `seq` was the newest; call it inside one transaction.

    Raises:
        NotFound: there is no such number yet, or it takes the file of an archived stream that is gone.
    """
    newest = last_seq(connection)
    if not 0 <= seq <= newest:
        raise NotFound(f"there is no entry {seq} yet: the newest is {newest}", seq=seq, newest=newest)
    row = connection.execute(questions.NEAREST_SNAPSHOT, (seq,)).fetchone()
    begin, tables = (0, Tables()) if row is None else (int(row[0]), thaw(row[1]))
    later = [entry_of(row) for row in connection.execute(questions.LATER_ARCHIVES, (seq,))]
    moved = [entry for path in left_later(later, begin, seq) for entry in read_archive(folder / path)]
    return past(tables, begin, seq, list(projected_entries(connection, begin, seq)), moved)


def projected_entries(connection: sqlite3.Connection, after: int, until: int) -> Iterator[Entry]:
    """Go through those entries with `after < seq <= until` that change tables."""
    return (entry_of(row) for row in connection.execute(*questions.projected(after, until)))
