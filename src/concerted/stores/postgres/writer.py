"""The writing side of a PostgreSQL store: what is appended while a flush is in flight goes with the next one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from psycopg import Error

from concerted.errors import ConcertedError, Overloaded, Unreachable
from concerted.stores.calls import COMMIT_ROWS, QUEUED_ROWS, Append, settle
from concerted.stores.commit import Answer, Prepared
from concerted.stores.postgres.connection import Address, Connection, translated
from concerted.stores.postgres.draft import Draft, Facts
from concerted.stores.postgres.flush import FLUSH_PARAMETERS
from concerted.stores.postgres.pool import ANSWER_S

__all__ = ["Writer", "flush"]

FLUSH_BYTES = 32 << 20  # of data in one flush, unless one call alone has more

_FLUSH = f"select base, wrong::text from flush({', '.join(['%s'] * len(FLUSH_PARAMETERS))})"

T = TypeVar("T")


class _Job(NamedTuple):
    """Something else to do on the connection between two flushes, and who waits for it."""

    do: Callable[[Connection], Awaitable[Any]]
    future: asyncio.Future[Any]


class Writer:
    """The one connection that writes the log.

    node: as whom it writes, once it is known.  commits, rows: how many of each, for whoever counts what a
    thing costs.  After the first failed call nothing more is written: whether that one was committed is
    unknown, and what comes next might contradict it.
    """

    def __init__(self, address: Address, connection: Connection, written: Callable[[int], None]) -> None:
        self.node: str | None = None
        self.commits = 0
        self.rows = 0
        self.failure: BaseException | None = None
        self.pid = connection.info.backend_pid
        self._address = address
        self._connection = connection
        self._written = written
        self._queue: deque[Append | _Job] = deque()
        self._queued_rows = 0
        self._work: asyncio.Task[None] | None = None

    def append(self, calls: Sequence[Append]) -> None:
        """Queue these calls; each is answered after its commit."""
        rows = sum(call.rows for call in calls)
        if self._queued_rows + rows > QUEUED_ROWS:
            error = f"{self._queued_rows:,} rows wait for {self._address.shown}: slow down"
            settle([(call.future, Overloaded(error, bound=QUEUED_ROWS)) for call in calls])
            return
        self._queued_rows += rows
        self._queue.extend(calls)
        self._go_on()

    async def do(self, job: Callable[[Connection], Awaitable[T]]) -> T:
        """Run a job on the connection, after what is queued; raises what it raises."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append(_Job(job, future))
        self._go_on()
        return await future

    async def stop(self) -> None:
        """Finish what is queued and close the connection."""
        while self._work is not None:
            await asyncio.wait((self._work,))
        await self._connection.close()

    def _go_on(self) -> None:
        if self._work is None and self._queue:
            self._work = asyncio.get_running_loop().create_task(self._serve())
            self._work.add_done_callback(self._rest)

    def _rest(self, work: asyncio.Task[None]) -> None:
        self._work = None
        bug = None if work.cancelled() else work.exception()
        if bug is not None:  # ours: whoever waits is told, and it is said aloud
            self.failure = self.failure or bug
            work.get_loop().call_exception_handler({"message": "the store's writer failed", "exception": bug})
        if work.cancelled() or bug is not None:
            self._refuse_queued()
        self._go_on()

    async def _serve(self) -> None:
        while self._queue:
            first = self._queue[0]
            if isinstance(first, _Job):
                self._queue.popleft()
                await self._do(first)
            else:
                await self._commit(self._take())

    def _take(self) -> list[Append]:
        """Take the calls that go into the next flush: all that are queued, up to the bounds."""
        calls: list[Append] = []
        rows = size = 0
        while self._queue and isinstance(call := self._queue[0], Append):
            size += call.size_bytes
            if calls and (rows + call.rows > COMMIT_ROWS or size > FLUSH_BYTES):
                break
            calls.append(call)
            self._queue.popleft()
            rows += call.rows
        return calls

    async def _commit(self, calls: list[Append]) -> None:
        if self.failure is not None:
            self._refuse(calls)
            return
        try:
            with translated(self._address):
                async with asyncio.timeout(ANSWER_S):
                    writes = [one for call in calls for one in call.writes]
                    answers, seq, rows = await flush(self._connection, writes, self.node)
        except ConcertedError as error:
            self.failure = error
            self._refuse(calls)
            return
        except BaseException as bug:
            self.failure = bug
            self._refuse(calls)
            raise
        self.commits += bool(rows)
        self.rows += rows
        one = iter(answers)
        self._queued_rows -= sum(call.rows for call in calls)
        settle([(call.future, [next(one) for _ in call.writes]) for call in calls])
        if rows:
            self._written(seq)

    async def _do(self, job: _Job) -> None:
        if self.failure is not None:
            settle([(job.future, self._refusal())])
            return
        try:
            outcome: Any = await job.do(self._connection)
        except ConcertedError as error:
            outcome = error
        except (Error, OSError) as error:
            self.failure = error
            outcome = self._refusal()
        except BaseException as bug:
            self.failure = bug
            settle([(job.future, self._refusal())])
            raise
        settle([(job.future, outcome)])

    def _refuse_queued(self) -> None:
        """Answer everybody who waits for a writer that has ended."""
        while self._queue:
            work = self._queue.popleft()
            if isinstance(work, _Job):
                settle([(work.future, self._refusal())])
            else:
                self._refuse([work])

    def _refuse(self, calls: Sequence[Append]) -> None:
        self._queued_rows -= sum(call.rows for call in calls)
        settle([(call.future, self._refusal()) for call in calls])

    def _refusal(self) -> ConcertedError:
        """Make the error that says why nothing more is written; each caller gets one of its own."""
        why = f"the store {self._address.shown} has a fault of its own: {self.failure!r}"
        if isinstance(self.failure, asyncio.CancelledError):
            why = f"the writer of {self._address.shown} was cancelled"
        elif isinstance(self.failure, ConcertedError | Error | OSError):
            try:
                with translated(self._address):
                    raise self.failure
            except ConcertedError as error:
                why = error.message
        refusal = Unreachable(
            f"{why}; nothing more is written until the store is opened again: go on from what it says then",
            url=self._address.shown,
        )
        refusal.__cause__ = self.failure
        return refusal


async def flush(
    connection: Connection, writes: Sequence[Prepared], node: str | None
) -> tuple[list[Answer], int, int]:  # fmt: skip
    """Write these in one call; return the answers, the newest number, and how many rows were written.

    If the server finds something else than they assume, it is asked again with what is known then.

    Raises:
        psycopg.Error, OSError: the outcome is unknown.
    """
    facts = Facts()
    while True:
        draft = Draft(facts)
        answers = [draft.place(write) for write in writes]
        if not draft.is_open:
            return answers, 0, 0
        cursor = await connection.execute(_FLUSH, draft.arguments(node))
        row = await cursor.fetchone()
        assert row is not None, "a function has an answer"
        base, wrong = row
        if wrong is None:
            placed = [base + answer if isinstance(answer, int) else answer for answer in answers]
            return placed, base + draft.rows, draft.rows
        facts.learn(msgspec.json.decode(wrong))
