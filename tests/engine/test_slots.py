"""How many runs are active at once, and how the others wait."""

import asyncio

import pytest

from concerted.errors import Overloaded
from concerted.ports.commands import Cancel, Signal, Status
from concerted.values import Objective, Outcome


async def waits(run):
    return await run.signal("go")


async def parent(run):
    names = [run.child("waits", Objective()) for _ in range(run.options.get("children", 1))]
    return [outcome.result for outcome in await asyncio.gather(*names)]


async def go(b, run):
    await b.serve(Signal(id=run, name="go", payload=run, request_id="one"))
    await b.end(run)
    await b.coordinator.rounds.quiet()


async def statuses(b, *runs):
    return [(await b.view(run)).status for run in runs]


def test_ten_runs_are_active_and_the_others_wait_visibly_in_order(bench):
    async def main(b):
        runs = [f"r{number:02}" for number in range(13)]
        answers = [await b.submit("waits", run=run) for run in runs]
        assert [answer.status for answer in answers] == ["active"] * 10 + ["queued"] * 3
        for place, run in enumerate(runs[10:], 1):
            (waiting,) = (await b.view(run)).waiting
            assert waiting.waiting_for == f"a free slot (place {place}; 10 runs are active, the bound)"
            assert waiting.unblocked_by == "the end of another run"
        await go(b, "r03")
        assert await statuses(b, "r10", "r11") == ["active", "queued"]
        assert "place 1;" in (await b.view("r11")).waiting[0].waiting_for
        assert (await b.serve(Status())).counts == {"active": 10, "queued": 2}

    bench(main, waits=waits)


def test_the_time_of_a_run_begins_with_its_slot(bench):
    async def main(b):
        await b.submit("waits", run="first")
        await b.submit("waits", timeout_s=50.0)
        await asyncio.sleep(100)
        await go(b, "first")
        view = await b.view()
        assert view.deadline_at - view.created_at == pytest.approx(150, abs=0.1)
        assert view.started_at - view.created_at == pytest.approx(100, abs=0.1)

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1})


def test_a_run_called_off_while_it_waits_leaves_the_queue(bench):
    async def main(b):
        for run in ("a", "b", "c"):
            await b.submit("waits", run=run)
        assert (await b.serve(Cancel(id="b"))).status == "cancelled"
        assert "place 1;" in (await b.view("c")).waiting[0].waiting_for
        await go(b, "a")
        assert await statuses(b, "a", "b", "c") == ["completed", "cancelled", "active"]
        assert await b.kinds("run:b") == ["run.created", "cancel.requested", "run.cancelled"]

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1})


def test_when_too_many_wait_one_more_is_refused_and_nothing_is_written(bench):
    async def main(b):
        for run in ("a", "b", "c"):
            await b.submit("waits", run=run)
        before = await b.store.last_seq()
        with pytest.raises(Overloaded, match=r"manager\.max_queued") as caught:
            await b.submit("waits", run="d")
        assert caught.value.facts["bound"] == "manager.max_queued"
        assert await b.store.last_seq() == before
        assert (await b.submit("waits", run="b")).existed, "attaching needs no place"
        await go(b, "a")
        assert (await b.submit("waits", run="d")).status == "queued"

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1, "max_queued": 2})


def test_where_nobody_may_wait_free_slots_can_be_had_all_the_same(bench):
    async def main(b):
        assert (await b.submit("waits", run="a")).status == "active"
        with pytest.raises(Overloaded):
            await b.submit("waits", run="b")
        await go(b, "a")
        assert (await b.submit("waits", run="b")).status == "active"

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1, "max_queued": 0})


def test_children_take_no_slots_of_root_runs(bench):
    async def main(b):
        await b.submit("parent", options={"children": 3})
        assert await statuses(b, "r", "r/1", "r/2", "r/3") == ["active"] * 4
        await b.submit("waits", run="q")
        assert await statuses(b, "q") == ["queued"]
        for child in ("r/1", "r/2", "r/3"):
            await go(b, child)
        assert (await b.end()).result == ["r/1", "r/2", "r/3"]
        await b.coordinator.rounds.quiet()
        assert await statuses(b, "q") == ["active"]

    bench(main, parent=parent, waits=waits, manager={"max_concurrent_coordinations": 1})


def test_children_have_a_bound_of_their_own(bench):
    async def main(b):
        await b.submit("parent", options={"children": 3})
        assert await statuses(b, "r/1", "r/2", "r/3") == ["active", "active", "queued"]
        assert (await b.view("r/3")).waiting[0].waiting_for == "a free slot (place 1; 2 runs are active, the bound)"
        await go(b, "r/2")
        assert await statuses(b, "r/3") == ["active"]

    bench(main, parent=parent, waits=waits, manager={"max_children": 2})


def test_slots_are_counted_right_after_a_takeover(bench):
    async def main(b):
        for run in ("a", "b", "c", "d"):
            await b.submit("waits", run=run)
        await b.again()
        assert await statuses(b, "a", "b", "c", "d") == ["active", "active", "queued", "queued"]
        await go(b, "a")
        assert await statuses(b, "b", "c", "d") == ["active", "active", "queued"]
        await go(b, "b")
        assert await statuses(b, "c", "d") == ["active", "active"]

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 2})


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
        await go(b, "r0")
        assert (await b.view("r1")).status == "active"
        await go(b, "r1")
        assert b.coordinator.slots._taken == {False: 0, True: 0}

    bench(main, waits=waits, manager={"max_concurrent_coordinations": 1, "idle_eviction": 10.0})


async def nested(run):
    if run.objective.description == "3":
        return Outcome(success=True, result="deep")
    inner = await run.child("nested", Objective(description=str(int(run.objective.description or "0") + 1)))
    return Outcome(success=inner.success, result=inner.result)


def test_children_of_children_do_not_wait_for_the_slots_of_their_own_parents(bench):
    async def main(b):
        await b.submit()
        view = await b.end()
        assert (view.status, view.result) == ("completed", "deep")

    bench(main, nested=nested, s=nested, manager={"max_children": 1})
