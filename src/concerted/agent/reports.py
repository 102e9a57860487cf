"""Progress as it is told: at once, but not more often than every `PROGRESS_S`, and the newest always."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["PROGRESS_S", "Reports"]

PROGRESS_S = 0.5  # reports closer together than this are merged


class Reports:
    """The newest progress of each command in hand.  newest: key -> (step, of)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
        self.newest: dict[str, tuple[float, float]] = {}
        self._loop = loop
        self._tell = tell
        self._untold = False
        self._pause: asyncio.TimerHandle | None = None

    def note(self, key: str, step: float, of: float) -> None:
        """Take a report; tell it now, or when the pause is over."""
        self.newest[key] = (step, of)
        self._untold = True
        if self._pause is None:
            self._tell_now()

    def drop(self, key: str) -> None:
        """Forget a command that is over."""
        self.newest.pop(key, None)

    def stop(self) -> None:
        """Tell nothing more."""
        if self._pause is not None:
            self._pause.cancel()

    def _tell_now(self) -> None:
        self._pause = None
        if self._untold and self.newest:
            self._untold = False
            self._tell()
            self._pause = self._loop.call_later(PROGRESS_S, self._tell_now)
