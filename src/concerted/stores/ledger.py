"""The writing side of a SQLite store: one connection, and everything that is ever written through it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from concerted.errors import WrongPhase
from concerted.ports.store import ArchiveRecord, Entry, Fenced, Record, RunRecord, TaskRecord, Write
from concerted.stores.adoption import UNFINISHED, parents_first, takeovers
from concerted.stores.archives import archive_folder, archived_row, check_finished
from concerted.stores.commit import LogRow, Numbering, Prepared, merge, prepare
from concerted.stores.history import newest_snapshot, projected_entries, take_snapshot
from concerted.stores.projections import TABLES, Change, columns_of
from concerted.stores.queries import (
    blobs_of,
    epoch_of,
    find_all,
    get,
    last_seq,
    length_of,
    load_tables,
    statement,
)  # fmt: skip
from concerted.stores.sqlite_schema import LARGE_BYTES, Durability, open_for_writing, transaction
from concerted.stores.tables import Tables
from concerted.values import Instant

__all__ = ["Ledger"]

_INSERT = """insert into log(seq, stream, stream_seq, at, kind, agent, ref, data, lamport)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_INSERT_LARGE = """insert into log(seq, stream, stream_seq, at, kind, agent, ref, data, hash, lamport)
    values (?, ?, ?, ?, ?, ?, ?, null, ?, ?)"""
_UNUSED = "delete from blobs where hash = ? and not exists (select 1 from log where log.hash = blobs.hash)"


