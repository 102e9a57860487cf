"""Old runs: moved into files of their own, some time after their end, and still there to be read."""

import asyncio

from concerted.kinds import run_stream
from concerted.ports.commands import Cancel, Signal, Submit, Why
from concerted.ports.store import RunRecord
from concerted.values import Objective


async def greets(run):
    return "hello"


async def waits(run):
    return await run.signal("go")


async def archived(b, run="r"):
    return (await b.store.get(RunRecord, run)).archived


async def with_attic(b, after_s=100.0):
    b.world["archive_after_s"] = after_s
    await b.again()


def test_a_run_is_archived_some_time_after_its_end_and_not_before(bench):
    async def main(b):
        await with_attic(b)
        await b.submit()
        await asyncio.sleep(99)
        assert not await archived(b)
        await asyncio.sleep(7)
        assert await archived(b)
        assert await b.log() == []
        (row,) = await b.log("stream.archived", "store")
        assert row.data["stream"] == "run:r"
        assert row.data["entries"] == 3

    bench(main, s=greets)


def test_an_archived_run_can_still_be_read(bench):
    async def main(b):
        await with_attic(b)
        await b.submit()
        before = await b.view()
        why = await b.serve(Why(subject="r"))
        await asyncio.sleep(200)
        assert await archived(b)
        assert await b.view() == before
        assert await b.serve(Why(subject="r")) == why
        kinds = [entry.kind for entry in await b.store.stream(run_stream("r"))]
        assert kinds == ["run.created", "run.started", "run.completed"]
        assert (await b.serve(Submit(id="r", strategy="s", objective=Objective()))).existed

    bench(main, s=greets)


def test_what_goes_on_or_is_parked_is_not_archived(bench):
    async def main(b):
        await with_attic(b, 10.0)
        await b.submit("waits", timeout_s=2000.0)
        await b.submit("waits", run="q", timeout_s=2000.0)
        b.strategies["waits"] = greets
        await b.again()
        assert (await b.end()).status == "parked"
        b.strategies["waits"] = waits
        await asyncio.sleep(500)
        assert not await archived(b)
        assert not await archived(b, "q")

    bench(main, waits=waits)


def test_a_parked_run_that_is_called_off_is_archived_in_its_turn(bench):
    async def main(b):
        await with_attic(b, 10.0)
        await b.submit("waits")
        b.strategies["waits"] = greets
        await b.again()
        await b.end()
        assert (await b.serve(Cancel(id="r"))).status == "cancelled"
        await asyncio.sleep(30)
        assert await archived(b)

    bench(main, waits=waits)


def test_runs_that_ended_under_an_earlier_owner_are_archived_too(bench):
    async def main(b):
        await with_attic(b)
        await b.submit()
        await b.submit("waits", run="q")
        await asyncio.sleep(50)
        await b.again()
        await asyncio.sleep(40)
        assert not await archived(b)
        await asyncio.sleep(20)
        assert await archived(b)
        await b.serve(Signal(id="q", name="go", request_id="one"))
        await b.again()
        await asyncio.sleep(110)
        assert await archived(b, "q")
        assert len(await b.log("stream.archived", "store")) == 2, "one was archived twice"

    bench(main, s=greets, waits=waits)


def test_without_an_age_nothing_is_archived(bench):
    async def main(b):
        await b.submit()
        await asyncio.sleep(5000)
        assert not await archived(b)

    bench(main, s=greets)


def test_a_few_are_archived_at_one_look_the_oldest_first(bench):
    async def main(b):
        await with_attic(b, 10.0)
        await asyncio.sleep(1)
        for number in range(25):
            await b.submit(run=f"r{number:02}")
            await asyncio.sleep(0.01)
        await asyncio.sleep(14)
        assert [await archived(b, f"r{number:02}") for number in range(25)] == [True] * 20 + [False] * 5
        await asyncio.sleep(5)
        assert await archived(b, "r24")

    bench(main, s=greets)
