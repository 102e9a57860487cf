"""The writing side of a SQLite store: one connection, and everything that is ever written through it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from concerted.errors import WrongPhase
from concerted.ports.store import ArchiveRecord, Record, Renewal, RunRecord, Write
from concerted.stores.adoption import UNFINISHED, parents_first, takeovers
from concerted.stores.archives import Packed, archived_row, check_finished
from concerted.stores.commit import LARGE_BYTES, Answer, Durability, LogRow, Numbering, Prepared, merge, prepare
from concerted.stores.history import newest_snapshot, projected_entries, take_snapshot
from concerted.stores.projections import TABLES, Change, columns_of
from concerted.stores.queries import (
    blobs_of,
    ending_of,
    epoch_of,
    find_all,
    get,
    last_seq,
    length_of,
    load_tables,
    statement,
)  # fmt: skip
from concerted.stores.renewals import Renewals
from concerted.stores.sqlite.schema import open_for_writing, transaction
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

    def __init__(self, path: Path, durability: Durability, snapshot_every: int, renewals: Renewals) -> None:
        self.commits = 0
        self.rows = 0
        self._path = path
        self._renewals = renewals
        self._snapshot_every = snapshot_every
        self._connection = open_for_writing(path, durability)
        self._statements: dict[tuple[object, ...], str] = {}
        self._number_anew()
        self._snapshot, self._snapshot_records = newest_snapshot(self._connection)
        self._take_over_renewals()

    def leave_renewals(self) -> None:
        """Leave what is held to the next owner; one that comes after a crash finds nothing and grants full times."""
        with transaction(self._connection, "immediate"):
            self._connection.executemany(
                "insert or replace into renewals values (?, ?, ?)",
                [(one.stream, one.key, one.until) for one in self._renewals.all()],
            )

    def _take_over_renewals(self) -> None:
        left = self._connection.execute("select stream, key, until from renewals").fetchall()
        if left:
            self._renewals.change([Renewal(*row) for row in left], ())
            with transaction(self._connection, "immediate"):
                self._connection.execute("delete from renewals")

    def commit(self, prepared: Sequence[Prepared]) -> list[Answer]:
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

    def archive(self, archive: Packed, at: Instant) -> ArchiveRecord:
        """Delete a stream's rows, which stand in a file by now, and say where they went.

        Raises:
            WrongPhase: it has not ended, or has grown since the file was written.
        """
        connection, stream = self._connection, archive.stream
        existing = get(connection, ArchiveRecord, (stream,))
        if existing is not None:
            return existing
        check_finished(stream, *ending_of(connection, stream))
        if length_of(connection, stream) != archive.length:
            raise WrongPhase(f"{stream!r} is still being written to; archive it later", stream=stream)
        found = [get(connection, table, key) for table, key in archive.touched]
        row = archived_row(archive, [record for record in found if record is not None], at)
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
            last_seq(connection), lambda run: epoch_of(connection, run), lambda stream: length_of(connection, stream),
            self._renewals,
        )  # fmt: skip

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
                )  # one that is gone has no columns, only its key
            for sql, values_of_each in groups.items():
                self._connection.executemany(sql, values_of_each)

    def _statement(self, change: Change) -> str:
        name = (change.table, change.whole, change.gone, change.unless_null, *change.columns)
        sql = self._statements.get(name)
        if sql is None:
            sql = self._statements[name] = statement(change)
        return sql


def _whole(record: Record) -> Change:
    table = type(record)
    columns = {name: getattr(record, name) for name in columns_of(table).names}
    return Change(table, tuple(columns[name] for name in table.key), columns, whole=True)
