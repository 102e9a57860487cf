"""Meeting points as a program holds them: the same line again means the same point."""

import asyncio

import pytest

from concerted.errors import Conflict
from concerted.launch import open_coordinator


def play(tmp_path, main):
    async def run():
        async with asyncio.timeout(20), open_coordinator(f"sqlite:///{tmp_path}/store.db") as coordinator:
            await main(coordinator)

    asyncio.run(run())


def test_a_point_made_again_with_the_same_span_is_that_point_with_the_deadline_it_has(tmp_path):
    async def main(coordinator):
        point = coordinator.sync_point("p")
        made = await point.create(["ann", "bob"], deadline_s=600)
        again = await point.create(["ann", "bob"], deadline_s=600)
        assert again.deadline_at == made.deadline_at

    play(tmp_path, main)


@pytest.mark.parametrize("other", [{"deadline_s": 60}, {}, {"deadline_s": 600, "description": "another"}])
def test_a_point_made_again_with_another_span_or_something_else_is_refused(tmp_path, other):
    async def main(coordinator):
        point = coordinator.sync_point("p")
        await point.create(["ann", "bob"], deadline_s=600)
        with pytest.raises(Conflict):
            await point.create(["ann", "bob"], **other)

    play(tmp_path, main)


def test_a_latch_made_again_with_the_same_span_is_that_latch_with_the_deadline_it_has(tmp_path):
    async def main(coordinator):
        latch = coordinator.latch("l")
        made = await latch.create(2, deadline_s=600)
        assert made.deadline_at == pytest.approx(made.created_at + 600)
        assert (await latch.create(2, deadline_s=600)).deadline_at == made.deadline_at
        for other in (60, None):
            with pytest.raises(Conflict):
                await latch.create(2, deadline_s=other)

    play(tmp_path, main)


def test_a_span_is_another_thing_than_no_deadline(tmp_path):
    async def main(coordinator):
        point = coordinator.sync_point("p")
        await point.create(["ann", "bob"])
        with pytest.raises(Conflict):
            await point.create(["ann", "bob"], deadline_s=600)

    play(tmp_path, main)
