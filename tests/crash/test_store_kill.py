"""A process that writes is killed with SIGKILL at any instant: what it was answered is there, and nothing is twice."""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from concerted.stores import SqliteStore

ROUNDS = 8
LATEST_S = 0.25  # the kill comes within so long after the first answer

APPENDS = """
import asyncio, sys
from concerted.ports.store import Row, RunRecord, Write
from concerted.stores import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], snapshot_every=50)
    await store.open()
    runs = await store.adopt(sys.argv[2], 1.0)
    if not runs:
        created = [Row(stream="run:a", at=1.0, kind="run.created", data=b'{"strategy":"s"}'),
                   Row(stream="run:a", at=1.0, kind="run.started", data=b'{"node":"n","epoch":1}')]
        await store.append([Write(rows=created, creates="a")])
        runs = await store.adopt(sys.argv[2], 1.0)
    numbers = iter(range(10**9))
    async def appending(lane):
        while True:
            data = b'"%s"' % (b"x" * 100 * lane)
            row = Row(stream="run:a", at=2.0, kind="run.progressed", ref=str(next(numbers)), data=data)
            [seq] = await store.append([Write(rows=[row, row], run="a", epoch=runs[0].epoch)])
            print(seq, flush=True)
    await asyncio.gather(*(appending(lane) for lane in range(8)))

asyncio.run(main())
"""

ARCHIVES = """
import asyncio, sys
from concerted.ports.store import Row, Write
from concerted.stores import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    for number in range(10**9):
        run = f"{sys.argv[2]}-{number}"
        rows = [Row(stream=f"run:{run}", at=1.0, kind="run.created", data=b'{"strategy":"s"}'),
                Row(stream=f"run:{run}", at=1.0, kind="reply.received", data=b'"%s"' % (b"x" * 70_000)),
                Row(stream=f"run:{run}", at=1.0, kind="run.failed", data=b"{}")]
        await store.append([Write(rows=rows, creates=run)])
        print(run, flush=True)
        await store.archive(f"run:{run}")

asyncio.run(main())
"""


def _killed(code: str, path: Path, name: str, dice: random.Random) -> list[str]:
    """Run a program until it is killed; return the lines it had printed completely."""
    with subprocess.Popen([sys.executable, "-c", code, str(path), name], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        time.sleep(dice.uniform(0, LATEST_S))
        child.kill()
        lines += child.stdout.readlines()
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


@pytest.mark.parametrize("seed", [1])
def test_what_was_answered_survives_and_the_log_has_no_gaps(seed: int, tmp_path: Path) -> None:
    dice, path = random.Random(seed), tmp_path / "x.db"
    answered: list[int] = []

    async def looked_at(rounds: int) -> None:
        store = SqliteStore(path)
        await store.open()
        entries = await store.log(limit=1_000_000)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert [entry.stream_seq for entry in entries] == list(range(1, len(entries) + 1))
        assert max(answered) <= len(entries)
        rows = [entry for entry in entries if entry.kind == "run.progressed"]
        assert len(rows) % 2 == 0, "two rows of one write, or none"
        assert all(one.ref == two.ref for one, two in zip(rows[::2], rows[1::2], strict=True))
        by_seq = {entry.seq: entry for entry in entries}
        assert all(by_seq[seq].kind == "run.progressed" for seq in answered)
        assert [entry.value()["epoch"] for entry in entries if entry.kind == "run.resumed"] == list(
            range(2, rounds + 2)
        )
        assert await store.rebuild() == 0
        await store.close()

    for number in range(1, ROUNDS + 1):
        lines = _killed(APPENDS, path, f"node-{number}", dice)
        assert lines, "it must have begun to write"
        answered += [int(line) for line in lines]
        asyncio.run(looked_at(number))
    assert len(set(answered)) == len(answered)


def test_a_kill_while_archiving_neither_loses_nor_doubles_a_stream(tmp_path: Path) -> None:
    dice, path = random.Random(2), tmp_path / "x.db"
    runs: list[str] = []

    async def looked_at() -> int:
        store = SqliteStore(path)
        await store.open()
        archived = 0
        for run in runs:
            entries = await store.stream(f"run:{run}")
            assert [entry.kind for entry in entries] == ["run.created", "reply.received", "run.failed"], run
            assert len(entries[1].data) == 70_002
            in_log = await store.log(stream=f"run:{run}")
            assert in_log in ([], entries), "either all of its rows are in the log, or none"
            archived += not in_log
        assert await store.rebuild() == 0
        await store.close()
        return archived

    for number in range(1, 5):
        runs += _killed(ARCHIVES, path, f"r{number}", dice)
        assert asyncio.run(looked_at()) > 0