class Ledger:
    """What the writer thread does, one call at a time; it knows no threads and no event loop.

    commits, rows: how many of each it has appended, for whoever counts what a thing costs.
    """

    def __init__(self, path: Path, durability: Durability, snapshot_every: int) -> None:
        self.commits = 0
        self.rows = 0
        self._path = path
        self._snapshot_every = snapshot_every
        self._connection = open_for_writing(path, durability)
        self._statements: dict[tuple[object, ...], str] = {}
        self._number_anew()
        self._snapshot, self._snapshot_records = newest_snapshot(self._connection)

    def commit(self, prepared: Sequence[Prepared]) -> list[int | Fenced]:
        """Write these in one transaction; if all are refused, none is begun."""
        answers = [self._numbering.place(one) for one in prepared]
        rows, changes = self._numbering.take()
        if rows:
            with transaction(self._connection, "immediate"):
                self._write(rows, changes)
            self.commits += 1
            self.rows += len(rows)
        return answers

    def adopt(self, node: str, at: Instant) -> list[RunRecord]:
        """Take over every unfinished run, in one transaction."""
        unfinished = find_all(self._connection, RunRecord, {"status": UNFINISHED})
        self.commit([prepare(write) for write in takeovers(unfinished, node, at)])
        now = [get(self._connection, RunRecord, (run.id,)) for run in unfinished]
        return parents_first([run for run in now if run is not None])

    def rebuild(self) -> int:
        """Recompute every table from the log; return how many records differed."""
        connection = self._connection
        with transaction(connection, "immediate"):
            true = Tables()
            true.fold(projected_entries(connection, 0, self._numbering.seq))
            wrong = true.differences(load_tables(connection))
            records = true.all()
            for name, key in sorted(wrong):
                table = next(one for one in TABLES if one.table == name)
                test = " and ".join(f"{column} = ?" for column in table.key)
                connection.execute(f"delete from {name} where {test}", key)
                if (name, key) in records:
                    self._apply([_whole(records[name, key])])
            # They were taken of the tables as they stood.
            connection.execute("delete from snapshots")
        self._snapshot = self._snapshot_records = 0
        self._numbering.forget()
        return len(wrong)

    def archive(self, entries: Sequence[Entry], name: str, size_bytes: int, at: Instant) -> ArchiveRecord:
        """Delete a stream's rows, which stand in a file by now, and say where they went.

        Raises:
            WrongPhase: the run goes on, or the stream has grown since the file was written.
        """
        connection, stream = self._connection, entries[0].stream
        existing = get(connection, ArchiveRecord, (stream,))
        if existing is not None:
            return existing
        run = check_finished(stream, get(connection, RunRecord, (stream[4:],)))
        if length_of(connection, stream) != entries[-1].stream_seq:
            raise WrongPhase(f"{stream!r} is still being written to; archive it later", stream=stream)
        path = f"{archive_folder(self._path).name}/{name}"
        tasks = find_all(connection, TaskRecord, {"run": run.id})
        row = archived_row(entries, path, size_bytes, (run, tasks), at)
        self._numbering.place(prepare(Write(rows=(row,))))
        rows, changes = self._numbering.take()
        with transaction(connection, "immediate"):
            blobs = blobs_of(connection, stream)
            connection.execute("delete from log where stream = ?", (stream,))
            connection.executemany(_UNUSED, [(blob,) for blob in blobs])
            self._write(rows, changes)
        archived = get(connection, ArchiveRecord, (stream,))
        assert archived is not None, f"{stream} was archived and has no record"
        return archived

    def snapshot(self, *, idle: bool) -> None:
        """Take a snapshot if one is due: at once if there is nothing else to do, else a little later.

        One is due when as many entries have been written as the last one had records, and at least
        `snapshot_every`: so its cost is a bounded share of theirs.
        """
        since = self._numbering.seq - self._snapshot
        due = max(self._snapshot_every, self._snapshot_records)
        if since >= due and (idle or since >= 2 * due):
            with transaction(self._connection, "immediate"):
                self._snapshot_records = take_snapshot(self._connection, self._numbering.seq)
            self._snapshot = self._numbering.seq

    def recover(self) -> None:
        """Forget what was placed and not written: the caller's transaction was rolled back."""
        self._number_anew()

    def pragma(self, setting: str) -> tuple[object, ...]:
        """Ask SQLite for a setting of this connection, or change it: `busy_timeout = 20`."""
        return tuple(self._connection.execute(f"pragma {setting}").fetchone())

    def close(self) -> None:
        """Copy the write-ahead log into the file and close it."""
        self._connection.close()

    def _number_anew(self) -> None:
        connection = self._connection
        self._numbering = Numbering(
            last_seq(connection), lambda run: epoch_of(connection, run), lambda stream: length_of(connection, stream)
        )

    def _write(self, rows: list[LogRow], changes: list[Change]) -> None:
        small = [row for row in rows if len(row[7]) <= LARGE_BYTES]
        self._connection.executemany(_INSERT, small)
        if len(small) < len(rows):
            self._write_large([row for row in rows if len(row[7]) > LARGE_BYTES])
        if changes:
            self._apply(merge(changes))

    def _write_large(self, rows: list[LogRow]) -> None:
        for row in rows:
            name = hashlib.blake2b(row[7], digest_size=32).digest()
            self._connection.execute("insert or ignore into blobs(hash, data) values (?, ?)", (name, row[7]))
            self._connection.execute(_INSERT_LARGE, (*row[:7], name, row[8]))

    def _apply(self, changes: list[Change]) -> None:
        """Execute changes, those with the same statement together; a conditional one keeps its place."""
        stretches = groupby(changes, key=lambda change: bool(change.unless_null))
        for _, stretch in stretches:
            groups: dict[str, list[tuple[object, ...]]] = {}
            for change in stretch:
                values = change.columns.values()
                groups.setdefault(self._statement(change), []).append(
                    tuple(values) if change.whole else (*values, *change.key)
                )
            for sql, values_of_each in groups.items():
                self._connection.executemany(sql, values_of_each)

    def _statement(self, change: Change) -> str:
        name = (change.table, change.whole, change.unless_null, *change.columns)
        sql = self._statements.get(name)
        if sql is None:
            sql = self._statements[name] = statement(change)
        return sql


def _whole(record: Record) -> Change:
    table = type(record)
    columns = {name: getattr(record, name) for name in columns_of(table).names}
    return Change(table, tuple(columns[name] for name in table.key), columns, whole=True)
