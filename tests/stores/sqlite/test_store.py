"""The SQLite store beyond the exam: one commit for many, files it must refuse, a disk that fills up."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from concerted.errors import ConcertedError, Conflict, NotAllowed, StoreDamaged, Unreachable
from concerted.ports.store import Fenced, MessageRecord, Row, RunRecord, Write
from concerted.stores import SqliteReader, SqliteStore
from concerted.stores.ownership import owner_of
from concerted.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS
from concerted.values import RunId

CREATED = Write(
    rows=[Row(stream="run:a", at=1.0, kind="run.created", data=b'{"strategy":"s"}')], creates=RunId("a")
)  # fmt: skip


def note(number: int, data: bytes = b"null") -> Write:
    return Write(rows=[Row(stream="run:a", at=1.0, kind="x", ref=str(number), data=data)], run=RunId("a"), epoch=1)


async def opened(path: Path, **options: object) -> SqliteStore:
    store = SqliteStore(path, durability="off", **options)  # type: ignore[arg-type]
    await store.open()
    return store


# One commit for many


def test_all_that_is_appended_in_one_turn_shares_a_commit(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        await store.append([CREATED])
        assert (store.commits, store.rows) == (1, 1)
        await asyncio.gather(*(store.append([note(number)]) for number in range(100)))
        assert (store.commits, store.rows) == (2, 101)
        await store.close()

    asyncio.run(scene())


def test_what_comes_while_a_commit_is_in_flight_joins_the_next(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        await store.append([CREATED])
        assert store._writer is not None
        held = asyncio.get_running_loop().create_future()
        release = _hold(store, held)
        await held
        calls = []
        for number in range(50):
            calls.append(asyncio.ensure_future(store.append([note(number)])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        os.write(release, b".")
        await asyncio.gather(*calls)
        assert store.commits == 2
        os.close(release)
        await store.close()

    asyncio.run(scene())


def _hold(store: SqliteStore, held: asyncio.Future[None]) -> int:
    """Keep the writer busy, as a slow disk does, until somebody writes to the pipe that is returned."""
    assert store._writer is not None
    loop = asyncio.get_running_loop()
    wait, release = os.pipe()

    def slow(_: object) -> None:
        loop.call_soon_threadsafe(held.set_result, None)
        os.read(wait, 1)
        os.close(wait)

    task = loop.create_task(store._writer.do(slow))
    task.add_done_callback(lambda done: done.result())
    return release


def test_nothing_is_written_if_everything_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        assert await store.append([note(1), note(2)]) == [Fenced(RunId("a"), 0)] * 2
        assert (store.commits, store.rows, await store.last_seq()) == (0, 0, 0)
        await store.close()

    asyncio.run(scene())


def test_who_is_cancelled_while_waiting_does_not_disturb_the_others(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        await store.append([CREATED])
        first, second = (asyncio.ensure_future(store.append([note(number)])) for number in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == [3], "the cancelled row was on its way and is written"
        await store.close()

    asyncio.run(scene())


def test_an_owner_that_closes_finishes_what_is_queued(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        calls = [asyncio.ensure_future(store.append([write])) for write in (CREATED, note(1), note(2))]
        await asyncio.sleep(0)
        await store.close()
        assert [call.result() for call in calls] == [[1], [2], [3]]
        assert not (tmp_path / "x.db-wal").exists(), "the write-ahead log went into the file"
        again = await opened(tmp_path / "x.db")
        assert await again.last_seq() == 3
        await again.close()

    asyncio.run(scene())


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("normal", 1), ("off", 0)])
def test_durability_is_what_was_asked_for(durability: str, level: int, tmp_path: Path) -> None:
    async def scene() -> None:
        store = SqliteStore(tmp_path / "x.db", durability=durability)  # type: ignore[arg-type]
        await store.open()
        assert store._writer is not None
        pragmas = [("synchronous", level), ("journal_mode", "wal")]
        for name, wanted in pragmas:
            [now] = await store._writer.do(lambda ledger, name=name: ledger.pragma(name))
            assert now == wanted
        await store.close()

    asyncio.run(scene())


def test_large_data_is_kept_once(tmp_path: Path) -> None:
    large = b'"' + b"x" * 70_000 + b'"'

    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        await store.append(
            [CREATED, *(note(number, large) for number in range(20)), note(99, large[1000:-1] + b"1")][:-1]
        )
        assert [entry.data for entry in await store.stream("run:a", after=1)] == [large] * 20
        await store.close()

    asyncio.run(scene())
    assert (tmp_path / "x.db").stat().st_size < 300_000


def test_the_tables_are_right_again_after_a_rebuild(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        await store.append([CREATED])
        await store.close()
        meddled = sqlite3.connect(store.path)
        meddled.execute("update runs set epoch = 7, status = 'failed'")
        meddled.execute("insert into agents values ('nobody', '{}', 'local', 'null', 'alive', 0, '')")
        meddled.execute("insert into snapshots values (1, 0, x'00')")
        meddled.commit()
        meddled.close()
        await store.open()
        assert await store.append([note(1)]) == [Fenced(RunId("a"), 7)]
        assert await store.rebuild() == 2
        assert await store.rebuild() == 0
        assert await store.append([note(1)]) == [2], "the fence holds what the log says"
        run = await (await store.at(1)).get(RunRecord, "a")
        assert run is not None
        assert run.epoch == 1, "and so does the past"
        await store.close()

    asyncio.run(scene())


# Who owns it


def test_a_file_has_one_owner(tmp_path: Path) -> None:
    async def scene() -> None:
        first = await opened(tmp_path / "x.db")
        second = SqliteStore(tmp_path / "x.db")
        with pytest.raises(Conflict) as caught:
            await second.open()
        assert caught.value.facts["owner"] == os.getpid()
        await first.adopt("north", 1.0)
        assert owner_of(first.path)["node"] == "north"
        assert await first.append([CREATED]) == [1], "the first is not disturbed"
        await first.close()
        await second.open()
        assert await second.last_seq() == 1
        await second.close()

    asyncio.run(scene())


# Files that it must refuse


def _text(path: Path) -> None:
    path.write_text("just some notes\n" * 100)


def _short(path: Path) -> None:
    path.write_text("x")


def _other(path: Path) -> None:
    _database(path, "create table mine(x)")


def _other_kind(path: Path) -> None:
    _database(path, "create table mine(x)", "pragma application_id = 1", "pragma user_version = 1")


def _newer(path: Path) -> None:
    _database(path, f"pragma application_id = {APPLICATION_ID}", f"pragma user_version = {len(MIGRATIONS) + 1}")


def _database(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    for statement in ("create table t(x)", *statements):
        database.execute(statement)
    database.commit()
    database.close()


def test_messages_that_an_older_version_stored_get_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"

    async def scene() -> None:
        with monkeypatch.context() as older:
            older.setattr("concerted.stores.sqlite.schema.MIGRATIONS", MIGRATIONS[:2])
            store = SqliteStore(path, durability="off")
            await store.open()
            await store.close()
        database = sqlite3.connect(path)
        database.execute(
            """insert into log(seq, stream, stream_seq, at, kind, ref, data, lamport)
                values (7, 'mail', 1, 1, 'message.stored', 'm', 'null', 7)"""
        )
        database.execute(
            """insert into messages(agent, id, sender, type, priority, status, content, requires_acknowledgment,
                stored_at, attempts, escalated, fetched_in)
                values ('ann', 'm', 'bob', 'NOTE', 'low', 'stored', '1', 0, 1, 0, 0, '')"""
        )
        database.commit()
        database.close()
        store = SqliteStore(path, durability="off")
        await store.open()
        record = await store.get(MessageRecord, "ann", "m")
        assert record is not None
        assert record.number == 7
        await store.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        (_text, "is not a store: file is not a database"),
        (_short, "is not a store: file is not a database"),
        (_other, "is a SQLite database of another program"),
        (_other_kind, "is a SQLite database of another program"),
        (_newer, rf"was written by a newer version of Concerted \(schema {len(MIGRATIONS) + 1}, .* upgrade"),
        (Path.mkdir, "is a directory; name a file in it"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_not_touched(
    made: Callable[[Path], None], complaint: str, tmp_path: Path
) -> None:  # fmt: skip
    path = tmp_path / "x.db"
    made(path)
    before = path.read_bytes() if path.is_file() else b""

    async def scene() -> None:
        store = SqliteStore(path)
        for _ in range(2):
            with pytest.raises(StoreDamaged, match=complaint):
                await store.open()
        with pytest.raises(Unreachable, match="is not open"):
            await store.append([CREATED])
        await store.close()

    asyncio.run(scene())
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.db", "x.db.lock"]


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()

    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        assert await store.append([CREATED]) == [1]
        await store.close()

    asyncio.run(scene())


def test_a_damaged_page_is_reported_when_it_is_read(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        await store.append([CREATED, *(note(number, b'"' + b"x" * 2000 + b'"') for number in range(50))])
        await store.close()
        content = bytearray(store.path.read_bytes())
        last = len(content) // 4096 - 1
        for page in range(last - 10, last):  # rows of the log: they came after the schema
            content[page * 4096 : page * 4096 + 8] = b"\xff" * 8
        store.path.write_bytes(content)
        await store.open()
        with pytest.raises(StoreDamaged, match="malformed"):
            await store.stream("run:a")
        await store.close()

    asyncio.run(scene())


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own is for one user alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Be somebody whom file modes bind; root they do not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "keep_lock"),
    [(0o444, 0o777, True), (0o666, 0o555, True), (0o666, 0o555, False)],
    ids=["file", "folder", "folder without a lock file"],
)
def test_a_read_only_store_is_refused_and_can_still_be_read(
    file_mode: int, folder_mode: int, keep_lock: bool, open_folder: Path
) -> None:
    path = open_folder / "x.db"

    async def made() -> None:
        store = await opened(path)
        await store.append([CREATED])
        await store.close()

    async def refused() -> None:
        store = SqliteStore(path)
        for _ in range(2):
            with pytest.raises(NotAllowed, match="read-only"):
                await store.open()
        reader = await SqliteReader.open(path)
        assert await reader.last_seq() == 1
        await reader.close()

    async def writable_again() -> None:
        store = await opened(path)
        assert await store.append([note(1)]) == [2]
        await store.close()

    with ordinary_user():
        asyncio.run(made())
    if not keep_lock:
        path.with_name("x.db.lock").unlink()
    path.chmod(file_mode)
    open_folder.chmod(folder_mode)
    with ordinary_user():
        asyncio.run(refused())
    open_folder.chmod(0o777)
    path.chmod(0o666)
    with ordinary_user():
        asyncio.run(writable_again())


def test_a_missing_folder_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"there is no directory .*/no for x\.db; create it first"):
        asyncio.run(opened(tmp_path / "no" / "x.db"))
    assert not (tmp_path / "no").exists()


# A disk that fills up

FILLS = """
import asyncio, json, resource, sys
from concerted.errors import Unreachable
from concerted.ports.store import Row, Write
from concerted.stores import SqliteReader, SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], durability="normal", snapshot_every=10)
    await store.open()
    answered, refusals = [], []
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    for number in range(1000):
        row = Row(stream="note:a", at=1.0, kind="x", ref=str(number), data=b'"%s"' % (b"x" * 5000))
        try:
            answered += await store.append([Write(rows=[row])])
        except Unreachable as error:
            refusals.append(str(error))
            if len(refusals) == 3:
                break
    for job in (store.rebuild, lambda: store.adopt("n", 1.0)):
        try:
            await job()
        except Unreachable as error:
            refusals.append(str(error))
    readable = await store.last_seq()
    await store.close()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.open()
    kept = [entry.seq for entry in await store.log(limit=2000)]
    again = await store.append([Write(rows=[row])])
    rebuilt = await store.rebuild()
    await store.close()
    print(json.dumps([answered, refusals, readable, kept, again, rebuilt]))

