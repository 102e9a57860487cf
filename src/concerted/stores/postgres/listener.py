"""Hearing of the commits of other processes: a connection that does nothing but LISTEN.

A notice is only a wake-up; the truth is read by number.  So a lost one does no harm as long as, whenever
the connection stands (again), whoever listens is told the newest number once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from psycopg import Error

from concerted.stores.postgres.connection import Address, Connection, connect
from concerted.stores.postgres.flush import CHANNEL
from concerted.stores.postgres.waits import WAITS_CHANNEL

__all__ = ["Listener"]

RETRY_S = (0.05, 2.0)  # between two attempts to connect: at first, and at most


class Listener:
    """Calls `told(seq)` for every commit but those of the process `own` (a number of the server's).

    waits: is called when nodes ask each other about waits, or answer.
    """

    def __init__(self, address: Address, told: Callable[[int], None], own: int, waits: Callable[[], None]) -> None:
        self._address = address
        self._told = told
        self._waits = waits
        self._own = own
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self) -> None:
        """Listen no longer."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        delay = RETRY_S[0]
        while True:
            try:
                connection = await connect(self._address, "listener")
                try:
                    for channel in (CHANNEL, WAITS_CHANNEL):
                        await connection.execute(f'listen "{channel}{self._address.schema}"')
                    rows = await connection.execute("select seq from counter")
                    for (seq,) in await rows.fetchall():
                        self._told(int(seq))
                    self._waits()
                    delay = RETRY_S[0]
                    await self._hear(connection)
                finally:
                    await connection.close()
            except (Error, OSError):
                # Whoever asks for something meets the same and is told; here it is enough to come back.
                await asyncio.sleep(delay)
                delay = min(2 * delay, RETRY_S[1])

    async def _hear(self, connection: Connection) -> None:
        async for notice in connection.notifies():
            if notice.channel.startswith(WAITS_CHANNEL):
                self._waits()
            elif notice.pid != self._own:
                self._told(int(notice.payload.partition(" ")[0]))
