"""The SQLite file itself: numbered migrations, the statements, and the tests a file passes before we write to it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from concerted.errors import ConcertedError, NotAllowed, StoreDamaged, Unreachable
from concerted.stores.commit import Durability

__all__ = ["Durability", "open_for_reading", "open_for_writing", "transaction", "translated"]

APPLICATION_ID = 0x434F4E43  # "CONC", at byte 68 of the file
SMALLEST_BYTES = 512  # of a SQLite file that is not empty
BUSY_S = 10.0  # how long another program (a backup, a shell) may hold the file before we give up
CHECKPOINT_PAGES = 4000  # of 4 KiB: how long the write-ahead log grows before it is copied into the file

# Each migration is run once, in one transaction, and never edited afterwards.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """create table log(
            seq integer primary key, stream text not null, stream_seq integer not null, at real not null,
            kind text not null, agent text, ref text, data blob, hash blob, lamport integer not null)""",
        "create unique index log_stream on log(stream, stream_seq)",
        "create index log_hash on log(hash) where hash is not null",
        "create table blobs(hash blob primary key, data blob not null)",
        "create table snapshots(seq integer primary key, records integer not null, data blob not null)",
        """create table runs(
            id text primary key, strategy text not null, status text not null, parent text, root text not null,
            plan text, created_at real not null, started_at real, ended_at real, deadline_at real, node text,
            epoch integer not null, attempts integer not null, progress blob, result blob, error text,
            archived integer not null)""",
        "create index runs_status on runs(status, id)",
        "create index runs_parent on runs(parent, id) where parent is not null",
        """create table tasks(
            run text not null, id text not null, status text not null, agent text, attempts integer not null,
            epoch integer not null, description text not null, after blob not null, result blob, error text,
            since real not null, primary key (run, id))""",
        """create table agents(
            id text primary key, profile blob not null, link text not null, spec blob not null, state text not null,
            since real not null, reason text not null)""",
        """create table archives(
            stream text primary key, path text not null, entries integer not null, size_bytes integer not null,
            at real not null)""",
    ),
    (
        """create table primitives(
            stream text primary key, kind text not null, id text not null, name text not null, status text not null,
            creator text, created_at real not null, ended_at real, deadline_at real, wake_at real,
            arrived integer not null, total integer not null, folded integer not null)""",
        "create index primitives_status on primitives(status, stream)",
        "create index primitives_wake_at on primitives(wake_at) where wake_at is not null",
        "create table participants(agent text not null, stream text not null, primary key (agent, stream))",
        """create table messages(
            agent text not null, id text not null, sender text not null, type text not null, priority text not null,
            status text not null, content blob not null, requires_acknowledgment integer not null,
            stored_at real not null, fetched_at real, acknowledged_at real, due_at real, attempts integer not null,
            escalate_to text, escalated integer not null, expires_at real,
            fetched_in text not null, primary key (agent, id))""",
        "create index messages_status on messages(agent, status, id)",
        "create index messages_due_at on messages(due_at) where due_at is not null",
        """create table renewals(
            stream text not null, key text not null, until real not null, primary key (stream, key))""",
        """create table principals(
            name text primary key, role text not null, token text not null, created_at real not null,
            revoked_at real)""",
    ),
    (
        "alter table messages add column number integer not null default 0",
        """update messages set number = log.seq from log
            where log.kind = 'message.stored' and log.ref = messages.id""",
    ),
)


def open_for_writing(path: Path, durability: Durability) -> sqlite3.Connection:
    """Open the file as its one writer, make it ours if it is new, and bring it up to date.

    Raises:
        StoreDamaged: it is not a store of ours, or one that newer code wrote; it was not touched.
        NotAllowed: it, or its directory, is read-only.
        Unreachable: it cannot be opened or written now.
    """
    _check_file(path)
    with translated(path):
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, cached_statements=512)
    try:
        with translated(path):
            version = _version(connection, path)
            [mode] = connection.execute("pragma journal_mode = wal").fetchone()
            if mode != "wal":
                raise Unreachable(f"{path} is on a file system without shared memory ({mode}); put it on a local disk")
            connection.execute(f"pragma synchronous = {durability}")
            connection.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute("pragma journal_size_limit = 67108864")
            _migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open the file for reading; connections may be handed from thread to thread, not shared.

    Raises:
        StoreDamaged, NotAllowed, Unreachable: as `open_for_writing`; also if the file is still empty.
    """
    uri = f"file:{quote(str(path.absolute()))}?mode=ro" + ("&immutable=1" if immutable else "")
    with translated(path):
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        with translated(path):
            if not _version(connection, path):
                raise StoreDamaged(f"{path} is empty: nobody has opened it as a store yet", path=str(path))
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, which say whose fault it is and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error, path) from error


@contextmanager
def transaction(connection: sqlite3.Connection, kind: Literal["deferred", "immediate"]) -> Iterator[None]:
    """Run a block in one transaction; whatever it raises, nothing of it stays."""
    connection.execute(f"begin {kind}")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _check_file(path: Path) -> None:
    """Refuse what SQLite would not: it opens read-only files until the first write, and takes one byte for nothing."""
    if path.is_dir():
        raise StoreDamaged(f"{path} is a directory; name a file in it", path=str(path))
    if not path.exists():
        return
    if 0 < path.stat().st_size < SMALLEST_BYTES:
        raise StoreDamaged(f"{path} is not a store: file is not a database; it was not touched", path=str(path))
    if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise NotAllowed(f"{path} is read-only for this user; make it writable", path=str(path))


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema's number, 0 for a new file, after making sure that the file is ours to use."""
    [application] = connection.execute("pragma application_id").fetchone()
    [version] = connection.execute("pragma user_version").fetchone()
    [objects] = connection.execute("select count(*) from sqlite_master").fetchone()
    facts = {"path": str(path), "version": version}
    if application == 0 and version == 0 and objects == 0:
        return 0
    if application != APPLICATION_ID:
        raise StoreDamaged(f"{path} is a SQLite database of another program; it was not touched", **facts)
    if version > len(MIGRATIONS):
        raise StoreDamaged(
            f"{path} was written by a newer version of Concerted (schema {version}, this one knows {len(MIGRATIONS)}); "
            "it was not touched: upgrade Concerted to open it", **facts
        )  # fmt: skip
    return int(version)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    # Taking the write lock also shows at once that a file cannot be written.
    if version == len(MIGRATIONS):
        with transaction(connection, "immediate"):
            return
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        with transaction(connection, "immediate"):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"pragma application_id = {APPLICATION_ID}")
            connection.execute(f"pragma user_version = {number}")


def _ours(error: sqlite3.Error, path: Path) -> ConcertedError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    facts = {"path": str(path), "sqlite": getattr(error, "sqlite_errorname", "")}
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreDamaged(f"{path} is not a store: {error}; it was not touched", **facts)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return NotAllowed(f"{path} is read-only for this user ({error}); make it and its directory writable", **facts)
    if code == sqlite3.SQLITE_FULL:
        return Unreachable(f"no space left for {path} ({error}); free some and open the store again", **facts)
    if code == sqlite3.SQLITE_BUSY:
        return Unreachable(f"another program holds {path} ({error}); end it and open the store again", **facts)
    return Unreachable(f"{path} cannot be used now: {error}", **facts)
