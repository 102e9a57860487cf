"""The memory store beyond the exam: what a crash leaves, and the same commits as SQLite makes."""

import asyncio
from pathlib import Path

from concerted.ports.store import Row, RunRecord, Store, Write
from concerted.stores import MemoryStore, SqliteStore
from concerted.values import RunId

CREATED = Write(
    rows=[Row(stream="run:a", at=1.0, kind="run.created", data=b'{"strategy":"s"}')], creates=RunId("a")
)  # fmt: skip


def note(number: int) -> Write:
    return Write(rows=[Row(stream="run:a", at=1.0, kind="x", ref=str(number))], run=RunId("a"), epoch=1)


def test_what_was_exported_does_not_change_any_more() -> None:
    async def scene() -> None:
        store = MemoryStore()
        await store.open()
        await store.append([CREATED])
        left = store.export()
        await store.append([note(1), Write(rows=[Row(stream="run:a", at=1.0, kind="run.failed", data=b"{}")])])
        await store.archive("run:a")
        for _ in range(2):
            after = MemoryStore(left)
            await after.open()
            run = await after.get(RunRecord, "a")
            assert run is not None
            assert (run.status, run.archived, await after.last_seq()) == ("queued", False, 1)
            assert await after.append([note(7)]) == [2]
            await after.close()

    asyncio.run(scene())


def test_a_crash_loses_what_was_appended_and_not_committed() -> None:
    async def scene() -> None:
        store = MemoryStore()
        await store.open()
        await store.append([CREATED])
        waiting = asyncio.ensure_future(store.append([note(1)]))
        await asyncio.sleep(0)
        store.load(store.export())
        waiting.cancel()
        assert await store.append([note(2)]) == [2]
        assert [entry.ref for entry in await store.log(kind="x")] == ["2"]

    asyncio.run(scene())


async def _commits(store: Store) -> tuple[int, int]:
    await store.open()
    await store.append([CREATED])
    await asyncio.gather(*(store.append([note(number)]) for number in range(10)))
    await store.append([Write(rows=[], run=RunId("a"), epoch=1)])
    await store.append([Write(rows=note(1).rows, run=RunId("a"), epoch=9)])
    await store.append([Write(rows=[Row(stream="run:a", at=1.0, kind="run.started", data=b'{"node":"n","epoch":1}')])])
    await store.adopt("south", 2.0)
    assert isinstance(store, MemoryStore | SqliteStore)
    counted = (store.commits, store.rows)
    await store.close()
    return counted


def test_memory_and_sqlite_make_the_same_commits(tmp_path: Path) -> None:
    in_memory = asyncio.run(_commits(MemoryStore()))
    on_disk = asyncio.run(_commits(SqliteStore(tmp_path / "x.db", durability="off")))
    assert in_memory == on_disk == (4, 13)
