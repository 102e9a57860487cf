"""The store in one PostgreSQL database, shared by any number of processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from concerted.errors import ConcertedError, Invalid, Unreachable
from concerted.ports.store import ArchiveRecord, Fenced, Record, Renewal, RunRecord, Write
from concerted.stores.adoption import parents_first, takeovers
from concerted.stores.archives import archive_name, check_finished, pack, packed
from concerted.stores.calls import Append
from concerted.stores.commit import Answer, Durability, check_renewals, prepare
from concerted.stores.postgres.archives import ending_of, move
from concerted.stores.postgres.connection import Address, check_server, connect, server_of, translated
from concerted.stores.postgres.history import newest_snapshot, rebuild, take_snapshot
from concerted.stores.postgres.listener import Listener
from concerted.stores.postgres.nodes import Nodes
from concerted.stores.postgres.reader import PostgresReader
from concerted.stores.postgres.renewals import held, renew
from concerted.stores.postgres.schema import migrate
from concerted.stores.postgres.waits import PostgresWaits
from concerted.stores.postgres.writer import Writer
from concerted.stores.questions import LOG_LIMIT
from concerted.stores.read_through import ReadThrough
from concerted.values import Instant

__all__ = ["PostgresStore"]

WRITE_BYTES = 96 << 20  # of data in one write: what fits, with every quote escaped, into one message

T = TypeVar("T", bound=Record)


class PostgresStore(ReadThrough):
    """`Store` on `postgresql://user@host/database?schema=concerted`.

    durability: `full` survives a power cut with everything answered; with the others, the newest commits
    may be lost in one.  snapshot_every: entries between two snapshots, which bound the cost of `at`.
    lease_s: how long a node's lease is until its first `beat`.
    """

    shared = True

    def __init__(
        self, url: str, *, durability: Durability = "full", snapshot_every: int = 10_000, lease_s: float = 30.0
    ) -> None:  # fmt: skip
        self._address = Address.parse(url)
        self.url = self._address.shown
        self.durability: Durability = durability
        self._snapshot_every = snapshot_every
        self._lease_s = lease_s
        self._writer: Writer | None = None
        self._reader: PostgresReader | None = None
        self._nodes: Nodes | None = None
        self._listener: Listener | None = None
        self._told: Callable[[int], None] | None = None
        self.waits = PostgresWaits(lambda: self._open_reader().pool)
        self._pending: list[Append] = []
        self._snapshot = self._snapshot_records = 0
        self._keeping: asyncio.Task[None] | None = None

    @property
    def commits(self) -> int:
        """How many transactions of appended rows were written since it was opened."""
        return self._writer.commits if self._writer else 0

    @property
    def rows(self) -> int:
        """How many rows were appended since it was opened."""
        return self._writer.rows if self._writer else 0

    async def open(self) -> None:
        """Migrate and get ready to write.  A closed store may be opened again, and so may one that has failed.

        Raises:
            NotAllowed: the server could lose what it has answered, is a standby, is too old, or this user may not.
            StoreDamaged: the schema is another program's, or a newer one's; it was not touched.
            Unreachable: the database is away.
        """
        if self._writer is not None and self._writer.failure is not None:
            await self.close()
        assert self._writer is None, f"{self.url} is open already"
        reader = PostgresReader(self._address)
        nodes = Nodes(reader.pool, self._lease_s)
        with translated(self._address):
            connection = await connect(self._address, "writer", self.durability)
            try:
                check_server(await server_of(connection), self._address, self.durability)
                await migrate(connection, self._address)
                await nodes.open()
                self._snapshot, self._snapshot_records = await newest_snapshot(connection)
            except BaseException:
                await connection.close()
                await reader.close()
                raise
        self._reader, self._nodes = reader, nodes
        self._writer = Writer(self._address, connection, self._keep)
        if self._told is not None:
            self._listener = Listener(self._address, self._heard, self._writer.pid, self.waits.tell)

    async def append(self, writes: Sequence[Write]) -> list[Answer]:
        """Write all rows of all unfenced writes in one transaction, shared with whoever else appends now.

        Who is cancelled while waiting does not know whether they were written.

        Raises:
            Invalid: a row cannot be kept; nothing was done.
            Unreachable: the commit failed or its outcome is unknown; nothing more is written until the
                store is opened again.
            Overloaded: the database does not keep up.
        """
        self._open_writer()
        prepared = [prepare(write) for write in writes]
        if not prepared:
            return []
        sizes = [sum([len(row.data) for row in write.rows]) for write in writes]
        if max(sizes) > WRITE_BYTES:
            raise Invalid(f"one write has {max(sizes):,} bytes of data, at most {WRITE_BYTES:,}: pass references")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        if not self._pending:
            # All that is appended in this turn of the loop goes into one flush.
            loop.call_soon(self._flush)
        self._pending.append(Append(prepared, sum([len(write.rows) for write in writes]), future, sum(sizes)))
        return await future

    async def adopt(self, node: str, at: Instant) -> list[RunRecord]:
        """Take over every unfinished run whose node has no live lease, and give this node one.

        Of several that adopt at once, each run goes to one: taking over is written under the run's old epoch.
        """
        self._open_writer().node = node
        reader, nodes = self._open_reader(), self._nodes
        assert nodes is not None, "an open store knows its nodes"
        orphans = await nodes.register(node)
        answers = await self.append(takeovers(orphans, node, at, queued=True))
        ours = [run.id for run, answer in zip(orphans, answers, strict=True) if not isinstance(answer, Fenced)]
        now = [await reader.get(RunRecord, run) for run in ours]
        return parents_first([run for run in now if run is not None])

    async def beat(self, node: str, ttl_s: float) -> bool:
        """Renew this node's lease on the database's clock; False says it was lost."""
        self._open_writer()
        assert self._nodes is not None, "an open store knows its nodes"
        return await self._nodes.beat(node, ttl_s)

    async def renew(self, renewals: Sequence[Renewal]) -> list[bool]:
        """Hold these longer, never shorter; False for what is not held (any more)."""
        check_renewals(renewals)
        return await renew(self._open_reader().pool, renewals)

    async def held(self, stream: str) -> dict[str, Instant]:
        """Return what is held of a stream, key -> until when."""
        return await held(self._open_reader().pool, stream)

    def listen(self, told: Callable[[int], None]) -> None:
        """Have `told(seq)` called whenever another process may have appended up to `seq`."""
        self._told = told
        if self._writer is not None and self._listener is None:
            self._listener = Listener(self._address, self._heard, self._writer.pid, self.waits.tell)

    async def time(self) -> Instant:
        """Return the instant on the database's clock."""
        row = await self._open_reader().pool.row("select extract(epoch from clock_timestamp())::float8")
        assert row is not None, "a clock has a time"
        return float(row[0])

    async def rebuild(self) -> int:
        """Recompute every table from the log in one transaction; return how many records differed."""
        self._flush()
        return await self._open_writer().do(rebuild)

    async def archive(self, stream: str) -> ArchiveRecord:
        """Move a finished stream into the attic, a table of compressed streams.  Idempotent.

        Raises:
            NotFound: there is no such run.
            WrongPhase: it has not ended, or is still being written to.
        """
        writer, reader = self._open_writer(), self._open_reader()
        existing = await reader.get(ArchiveRecord, stream)
        if existing is not None:
            return existing
        async with reader.pool.lent() as connection:
            check_finished(stream, *await ending_of(connection, stream))
        entries = await reader.stream(stream, limit=LOG_LIMIT)
        content = await asyncio.to_thread(pack, entries)
        archive = packed(entries, f"attic/{archive_name(stream)}", len(content))
        return await writer.do(partial(move, archive=archive, content=content, at=await self.time()))

    async def close(self) -> None:
        """Finish what is queued, and end this node's lease so that others adopt at once.  Idempotent."""
        writer, reader, nodes = self._writer, self._reader, self._nodes
        if writer is None or reader is None or nodes is None:
            return
        self._flush()
        self._writer = self._reader = self._nodes = None
        try:
            await writer.stop()
            if self._listener is not None:
                await self._listener.stop()
            if self._keeping is not None:
                await self._keeping
            with suppress(ConcertedError):  # if the database is away, the lease ends by itself
                await nodes.end()
        finally:
            self._listener = None
            await reader.close()

    def _heard(self, seq: int) -> None:
        if self._told is not None:
            self._told(seq)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if pending and self._writer is not None:
            self._writer.append(pending)

    def _keep(self, seq: int) -> None:
        """Take a snapshot, beside everything else, if one is due."""
        if seq - self._snapshot >= max(self._snapshot_every, self._snapshot_records) and self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._take_snapshot())

    async def _take_snapshot(self) -> None:
        # It only makes the past cheaper: if it fails, the next commit tries again.
        with suppress(ConcertedError):
            async with self._open_reader().pool.lent() as connection:
                self._snapshot, self._snapshot_records = await take_snapshot(connection, self._snapshot_every)
        self._keeping = None

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise Unreachable(f"{self.url} is not open", url=self.url)
        return self._writer

    def _open_reader(self) -> PostgresReader:
        if self._reader is None:
            raise Unreachable(f"{self.url} is not open", url=self.url)
        return self._reader
