"""Reading a SQLite store beside its owner, or when nobody owns it; takes no lock and writes nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from concerted.errors import ConcertedError, StoreDamaged, Unreachable
from concerted.ports.store import ArchiveRecord, Entry, Record
from concerted.stores import queries
from concerted.stores.archives import read_archive
from concerted.stores.calls import settle
from concerted.stores.history import tables_at
from concerted.stores.questions import check_limit
from concerted.stores.sqlite.schema import open_for_reading, transaction, translated
from concerted.stores.tables import PastView
from concerted.values import Instant

__all__ = ["SqliteReader"]

ATTEMPTS = 10  # to answer one question while the file is being opened and closed

_Stamp = tuple[int, int, int]
T = TypeVar("T", bound=Record)
R = TypeVar("R")
_Asked = tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]


class SqliteReader:
    """A connection for reading and the thread that it lives in; get one from `SqliteReader.open`.

    While there is no write-ahead log, nobody has the file open and it is read as it stands, so that not
    even SQLite's own side files are made.  Somebody may open it then at any instant: each answer counts
    only if the file is still the same after it, else the question is asked anew.
    """

    def __init__(self, path: Path, *, is_owned: bool = False) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path
        self._is_owned = is_owned
        self._connection: sqlite3.Connection | None = None
        self._stamp: _Stamp | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"reader of {path.name}")
        self._is_closed = False
        self._asked: list[_Asked] = []

    @classmethod
    async def open(cls, path: str | Path, *, is_owned: bool = False) -> SqliteReader:
        """Open a store for reading, whether or not somebody owns it; what is committed later is seen.

        is_owned: this process owns it, and will until the reader is closed.

        Raises:
            Unreachable: there is no such file, or it cannot be read.
            StoreDamaged: it is not a store, or a newer one.
        """
        reader = cls(Path(path), is_owned=is_owned)
        try:
            await reader.last_seq()
        except BaseException:
            await reader.close()
            raise
        return reader

    async def get(self, table: type[T], *key: str) -> T | None:
        """Return the record with this primary key."""
        return await self.ask(partial(queries.get, table=table, key=key))

    async def find(
        self, table: type[T], where: Mapping[str, Any] | None = None, *, limit: int = 1000,
        after: Sequence[str] = (), until: tuple[str, Instant] | None = None,
    ) -> list[T]:  # fmt: skip
        """Return records whose columns equal `where`, ordered by key."""
        return await self.ask(partial(queries.find, table=table, where=where, limit=limit, after=after, until=until))

    async def stream(self, stream: str, *, after: int = 0, limit: int = 100_000) -> list[Entry]:
        """Return a stream's entries with `stream_seq > after`, in order; archived streams included."""
        return await self.ask(partial(_stream, folder=self._path.parent, stream=stream, after=after, limit=limit))

    async def log(
        self, *, after: int = 0, until: int | None = None, stream: str | None = None, kind: str | None = None,
        limit: int = 1000,
    ) -> list[Entry]:  # fmt: skip
        """Return the log's entries with `after < seq <= until`, in order, as `Store.log`."""
        names = {"stream": stream, "kind": kind}
        return await self.ask(partial(queries.log, after=after, until=until, names=names, limit=limit))

    async def last_seq(self) -> int:
        """Return the newest sequence number, 0 for an empty log."""
        return await self.ask(queries.last_seq)

    async def at(self, seq: int) -> PastView:
        """Return the tables as they were when `seq` was the newest."""
        return await self.ask(partial(_at, folder=self._path.parent, seq=seq))

    async def ask(self, question: Callable[[sqlite3.Connection], R]) -> R:
        """Ask something else of the file; questions are answered one after the other."""
        if self._is_closed:
            raise Unreachable(f"{self._path} is closed; open it again", path=str(self._path))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._asked.append((question, future))
        if len(self._asked) == 1:
            loop.call_soon(self._hand_over, loop)
        return await future

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the thread all that was asked in one turn of the loop: one wake-up of each side for all of it."""
        asked, self._asked = self._asked, []
        self._thread.submit(self._answer_all, asked, loop)

    async def close(self) -> None:
        """Answer what has been asked and let go of the file.  Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            if self._asked:
                self._hand_over(asyncio.get_running_loop())
            await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
            self._thread.shutdown(wait=False)

    # In the thread

    def _answer_all(self, asked: list[_Asked], loop: asyncio.AbstractEventLoop) -> None:
        answers: list[tuple[asyncio.Future[Any], Any]] = []
        for question, future in asked:
            try:
                answers.append((future, self._answer(question)))
            except ConcertedError as error:
                answers.append((future, error))
            except BaseException as bug:  # ours: whoever still waits gets it
                answers += [(waiting, bug) for _, waiting in asked[len(answers) :]]
                loop.call_soon_threadsafe(settle, answers)
                raise
        with suppress(RuntimeError):  # a loop that was closed has nobody left who waits
            loop.call_soon_threadsafe(settle, answers)

    def _answer(self, question: Callable[[sqlite3.Connection], R]) -> R:
        for _ in range(ATTEMPTS):
            connection = self._connect()
            try:
                with translated(self._path):
                    answer = question(connection)
            except ConcertedError:
                if self._is_unchanged():
                    raise
            else:
                if self._is_unchanged():
                    return answer
            self._let_go()
        raise Unreachable(f"{self._path} is opened and closed too often to be read; try again", path=str(self._path))

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            if not self._path.is_file():
                raise Unreachable(f"there is no file {self._path}", path=str(self._path))
            self._stamp = None if self._is_owned else _stamp(self._path)
            self._connection = open_for_reading(self._path, immutable=self._stamp is not None)
        return self._connection

    def _is_unchanged(self) -> bool:
        return self._stamp is None or self._stamp == _stamp(self._path)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _stamp(path: Path) -> _Stamp | None:
    """Tell this content of a file that nobody has open from any other; None if somebody has, or was killed."""
    if path.with_name(path.name + "-wal").exists():
        return None
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


def _stream(connection: sqlite3.Connection, folder: Path, stream: str, after: int, limit: int) -> list[Entry]:
    check_limit(limit)
    with transaction(connection, "deferred"):
        archived = queries.get(connection, ArchiveRecord, (stream,))
        rows = queries.stream_rows(connection, stream, after, limit)
    if archived is None or after >= archived.entries:
        return rows
    moved = read_archive(folder / archived.path)
    if len(moved) != archived.entries:
        raise StoreDamaged(f"{archived.path} has {len(moved)} entries of {stream!r}; it should have {archived.entries}")
    return (moved[after:] + rows)[:limit]


def _at(connection: sqlite3.Connection, folder: Path, seq: int) -> PastView:
    with transaction(connection, "deferred"):
        return PastView(tables_at(connection, folder, seq))
