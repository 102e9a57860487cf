"""What the questions of the store's exam share: how a store is got, rows to write, what to compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from concerted.errors import ConcertedError
from concerted.kinds import MAIL_STREAM, PRINCIPALS_STREAM, agent_stream, run_stream
from concerted.ports.store import Entry, Fenced, Record, Row, Stale, Store, View, Write
from concerted.stores.projections import TABLES
from concerted.stores.tables import Tables
from concerted.values import RunId, encode

__all__ = [
    "SharedStoreFactory",
    "StoreFactory",
    "agent_row",
    "create",
    "history",
    "mail",
    "meeting",
    "principal",
    "raises",
    "row",
    "snapshot",
    "tables_of",
    "under",
    "written",
]


class StoreFactory(Protocol):
    """Where the exam gets its stores from."""

    async def fresh(self) -> Store:
        """Return a new, empty, opened store."""

    async def reopen(self, store: Store) -> Store:
        """Close a store and open what it leaves behind anew."""


@runtime_checkable
class SharedStoreFactory(StoreFactory, Protocol):
    """Where stores come from that several processes may write to at the same time."""

    async def open_second(self, store: Store) -> Store:
        """Open the same store once more, as another process does, while the first stays open."""


def row(run: str, kind: str, data: Any = None, *, agent: str | None = None, ref: str | None = None) -> Row:
    """Make a row in a run's stream."""
    return Row(stream=run_stream(run), at=10.0, kind=kind, agent=agent, ref=ref, data=encode(data))


def agent_row(agent: str, kind: str, data: Any = None) -> Row:
    """Make a row in an agent's stream."""
    return Row(stream=agent_stream(agent), at=10.0, kind=kind, agent=agent, data=encode(data))


def meeting(point: str, kind: str, data: Any = None, *, agent: str = "ann") -> Row:
    """Make a row in a sync point's stream."""
    return Row(stream=f"sync_point:{point}", at=10.0, kind=f"sync_point.{kind}", agent=agent, data=encode(data or {}))


def mail(kind: str, data: Any, *, agent: str | None = None, ref: str | None = None) -> Row:
    """Make a row in the stream of all messages."""
    return Row(stream=MAIL_STREAM, at=10.0, kind=kind, agent=agent, ref=ref, data=encode(data))


def principal(name: str, kind: str, data: Any = None) -> Row:
    """Make a row in the stream of those who may give commands."""
    return Row(stream=PRINCIPALS_STREAM, at=10.0, kind=f"principal.{kind}", ref=name, data=encode(data or {}))


def create(run: str, *, parent: str | None = None, started: bool = True) -> Write:
    """Create a run, and by default start it under epoch 1."""
    rows = [row(run, "run.created", {"strategy": "auction", "objective": {}, "parent": parent, "root": parent or run})]
    if started:
        rows.append(row(run, "run.started", {"node": "north", "epoch": 1, "deadline_at": 310.0}))
    return Write(rows=rows, creates=RunId(run))


def under(run: str, epoch: int, *rows: Row) -> Write:
    """Write these rows under a run's fence."""
    return Write(rows=rows, run=RunId(run), epoch=epoch)


async def written(store: Store, *writes: Write) -> list[int]:
    """Append and return the numbers; none of the writes may be refused."""
    answers = await store.append(writes)
    refused = [answer for answer in answers if isinstance(answer, Fenced | Stale)]
    assert not refused, f"these writes are based on what is the case and must not be refused, but were: {refused}"
    return [answer for answer in answers if isinstance(answer, int)]


