"""Finished streams of a PostgreSQL store: packed like the files of SQLite, in a table of their own, the attic."""

from __future__ import annotations

from concerted.errors import WrongPhase
from concerted.ports.store import ArchiveRecord, PrimitiveRecord, RunRecord, Write
from concerted.stores.archives import Packed, archived_row, check_finished
from concerted.stores.commit import prepare
from concerted.stores.postgres.connection import Connection
from concerted.stores.postgres.flush import LOCK
from concerted.stores.postgres.pool import ask, record
from concerted.stores.postgres.writer import flush
from concerted.stores.questions import Question
from concerted.values import Instant

__all__ = ["ending_of", "move"]

_UNUSED = """
delete from blobs where hash = any(?) and not exists (select from log where log.hash = blobs.hash)
    returning hash"""


async def ending_of(connection: Connection, stream: str) -> tuple[RunRecord | None, PrimitiveRecord | None]:
    """Return the record that says whether a stream is finished: of the run, or of the primitive, that has it."""
    run = await record(connection, RunRecord, (stream[4:],)) if stream.startswith("run:") else None
    return run, await record(connection, PrimitiveRecord, (stream,))


async def move(connection: Connection, archive: Packed, content: bytes, at: Instant) -> ArchiveRecord:
    """Put a packed stream into the attic and delete its rows, in one transaction.

    Raises:
        WrongPhase: it has not ended, or has grown since it was packed.
    """
    stream = archive.stream
    async with connection.transaction():
        await connection.execute(LOCK)
        existing = await record(connection, ArchiveRecord, (stream,))
        if existing is not None:
            return existing
        check_finished(stream, *await ending_of(connection, stream))
        lengths = await ask(connection, Question("select length from heads where stream = ?", (stream,)))
        if lengths != [(archive.length,)]:
            raise WrongPhase(f"{stream!r} is still being written to; archive it later", stream=stream)
        found = [await record(connection, table, key) for table, key in archive.touched]
        row = archived_row(archive, [one for one in found if one is not None], at)
        deleted = await ask(connection, Question("delete from log where stream = ? returning hash", (stream,)))
        hashes = sorted({name for (name,) in deleted if name is not None})
        await ask(connection, Question(_UNUSED, (hashes,)))
        await connection.execute("insert into attic(path, content) values (%s, %s)", (archive.path, content))
        await flush(connection, [prepare(Write(rows=(row,)))], None)
        archived = await record(connection, ArchiveRecord, (stream,))
    assert archived is not None, f"{stream} was archived and has no record"
    return archived
