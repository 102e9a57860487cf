"""Processes that write to one PostgreSQL are killed, stopped or cut off at any instant.

What they were answered is there, nothing is twice, and nobody keeps the others waiting.
"""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from concerted.errors import Unreachable
from concerted.ports.store import Entry, Row, Stale, Write
from concerted.stores.postgres.connection import Address
from concerted.stores.postgres.store import PostgresStore

ROUNDS = 6
LATEST_S = 0.4  # a kill comes within so long after the first answer
STOPS = 8
STOPPED_S = 0.7
DOUBTS = 8
CUT = """
select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'concerted writer'"""

# Each lane writes two equal rows at a time: blindly to a stream that all share, and, in turn with all others, to
# one in which each row follows on the one before.  What was answered is printed.
WRITES = """
import asyncio, sys
from concerted.ports.store import Row, Stale, Write
from concerted.stores.postgres.store import PostgresStore

async def main():
    url, name = sys.argv[1:]
    store = PostgresStore(url, snapshot_every=200)
    await store.open()
    async def appending(lane):
        for number in range(10**9):
            data = b'"%s"' % (b"x" * 100 * lane)
            row = Row(stream="shared", at=1.0, kind="x", ref=f"{name}/{lane}/{number}", data=data)
            [seq] = await store.append([Write(rows=[row, row])])
            print(seq, row.ref, flush=True)
    async def following(lane):
        for number in range(10**9):
            row = Row(stream="chain", at=1.0, kind="x", ref=f"{name}/{lane}/{number}")
            answer = Stale("chain", 0)
            while isinstance(answer, Stale):
                [answer] = await store.append([Write(rows=[row, row], after={"chain": answer.length})])
            print(answer, row.ref, flush=True)
    await asyncio.gather(*(appending(lane) for lane in range(4)), *(following(lane) for lane in range(4, 6)))

asyncio.run(main())
"""


class Writer:
    """A process that writes until it is killed."""

    def __init__(self, url: str, name: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", WRITES, url, name], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self._lines = [self.process.stdout.readline()]

    def kill(self) -> dict[int, str]:
        """Kill it and return what it had printed completely: number -> name of the row."""
        assert self.process.stdout is not None
        self.process.kill()
        self._lines += self.process.stdout.readlines()
        self.process.stdout.close()
        self.process.wait()
        words = [line.decode().split() for line in self._lines if line.endswith(b"\n")]
        return {int(seq): name for seq, name in words}


@contextlib.contextmanager
def writers(url: str, *names: str) -> Iterator[list[Writer]]:
    made: list[Writer] = []
    try:
        made += [Writer(url, name) for name in names]
        yield made
    finally:
        for writer in made:
            writer.process.kill()


async def looked_at(url: str, answered: dict[int, str]) -> None:
    """See that the log has no gaps, no half write, no double, and all that was answered."""
    store = PostgresStore(url)
    await store.open()
    entries = await store.log(limit=1_000_000)
    by_seq = {entry.seq: entry for entry in entries}
    assert list(by_seq) == list(range(1, len(entries) + 1))
    for stream in ("shared", "chain"):
        rows = [entry for entry in entries if entry.stream == stream]
        assert [entry.stream_seq for entry in rows] == list(range(1, len(rows) + 1))
        assert [one.ref for one in rows[::2]] == [two.ref for two in rows[1::2]], "two rows of one write, or none"
        names = [entry.ref for entry in rows[::2]]
        assert len(set(names)) == len(names), "no write is there twice"
    lost = {seq: name for seq, name in answered.items() if seq not in by_seq or by_seq[seq].ref != name}
    assert not lost, f"these were answered and are not there: {lost}"
    assert await store.rebuild() == 0
    await store.close()


def test_what_was_answered_survives_a_kill_and_the_log_has_no_gaps(postgres: Callable[[], str]) -> None:
    dice, url = random.Random(1), postgres()
    answered: dict[int, str] = {}
    for number in range(ROUNDS):
        with writers(url, f"a{number}", f"b{number}") as both:
            time.sleep(dice.uniform(0, LATEST_S))
            for writer in both:
                answered |= writer.kill()
        asyncio.run(looked_at(url, answered))
    assert len(answered) > 2 * ROUNDS


def test_a_process_that_is_stopped_keeps_nobody_waiting(postgres: Callable[[], str]) -> None:
    dice, url = random.Random(2), postgres()

    async def scene() -> None:
        store = PostgresStore(url)
        await store.open()
        written: list[float] = []

        async def writing() -> None:
            while True:
                await store.append([Write(rows=[Row(stream="ours", at=1.0, kind="x")])])
                written.append(time.monotonic())

        ours = asyncio.ensure_future(writing())
        for _ in range(STOPS):
            await asyncio.sleep(dice.uniform(0.01, 0.1))
            stopped.process.send_signal(signal.SIGSTOP)
            begin = time.monotonic()
            await asyncio.sleep(STOPPED_S)
            assert not ours.done()
            assert len([at for at in written if at > begin + STOPPED_S / 2]) > 1, "we wait for who is stopped"
            stopped.process.send_signal(signal.SIGCONT)
        ours.cancel()
        await asyncio.gather(ours, return_exceptions=True)
        await store.close()

    with writers(url, "stopped") as [stopped]:
        asyncio.run(scene())
        answered = stopped.kill()
    address = Address.parse(url)
    with psycopg.connect(address.conninfo) as connection:
        rows = connection.execute(f"select seq from {address.schema}.log order by seq").fetchall()
    assert [seq for (seq,) in rows] == list(range(1, len(rows) + 1))
    assert max(answered) <= len(rows)


@pytest.mark.parametrize("seed", [3, 4])
def test_after_each_cut_a_writer_goes_on_from_what_is_there(seed: int, postgres: Callable[[], str]) -> None:
    """The server ends the writer's session at any instant: in doubt it opens anew and writes what is missing."""
    dice, url = random.Random(seed), postgres()
    answered: dict[int, str] = {}
    number = doubts = found = 0

    async def cut() -> None:
        async with await psycopg.AsyncConnection.connect(Address.parse(url).conninfo, autocommit=True) as connection:
            while True:
                wanted = number + dice.randint(1, 5)
                while number < wanted:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                await asyncio.sleep(dice.uniform(0.0, 0.01))
                await connection.execute(CUT)

    async def scene() -> None:
        nonlocal number, doubts, found
        store = PostgresStore(url)
        await store.open()
        cutting = asyncio.ensure_future(cut())
        while doubts < DOUBTS:
            row = Row(stream="chain", at=1.0, kind="x", ref=str(number))
            try:
                [answer] = await store.append([Write(rows=[row, row], after={"chain": 2 * number})])
            except Unreachable:
                doubts += 1
                await _open_again(store)
                continue
            if isinstance(answer, Stale):
                assert answer.length == 2 * number + 2, "the write that was in doubt is there"
                found += 1
            else:
                assert isinstance(answer, int)
                answered[answer] = str(number)
            number += 1
        cutting.cancel()
        await asyncio.gather(cutting, return_exceptions=True)
        entries: list[Entry] = await store.stream("chain")
        assert [entry.ref for entry in entries[::2]][:number] == [str(one) for one in range(number)], "each once"
        await store.close()

    asyncio.run(scene())
    asyncio.run(looked_at(url, answered))
    assert found <= doubts


async def _open_again(store: PostgresStore) -> None:
    while True:
        with contextlib.suppress(Unreachable):
            await store.open()
            return
