"""Reading a store that somebody else owns, or nobody."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from concerted.errors import StoreDamaged, Unreachable
from concerted.ports.store import Row, RunRecord, Write
from concerted.stores import SqliteReader, SqliteStore
from concerted.stores.queries import last_seq
from concerted.values import RunId

CREATED = Write(
    rows=[Row(stream="run:a", at=1.0, kind="run.created", data=b'{"strategy":"s"}')], creates=RunId("a")
)  # fmt: skip
NOTE = Write(rows=[Row(stream="run:a", at=1.0, kind="x")])


def test_a_reader_beside_the_owner_sees_each_commit(tmp_path: Path) -> None:
    async def scene() -> None:
        store = SqliteStore(tmp_path / "x.db", durability="off")
        await store.open()
        await store.append([CREATED])
        reader = await SqliteReader.open(tmp_path / "x.db")
        for number in range(2, 6):
            await store.append([NOTE])
            assert await reader.last_seq() == number
        run = await reader.get(RunRecord, "a")
        assert run is not None
        assert [run] == await reader.find(RunRecord) == await (await reader.at(1)).find(RunRecord)
        assert len(await reader.log(kind="x")) == 4
        await reader.close()
        await reader.close()
        with pytest.raises(Unreachable, match="is closed"):
            await reader.last_seq()
        await store.close()

    asyncio.run(scene())


def test_a_reader_does_not_keep_an_owner_out(tmp_path: Path) -> None:
    async def scene() -> None:
        store = SqliteStore(tmp_path / "x.db", durability="off")
        await store.open()
        await store.append([CREATED])
        await store.close()
        before = (tmp_path / "x.db").read_bytes()
        reader = await SqliteReader.open(tmp_path / "x.db")
        assert await reader.last_seq() == 1
        assert (tmp_path / "x.db").read_bytes() == before, "a reader writes nothing"
        assert sorted(os.listdir(tmp_path)) == ["x.db", "x.db.lock"], "and makes nothing"
        await store.open()
        await store.append([NOTE])
        assert await reader.last_seq() == 2
        await store.close()
        assert await reader.last_seq() == 2
        await reader.close()

    asyncio.run(scene())


def test_an_answer_from_a_file_that_changed_meanwhile_does_not_count(tmp_path: Path) -> None:
    async def scene() -> None:
        store = SqliteStore(tmp_path / "x.db", durability="off")
        await store.open()
        await store.append([CREATED])
        await store.close()
        reader = await SqliteReader.open(tmp_path / "x.db")
        asked = 0

        def slow(connection: sqlite3.Connection) -> int:
            nonlocal asked
            asked += 1
            seq = last_seq(connection)
            if asked == 1:
                # Another process opens it, writes, and is gone again.
                code = (
                    "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('delete from log'); db.commit()"
                )
                subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.db")], check=True)
            return seq

        assert await reader.ask(slow) == 0
        assert asked == 2
        await reader.close()

    asyncio.run(scene())


def test_what_a_killed_owner_left_in_the_write_ahead_log_is_read(tmp_path: Path) -> None:
    async def scene() -> None:
        store = SqliteStore(tmp_path / "x.db", durability="off")
        await store.open()
        await store.append([CREATED, NOTE])
        (tmp_path / "left").mkdir()
        for name in ("x.db", "x.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / "left" / name)
        await store.close()
        reader = await SqliteReader.open(tmp_path / "left" / "x.db")
        assert await reader.last_seq() == 2
        await reader.close()

    asyncio.run(scene())


def test_what_is_not_there_or_no_store_is_said_so(tmp_path: Path) -> None:
    async def scene() -> None:
        with pytest.raises(Unreachable, match="there is no file"):
            await SqliteReader.open(tmp_path / "x.db")
        assert os.listdir(tmp_path) == [], "looking makes nothing"
        (tmp_path / "x.db").touch()
        with pytest.raises(StoreDamaged, match="is empty"):
            await SqliteReader.open(tmp_path / "x.db")
        (tmp_path / "x.db").write_text("notes" * 500)
        with pytest.raises(StoreDamaged, match="not a database"):
            await SqliteReader.open(tmp_path / "x.db")

    asyncio.run(scene())
