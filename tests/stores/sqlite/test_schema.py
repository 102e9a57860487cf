"""Files of older versions are brought up to date when they are opened, with everything that is in them."""

import asyncio
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from concerted.ports.store import (
    MessageRecord,
    ParticipantRecord,
    PrimitiveRecord,
    Row,
    RunRecord,
    TaskRecord,
    Write,
)
from concerted.stores import SqliteReader, SqliteStore, questions
from concerted.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS
from concerted.values import RunId

# What version 1 wrote: a run with a task that is done, a snapshot of its first row, and large data aside.
LARGE = b'"' + b"x" * 70_000 + b'"'
LOG = [
    (1, "run:a", 1, 1.0, "run.created", None, None, b'{"strategy":"s"}', None, 1),
    (2, "run:a", 2, 2.0, "run.started", None, None, b'{"node":"n","epoch":1}', None, 2),
    (3, "run:a", 3, 3.0, "tasks.added", None, None, b'{"tasks":[{"id":"t"}]}', None, 3),
    (4, "run:a", 4, 4.0, "task.done", "ann", "t", b'{"epoch":1,"result":[7]}', None, 4),
    (5, "note:b", 1, 5.0, "note.made", "ann", None, None, b"hash", 5),
]
RUN = ("a", "s", "active", None, "a", None, 1.0, 2.0, None, None, "n", 1, 0, None, None, None, 0)
TASK = ("a", "t", "done", "ann", 0, 1, "", b"[]", b"[7]", None, 4.0)
QUEUED = ("a", "s", "queued", None, "a", None, 1.0, None, None, None, None, 1, 0, None, None, None, 0)
COLUMNS = (
    "id", "strategy", "status", "parent", "root", "plan", "created_at", "started_at", "ended_at", "deadline_at",
    "node", "epoch", "attempts", "progress", "result", "error", "archived",
)  # fmt: skip


def of_version_1(path: Path) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    for statement in MIGRATIONS[0]:
        database.execute(statement)
    database.execute(f"pragma application_id = {APPLICATION_ID}")
    database.execute("pragma user_version = 1")
    database.executemany("insert into log values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", LOG)
    database.execute("insert into blobs values (?, ?)", (b"hash", LARGE))
    database.execute(f"insert into runs values ({', '.join('?' * len(RUN))})", RUN)
    database.execute(f"insert into tasks values ({', '.join('?' * len(TASK))})", TASK)
    kept = zlib.compress(msgspec.msgpack.encode([("runs", COLUMNS, [QUEUED])]))
    database.execute("insert into snapshots values (1, 1, ?)", (kept,))
    database.close()


def test_a_file_of_version_1_keeps_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    of_version_1(path)

    async def scene() -> None:
        store = SqliteStore(path, durability="off")
        await store.open()
        assert [entry.seq for entry in await store.log()] == [1, 2, 3, 4, 5]
        assert (await store.stream("note:b"))[0].data == LARGE
        [run], [task] = await store.find(RunRecord), await store.find(TaskRecord)
        assert (run.status, run.node, task.result) == ("active", "n", b"[7]")
        then = await (await store.at(2)).get(RunRecord, "a")
        assert then is not None
        assert (then.status, then.node) == ("active", "n"), "the past is folded from the old snapshot"
        assert await store.rebuild() == 0
        await store.close()

    asyncio.run(scene())
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("pragma user_version").fetchone() == (len(MIGRATIONS),)


def test_a_file_of_version_1_takes_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    of_version_1(path)
    created = Row(stream="latch:l", at=6.0, kind="latch.created", data=b'{"total":2,"wake_at":9.0}')
    stored = Row(
        stream="mail", at=6.0, kind="message.stored", data=b'{"id":"m","sender":"cy","to":["ann"],"type":"NOTE"}'
    )  # fmt: skip

    async def scene() -> None:
        store = SqliteStore(path, durability="off")
        await store.open()
        assert await store.append([Write(rows=[created, stored], run=RunId("a"), epoch=1, after={"note:b": 1})]) == [7]
        await store.close()
        reader = await SqliteReader.open(path)
        assert [one.id for one in await reader.find(PrimitiveRecord, until=("wake_at", 9.0))] == ["l"]
        assert [one.id for one in await reader.find(MessageRecord, {"agent": "ann", "status": "stored"})] == ["m"]
        await reader.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("question", "index"),
    [
        (
            questions.find(PrimitiveRecord, None, 9, (), ("wake_at", 9.0)),
            "primitives_wake_at (wake_at>? AND wake_at<?)",
        ),
        (questions.find(PrimitiveRecord, None, 9, ("s",), ("wake_at", 9.0)), "primitives_wake_at (wake_at>?"),
        (questions.find(PrimitiveRecord, {"status": "waiting"}, 9, (), None), "primitives_status (status=?)"),
        (questions.find(MessageRecord, None, 9, ("a", "m"), ("due_at", 9.0)), "messages_due_at (due_at>?"),
        (
            questions.find(MessageRecord, {"agent": "a", "status": "stored"}, 9, (), None),
            "messages_status (agent=? AND",
        ),
        (questions.find(ParticipantRecord, {"agent": "a"}, 9, ("a", "s"), None), "(agent=?"),
    ],
)
def test_what_is_asked_all_the_time_is_answered_from_an_index(question: questions.Question, index: str) -> None:
    database = sqlite3.connect(":memory:")
    for migration in MIGRATIONS:
        for statement in migration:
            database.execute(statement)
    plan = " ".join(row[3] for row in database.execute(f"explain query plan {question.sql}", question.values))
    database.close()
    assert index in plan
