"""News: whoever follows the log is woken by a commit and never polls."""

from __future__ import annotations

import asyncio

__all__ = ["News"]


class News:
    """The newest sequence number of this process, and those who wait for a newer one."""

    def __init__(self) -> None:
        self.last_seq = 0
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.Future[None] | None = None

    def tell(self, seq: int) -> None:
        """Take note of a commit."""
        self.last_seq = max(self.last_seq, seq)
        if self._next is not None:
            self._next.set_result(None)
            self._next = None

    async def wait(self, after: int, wait_s: float) -> bool:
        """Wait at most `wait_s` seconds for an entry after sequence number `after`."""
        until = self._loop.time() + wait_s
        while self.last_seq <= after:
            left = until - self._loop.time()
            if left <= 0:
                return False
            if self._next is None:
                self._next = self._loop.create_future()
            await asyncio.wait([self._next], timeout=left)
        return True
