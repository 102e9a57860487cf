"""Primitives are found by kind, status and agent, a page at a time, each exactly once."""

import pytest

from concerted.errors import Invalid
from concerted.ports.looking import ListPrimitives
from concerted.ports.meeting import CancelSyncPoint, CreateBarrier, CreateSyncPoint
from concerted.ports.tracking import CreateTracker
from concerted.values import AgentId


async def pages(b, **asked):
    """Return the ids of all pages, and how many pages there were."""
    found, after, count = [], "", 0
    while after is not None:
        page = await b.serve(ListPrimitives(after=after, **asked))
        found += [f"{one.kind}:{one.id}" for one in page.primitives]
        after, count = page.after, count + 1
    return found, count


async def given(b):
    for id, who in (("a", ("ann", "bob")), ("b", ("bob", "cy")), ("c", ("ann", "cy"))):
        await b.serve(CreateSyncPoint(id=id, participants=who))
    await b.serve(CreateBarrier(id="a", participants=("ann", "bob")))
    await b.serve(CreateTracker(id="t", total_steps=1, agent=AgentId("ann")))
    await b.serve(CreateTracker(id="u", total_steps=1, participants=("ann",), agent=AgentId("bob")))
    await b.serve(CancelSyncPoint(id="a"))


def test_pages_hold_everything_once_in_order_whatever_their_size(bench):
    async def main(b):
        await given(b)
        everything = ["barrier:a", "progress:t", "progress:u", "sync_point:a", "sync_point:b", "sync_point:c"]
        for limit in (1, 2, 3, 6, 100):
            found, count = await pages(b, limit=limit)
            assert found == everything
            assert count == -(-6 // limit)

    bench(main)


def test_they_are_found_by_kind_and_status(bench):
    async def main(b):
        await given(b)
        assert (await pages(b, kind="sync_point"))[0] == ["sync_point:a", "sync_point:b", "sync_point:c"]
        assert (await pages(b, kind="sync_point", status="cancelled"))[0] == ["sync_point:a"]
        assert (await pages(b, kind="latch"))[0] == []

    bench(main)


def test_an_agent_finds_what_it_takes_part_in_and_the_trackers_it_has_made(bench):
    async def main(b):
        await given(b)
        ann = AgentId("ann")
        of_ann = ["barrier:a", "progress:t", "progress:u", "sync_point:a", "sync_point:c"]
        for limit in (1, 2, 5, 100):
            found, count = await pages(b, agent=ann, limit=limit)
            assert found == of_ann
            assert count == -(-5 // limit)
        assert (await pages(b, agent=ann, kind="progress"))[0] == ["progress:t", "progress:u"]
        assert (await pages(b, agent=ann, kind="sync_point", status="waiting"))[0] == ["sync_point:c"]
        assert (await pages(b, agent=AgentId("zoe")))[0] == []

    bench(main)


def test_a_limit_out_of_bounds_is_refused(bench):
    async def main(b):
        for limit in (0, 1001):
            with pytest.raises(Invalid, match="limit is"):
                await b.serve(ListPrimitives(limit=limit))

    bench(main)
