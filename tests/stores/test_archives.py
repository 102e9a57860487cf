"""Files of finished streams: names, exactness, damage, and a kill between the file and the log."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.errors import NotFound, StoreDamaged, Unreachable, WrongPhase
from concerted.ports.store import ArchiveRecord, Entry, Row, RunRecord, Write
from concerted.stores import SqliteStore
from concerted.stores.archives import archive_folder, archive_name, read_archive, write_archive
from concerted.values import RunId


def entry(number: int, data: bytes, **about: object) -> Entry:
    return Entry(seq=number, stream="run:é/../a b", stream_seq=number, at=0.1, kind="x", data=data, **about)  # type: ignore[arg-type]


@given(st.text(min_size=1, max_size=300))
def test_a_file_name_is_safe_whatever_the_stream(stream: str) -> None:
    name = archive_name("run:" + stream.encode("utf-8", "replace").decode())
    assert len(name) <= 120
    assert "/" not in name
    assert name.isascii()
    assert name.startswith("run_")


def test_streams_that_look_alike_have_files_of_their_own() -> None:
    assert archive_name("run:a/b") != archive_name("run:a_b")


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    entries = [entry(1, b"null"), entry(2, b'{"b":1.0,"a":"\\n \xc3\xa9"}', agent="ann", ref="r", lamport=7)]
    archive = write_archive(tmp_path / "new", entries)
    assert read_archive(tmp_path / archive.path) == entries
    assert archive.size_bytes == (tmp_path / archive.path).stat().st_size
    assert (archive.entries, archive.length, archive.first_seq, archive.last_seq) == (2, 2, 1, 2)
    assert list((tmp_path / "new").iterdir()) == [tmp_path / archive.path], "no unfinished file is left"


def test_a_line_holds_one_entry_also_if_its_data_was_written_on_several(tmp_path: Path) -> None:
    path = write_archive(tmp_path, [entry(1, b'{\r\n "a" :\n [1, 2]}'), entry(2, b"2")]).path
    name = Path(path).name
    lines = gzip.decompress((tmp_path / name).read_bytes()).splitlines()
    assert [json.loads(line)["data"] for line in lines] == [{"a": [1, 2]}, 2]
    assert [one.value() for one in read_archive(tmp_path / name)] == [{"a": [1, 2]}, 2]


def test_writing_the_same_again_gives_the_same_file(tmp_path: Path) -> None:
    name = Path(write_archive(tmp_path, [entry(1, b"1")]).path).name
    first = (tmp_path / name).read_bytes()
    (tmp_path / (name + ".part")).write_bytes(b"left by somebody who was killed")
    write_archive(tmp_path, [entry(1, b"1")])
    assert (tmp_path / name).read_bytes() == first


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    name = Path(write_archive(tmp_path, [entry(1, b"1")]).path).name
    path = tmp_path / name
    whole = path.read_bytes()
    for damaged in (whole[:-9], b"not gzip", whole[:20] + b"\xff\xff" + whole[22:], gzip.compress(b"{}\n")):
        path.write_bytes(damaged)
        with pytest.raises(StoreDamaged, match=name):
            read_archive(path)
    path.unlink()
    with pytest.raises(NotFound, match=name):
        read_archive(path)


async def _finished(path: Path) -> SqliteStore:
    store = SqliteStore(path, durability="off")
    await store.open()
    created = Row(stream="run:a", at=1.0, kind="run.created", data=b'{"strategy":"s"}')
    await store.append([Write(rows=[created], creates=RunId("a"))])
    await store.append([Write(rows=[Row(stream="run:a", at=1.0, kind="run.failed", data=b'{"error":"e"}')])])
    return store


def test_a_kill_after_the_file_and_before_the_log_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await _finished(tmp_path / "x.db")
        entries = await store.stream("run:a")
        write_archive(archive_folder(store.path), entries)
        assert await store.stream("run:a") == entries, "the file alone changes nothing"
        await store.archive("run:a")
        assert await store.stream("run:a") == entries
        assert [file.name for file in archive_folder(store.path).iterdir()] == [archive_name("run:a")]
        await store.close()

    asyncio.run(scene())


def test_a_stream_that_grows_while_it_is_archived_stays(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await _finished(tmp_path / "x.db")
        late = asyncio.ensure_future(store.append([Write(rows=[Row(stream="run:a", at=2.0, kind="reply.late")])]))
        archiving = asyncio.ensure_future(_archive_slowly(store))
        await late
        with pytest.raises(WrongPhase, match="still being written to"):
            await archiving
        assert len(await store.log(stream="run:a")) == 3
        assert await store.get(ArchiveRecord, "run:a") is None
        archived = await store.archive("run:a")
        assert archived.entries == 3, "later it may go"
        await store.close()

    asyncio.run(scene())


async def _archive_slowly(store: SqliteStore) -> None:
    """Archive as the store does, from entries read before the last row was written."""
    assert store._writer is not None
    entries = (await store.stream("run:a"))[:2]
    await store.append([])
    archive = write_archive(archive_folder(store.path), entries)
    await store._writer.do(lambda ledger: ledger.archive(archive, 3.0))


def test_an_archive_that_cannot_be_written_moves_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await _finished(tmp_path / "x.db")
        archive_folder(store.path).write_text("a file where the folder should be")
        with pytest.raises(Unreachable, match=r"x\.db\.archive"):
            await store.archive("run:a")
        assert len(await store.log(stream="run:a")) == 2
        run = await store.get(RunRecord, "a")
        assert run is not None
        assert not run.archived
        await store.append([Write(rows=[Row(stream="run:a", at=2.0, kind="x")])])
        await store.close()

    asyncio.run(scene())


def test_a_damaged_archive_of_the_wrong_length_is_noticed(tmp_path: Path) -> None:
    async def scene() -> None:
        store = await _finished(tmp_path / "x.db")
        entries = await store.stream("run:a")
        await store.archive("run:a")
        write_archive(archive_folder(store.path), entries[:1])
        with pytest.raises(StoreDamaged, match=r"has 1 entries of 'run:a'; it should have 2"):
            await store.stream("run:a")
        await store.close()

    asyncio.run(scene())


def test_large_data_leaves_the_file_with_the_last_stream_that_has_it(tmp_path: Path) -> None:
    large = b'"' + b"x" * 100_000 + b'"'

    async def scene() -> None:
        store = SqliteStore(tmp_path / "x.db", durability="off")
        await store.open()
        for run in ("a", "b"):
            rows = [
                Row(stream=f"run:{run}", at=1.0, kind="run.created", data=b'{"strategy":"s"}'),
                Row(stream=f"run:{run}", at=1.0, kind="reply.received", data=large),
                Row(stream=f"run:{run}", at=1.0, kind="run.failed", data=b"{}"),
            ]
            await store.append([Write(rows=rows, creates=RunId(run))])
        assert await _blobs(store) == 1, "the same content is kept once"
        await store.archive("run:a")
        assert await _blobs(store) == 1, "run b still needs it"
        await store.archive("run:b")
        assert await _blobs(store) == 0
        for run in ("a", "b"):
            assert (await store.stream(f"run:{run}"))[1].data == large
        await store.close()

    asyncio.run(scene())


async def _blobs(store: SqliteStore) -> int:
    assert store._reader is not None
    [count] = await store._reader.ask(lambda db: db.execute("select count(*) from blobs").fetchone())
    assert isinstance(count, int)
    return count
