"""A coordinator that closes leaves nothing running behind it; one that gives up says so to whoever waits."""

import asyncio
import contextlib

import pytest

from concerted.errors import ConcertedError, Unreachable


def test_what_is_called_off_at_closing_has_ended_when_it_is_closed(bench):
    async def main(b):
        steps = []

        async def question():
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(1)  # as a database does, which is told that nobody waits any more
                steps.append("called off")

        b.coordinator.errand(question())
        await asyncio.sleep(0)
        await b.coordinator.close()
        assert steps == ["called off"]

    bench(main)


def test_what_does_not_end_keeps_a_closing_waiting_for_some_seconds_only(bench):
    async def main(b):
        async def deaf():
            for _ in range(100):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1)

        b.coordinator.errand(deaf())
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        await b.coordinator.close()
        assert asyncio.get_running_loop().time() - began < 10
        await asyncio.sleep(100)

    bench(main)


def test_who_waits_for_a_write_when_everything_is_given_up_is_told_so_and_not_that_it_was_closed(bench):
    """A session asks its next coordinator by itself then: a node that was paused may find its lease lost in a write."""

    async def main(b):
        asked = asyncio.ensure_future(b.submit())
        await asyncio.sleep(0)
        assert b.coordinator.rounds._acks, "it does not wait for a write"
        b.coordinator.give_up(ConcertedError("this node's lease was lost"))
        with pytest.raises(Unreachable, match="lease was lost"):
            await asked

    bench(main, s=lambda run: asyncio.sleep(60))
