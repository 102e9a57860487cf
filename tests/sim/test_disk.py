"""The simulated disk: in order, numbered, and what befalls a commit is what was asked for."""

import asyncio
import random

import pytest

from concerted.errors import Unreachable
from concerted.ports.store import Fenced, Row, Write
from concerted.sim.disk import SimDisk, SimStore
from concerted.sim.virtual_time import Process, run_virtual
from concerted.values import encode


def created(run):
    data = encode({"strategy": "s", "root": run})
    return Write(rows=[Row(stream=f"run:{run}", at=1.0, kind="run.created", data=data)], creates=run)


def note(run, epoch=1):
    return Write(rows=[Row(stream=f"run:{run}", at=1.0, kind="note")], run=run, epoch=epoch)


def on_disk(scene, fates=None):
    async def main():
        loop = asyncio.get_running_loop()
        asked = []

        def ask(moment, number):
            asked.append((moment, number))
            return (fates or {}).get((moment, number), "go on")

        disk = SimDisk(loop, random.Random(1))
        store = SimStore(disk, ask)
        await store.open()
        return await scene(disk, store, asked)

    return run_virtual(main())


def test_commits_are_numbered_and_asked_about_before_and_after():
    async def scene(disk, store, asked):
        await store.append([created("r")])
        await store.append([note("r")])
        return asked, disk.commits, disk.touched, disk.rows

    asked, commits, touched, rows = on_disk(scene)
    assert asked == [("before commit", 1), ("after commit", 1), ("before commit", 2), ("after commit", 2)]
    assert (commits, touched, rows) == (2, {"r": 2}, {"r": 2})


def test_appends_are_written_in_the_order_of_calling_and_take_time():
    async def scene(disk, store, asked):
        await store.append([created("r")])
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(store.append([note("r")]) for _ in range(5)))
        entries = await store.stream("run:r")
        return began, asyncio.get_running_loop().time(), [entry.seq for entry in entries]

    began, ended, seqs = on_disk(scene)
    assert 0 < began < ended
    assert seqs == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("moment", "durable"), [("before commit", 1), ("after commit", 2)])
def test_who_dies_at_a_commit_never_hears_of_it(moment, durable):
    async def scene(disk, store, asked):
        process = Process(asyncio.get_running_loop(), "coordinator")
        store._ask = lambda moment_, number: (process.kill(), "die")[1] if (moment_, number) == (moment, 2) else "go on"
        heard = []

        async def life():
            await store.append([created("r")])
            heard.append(1)
            await store.append([note("r")])
            heard.append(2)

        process.start(life())
        await asyncio.sleep(10)
        return heard, await disk.memory.last_seq()

    assert on_disk(scene) == ([1], durable)


@pytest.mark.parametrize(("moment", "durable"), [("before commit", 1), ("after commit", 2)])
def test_a_failed_commit_raises_on_either_side_and_the_handle_is_done_for(moment, durable):
    async def scene(disk, store, asked):
        await store.append([created("r")])
        with pytest.raises(Unreachable, match="nobody can tell"):
            await store.append([note("r")])
        with pytest.raises(Unreachable):
            await store.append([note("r")])
        with pytest.raises(Unreachable):
            await store.last_seq()
        again = SimStore(disk, lambda *_: "go on")
        await again.open()
        return await again.last_seq()

    assert on_disk(scene, {(moment, 2): "fail"}) == durable


def test_an_older_handle_writes_on_until_it_is_fenced_and_its_beat_says_so():
    async def scene(disk, store, asked):
        await store.append([created("r"), created("q")])
        for run in ("r", "q"):
            started = Row(stream=f"run:{run}", at=1.0, kind="run.started", data=encode({"node": "a", "epoch": 1}))
            await store.append([Write(rows=[started], run=run, epoch=1)])
        newer = SimStore(disk, lambda *_: "go on")
        await newer.open()
        before = await store.append([note("r")])
        assert (await store.beat("a", 1.0), await newer.beat("b", 1.0)) == (False, True)
        await newer.adopt("b", 2.0)
        return before, await store.append([note("r"), note("q")]), await newer.append([note("r", 2)])

    before, fenced, mine = on_disk(scene)
    assert isinstance(before[0], int)
    assert fenced == [Fenced("r", 2), Fenced("q", 2)]
    assert isinstance(mine[0], int)


def test_what_has_begun_to_be_written_is_written_whoever_dies_meanwhile():
    async def scene(disk, store, asked):
        process = Process(asyncio.get_running_loop(), "coordinator")
        disk.process.call_at(0.0, lambda: None)
        append = disk.memory.append

        async def slow(writes):
            await asyncio.sleep(1)
            return await append(writes)

        disk.memory.append = slow
        process.start(store.append([created("r")]))
        await asyncio.sleep(0.5)
        process.kill()
        await asyncio.sleep(2)
        return await disk.memory.last_seq()

    assert on_disk(scene) == 1
