"""What each row of the log changes in the current-state tables: a pure function, and the only way they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from concerted.errors import Invalid
from concerted.kinds import MAIL_STREAM, PRIMITIVES, PRINCIPALS_STREAM
from concerted.ports.store import AgentRecord, ArchiveRecord, Entry, Record, Row, RunRecord, TaskRecord
from concerted.stores.changes import DEFAULTS, TABLES, Change, Columns, Count, Data, columns_of, reader
from concerted.stores.primitive_projections import MAIL_RULES, PRINCIPAL_RULES, primitive
from concerted.values import encode

__all__ = [
    "PROJECTED",
    "STORE_STREAM",
    "TABLES",
    "Change",
    "Columns",
    "columns_of",
    "project",
    "record_from_json",
    "record_to_json",
]

STORE_STREAM = "store"  # the stream in which the store speaks of itself


def project(fact: Row | Entry) -> Sequence[Change]:
    """Return what this row changes, in order; for most kinds that is nothing.

    Raises:
        Invalid: the data or the stream is not what a row of this kind has.
    """
    rule = _RULES.get(fact.kind)
    if rule is None:
        return ()
    prefix, read = rule
    if not fact.stream.startswith(prefix):
        raise Invalid(f"a row of kind {fact.kind} is in stream {fact.stream!r}; it belongs in one named {prefix!r}...")
    try:
        return read(fact, fact.stream[len(prefix) :])
    except msgspec.MsgspecError as error:
        raise Invalid(f"the data of a row of kind {fact.kind} in {fact.stream!r} does not fit: {error}") from error


def record_to_json(record: Record) -> dict[str, Any]:
    """Return a record as an archive keeps it: JSON columns as texts, so that they come back byte for byte."""
    known = columns_of(type(record))
    columns = {name: getattr(record, name) for name in known.names}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in columns.items()}


def record_from_json(table: type[Record], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an archived record; what it does not have gets its default."""
    known = columns_of(table)
    kept = {name: columns[name] for name in known.names if name in columns}
    texts = {name: value.encode() for name, value in kept.items() if name in known.json and value is not None}
    return {**DEFAULTS[table], **kept, **texts}


# The data of each kind.


class _RunCreated(Data, frozen=True):
    strategy: str
    parent: str | None = None
    root: str | None = None
    plan: str | None = None


class _RunStarted(Data, frozen=True):
    node: str
    epoch: Count
    deadline_at: float | None = None


class _RunResumed(Data, frozen=True):
    node: str
    epoch: Count
    attempts: Count = 0


class _Why(Data, frozen=True):
    error: str | None = None
    reason: str | None = None


class _TaskAdded(Data, frozen=True):
    id: str
    description: str = ""
    after: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()


class _TasksAdded(Data, frozen=True):
    tasks: tuple[_TaskAdded, ...]


class _TaskClaimed(Data, frozen=True):
    epoch: Count
    attempt: Count


class _TaskDone(Data, frozen=True):
    epoch: Count = 0
    result: msgspec.Raw = msgspec.Raw(b"null")


class _AgentRegistered(Data, frozen=True):
    profile: msgspec.Raw
    link: str = "local"
    spec: msgspec.Raw = msgspec.Raw(b"null")


class _StreamArchived(Data, frozen=True):
    stream: str
    path: str
    entries: Count
    size_bytes: Count
    records: dict[str, list[dict[str, Any]]]


_run_created = reader(_RunCreated)
_run_started = reader(_RunStarted)
_run_resumed = reader(_RunResumed)
_why = reader(_Why)
_tasks_added = reader(_TasksAdded)
_task_claimed = reader(_TaskClaimed)
_task_done = reader(_TaskDone)
_agent_registered = reader(_AgentRegistered)
_stream_archived = reader(_StreamArchived)


# Runs


def _run(run: str, **columns: Any) -> list[Change]:
    return [Change(RunRecord, (run,), columns)]


def _created(fact: Row | Entry, run: str) -> list[Change]:
    data = _run_created(fact.data)
    columns = DEFAULTS[RunRecord] | {
        "id": run,
        "strategy": data.strategy,
        "parent": data.parent,
        "root": data.root or run,
        "plan": data.plan,
        "created_at": fact.at,
    }
    return [Change(RunRecord, (run,), columns, whole=True)]


def _started(fact: Row | Entry, run: str) -> list[Change]:
    data = _run_started(fact.data)
    return _run(
        run, status="active", started_at=fact.at, node=data.node, epoch=data.epoch, deadline_at=data.deadline_at
    )


def _resumed(fact: Row | Entry, run: str) -> list[Change]:
    data = _run_resumed(fact.data)
    return _run(run, node=data.node, epoch=data.epoch, attempts=data.attempts)


def _unparked(_: Row | Entry, run: str) -> list[Change]:
    """Let a run that had been started go on at once; one that never was waits for a slot again."""
    return [
        *_run(run, status="queued", attempts=0, error=None),
        Change(RunRecord, (run,), {"status": "active"}, unless_null="started_at"),
    ]


def _progressed(fact: Row | Entry, run: str) -> list[Change]:
    return _run(run, progress=fact.data)


def _ended(fact: Row | Entry, run: str) -> list[Change]:
    why = _why(fact.data)
    return _run(run, status=fact.kind[4:], ended_at=fact.at, result=fact.data, error=why.error or why.reason)


