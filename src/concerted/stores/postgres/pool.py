"""A few connections for reading, opened when they are needed and replaced when they break."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from psycopg.pq import TransactionStatus

from concerted.errors import Unreachable
from concerted.ports.store import Record
from concerted.stores import questions
from concerted.stores.postgres.changes import record_of
from concerted.stores.postgres.connection import Address, Connection, connect, translated
from concerted.stores.postgres.text import to_text
from concerted.stores.questions import Question

__all__ = ["ANSWER_S", "Pool", "ask", "record"]

SIZE = 3

T = TypeVar("T", bound=Record)
ANSWER_S = 60.0  # how long the server may take for one answer before it counts as away


class Pool:
    """Questions are answered on the first connection that is free; each commits by itself."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._free: list[Connection] = []
        self._slots = asyncio.Semaphore(SIZE)
        self._is_closed = False

    async def rows(self, question: Question) -> list[tuple[Any, ...]]:
        """Ask, and return all rows of the answer.

        Raises:
            Unreachable: the database is away; the next question looks for it anew.
        """
        async with self.lent() as connection, asyncio.timeout(ANSWER_S):
            return await ask(connection, question)

    async def row(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Ask, and return the first row, if there is one."""
        found = await self.rows(Question(sql, values))
        return found[0] if found else None

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Connection]:
        """Lend a connection; one that does not come back as it went is closed."""
        if self._is_closed:
            raise Unreachable(f"{self.address.shown} is not open", url=self.address.shown)
        async with self._slots:
            with translated(self.address):
                connection = await self._idle() or await connect(self.address, "reader")
                try:
                    yield connection
                finally:
                    # One in whose pipe there is an answer that nobody waits for is of no use any more.
                    if self._is_usable(connection):
                        self._free.append(connection)
                    else:
                        await connection.close()

    async def _idle(self) -> Connection | None:
        """Return a connection that nobody uses, and whose other end is still there as far as we know."""
        while self._free:
            connection = self._free.pop()
            if not _has_spoken(connection):
                return connection
            await connection.close()
        return None

    def _is_usable(self, connection: Connection) -> bool:
        return not self._is_closed and connection.info.transaction_status == TransactionStatus.IDLE

    async def close(self) -> None:
        """Close what is free, and the others when they come back.  Idempotent."""
        self._is_closed = True
        free, self._free = self._free, []
        for connection in free:
            await connection.close()


def _has_spoken(connection: Connection) -> bool:
    """Say whether something came that nobody asked for: the server's goodbye, most likely."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def ask(connection: Connection, question: Question) -> list[tuple[Any, ...]]:
    """Ask on this connection."""
    cursor = await connection.execute(question.sql.replace("?", "%s"), question.values, binary=True)
    return await cursor.fetchall()


async def record(connection: Connection, table: type[T], key: Sequence[str]) -> T | None:
    """Return the record with this primary key, as this connection sees it."""
    rows = await ask(connection, questions.get(table, [to_text(part) for part in key]))
    return record_of(table, rows[0]) if rows else None
