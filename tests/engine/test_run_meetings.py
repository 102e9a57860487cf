"""Runs meet others: agents, scripts and other runs, at sync points and barriers, across crashes."""

import asyncio

import pytest

from concerted.errors import NotAllowed, NotFound
from concerted.ports.commands import Cancel
from concerted.ports.meeting import ArriveAtBarrier, ArriveAtSyncPoint, CreateSyncPoint, GetSyncPoint
from concerted.values import AgentId


async def meets(run):
    told = await run.sync("p", participants=["ann", run.id], arrive_as=AgentId(run.id), data="from the run")
    return [told.status, told.sync_data]


def test_a_run_meets_an_agent_at_a_point_that_it_makes(bench):
    async def main(b):
        await b.submit()
        await asyncio.sleep(1)
        await b.serve(ArriveAtSyncPoint(id="p", agent=AgentId("ann"), data=1))
        view = await b.end()
        assert view.result == ["completed", {"ann": 1, "r": "from the run"}]

    bench(main, s=meets)


@pytest.mark.parametrize("crash_after_s", [0, 1, 30], ids=lambda s: f"after {s} s")
def test_a_run_goes_on_waiting_after_a_crash_and_has_arrived_once(bench, crash_after_s):
    async def main(b):
        await b.submit()
        await asyncio.sleep(crash_after_s)
        await b.again()
        await asyncio.sleep(1)
        await b.serve(ArriveAtSyncPoint(id="p", agent=AgentId("ann")))
        assert (await b.end()).result[0] == "completed"
        kinds = await b.kinds("sync_point:p")
        assert kinds.count("sync_point.arrived") == 2
        assert kinds.count("sync_point.created") == 1

    bench(main, s=meets)


async def waits_only(run):
    return (await run.sync("p")).status


def test_a_run_that_only_waits_does_not_arrive(bench):
    async def main(b):
        await b.serve(CreateSyncPoint(id="p", participants=(AgentId("ann"), AgentId("bob"))))
        await b.submit()
        for agent in ("ann", "bob"):
            await asyncio.sleep(20)
            await b.serve(ArriveAtSyncPoint(id="p", agent=AgentId(agent)))
        assert (await b.end()).result == "completed"

    bench(main, s=waits_only)


async def refused(run):
    told = []
    for point in ("p", "nowhere"):
        try:
            await run.sync(point, arrive_as=AgentId(run.id))
        except (NotAllowed, NotFound) as error:
            told.append(error.code)
    return told


def test_what_a_point_refuses_is_an_error_in_the_strategy_also_when_it_is_replayed(bench):
    async def main(b):
        await b.serve(CreateSyncPoint(id="p", participants=(AgentId("ann"), AgentId("bob"))))
        await b.submit()
        assert (await b.end()).result == ["not_allowed", "not_found"]

    bench(main, s=refused)


async def passes(run):
    return [(await run.barrier("b", parties=2)).generation for _ in range(3)]


def test_two_runs_pass_a_barrier_together_time_after_time(bench):
    async def main(b):
        await b.submit(run="one")
        await b.submit(run="two")
        assert (await b.end("one")).result == (await b.end("two")).result == [0, 1, 2]

    bench(main, s=passes)


def test_a_run_and_a_shell_script_pass_a_barrier_across_a_crash(bench):
    async def main(b):
        await b.submit()
        for _ in range(3):
            await asyncio.sleep(1)
            await b.again()
            await asyncio.sleep(1)
            await b.serve(ArriveAtBarrier(id="b", agent=AgentId("ann"), wait_s=60))
        assert (await b.end()).result == [0, 1, 2]

    bench(main, s=passes)


def test_a_run_that_is_called_off_no_longer_waits(bench):
    async def main(b):
        await b.submit()
        await asyncio.sleep(1)
        await b.serve(Cancel(id="r", reason="enough"))
        assert (await b.end()).status == "cancelled"
        await asyncio.sleep(60)
        assert b.coordinator.primitives.waits.views() == []
        assert (await b.serve(GetSyncPoint(id="p"))).arrived == 1

    bench(main, s=meets)