async def history(store: Store) -> None:
    """Write a little of everything that changes tables: three runs, their tasks, two agents, who meet and write."""
    profile = {"id": "ann", "capabilities": {"draft": 0.9}}
    tasks = [{"id": "one", "description": "first"}, {"id": "two", "after": ["one"]}, {"id": "three"}, {"id": "four"}]
    await written(store, Write(rows=[agent_row("ann", "agent.registered", {"profile": profile, "link": "process"})]))
    await written(store, create("a", started=False), create("b"), create("c", parent="b"))
    await written(store, under("a", 1, row("a", "run.started", {"node": "north", "epoch": 1, "deadline_at": None})))
    await written(store, under("a", 1, row("a", "tasks.added", {"tasks": tasks})))
    await written(
        store,
        under("a", 1, row("a", "task.claimed", {"epoch": 1, "attempt": 1, "lease_s": 30}, agent="ann", ref="one")),
        under(
            "a",
            1,
            row("a", "command.sent", {"type": "EXECUTE_TASK"}, ref="1"),
            row("a", "run.progressed", {"step": 1, "of": 4}),
        ),
    )
    await written(store, under("a", 1, row("a", "task.released", {"reason": "lease expired"}, agent="ann", ref="one")))
    await written(
        store,
        under("a", 1, row("a", "task.claimed", {"epoch": 2, "attempt": 2, "lease_s": 30}, agent="bob", ref="one")),
        under(
            "a",
            1,
            row("a", "task.done", {"epoch": 2, "result": {"words": 7}}, agent="bob", ref="one"),
            row("a", "task.ready", ref="two"),
        ),
        under("a", 1, row("a", "task.failed", {"reason": "no retries left"}, ref="three")),
        under(
            "a",
            1,
            row("a", "task.waiting", {"reason": "nobody can"}, ref="two"),
            row("a", "task.cancelled", {"reason": "not needed"}, ref="four"),
        ),
    )
    await written(
        store,
        Write(
            rows=[
                agent_row("ann", "agent.suspect", {"reason": "silent"}),
                agent_row("ann", "agent.gone", {"reason": "silent"}),
            ]
        ),
    )
    await written(store, under("b", 1, row("b", "run.parked", {"reason": "it diverged"})))
    await written(
        store,
        Write(rows=[agent_row("ann", "agent.alive"), agent_row("ann", "agent.changed", {"profile": {"id": "ann"}})]),
    )
    await written(store, under("c", 1, row("c", "run.resumed", {"node": "south", "epoch": 2, "attempts": 1})))
    await written(
        store,
        under("b", 1, row("b", "run.unparked", {"by": "cy"})),
        under("c", 2, row("c", "run.failed", {"error": "no bids"})),
    )
    await written(
        store, under("a", 1, row("a", "run.completed", {"outcome": {"success": True}, "metrics": {"messages": 3}}))
    )
    await _meet(store)


async def _meet(store: Store) -> None:
    point = {"name": "stand-up", "participants": ["ann", "bob"], "total": 2, "status": "waiting", "wake_at": 60.0}
    message = {"id": "m1", "sender": "cy", "to": ["ann", "bob"], "type": "NOTE", "content": {"b": 1, "a": 2}}
    await written(
        store,
        Write(rows=[meeting("p", "created", point), principal("cy", "added", {"role": "operator", "token": "t"})]),
        Write(rows=[mail("message.stored", message | {"due_at": 40.0, "requires_acknowledgment": True})]),
    )
    await written(
        store,
        Write(rows=[meeting("p", "arrived", {"arrived": 1}), mail("messages.fetched", {"ids": ["m1"]}, agent="ann")]),
        Write(rows=[mail("message.redelivered", {"due_at": 70.0, "attempts": 1}, agent="bob", ref="m1")]),
    )
    await written(
        store,
        Write(rows=[meeting("p", "completed", {"arrived": 2, "status": "completed", "wake_at": None}, agent="bob")]),
        Write(rows=[mail("messages.removed", {"ids": ["m1"]}, agent="ann"), principal("cy", "revoked")]),
    )


async def snapshot(view: View) -> dict[type[Record], Sequence[Record]]:
    """Return all records of all tables; there must be few."""
    return {table: await view.find(table, limit=10_000) for table in TABLES}


def tables_of(entries: Sequence[Entry]) -> dict[type[Record], Sequence[Record]]:
    """Fold these entries, as any store's tables must have been."""
    tables = Tables()
    tables.fold(entries)
    return {table: list(tables.matching(table, {})) for table in TABLES}


class raises:  # noqa: N801
    """Demand that a block raises this error: `with raises(Invalid, "why")`."""

    def __init__(self, kind: type[ConcertedError], why: str) -> None:
        self._kind = kind
        self._why = why

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        """Let the wanted error pass, complain if there was none, leave all others alone."""
        assert kind is not None, f"{self._kind.__name__} must be raised: {self._why}"
        return issubclass(kind, self._kind)
