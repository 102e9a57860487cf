"""What a store answers by its reader, whatever that reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from concerted.ports.store import Entry, ReadStore, Record, View
from concerted.values import Instant

__all__ = ["ReadThrough"]

T = TypeVar("T", bound=Record)


class ReadThrough(ABC):
    """The questions of `Store` that its reader answers."""

    @abstractmethod
    def _open_reader(self) -> ReadStore:
        """Return the reader of an open store.

        Raises:
            Unreachable: it is not open, or what it keeps is away.
        """

    async def get(self, table: type[T], *key: str) -> T | None:
        """Return the record with this primary key."""
        return await self._open_reader().get(table, *key)

    async def find(
        self, table: type[T], where: Mapping[str, Any] | None = None, *, limit: int = 1000,
        after: Sequence[str] = (), until: tuple[str, Instant] | None = None,
    ) -> list[T]:  # fmt: skip
        """Return records whose columns equal `where`, ordered by key."""
        return await self._open_reader().find(table, where, limit=limit, after=after, until=until)

    async def stream(self, stream: str, *, after: int = 0, limit: int = 100_000) -> list[Entry]:
        """Return a stream's entries with `stream_seq > after`, in order; archived streams included."""
        return await self._open_reader().stream(stream, after=after, limit=limit)

    async def log(
        self, *, after: int = 0, until: int | None = None, stream: str | None = None, kind: str | None = None,
        limit: int = 1000,
    ) -> list[Entry]:  # fmt: skip
        """Return the log's entries with `after < seq <= until`, in order; archived ones are in `stream` alone."""
        return await self._open_reader().log(after=after, until=until, stream=stream, kind=kind, limit=limit)

    async def last_seq(self) -> int:
        """Return the newest sequence number, 0 for an empty log."""
        return await self._open_reader().last_seq()

    async def at(self, seq: int) -> View:
        """Return the tables as they were when `seq` was the newest.

        Raises:
            NotFound: `seq` is in the future, or it takes an archive that is gone.
        """
        return await self._open_reader().at(seq)
