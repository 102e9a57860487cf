"""Slots: so many runs at once; the others wait in order, and are seen to wait."""

import asyncio

import pytest

from concerted.errors import Overloaded
from concerted.ports.commands import Cancel, Signal, Status
from concerted.values import Objective


async def waits(run):
    return await run.signal("go")


async def parent(run):
    return [(await run.child("waits", Objective())).result]


async def finish(b, run):
    await b.serve(Signal(id=run, name="go", request_id="go"))
    await b.end(run)
    await asyncio.sleep(0.01)


def test_ten_runs_are_active_and_the_rest_wait_in_order_for_a_free_slot(bench):
    async def main(b):
        for number in range(13):
            await b.submit("waits", run=f"r{number:02}")
        status = await b.serve(Status())
        assert status.counts == {"active": 10, "queued": 3}
        waiting = {view.id: view.waiting[0].waiting_for for view in status.runs if view.status == "queued"}
        assert list(waiting) == ["r10", "r11", "r12"]
        assert "place 1" in waiting["r10"]
        assert "place 3" in waiting["r12"]
        assert "10 runs are active" in waiting["r10"]
        await finish(b, "r03")
        assert (await b.view("r10")).status == "active"
        assert (await b.view("r11")).status == "queued"

    bench(main, waits=waits)


def test_too_many_waiting_runs_are_refused(bench):
    async def main(b):
        for number in range(3):
            await b.submit("waits", run=f"r{number}")
        with pytest.raises(Overloaded, match="max_queued") as caught:
            await b.submit("waits", run="r3")
        assert caught.value.facts["bound"] == "manager.max_queued"
        assert (await b.submit("waits", run="r2")).existed, "attaching needs no slot"
        await finish(b, "r0")
        await b.submit("waits", run="r3")

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1, "max_queued": 2})


def test_a_queued_run_that_is_cancelled_never_starts_and_leaves_the_queue(bench):
    async def main(b):
        for number in range(3):
            await b.submit("waits", run=f"r{number}")
        await b.serve(Cancel(id="r1", reason="enough"))
        view = await b.end("r1")
        assert (view.status, view.started_at) == ("cancelled", None)
        await finish(b, "r0")
        assert (await b.view("r2")).status == "active"
        assert await b.kinds("run:r1") == ["run.created", "cancel.requested", "run.cancelled"]

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1})


def test_children_take_no_slot_of_a_root_run_and_have_a_bound_of_their_own(bench):
    async def main(b):
        for number in range(3):
            await b.submit("parent", run=f"r{number}")
        assert [(await b.view(f"r{number}")).status for number in range(3)] == ["active"] * 3
        assert [(await b.view(f"r{number}/1")).status for number in range(3)] == ["active", "active", "queued"]
        await finish(b, "r0/1")
        assert (await b.view("r2/1")).status == "active"

    bench(main, waits=waits, parent=parent, manager={"max_concurrent_coordinations": 3, "max_children": 2})


def test_slots_are_counted_again_after_a_takeover(bench):
    async def main(b):
        for number in range(4):
            await b.submit("waits", run=f"r{number}")
        await b.again()
        status = await b.serve(Status())
        assert status.counts == {"active": 2, "queued": 2}
        for number in range(4):
            await finish(b, f"r{number}")
        assert (await b.serve(Status())).counts == {}
        assert b.coordinator.slots._taken == {False: 0, True: 0}

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 2})


def test_the_time_of_a_run_counts_from_its_slot(bench):
    async def main(b):
        await b.submit("waits", run="r0", timeout_s=1000.0)
        await b.submit("waits", run="r1", timeout_s=10.0)
        await asyncio.sleep(100)
        assert (await b.view("r1")).status == "queued"
        await finish(b, "r0")
        view = await b.view("r1")
        assert view.deadline_at == pytest.approx(b.clock.now() + 10.0, abs=0.1)

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1})


def test_a_parked_run_gives_its_slot_back(bench):
    async def other(run):
        return "other"

    async def main(b):
        for number in range(2):
            await b.submit("waits", run=f"r{number}")
        b.strategies["waits"] = other
        await b.again()
        assert (await b.end("r0")).status == "parked"
        assert (await b.end("r1")).result == "other"

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1})


def test_a_sleeping_run_keeps_its_slot(bench):
    async def main(b):
        await b.submit("waits", run="r0", timeout_s=1000.0)
        await b.submit("waits", run="r1")
        await asyncio.sleep(100)
        assert "r0" in b.coordinator.sleepers.dormant
        assert (await b.view("r1")).status == "queued"
        await finish(b, "r0")
        assert (await b.view("r1")).status == "active"
        await finish(b, "r1")
        assert b.coordinator.slots._taken == {False: 0, True: 0}

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1, "idle_eviction": 10.0})
