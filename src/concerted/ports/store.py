"""The store port: an append-only log, the tables that follow from it, and how both are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from concerted.values import AgentId, AgentState, Instant, RunId, RunStatus, TaskId, TaskStatus

__all__ = [
    "AgentRecord",
    "ArchiveRecord",
    "Entry",
    "Fenced",
    "Record",
    "Row",
    "RunRecord",
    "Store",
    "TaskRecord",
    "View",
    "Write",
]


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fact on its way into the log.  data: one JSON value, encoded.  lamport: 0 for the row's `seq`."""

    stream: str
    at: Instant
    kind: str
    agent: str | None = None
    ref: str | None = None
    data: bytes = b"null"
    lamport: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One fact as it stands in the log.

    seq: its place in the whole store, gapless, in commit order.  stream_seq: its place in its stream,
    from 1.  lamport: greater than that of every fact it may depend on (Lamport 1978, section 2); a message
    carries the newest one of the log when it was sent.
    """

    seq: int
    stream: str
    stream_seq: int
    at: Instant
    kind: str
    agent: str | None = None
    ref: str | None = None
    data: bytes = b"null"
    lamport: int = 0

    def value(self) -> Any:
        """Decode `data`."""
        return msgspec.json.decode(self.data)


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are written together or not at all.

    run, epoch: the fence.  If `run` is given and its epoch in the store is not `epoch`, none of the
    rows is written and the answer is `Fenced`.  creates: the run that these rows create; if it exists
    already, none is written and the answer is `Fenced` too.  The children that a run starts are created
    by rows in its own write, under its own fence.
    """

    rows: Sequence[Row]
    run: RunId | None = None
    epoch: int = 0
    creates: RunId | None = None


class Fenced(msgspec.Struct, frozen=True):
    """A write that was refused because somebody else has the run.  epoch: the one in the store (0: no such run)."""

    run: RunId
    epoch: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The root of the rows of current-state tables.  table: its name.  key: its primary key, in order."""

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]]


class RunRecord(Record, frozen=True, kw_only=True):
    """Where one run stands.  JSON columns hold encoded values."""

    table: ClassVar[str] = "runs"
    key: ClassVar[tuple[str, ...]] = ("id",)

    id: RunId
    strategy: str
    status: RunStatus = "queued"
    parent: RunId | None = None
    root: RunId
    plan: str | None = None
    created_at: Instant
    started_at: Instant | None = None
    ended_at: Instant | None = None
    deadline_at: Instant | None = None
    node: str | None = None
    epoch: int = 1
    attempts: int = 0
    progress: bytes | None = None
    result: bytes | None = None
    error: str | None = None
    archived: bool = False


class TaskRecord(Record, frozen=True, kw_only=True):
    """Where one task of one run stands.  epoch: that of its newest claim."""

    table: ClassVar[str] = "tasks"
    key: ClassVar[tuple[str, ...]] = ("run", "id")

    run: RunId
    id: TaskId
    status: TaskStatus = "pending"
    agent: AgentId | None = None
    attempts: int = 0
    epoch: int = 0
    description: str = ""
    after: bytes = b"[]"
    result: bytes | None = None
    error: str | None = None
    since: Instant = 0.0


class AgentRecord(Record, frozen=True, kw_only=True):
    """Who is registered.  spec: how a later owner reaches it again (null: it must come by itself)."""

    table: ClassVar[str] = "agents"
    key: ClassVar[tuple[str, ...]] = ("id",)

    id: AgentId
    profile: bytes
    link: str = "local"
    spec: bytes = b"null"
    state: AgentState = "alive"
    since: Instant = 0.0
    reason: str = ""


class ArchiveRecord(Record, frozen=True, kw_only=True):
    """Where a finished stream went.  path: relative to the store.  entries, size_bytes: what is in it."""

    table: ClassVar[str] = "archives"
    key: ClassVar[tuple[str, ...]] = ("stream",)

    stream: str
    path: str
    entries: int
    size_bytes: int
    at: Instant


T = TypeVar("T", bound=Record)


class View(Protocol):
    """Current-state tables as of one sequence number; the newest, or an earlier one from `Store.at`."""

    async def get(self, table: type[T], *key: str) -> T | None:
        """Return the record with this primary key."""

    async def find(
        self, table: type[T], where: Mapping[str, Any] | None = None, *, limit: int = 1000, after: Sequence[str] = ()
    ) -> list[T]:
        """Return records whose columns equal `where` (a tuple value means any of it), ordered by key.

        after: the key of the last record of the page before; limit: at most 10,000.
        """


class Store(View, Protocol):
    """The log and its tables.  One exam for all: `concerted.testing.check_store`.

    Everything raises `Unreachable` when the database is away, `StoreDamaged` when it is not ours.
    """

    url: str
    durability: Literal["full", "normal", "off"]

    async def open(self) -> None:
        """Take ownership, migrate, and get ready to write.

        Raises:
            Conflict: another process owns it (`facts["owner"]`).
            StoreDamaged, NotAllowed, Unreachable: not a store, newer, read-only, away.
        """

    async def append(self, writes: Sequence[Write]) -> list[int | Fenced]:
        """Write all rows of all unfenced writes, with the tables that follow, in one transaction.

        Answers come after the commit, one a write: the `seq` of its last row, or why it was refused.
        Concurrent calls share a commit.  Rows over 64 KB are kept aside by content hash, unseen.

        Raises:
            Unreachable: the commit failed or its outcome is unknown (disk full, database away); the
                caller gives up its epochs and goes on only from what is read back.
        """

    async def adopt(self, node: str, at: Instant) -> list[RunRecord]:
        """Take over every unfinished run whose node is gone: `run.resumed` is written, its epoch raised.

        Returns the runs as they now stand, parents before children.
        """

    async def beat(self, node: str, ttl_s: float) -> bool:
        """Renew this node's lease; False says it was lost (its runs have been adopted elsewhere)."""

    async def stream(self, stream: str, *, after: int = 0, limit: int = 100_000) -> list[Entry]:
        """Return a stream's entries with `stream_seq > after`, in order; archived streams included."""

    async def log(
        self, *, after: int = 0, until: int | None = None, stream: str | None = None, kind: str | None = None,
        limit: int = 1000,
    ) -> list[Entry]:  # fmt: skip
        """Return entries with `after < seq <= until`, in order.

        stream: this one only, or with a trailing `*` all that start so; kind: likewise.
        """

    async def last_seq(self) -> int:
        """Return the newest sequence number, 0 for an empty log."""

    async def at(self, seq: int) -> View:
        """Return the tables as they were when `seq` was the newest; cost is bounded by snapshots.

        Raises:
            NotFound: `seq` is in the future, or lies before what retention has kept.
        """

    async def rebuild(self) -> int:
        """Recompute every table from the log in one transaction; return how many records differed."""

    async def archive(self, stream: str) -> ArchiveRecord:
        """Move a finished stream into one compressed file beside the store; `stream.archived` says so.

        Raises:
            WrongPhase: the stream is not finished.
        """

    async def close(self) -> None:
        """Finish what is queued, release ownership.  Idempotent."""
