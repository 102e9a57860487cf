"""The store in one SQLite file, owned by one process at a time."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from concerted.errors import Unreachable
from concerted.ports.store import ArchiveRecord, Record, Renewal, RunRecord, Write
from concerted.stores import queries
from concerted.stores.archives import Packed, archive_folder, check_finished, write_archive
from concerted.stores.calls import Append
from concerted.stores.commit import Answer, Durability, check_renewals, prepare
from concerted.stores.ownership import Ownership
from concerted.stores.questions import LOG_LIMIT
from concerted.stores.read_through import ReadThrough
from concerted.stores.renewals import Renewals
from concerted.stores.sqlite.ledger import Ledger
from concerted.stores.sqlite.reader import SqliteReader
from concerted.stores.sqlite.writer import Writer
from concerted.values import Instant

__all__ = ["SqliteStore"]

T = TypeVar("T", bound=Record)


class SqliteStore(ReadThrough):
    """`Store` on a SQLite file: one writer thread with group commit, a reader thread beside it.

    durability: `full` survives a power cut with everything answered; `normal` may lose the newest
    commits in one, but nothing when only the process dies; `off` may damage the file.
    snapshot_every: entries between two snapshots, which bound the cost of `at`.
    """

    shared = False
    waits: None = None

    def __init__(
        self, path: str | Path, *, durability: Durability = "full", snapshot_every: int = 10_000
    ) -> None:  # fmt: skip
        self.path = Path(path)
        self.url = f"sqlite:///{self.path}"
        self.durability: Durability = durability
        self._snapshot_every = snapshot_every
        self._ownership = Ownership(self.path)
        self._renewals = Renewals()
        self._writer: Writer | None = None
        self._reader: SqliteReader | None = None
        self._pending: list[Append] = []

    @property
    def commits(self) -> int:
        """How many transactions of appended rows were written since it was opened."""
        ledger = self._writer.ledger if self._writer else None
        return ledger.commits if ledger else 0

    @property
    def rows(self) -> int:
        """How many rows were appended since it was opened."""
        ledger = self._writer.ledger if self._writer else None
        return ledger.rows if ledger else 0

    async def open(self) -> None:
        """Take ownership, migrate, and get ready to write.  A closed store may be opened again.

        Raises:
            Conflict: another process owns it (`facts["owner"]` is its pid).
            StoreDamaged: not a database, not a store of ours, or a newer one; it was not touched.
            NotAllowed: the file or its directory is read-only.
            Unreachable: there is no such directory, or the disk fails.
        """
        assert self._writer is None, f"{self.path} is open already"
        self._ownership.take()
        self._renewals.clear()
        ledger = partial(Ledger, self.path, self.durability, self._snapshot_every, self._renewals)
        writer = Writer(self.path, ledger)
        try:
            await writer.start()
            self._reader = await SqliteReader.open(self.path, is_owned=True)
        except BaseException:
            await writer.stop()
            self._ownership.release()
            raise
        self._writer = writer

    async def append(self, writes: Sequence[Write]) -> list[Answer]:
        """Write all rows of all unfenced writes in one transaction, shared with whoever else appends now.

        Who is cancelled while waiting does not know whether they were written.

        Raises:
            Invalid: a row cannot be kept; nothing was done.
            Unreachable: the commit failed or its outcome is unknown; nothing more is written until the
                store is opened again.
            Overloaded: the disk does not keep up.
        """
        self._open_writer()
        prepared = [prepare(write) for write in writes]
        if not prepared:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        if not self._pending:
            # All that is appended in this turn of the loop goes into one commit.
            loop.call_soon(self._flush)
        self._pending.append(Append(prepared, sum(len(write.rows) for write in writes), future))
        return await future

    async def adopt(self, node: str, at: Instant) -> list[RunRecord]:
        """Take over every unfinished run; whoever had them is gone, since this process owns the file."""
        writer = self._open_writer()
        self._flush()
        self._ownership.note(node)
        return await writer.do(lambda ledger: ledger.adopt(node, at))

    async def beat(self, node: str, ttl_s: float) -> bool:  # noqa: ARG002
        """Say whether the file is still owned: the lock ends with the process, not with a lease."""
        return self._writer is not None

    async def renew(self, renewals: Sequence[Renewal]) -> list[bool]:
        """Hold these longer, never shorter; False for what is not held (any more)."""
        self._open_writer()
        check_renewals(renewals)
        return self._renewals.renew(renewals)

    async def held(self, stream: str) -> dict[str, Instant]:
        """Return what is held of a stream, key -> until when."""
        self._open_writer()
        return self._renewals.held(stream)

    def listen(self, told: Callable[[int], None]) -> None:
        """Do nothing: no other process appends to the file."""

    async def rebuild(self) -> int:
        """Recompute every table from the log in one transaction; return how many records differed."""
        self._flush()
        return await self._open_writer().do(Ledger.rebuild)

    async def archive(self, stream: str) -> ArchiveRecord:
        """Move a finished stream into a file in `PATH.archive`.  Idempotent.

        Raises:
            NotFound: there is no such run.
            WrongPhase: it has not ended, or is still being written to.
            Unreachable: the file cannot be written; nothing was moved.
        """
        writer, reader = self._open_writer(), self._open_reader()
        existing = await reader.get(ArchiveRecord, stream)
        if existing is not None:
            return existing
        packed = await reader.ask(partial(_write_archive, store=self.path, stream=stream))
        return await writer.do(lambda ledger: ledger.archive(packed, time.time()))

    async def close(self) -> None:
        """Finish what is queued, release ownership.  Idempotent."""
        writer, reader = self._writer, self._reader
        if writer is None or reader is None:
            return
        self._flush()
        self._writer = self._reader = None
        try:
            # The writer goes last: only its connection copies the write-ahead log into the file.
            await reader.close()
            with suppress(Unreachable):
                await writer.do(Ledger.leave_renewals)
            await writer.stop()
        finally:
            self._ownership.release()

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if pending and self._writer is not None:
            self._writer.append(pending)

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise Unreachable(f"{self.path} is not open", path=str(self.path))
        return self._writer

    def _open_reader(self) -> SqliteReader:
        if self._reader is None:
            raise Unreachable(f"{self.path} is not open", path=str(self.path))
        return self._reader


def _write_archive(connection: sqlite3.Connection, store: Path, stream: str) -> Packed:
    """Write a finished stream to its file, in the reader's thread, while the writer goes on."""
    check_finished(stream, *queries.ending_of(connection, stream))
    return write_archive(archive_folder(store), queries.stream_rows(connection, stream, 0, LOG_LIMIT))
