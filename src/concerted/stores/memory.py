"""The store in memory, for tests and the simulator: the same rules, no disk, nothing left to chance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from concerted.errors import NotFound, Unreachable
from concerted.ports.store import (
    ArchiveRecord,
    Entry,
    PrimitiveRecord,
    Record,
    Renewal,
    RunRecord,
    View,
    Write,
)
from concerted.stores.adoption import UNFINISHED, parents_first, takeovers
from concerted.stores.archives import archive_name, archived_row, check_finished, packed
from concerted.stores.calls import settle
from concerted.stores.commit import Answer, Numbering, Prepared, check_renewals, entry_of, prepare
from concerted.stores.questions import check_limit
from concerted.stores.renewals import Renewals
from concerted.stores.tables import PastView, Tables
from concerted.values import Instant

__all__ = ["MemoryState", "MemoryStore"]

T = TypeVar("T", bound=Record)


@dataclass(frozen=True)
class MemoryState:
    """What of a memory store would be on a disk: every entry, which streams are archived, the tables."""

    entries: tuple[Entry, ...] = ()
    archived: frozenset[int] = frozenset()  # the numbers of the entries that were moved out of the log
    tables: Tables = field(default_factory=Tables)
    renewals: tuple[Renewal, ...] = ()  # only of a store that was closed; a crash leaves none


class MemoryStore:
    """`Store` in memory.  A commit happens at the end of the loop's turn in which `append` was called.

    commits, rows: how many of each since it was made; they agree with a SQLite store that is never
    behind.  `export()` is what a crash leaves; `MemoryStore(state)` is the store after it.
    """

    url = "memory://"
    durability: Literal["full", "normal", "off"] = "off"
    shared = False
    waits: None = None

    def __init__(self, state: MemoryState | None = None) -> None:
        self.commits = 0
        self.rows = 0
        self._is_open = False
        self._renewals = Renewals()
        self._pending: list[tuple[list[Prepared], asyncio.Future[list[Answer]]]] = []
        self.load(state or MemoryState())

    def export(self) -> MemoryState:
        """Return what is durable now; later changes do not touch it.  O(entries + records)."""
        left = () if self._is_open else tuple(self._renewals.all())
        return MemoryState(tuple(self._entries), frozenset(self._archived), self._tables.copy(), left)

    def load(self, state: MemoryState) -> None:
        """Become what was exported; what was appended and not committed is lost."""
        self._pending = []
        self._entries = list(state.entries)
        self._archived = set(state.archived)
        self._tables = state.tables.copy()
        self._streams: dict[str, list[Entry]] = {}
        for entry in self._entries:
            self._streams.setdefault(entry.stream, []).append(entry)
        self._renewals.clear()
        self._renewals.change(state.renewals, ())
        self._numbering = Numbering(
            len(self._entries), self._epoch_of, lambda name: len(self._streams.get(name, ())), self._renewals
        )

    def forget_renewals(self) -> None:
        """Forget what is held, as the crash of its owner does."""
        self._renewals.clear()

    async def open(self) -> None:
        """Get ready."""
        self._is_open = True

    async def append(self, writes: Sequence[Write]) -> list[Answer]:
        """Write all rows of all unfenced writes, in one commit with whoever else appends in this turn."""
        self._check_open()
        prepared = [prepare(write) for write in writes]
        if not prepared:
            return []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        if not self._pending:
            loop.call_soon(self._flush)
        self._pending.append((prepared, future))
        return await future

    async def adopt(self, node: str, at: Instant) -> list[RunRecord]:
        """Take over every unfinished run."""
        self._check_open()
        self._flush()
        unfinished = list(self._tables.matching(RunRecord, {"status": UNFINISHED}))
        self._commit([prepare(write) for write in takeovers(unfinished, node, at)])
        now = [self._tables.get(RunRecord, (run.id,)) for run in unfinished]
        return parents_first([run for run in now if run is not None])

    async def beat(self, node: str, ttl_s: float) -> bool:  # noqa: ARG002
        """Say whether it is open: nobody else can own it."""
        return self._is_open

    async def renew(self, renewals: Sequence[Renewal]) -> list[bool]:
        """Hold these longer, never shorter; False for what is not held (any more)."""
        self._check_open()
        check_renewals(renewals)
        return self._renewals.renew(renewals)

    async def held(self, stream: str) -> dict[str, Instant]:
        """Return what is held of a stream, key -> until when."""
        self._check_open()
        return self._renewals.held(stream)

    def listen(self, told: Callable[[int], None]) -> None:
        """Do nothing: no other process appends to this memory."""

    async def get(self, table: type[T], *key: str) -> T | None:
        """Return the record with this primary key."""
        return await self._now().get(table, *key)

    async def find(
        self, table: type[T], where: Mapping[str, Any] | None = None, *, limit: int = 1000,
        after: Sequence[str] = (), until: tuple[str, Instant] | None = None,
    ) -> list[T]:  # fmt: skip
        """Return records whose columns equal `where`, ordered by key."""
        return await self._now().find(table, where, limit=limit, after=after, until=until)

    async def stream(self, stream: str, *, after: int = 0, limit: int = 100_000) -> list[Entry]:
        """Return a stream's entries with `stream_seq > after`, in order; archived streams included."""
        self._check_open()
        check_limit(limit)
        return self._streams.get(stream, [])[after : after + limit]

    async def log(
        self, *, after: int = 0, until: int | None = None, stream: str | None = None, kind: str | None = None,
        limit: int = 1000,
    ) -> list[Entry]:  # fmt: skip
        """Return the log's entries with `after < seq <= until`, in order; archived ones are in `stream` alone."""
        self._check_open()
        check_limit(limit)
        found: list[Entry] = []
        for entry in self._entries[max(after, 0) : until]:
            if entry.seq not in self._archived and _is_named(entry.stream, stream) and _is_named(entry.kind, kind):
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    async def last_seq(self) -> int:
        """Return the newest sequence number, 0 for an empty log."""
        self._check_open()
        return len(self._entries)

    async def at(self, seq: int) -> View:
        """Return the tables as they were when `seq` was the newest; O(seq)."""
        self._check_open()
        if not 0 <= seq <= len(self._entries):
            raise NotFound(f"there is no entry {seq} yet: the newest is {len(self._entries)}", seq=seq)
        tables = Tables()
        tables.fold(self._entries[:seq])
        return PastView(tables)

    async def rebuild(self) -> int:
        """Recompute every table from the log; return how many records differed."""
        self._check_open()
        self._flush()
        true = Tables()
        true.fold(entry for entry in self._entries if entry.seq not in self._archived)
        wrong = true.differences(self._tables)
        self._tables = true
        self._numbering.forget()
        return len(wrong)

    async def archive(self, stream: str) -> ArchiveRecord:
        """Move a finished stream out of the log; its instant is that of the newest entry."""
        self._check_open()
        self._flush()
        existing = self._tables.get(ArchiveRecord, (stream,))
        if existing is not None:
            return existing
        run = self._tables.get(RunRecord, (stream[4:],)) if stream.startswith("run:") else None
        check_finished(stream, run, self._tables.get(PrimitiveRecord, (stream,)))
        entries = self._streams[stream]
        archive = packed(entries, archive_name(stream), sum(len(entry.data) for entry in entries))
        found = [self._tables.get(table, key) for table, key in archive.touched]
        at = max(entry.at for entry in self._entries)
        row = archived_row(archive, [record for record in found if record is not None], at)
        self._archived.update(entry.seq for entry in entries)
        self._commit([prepare(Write(rows=(row,)))])
        archived = self._tables.get(ArchiveRecord, (stream,))
        assert archived is not None, f"{stream} was archived and has no record"
        return archived

    async def close(self) -> None:
        """Finish what is pending.  Idempotent."""
        self._flush()
        self._is_open = False

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if not pending:
            return
        answers = iter(self._commit([one for prepared, _ in pending for one in prepared]))
        settle([(future, [next(answers) for _ in prepared]) for prepared, future in pending])

    def _commit(self, prepared: list[Prepared]) -> list[Answer]:
        answers = [self._numbering.place(one) for one in prepared]
        rows, changes = self._numbering.take()
        for row in rows:
            entry = entry_of(row)
            self._entries.append(entry)
            self._streams.setdefault(entry.stream, []).append(entry)
        for change in changes:
            self._tables.apply(change)
        self.commits += bool(rows)
        self.rows += len(rows)
        return answers

    def _epoch_of(self, run: str) -> int:
        record = self._tables.get(RunRecord, (run,))
        return record.epoch if record else 0

    def _now(self) -> PastView:
        self._check_open()
        return PastView(self._tables)

    def _check_open(self) -> None:
        if not self._is_open:
            raise Unreachable("this memory store is not open")


def _is_named(name: str, wanted: str | None) -> bool:
    if wanted is None or name == wanted:
        return True
    return wanted.endswith("*") and name.startswith(wanted[:-1])
