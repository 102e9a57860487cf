"""What a row costs: CPU per row and commits per second of the SQLite store, beside bare SQLite doing the same.

The floor writes rows of the same width with the same index and the same `synchronous`, with no fence, no
numbering, no tables, no event loop.  Run: `python bench/store.py [seconds per measurement]`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from concerted.ports.store import Row, Write
from concerted.stores import SqliteStore
from concerted.stores.sqlite.schema import Durability
from concerted.values import RunId, encode

REPEATS = 3
DATA = encode({"agent": "worker-17", "status": "ok", "value": {"quality": 0.93, "text": "a result of usual length"}})
Measured = tuple[float, float]  # CPU us per row, commits/s


async def main(seconds: float) -> None:
    """Print one line per durability and group size."""
    print(f"{'synchronous':12} {'group':>5} {'CPU us/row':>11} {'commits/s':>10} {'floor us/row':>13} {'ratio':>6}")
    for durability in ("full", "off"):
        for group in (1, 10, 100):
            ours = [await measured(store, durability, group, seconds) for _ in range(REPEATS)]
            floors = [await measured(floor, durability, group, seconds) for _ in range(REPEATS)]
            cpu, commits = statistics.median(one[0] for one in ours), statistics.median(one[1] for one in ours)
            bare = statistics.median(one[0] for one in floors)
            print(f"{durability:12} {group:5} {cpu:11.1f} {commits:10,.0f} {bare:13.1f} {cpu / bare:6.1f}")


async def measured(
    what: Callable[[Path, Durability, int, float], Awaitable[Measured]],
    durability: Durability, group: int, seconds: float,
) -> Measured:  # fmt: skip
    """Measure on a new file."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        return await what(Path(folder) / "bench.db", durability, group, seconds)


async def store(path: Path, durability: Durability, group: int, seconds: float) -> Measured:
    """Append groups of rows, each a run's answer under its fence."""
    opened = SqliteStore(path, durability=durability)
    await opened.open()
    runs = [RunId(f"run-{number:04}") for number in range(max(group, 1))]
    await opened.append(
        [
            Write(
                rows=(Row(stream=f"run:{run}", at=1.0, kind="run.created", data=b'{"strategy":"auction"}'),),
                creates=run,
            )
            for run in runs
        ]
    )
    rows, commits = 0, 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        writes = [
            Write(rows=(Row(stream=f"run:{run}", at=2.0, kind="reply.received", agent="w", ref="7", data=DATA),),
                  run=run, epoch=1)
            for run in runs
        ]  # fmt: skip
        await opened.append(writes)
        rows += len(writes)
        commits += 1
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await opened.close()
    return cpu / rows * 1e6, commits / took


async def floor(path: Path, durability: Durability, group: int, seconds: float) -> Measured:
    """Write the same rows with nothing around them."""
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("pragma journal_mode = wal")
    bare.execute(f"pragma synchronous = {durability}")
    bare.execute("create table log(seq integer primary key, stream, stream_seq, at, kind, agent, ref, data, lamport)")
    bare.execute("create unique index log_stream on log(stream, stream_seq)")
    rows, commits = 0, 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        bare.execute("begin immediate")
        bare.executemany(
            "insert into log values (null, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(f"run:run-{n:04}", commits, 2.0, "reply.received", "w", "7", DATA, 0) for n in range(group)],
        )
        bare.execute("commit")
        rows += group
        commits += 1
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    bare.close()
    return cpu / rows * 1e6, commits / took


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
