"""Agents that join a moment after their coordinator has begun, and whoever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from concerted.errors import Invalid, NotFound

__all__ = ["Arrivals"]

JOIN_S = 5.0  # how long too few agents may be here, just after a coordinator has begun

T = TypeVar("T")


class Arrivals:
    """Agents that join."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._next: asyncio.Future[None] = loop.create_future()  # done when the next agent joins

    def note(self) -> None:
        """Take note that one has joined."""
        joined, self._next = self._next, self._loop.create_future()
        joined.set_result(None)

    async def enough(self, find: Callable[[], T]) -> T:
        """Return what is found as soon as those are here whom it takes.

        Raises:
            Invalid, NotFound: what `find` says of those who are here in the end.
        """
        until = self._loop.time() + JOIN_S
        while True:
            joined = self._next  # before looking, so that nobody is missed
            try:
                return find()
            except (Invalid, NotFound):
                left_s = until - self._loop.time()
                if left_s <= 0:
                    raise
                await asyncio.wait([joined], timeout=left_s)
