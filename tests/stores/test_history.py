"""Which snapshots are kept, and the past read from them."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.errors import NotFound
from concerted.ports.store import Row, RunRecord, Write
from concerted.stores import SqliteReader, SqliteStore
from concerted.stores.archives import archive_folder
from concerted.stores.snapshots import NEWEST_KEPT, SNAPSHOTS_KEPT, surplus
from concerted.values import RunId


@given(st.integers(0, 200), st.integers(1, 50))
def test_few_snapshots_are_kept_and_the_newest_always(count: int, step: int) -> None:
    seqs = [step * number for number in range(1, count + 1)]
    dropped = surplus(seqs)
    kept = [seq for seq in seqs if seq not in dropped]
    assert len(kept) == min(count, SNAPSHOTS_KEPT)
    assert kept[-NEWEST_KEPT:] == seqs[-NEWEST_KEPT:]


def test_old_snapshots_thin_out_evenly() -> None:
    kept: list[int] = []
    for number in range(1, 1001):
        kept.append(number)
        for seq in surplus(kept):
            kept.remove(seq)
    gaps = [after - before for before, after in zip([0, *kept], kept, strict=False)]
    assert max(gaps) <= 1000 / (SNAPSHOTS_KEPT - NEWEST_KEPT) * 4, gaps


def _progress(count: int) -> list[Row]:
    return [Row(stream="run:a", at=1.0, kind="run.progressed", data=b"%d" % number) for number in range(count)]


CREATED = Row(stream="run:a", at=1.0, kind="run.created", data=b'{"strategy":"s"}')


def test_the_past_is_read_from_the_nearest_snapshot(tmp_path: Path) -> None:
    async def scene() -> None:
        store = SqliteStore(tmp_path / "x.db", durability="off", snapshot_every=10)
        await store.open()
        await store.append([Write(rows=[CREATED], creates=RunId("a"))])
        for row in _progress(400):
            await store.append([Write(rows=[row])])
        kept = await store.rebuild()
        assert kept == 0
        for row in _progress(45):
            await store.append([Write(rows=[row])])
        await store.close()
        reader = await SqliteReader.open(tmp_path / "x.db")
        seqs = await reader.ask(lambda db: [row[0] for row in db.execute("select seq from snapshots")])
        assert 2 <= len(seqs) <= 5, f"rebuilding drops those of before, and there were 45 rows since: {seqs}"
        for seq in (1, 200, seqs[0] - 1, seqs[0], min(seqs[-1] + 1, 446), 446):
            run = await (await reader.at(seq)).get(RunRecord, "a")
            assert run is not None
            assert run.progress == (None if seq == 1 else b"%d" % ((seq - 2) % 400))
        await reader.close()

    asyncio.run(scene())


def test_the_snapshots_of_a_long_log_are_bounded(tmp_path: Path) -> None:
    async def scene() -> None:
        store = SqliteStore(tmp_path / "x.db", durability="off", snapshot_every=2)
        await store.open()
        await store.append([Write(rows=[CREATED], creates=RunId("a"))])
        for row in _progress(120):
            await store.append([Write(rows=[row])])
        await store.close()
        reader = await SqliteReader.open(tmp_path / "x.db")
        [count] = await reader.ask(lambda db: db.execute("select count(*) from snapshots").fetchone())
        await reader.close()
        assert 8 < count <= SNAPSHOTS_KEPT

    asyncio.run(scene())


def test_a_past_whose_archive_is_gone_is_not_found_by_name(tmp_path: Path) -> None:
    async def scene() -> None:
        store = SqliteStore(tmp_path / "x.db", durability="off")
        await store.open()
        await store.append([Write(rows=[CREATED], creates=RunId("a"))])
        await store.append([Write(rows=[Row(stream="run:a", at=1.0, kind="run.failed", data=b"{}")])])
        await store.archive("run:a")
        [file] = archive_folder(store.path).iterdir()
        file.unlink()
        with pytest.raises(NotFound, match=r"x\.db\.archive/run_a-\w+\.jsonl\.gz is gone"):
            await store.at(1)
        with pytest.raises(NotFound):
            await store.stream("run:a")
        run = await (await store.at(3)).get(RunRecord, "a")
        assert run is not None, "the present, and the past since then, need no file"
        assert await store.rebuild() == 0
        await store.close()

    asyncio.run(scene())