asyncio.run(main())
"""


def test_on_a_full_disk_the_store_stops_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLS, str(tmp_path / "x.db")], capture_output=True, text=True, check=True, timeout=60
    )
    answered, refusals, readable, kept, again, rebuilt = json.loads(done.stdout)
    assert len(answered) > 10
    assert kept[: len(answered)] == answered == list(range(1, len(answered) + 1))
    assert len(refusals) == 5, "after the first failure nothing more is written"
    assert all("close the store, open it again" in refusal for refusal in refusals)
    assert readable >= len(answered)
    assert again == [len(kept) + 1]
    assert rebuilt == 0


def test_a_database_held_by_another_program_is_a_refusal_with_the_reason(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        await store.append([CREATED])
        assert store._writer is not None
        await store._writer.do(lambda ledger: ledger.pragma("busy_timeout = 20"))
        holder = sqlite3.connect(store.path, isolation_level=None)
        holder.execute("begin immediate")
        with pytest.raises(Unreachable, match="another program holds"):
            await store.append([note(1)])
        holder.execute("rollback")
        holder.close()
        with pytest.raises(Unreachable, match="another program holds"):
            await store.append([note(1)])
        await store.close()
        await store.open()
        assert await store.append([note(1)]) == [2]
        await store.close()

    asyncio.run(scene())


def test_a_fault_of_our_own_ends_the_writer_loudly_and_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud: list[object] = []
    monkeypatch.setattr("threading.excepthook", lambda args: loud.append(args.exc_value))

    def faulty(_: object) -> None:
        raise AssertionError("a bug")

    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        assert store._writer is not None
        results: Sequence[object] = await asyncio.gather(
            store._writer.do(faulty), store.append([CREATED]), return_exceptions=True
        )
        assert all(isinstance(result, Unreachable) for result in results), results
        with pytest.raises(Unreachable, match="a fault of its own: AssertionError"):
            await asyncio.wait_for(store.append([CREATED]), 5)
        await store.close()
        await store.open()
        assert await store.append([CREATED]) == [1]
        await store.close()

    asyncio.run(scene())
    assert [str(bug) for bug in loud] == ["a bug"]


def test_a_call_that_comes_while_a_faulty_writer_is_ending_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, may_end = threading.Event(), threading.Event()

    def dawdle(_: object) -> None:
        ending.set()
        may_end.wait(10)

    def faulty(_: object) -> None:
        raise AssertionError("a bug")

    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        assert store._writer is not None
        with pytest.raises(Unreachable):
            await store._writer.do(faulty)
        assert await asyncio.to_thread(ending.wait, 10)
        try:
            with pytest.raises(Unreachable, match="a fault of its own"):
                await asyncio.wait_for(store.append([CREATED]), 5)
        finally:
            may_end.set()
        await store.close()

    monkeypatch.setattr("threading.excepthook", dawdle)
    asyncio.run(scene())


def test_a_refused_job_leaves_the_numbers_right(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await opened(tmp_path / "x.db")
        await store.append([CREATED])
        with pytest.raises(ConcertedError):
            await store.archive("run:a")
        assert await store.append([note(1)]) == [2]
        await store.close()

    asyncio.run(scene())
