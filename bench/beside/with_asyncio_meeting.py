"""The floor of meeting and of taking turns: asyncio's own barrier and locks, in memory, gone with the process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from workers import PARTIES, run


class InMemory:
    """A barrier, and a lock per name."""

    async def open(self) -> None:
        """Get ready."""
        self.barrier = asyncio.Barrier(PARTIES)
        self.locks: dict[str, asyncio.Lock] = {}

    async def close(self) -> None:
        """Leave nothing."""

    def processes(self) -> Sequence[int]:
        """Return none."""
        return ()

    async def arrive(self, turn: int, worker: int) -> None:  # noqa: ARG002
        """Wait for all."""
        await self.barrier.wait()

    async def acquire(self, name: str, worker: int) -> asyncio.Lock:  # noqa: ARG002
        """Wait for the lock."""
        lock = self.locks.setdefault(name, asyncio.Lock())
        await lock.acquire()
        return lock

    async def release(self, name: str, worker: int, token: asyncio.Lock) -> None:  # noqa: ARG002
        """Release it, and let others run, as every call to a server does."""
        token.release()
        await asyncio.sleep(0)


if __name__ == "__main__":
    run(InMemory(), sys.argv[1:])
