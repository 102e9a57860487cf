"""The store port: an append-only log, the tables that follow from it, and how both are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from concerted.ports.waits import PostedWaits
from concerted.values import AgentId, AgentState, Instant, RunId, RunStatus, TaskId, TaskStatus

__all__ = [
    "AgentRecord",
    "ArchiveRecord",
    "Entry",
    "Fenced",
    "MessageRecord",
    "ParticipantRecord",
    "PrimitiveRecord",
    "PrincipalRecord",
    "ReadStore",
    "Record",
    "Renewal",
    "Row",
    "RunRecord",
    "Stale",
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


class Renewal(msgspec.Struct, frozen=True):
    """Until when something of a stream is held.  It is no fact of the log: it stands in a table of its own."""

    stream: str
    key: str
    until: Instant


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are written together or not at all.

    run, epoch: the fence.  If `run` is given and its epoch in the store is not `epoch`, none of the
    rows is written and the answer is `Fenced`.  creates: the run that these rows create; if it exists
    already, none is written and the answer is `Fenced` too.  The children that a run starts are created
    by rows in its own write, under its own fence.

    after: stream -> the `stream_seq` of the newest row of it on which these rows are based; if one has grown
    since, none is written and the answer is `Stale`.  Streams that are not named may be appended to blindly.
    holds: from now on this is held until then.  drops: it is held no longer; if one of them has been renewed
    beyond its `until`, none is written and the answer is `Stale`.
    """

    rows: Sequence[Row]
    run: RunId | None = None
    epoch: int = 0
    creates: RunId | None = None
    after: Mapping[str, int] = {}
    holds: Sequence[Renewal] = ()
    drops: Sequence[Renewal] = ()


class Fenced(msgspec.Struct, frozen=True):
    """A write that was refused because somebody else has the run.  epoch: the one in the store (0: no such run)."""

    run: RunId
    epoch: int


class Stale(msgspec.Struct, frozen=True):
    """A write that was refused because its stream has grown, or what it drops was renewed.  length: now."""

    stream: str
    length: int


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


class PrimitiveRecord(Record, frozen=True, kw_only=True):
    """Where one primitive (sync point, barrier, tracker, lease space, ...) stands.

    kind: which machine keeps it.  arrived, total: as that machine counts.  wake_at: when it must be looked at
    even if nothing happens.  folded: the `stream_seq` of the row that holds its whole state, 0 if none does.
    """

    table: ClassVar[str] = "primitives"
    key: ClassVar[tuple[str, ...]] = ("stream",)

    stream: str
    kind: str
    id: str
    name: str = ""
    status: str = ""
    creator: AgentId | None = None
    created_at: Instant
    ended_at: Instant | None = None
    deadline_at: Instant | None = None
    wake_at: Instant | None = None
    arrived: int = 0
    total: int = 0
    folded: int = 0


class ParticipantRecord(Record, frozen=True, kw_only=True):
    """Who takes part in which primitive."""

    table: ClassVar[str] = "participants"
    key: ClassVar[tuple[str, ...]] = ("agent", "stream")

    agent: AgentId
    stream: str


class MessageRecord(Record, frozen=True, kw_only=True):
    """One message in one agent's inbox.

    id: grows from one message of a process to the next.  number: the `seq` of the row that stored it, by which an
    inbox is in the order of the log.  attempts: how often it was delivered.  due_at: when it is delivered anew or
    escalated if it has not been acknowledged.  fetched_in: the request that fetched it last.
    """

    table: ClassVar[str] = "messages"
    key: ClassVar[tuple[str, ...]] = ("agent", "id")

    agent: AgentId
    id: str
    sender: str
    type: str
    priority: str = "medium"
    status: str = "stored"
    content: bytes = b"null"
    requires_acknowledgment: bool = False
    stored_at: Instant
    fetched_at: Instant | None = None
    acknowledged_at: Instant | None = None
    due_at: Instant | None = None
    attempts: int = 0
    escalate_to: AgentId | None = None
    escalated: bool = False
    expires_at: Instant | None = None
    fetched_in: str = ""
    number: int = 0


class PrincipalRecord(Record, frozen=True, kw_only=True):
    """Who may give commands.  token: the hash of the secret, never the secret."""

    table: ClassVar[str] = "principals"
    key: ClassVar[tuple[str, ...]] = ("name",)

    name: str
    role: str
    token: str
    created_at: Instant
    revoked_at: Instant | None = None


T = TypeVar("T", bound=Record)


class View(Protocol):
    """Current-state tables as of one sequence number; the newest, or an earlier one from `Store.at`."""

    async def get(self, table: type[T], *key: str) -> T | None:
        """Return the record with this primary key."""

    async def find(
        self, table: type[T], where: Mapping[str, Any] | None = None, *, limit: int = 1000,
        after: Sequence[str] = (), until: tuple[str, Instant] | None = None,
    ) -> list[T]:  # fmt: skip
        """Return records whose columns equal `where` (a tuple value means any of it), ordered by key.

        until: a column of instants and one instant; only records in which that column is not null and not
        later.  after: the key of the last record of the page before; limit: at most 10,000.
        """


class ReadStore(View, Protocol):
    """The reading half of a store."""

    url: str

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


class Store(ReadStore, Protocol):
    """The log and its tables.  One exam for all: `concerted.testing.check_store`.

    Everything raises `Unreachable` when the database is away, `StoreDamaged` when it is not ours.  shared:
    whether other processes write to it at the same time, so that what is in memory may be behind.
    """

    durability: Literal["full", "normal", "off"]
    shared: bool

    @property
    def waits(self) -> PostedWaits | None:
        """What the nodes tell each other about who waits; None where no other process writes to it."""

    async def open(self) -> None:
        """Take ownership, migrate, and get ready to write.

        Raises:
            Conflict: another process owns it (`facts["owner"]`).
            StoreDamaged, NotAllowed, Unreachable: not a store, newer, read-only, away.
        """

    async def append(self, writes: Sequence[Write]) -> list[int | Fenced | Stale]:
        """Write all rows of all unfenced writes, with the tables that follow, in one transaction.

        Answers come after the commit, one a write: the `seq` of its last row (of the newest row of all, if it
        has none), or why it was refused.  Concurrent calls share a commit.  Rows over 64 KB are kept aside by
        content hash, unseen.

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

    async def renew(self, renewals: Sequence[Renewal]) -> list[bool]:
        """Hold these longer, never shorter; False for what is not held (any more).

        No rows are written.  What is held is left to the next owner; it is forgotten when the last one dies
        without closing, and then whatever the log says is held is granted its whole time anew.
        """

    async def held(self, stream: str) -> dict[str, Instant]:
        """Return what is held of a stream, key -> until when."""

    def listen(self, told: Callable[[int], None]) -> None:
        """Have `told(seq)` called, in the event loop, whenever another process may have appended up to `seq`."""

    async def rebuild(self) -> int:
        """Recompute every table from the log in one transaction; return how many records differed."""

    async def archive(self, stream: str) -> ArchiveRecord:
        """Move a finished stream into one compressed file beside the store; `stream.archived` says so.

        Raises:
            WrongPhase: the stream is not finished.
        """

    async def close(self) -> None:
        """Finish what is queued, release ownership.  Idempotent."""
