"""The worker threads in which plain task functions run: shared by all agents of a process, bounded, daemons.

Daemons, because a function that hangs must not keep the process from ending; `concurrent.futures` joins
its threads at exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["WORKER_THREADS", "Threads"]

WORKER_THREADS = 256  # threads of one process, of all its agents together; further work waits its turn

Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Threads:
    """A pool that grows with the work waiting, up to `limit` threads, and keeps them."""

    def __init__(self, limit: int = WORKER_THREADS) -> None:
        self._limit = limit
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._count = 0

    def run(self, fn: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run `fn` in a thread; the future belongs to the running loop.  Cancelling it does not stop `fn`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._lock:
            if self._idle > 0:
                self._idle -= 1  # that thread is now spoken for
            elif self._count < self._limit:
                self._count += 1
                threading.Thread(target=self._work, name=f"concerted-work-{self._count}", daemon=True).start()
        self._jobs.put((loop, future, fn))
        return future

    def _work(self) -> None:
        while True:
            loop, future, fn = self._jobs.get()
            value, error = None, None
            try:
                value = fn()
            except BaseException as raised:  # also SystemExit: it would end the loop's thread, not this one
                error = raised
            with self._lock:
                self._idle += 1
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits
                loop.call_soon_threadsafe(_settle, future, value, error)
            del loop, future, fn, value, error


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    elif isinstance(error, StopIteration | SystemExit | KeyboardInterrupt):  # a future cannot carry these
        future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
    else:
        future.set_exception(error)
