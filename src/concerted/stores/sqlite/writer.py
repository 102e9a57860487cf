"""The writer thread: everything queued while a commit is in flight joins the next, and is answered after it."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from concerted.errors import ConcertedError, Overloaded, Unreachable
from concerted.stores.calls import COMMIT_ROWS, QUEUED_ROWS, Append, Outcome, settle
from concerted.stores.sqlite.ledger import Ledger
from concerted.stores.sqlite.schema import translated

__all__ = ["Writer"]

T = TypeVar("T")


class _Job(NamedTuple):
    """Something else to do between two commits, and who waits for it."""

    do: Callable[[Ledger], Any]
    future: asyncio.Future[Any]


class Writer:
    """A thread with the one connection that writes.

    After the first failed commit nothing more is written: whether that one is on disk is unknown, and
    what comes next might contradict it.
    """

    def __init__(self, path: Path, open_ledger: Callable[[], Ledger]) -> None:
        self.ledger: Ledger | None = None
        self._path = path
        self._open_ledger = open_ledger
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[list[Append] | _Job | None] = queue.SimpleQueue()
        self._ahead: list[_Job | None] = []  # taken from the queue, not done yet: at most one
        self._has_ended = False
        self._queued_rows = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"writer of {path.name}", daemon=True)
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Open the ledger in the thread; raises what opening it raises."""
        self._thread.start()
        await self._opened

    def append(self, calls: list[Append]) -> None:
        """Queue these calls; each is answered after its commit."""
        rows = sum(call.rows for call in calls)
        if self._queued_rows + rows > QUEUED_ROWS:
            error = f"{self._queued_rows:,} rows wait for {self._path}: slow down"
            settle([(call.future, Overloaded(error, bound=QUEUED_ROWS)) for call in calls])
            return
        self._queued_rows += rows
        self._put(calls)

    async def do(self, job: Callable[[Ledger], T]) -> T:
        """Have the thread do something between two commits."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(_Job(job, future))
        return await future

    async def stop(self) -> None:
        """Finish what is queued and close the file."""
        self._queue.put(None)
        await self._closed

    def _put(self, work: list[Append] | _Job) -> None:
        self._queue.put(work)
        if self._has_ended:
            self._refuse_queued()

    # In the thread

    def _run(self) -> None:
        try:
            try:
                with translated(self._path):
                    self.ledger = self._open_ledger()
            except ConcertedError as error:
                self._answer([(self._opened, error)])
                return
            self._answer([(self._opened, None)])
            self._serve(self.ledger)
        except BaseException as bug:
            # A fault of ours: whoever waits is told, and the thread ends loudly.
            self._failure = bug
            self._answer([(self._opened, self._refusal())])
            raise
        finally:
            # First said, then looked: what is queued from now on, while the thread still ends, is refused by `_put`.
            self._has_ended = True
            self._refuse_queued()
            self._answer([(self._closed, None)])

    def _serve(self, ledger: Ledger) -> None:
        try:
            while (work := self._take()) is not None:
                if isinstance(work, _Job):
                    self._do(ledger, work)
                else:
                    self._commit(ledger, work)
        finally:
            with suppress(sqlite3.Error):
                ledger.close()

    def _take(self) -> list[Append] | _Job | None:
        """Return the next job, or all the calls that are queued, up to the bound; None is the end."""
        work = self._ahead.pop() if self._ahead else self._queue.get()
        if not isinstance(work, list):
            return work
        rows = sum(call.rows for call in work)
        while rows < COMMIT_ROWS and not self._queue.empty():
            more = self._queue.get()
            if not isinstance(more, list):
                self._ahead.append(more)
                break
            work += more
            rows += sum(call.rows for call in more)
        return work

    def _commit(self, ledger: Ledger, calls: list[Append]) -> None:
        if self._failure is not None:
            self._refuse(calls)
            return
        try:
            if len(calls) == 1:
                outcomes: list[Outcome] = [(calls[0].future, ledger.commit(calls[0].writes))]
            else:
                answers = iter(ledger.commit([one for call in calls for one in call.writes]))
                outcomes = [(call.future, [next(answers) for _ in call.writes]) for call in calls]
        except sqlite3.Error as error:
            self._failure = error
            self._refuse(calls)
            return
        except BaseException as bug:
            self._failure = bug
            self._refuse(calls)
            raise
        self._answer(outcomes, sum(call.rows for call in calls))
        self._keep(ledger)

    def _do(self, ledger: Ledger, job: _Job) -> None:
        if self._failure is not None:
            self._answer([(job.future, self._refusal())])
            return
        try:
            outcome = job.do(ledger)
        except ConcertedError as error:
            ledger.recover()
            outcome = error
        except sqlite3.Error as error:
            self._failure = error
            outcome = self._refusal()
        except BaseException as bug:
            self._failure = bug
            self._answer([(job.future, self._refusal())])
            raise
        self._answer([(job.future, outcome)])

    def _keep(self, ledger: Ledger) -> None:
        try:
            ledger.snapshot(idle=self._queue.empty())
        except sqlite3.Error as error:
            self._failure = error

    def _refuse_queued(self) -> None:
        """Answer everybody who waits for a thread that has ended."""
        while True:
            try:
                work = self._ahead.pop() if self._ahead else self._queue.get_nowait()
            except (queue.Empty, IndexError):  # the thread and the loop may both be at it
                return
            if isinstance(work, list):
                self._refuse(work)
            elif work is not None:
                self._answer([(work.future, self._refusal())])

    def _refuse(self, calls: list[Append]) -> None:
        self._answer([(call.future, self._refusal()) for call in calls], sum(call.rows for call in calls))

    def _refusal(self) -> ConcertedError:
        """Make the error that says why nothing more is written; each caller gets one of its own."""
        why = "it is closed"
        if isinstance(self._failure, sqlite3.Error):
            try:
                with translated(self._path):
                    raise self._failure
            except ConcertedError as error:
                why = error.message
        elif self._failure is not None:
            why = f"a fault of its own: {self._failure!r}"
        refusal = Unreachable(
            f"nothing more is written to {self._path}: {why}; close the store, open it again, go on from what it says",
            path=str(self._path),
        )
        refusal.__cause__ = self._failure
        return refusal

    def _answer(self, outcomes: list[Outcome], rows: int = 0) -> None:
        # A loop that was closed has nobody left who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle, outcomes, rows)

    def _settle(self, outcomes: list[Outcome], rows: int) -> None:
        self._queued_rows -= rows
        settle(outcomes)