def _parked(fact: Row | Entry, run: str) -> list[Change]:
    why = _why(fact.data)
    return _run(run, status="parked", error=why.reason or why.error)


# Tasks


def _task(fact: Row | Entry, run: str, **columns: Any) -> list[Change]:
    if fact.ref is None:
        raise Invalid(f"a row of kind {fact.kind} in {fact.stream!r} names no task; put its id into `ref`")
    columns["since"] = fact.at
    return [Change(TaskRecord, (run, fact.ref), columns)]


def _added(fact: Row | Entry, run: str) -> list[Change]:
    return [
        Change(
            TaskRecord,
            (run, task.id),
            DEFAULTS[TaskRecord]
            | {
                "run": run,
                "id": task.id,
                "status": "pending" if task.after or task.waits_for else "ready",
                "description": task.description,
                "after": encode(task.after),
                "since": fact.at,
            },
            whole=True,
        )
        for task in _tasks_added(fact.data).tasks
    ]


def _ready(fact: Row | Entry, run: str) -> list[Change]:
    return _task(fact, run, status="ready", agent=None, error=None)


def _claimed(fact: Row | Entry, run: str) -> list[Change]:
    data = _task_claimed(fact.data)
    return _task(fact, run, status="running", agent=fact.agent, epoch=data.epoch, attempts=data.attempt, error=None)


def _released(fact: Row | Entry, run: str) -> list[Change]:
    return _task(fact, run, status="ready", agent=None, error=_why(fact.data).reason)


def _done(fact: Row | Entry, run: str) -> list[Change]:
    data = _task_done(fact.data)
    return _task(
        fact, run, status="done", agent=fact.agent, epoch=data.epoch, result=bytes(data.result), error=None
    )  # fmt: skip


def _given_up(fact: Row | Entry, run: str) -> list[Change]:
    return _task(fact, run, status=fact.kind[5:], error=_why(fact.data).reason)


# Agents


def _agent(agent: str, **columns: Any) -> list[Change]:
    return [Change(AgentRecord, (agent,), columns)]


def _registered(fact: Row | Entry, agent: str) -> list[Change]:
    data = _agent_registered(fact.data)
    columns = DEFAULTS[AgentRecord] | {
        "id": agent,
        "profile": bytes(data.profile),
        "link": data.link,
        "spec": bytes(data.spec),
        "since": fact.at,
    }
    return [Change(AgentRecord, (agent,), columns, whole=True)]


def _changed(fact: Row | Entry, agent: str) -> list[Change]:
    return _agent(agent, profile=bytes(_agent_registered(fact.data).profile))


def _state(fact: Row | Entry, agent: str) -> list[Change]:
    state = "gone" if fact.kind == "agent.left" else fact.kind[6:]
    reason = "" if fact.data == b"null" else _why(fact.data).reason or ""
    return _agent(agent, state=state, since=fact.at, reason=reason)


# Archives


def _archived(fact: Row | Entry, _: str) -> list[Change]:
    """Note where the stream went, and set its final records, whose rows are no longer in the log."""
    data = _stream_archived(fact.data)
    columns = {
        "stream": data.stream,
        "path": data.path,
        "entries": data.entries,
        "size_bytes": data.size_bytes,
        "at": fact.at,
    }
    changes = [Change(ArchiveRecord, (data.stream,), columns, whole=True)]
    for table in TABLES:
        for stored in data.records.get(table.table, ()):
            record = record_from_json(table, stored)
            if table is RunRecord:
                record["archived"] = True
            changes.append(Change(table, tuple(record[name] for name in table.key), record, whole=True))
    return changes


_RULES: Mapping[str, tuple[str, Callable[[Row | Entry, str], list[Change]]]] = {
    "run.created": ("run:", _created),
    "run.started": ("run:", _started),
    "run.resumed": ("run:", _resumed),
    "run.unparked": ("run:", _unparked),
    "run.progressed": ("run:", _progressed),
    "run.completed": ("run:", _ended),
    "run.failed": ("run:", _ended),
    "run.cancelled": ("run:", _ended),
    "run.timed_out": ("run:", _ended),
    "run.parked": ("run:", _parked),
    "tasks.added": ("run:", _added),
    "task.ready": ("run:", _ready),
    "task.waiting": ("run:", _released),
    "task.claimed": ("run:", _claimed),
    "task.released": ("run:", _released),
    "task.done": ("run:", _done),
    "task.failed": ("run:", _given_up),
    "task.cancelled": ("run:", _given_up),
    "agent.registered": ("agent:", _registered),
    "agent.changed": ("agent:", _changed),
    "agent.suspect": ("agent:", _state),
    "agent.gone": ("agent:", _state),
    "agent.alive": ("agent:", _state),
    "agent.left": ("agent:", _state),
    "stream.archived": (STORE_STREAM, _archived),
    **{kind: (MAIL_STREAM, rule) for kind, rule in MAIL_RULES.items()},
    **{kind: (PRINCIPALS_STREAM, rule) for kind, rule in PRINCIPAL_RULES.items()},
    **dict.fromkeys(PRIMITIVES, ("", primitive)),
}

PROJECTED: frozenset[str] = frozenset(_RULES)
