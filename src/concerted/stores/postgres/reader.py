"""Reading a PostgreSQL store, by whoever has its URL: every question, on a few connections; it writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from concerted.errors import NotFound, StoreDamaged
from concerted.ports.store import ArchiveRecord, Entry, Record
from concerted.stores import questions
from concerted.stores.archives import unpack
from concerted.stores.commit import entry_of
from concerted.stores.postgres.changes import record_of
from concerted.stores.postgres.connection import Address
from concerted.stores.postgres.history import tables_at
from concerted.stores.postgres.pool import Pool
from concerted.stores.postgres.text import to_text
from concerted.stores.tables import FIND_LIMIT, PastView
from concerted.values import Instant

__all__ = ["PostgresReader"]

T = TypeVar("T", bound=Record)


class PostgresReader:
    """Reads what is committed.  Get one from `PostgresReader.open`; a store has its own."""

    def __init__(self, address: Address) -> None:
        self.url = address.shown
        self.pool = Pool(address)

    @classmethod
    async def open(cls, url: str) -> PostgresReader:
        """Open a store for reading; what is committed later is seen.

        Raises:
            Invalid: this is no URL of one.  Unreachable: the database is away.  StoreDamaged: it is no store.
        """
        reader = cls(Address.parse(url))
        try:
            await reader.last_seq()
        except BaseException:
            await reader.close()
            raise
        return reader

    async def get(self, table: type[T], *key: str) -> T | None:
        """Return the record with this primary key."""
        rows = await self.pool.rows(questions.get(table, [to_text(part) for part in key]))
        return record_of(table, rows[0]) if rows else None

    async def find(
        self, table: type[T], where: Mapping[str, Any] | None = None, *, limit: int = 1000,
        after: Sequence[str] = (), until: tuple[str, Instant] | None = None,
    ) -> list[T]:  # fmt: skip
        """Return records whose columns equal `where`, ordered by key."""
        wanted = {name: _as_kept(value) for name, value in (where or {}).items()}
        rows = await self.pool.rows(questions.find(table, wanted, limit, [to_text(part) for part in after], until))
        return [record_of(table, row) for row in rows]

    async def find_all(self, table: type[T], where: Mapping[str, Any]) -> list[T]:
        """Return all matching records, however many, in key order."""
        found: list[T] = []
        while True:
            after = [getattr(found[-1], name) for name in table.key] if found else []
            page = await self.find(table, where, limit=FIND_LIMIT, after=after)
            found += page
            if len(page) < FIND_LIMIT:
                return found

    async def stream(self, stream: str, *, after: int = 0, limit: int = 100_000) -> list[Entry]:
        """Return a stream's entries with `stream_seq > after`, in order; archived streams included."""
        questions.check_limit(limit)
        rows = await self.pool.rows(questions.stream_rows(stream, after, limit))
        entries = [entry_of(row) for row in rows]
        if entries and entries[0].stream_seq == max(after, 0) + 1:
            return entries
        # What is missing at the front is archived: with its rows gone, their archive is there to be read.
        archived = await self.get(ArchiveRecord, stream)
        if archived is None or after >= archived.entries:
            return entries
        moved = await self.moved(archived.path)
        if len(moved) != archived.entries:
            raise StoreDamaged(f"{archived.path} has {len(moved)} entries of {stream!r}, not {archived.entries}")
        later = [entry for entry in entries if entry.stream_seq > archived.entries]
        return (moved[max(after, 0) :] + later)[:limit]

    async def log(
        self, *, after: int = 0, until: int | None = None, stream: str | None = None, kind: str | None = None,
        limit: int = 1000,
    ) -> list[Entry]:  # fmt: skip
        """Return the log's entries with `after < seq <= until`, in order; archived ones are in `stream` alone."""
        rows = await self.pool.rows(questions.log(after, until, {"stream": stream, "kind": kind}, limit))
        return [entry_of(row) for row in rows]

    async def last_seq(self) -> int:
        """Return the newest sequence number, 0 for an empty log."""
        row = await self.pool.row("select seq from counter")
        assert row is not None, "the counter has one row"
        return int(row[0])

    async def at(self, seq: int) -> PastView:
        """Return the tables as they were when `seq` was the newest.

        Raises:
            NotFound: `seq` is in the future, or it takes an archive that is gone.
        """
        async with self.pool.lent() as connection:
            return PastView(await tables_at(connection, seq))

    async def moved(self, path: str) -> list[Entry]:
        """Return the entries of an archive.

        Raises:
            NotFound: it is gone.  StoreDamaged: it is not what was written.
        """
        row = await self.pool.row("select content from attic where path = ?", (path,))
        if row is None:
            raise NotFound(f"the archive {path} of {self.url} is gone", path=path)
        return unpack(row[0], path)

    async def close(self) -> None:
        """Let go of the database.  Idempotent."""
        await self.pool.close()


def _as_kept(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_as_kept, value))
    return to_text(value) if isinstance(value, str) else value
