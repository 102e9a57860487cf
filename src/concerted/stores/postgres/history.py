"""The past of a PostgreSQL store: snapshots now and then, the tables as of any number, rebuilding them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from concerted.errors import NotFound
from concerted.ports.store import Entry, Record
from concerted.stores import questions
from concerted.stores.archives import unpack
from concerted.stores.commit import entry_of
from concerted.stores.postgres.changes import amendment, record_of
from concerted.stores.postgres.connection import Connection
from concerted.stores.postgres.flush import LOCK
from concerted.stores.postgres.pool import ask
from concerted.stores.postgres.text import from_text, numbers, texts
from concerted.stores.projections import TABLES, Change, columns_of
from concerted.stores.questions import Question
from concerted.stores.snapshots import freeze, left_later, past, surplus, thaw
from concerted.stores.tables import Tables

__all__ = ["newest_snapshot", "rebuild", "tables_at", "take_snapshot"]

PAGE = 5_000  # numbers of the log, or records, read at once

# One process takes a snapshot, and none does while the tables are rebuilt.  Locking a table, unlike any question,
# comes before the instant that a transaction sees.
_ALONE = "lock table snapshots in share row exclusive mode"
_NEWEST = "select seq, records from snapshots order by seq desc limit 1"


async def newest_snapshot(connection: Connection) -> tuple[int, int]:
    """Return the number of the newest snapshot and how many records it has; (0, 0) if there is none."""
    rows = await ask(connection, Question(_NEWEST, ()))
    return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)


async def take_snapshot(connection: Connection, due: int) -> tuple[int, int]:
    """Keep all tables as they are now, if the newest snapshot is `due` entries old; return as `newest_snapshot`.

    It reads them as of one instant and locks no writer out.

    Raises:
        psycopg.errors.LockNotAvailable: another process takes one.
    """
    async with _one_instant(connection):
        await connection.execute(f"{_ALONE} nowait")
        seq = await _last_seq(connection)
        newest, records = await newest_snapshot(connection)
        if seq - newest < max(due, records):
            return newest, records
        kept = [(table, [row async for row in _records(connection, table)]) for table in TABLES]
        data, records = await asyncio.to_thread(freeze, kept)
        await connection.execute("insert into snapshots values (%s, %s, %s)", (seq, records, data))
        seqs = [row[0] for row in await ask(connection, Question(questions.ALL_SNAPSHOTS, ()))]
        await connection.execute("delete from snapshots where seq = any(%s)", (surplus(seqs),))
    return seq, records


async def tables_at(connection: Connection, seq: int) -> Tables:
    """Return the tables as they were when `seq` was the newest.

    Raises:
        NotFound: there is no such number yet, or it takes an archive that is gone.
    """
    async with _one_instant(connection):
        newest = await _last_seq(connection)
        if not 0 <= seq <= newest:
            raise NotFound(f"there is no entry {seq} yet: the newest is {newest}", seq=seq, newest=newest)
        begin, tables = 0, Tables()
        for begin, data in await ask(connection, Question(questions.NEAREST_SNAPSHOT, (seq,))):  # noqa: B007
            tables = await asyncio.to_thread(thaw, data)
        later = [entry_of(row) for row in await ask(connection, Question(questions.LATER_ARCHIVES, (seq,)))]
        moved: list[Entry] = []
        for path in left_later(later, begin, seq):
            moved += await _moved(connection, path)
        entries = [entry async for entry in _projected(connection, begin, seq)]
    return await asyncio.to_thread(past, tables, begin, seq, entries, moved)


async def rebuild(connection: Connection) -> int:
    """Recompute every table from the log in one transaction, while nobody writes; return how many records differed."""
    async with connection.transaction():
        await connection.execute(LOCK)
        await connection.execute(_ALONE)
        true, kept = Tables(), Tables()
        async for entry in _projected(connection, 0, await _last_seq(connection)):
            true.fold((entry,))
        for table in TABLES:
            kept.fill(table, [record_of(table, row) async for row in _raw_records(connection, table)])
        wrong = true.differences(kept)
        records = true.all()
        changes = []
        for table in TABLES:
            names = sorted(key for name, key in wrong if name == table.table)
            changes += [_correction(table, key, records.get((table.table, key))) for key in names]
        amended = amendment(changes)
        values = (texts(amended.statements), texts(amended.values), numbers(amended.offsets))
        await connection.execute("select amend(%s, %s, %s, 0)", values)
        # They were taken of the tables as they stood.
        await connection.execute("delete from snapshots")
    return len(wrong)


def _correction(table: type[Record], key: tuple[str, ...], record: Record | None) -> Change:
    if record is None:
        return Change(table, key, {}, gone=True)
    return Change(table, key, {name: getattr(record, name) for name in columns_of(table).names}, whole=True)


@asynccontextmanager
async def _one_instant(connection: Connection) -> AsyncIterator[None]:
    """Have every statement of a block see the database as of the same instant."""
    async with connection.transaction():
        await connection.execute("set transaction isolation level repeatable read")
        yield


async def _last_seq(connection: Connection) -> int:
    [(seq,)] = await ask(connection, Question("select seq from counter", ()))
    return int(seq)


async def _projected(connection: Connection, after: int, until: int) -> AsyncIterator[Entry]:
    for begin in range(after, until, PAGE):
        for row in await ask(connection, questions.projected(begin, min(begin + PAGE, until))):
            yield entry_of(row)


async def _raw_records(connection: Connection, table: type[Record]) -> AsyncIterator[tuple[Any, ...]]:
    """Go through a table in key order, page by page, so that the event loop comes to its turn."""
    places = [columns_of(table).names.index(name) for name in table.key]
    after: list[Any] = []
    while True:
        rows = await ask(connection, questions.find(table, None, PAGE, after, None))
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        after = [rows[-1][place] for place in places]


async def _records(connection: Connection, table: type[Record]) -> AsyncIterator[tuple[Any, ...]]:
    names = columns_of(table).names
    texts_at = [place for place, name in enumerate(names) if name in columns_of(table).texts]
    async for row in _raw_records(connection, table):
        values = list(row)
        for place in texts_at:
            if values[place] is not None:
                values[place] = from_text(values[place])
        yield tuple(values)


async def _moved(connection: Connection, path: str) -> list[Entry]:
    rows = await ask(connection, Question("select content from attic where path = ?", (path,)))
    if not rows:
        raise NotFound(f"the archive {path} is gone", path=path)
    return await asyncio.to_thread(unpack, rows[0][0], path)
