"""Errands: what a strategy has under way at once, and the news that something has come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from concerted.run import Run

__all__ = ["Errands"]


class Errands:
    """The work that goes on beside a strategy's main line.  changes: counts what has happened."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._going: set[asyncio.Future[None]] = set()
        self._changed = asyncio.Event()
        self._fault: BaseException | None = None
        self._watching = asyncio.ensure_future(self._watch())
        self.changes = 0

    def send(self, errand: Coroutine[Any, Any, None]) -> None:
        """Let something go on by itself; its end is news, its error is raised by `news`."""
        future = asyncio.ensure_future(errand)
        self._going.add(future)
        future.add_done_callback(self._back)

    def tell(self) -> None:
        """Say that something has happened."""
        self.changes += 1
        self._changed.set()

    async def news(self, seen: int) -> None:
        """Wait until something has happened since `changes` was `seen`; also that an agent came, changed or went.

        Raises:
            Whatever has gone wrong, by our own fault, in an errand.
        """
        if self.changes == seen:
            self._changed.clear()
            await self._changed.wait()
        if self._fault is not None:
            raise self._fault

    async def collect(self, within: float) -> None:
        """Wait for all errands to end, at most so long."""
        if self._going:
            await asyncio.wait(self._going, timeout=within)

    async def stop(self) -> None:
        """Call back whatever is still going on."""
        self._watching.cancel()
        going = list(self._going)
        for each in going:
            each.cancel()
        if going:
            await asyncio.wait(going)

    def _back(self, future: asyncio.Future[None]) -> None:
        self._going.discard(future)
        if not future.cancelled() and future.exception() is not None:
            self._fault = self._fault or future.exception()
        self.tell()

    async def _watch(self) -> None:
        async for _ in self._run.watch():
            self.tell()
