"""Leases as a program holds them: renewed in the background, and lost by the holder's own clock first."""

import asyncio

import pytest

from concerted.errors import Deadlock, LeaseLost, TimedOut
from concerted.launch import open_coordinator
from concerted.ports.holding import RevokeLease


def play(tmp_path, main):
    async def run():
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as coordinator:
            await main(coordinator)

    asyncio.run(run())


def test_a_lease_is_held_for_as_long_as_its_block_runs(tmp_path):
    async def main(c):
        async with c.leases.hold("x", holder="ann", ttl_s=0.3) as lease:
            for _ in range(4):
                await asyncio.sleep(0.2)
                assert not lease.is_lost
                assert (await c.leases.check("x", lease.token)).valid
        assert not (await c.leases.check("x", lease.token)).valid

    play(tmp_path, main)


def test_the_next_holder_gets_a_greater_token(tmp_path):
    async def main(c):
        tokens = []

        async def work(name):
            for _ in range(5):
                async with c.leases.hold(["a", "b"], holder=name, ttl_s=5, timeout_s=20) as lease:
                    tokens.append(lease.token)
                    await asyncio.sleep(0)

        await asyncio.gather(work("ann"), work("bob"), work("cy"))
        assert tokens == sorted(tokens)
        assert len(set(tokens)) == 15

    play(tmp_path, main)


def test_who_cannot_renew_is_told_by_its_own_clock_and_its_work_is_cut_off(tmp_path):
    async def main(c):
        cut_off = []
        with pytest.raises(LeaseLost, match="could not be renewed"):  # noqa: PT012 -- the block is what is cut off
            async with c.leases.hold("x", holder="ann", ttl_s=0.4) as lease:

                async def nobody(command):
                    await asyncio.sleep(60)

                c.give = nobody
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    cut_off.append(lease.left_s)
                    raise
        del c.give
        assert cut_off == [0.0]
        assert lease.is_lost

    play(tmp_path, main)


def test_who_is_not_in_its_block_any_more_is_not_cut_off_elsewhere(tmp_path):
    async def main(c):
        async with c.leases.hold("x", holder="ann", ttl_s=0.2):
            pass
        await asyncio.sleep(0.5)

    play(tmp_path, main)


def test_a_lease_that_is_taken_away_ends_the_block(tmp_path):
    async def main(c):
        with pytest.raises(LeaseLost):  # noqa: PT012
            async with c.leases.hold("x", holder="ann", ttl_s=0.3) as lease:
                await c.give(RevokeLease(token=lease.token, reason="maintenance"))
                await asyncio.sleep(30)
        (notice,) = await c.inbox("ann").fetch()
        assert (notice.type, notice.content["reason"]) == ("LEASE_LOST", "maintenance")

    play(tmp_path, main)


def test_what_is_not_free_in_time_names_who_has_it_and_leaves_no_ticket(tmp_path):
    async def main(c):
        async with c.leases.hold("src/**", holder="ann", ttl_s=5, purpose="a refactoring"):
            with pytest.raises(TimedOut, match=r"held by ann .a refactoring."):
                async with c.leases.hold("src/a.py", holder="bob", ttl_s=5, timeout_s=0.1):
                    pass
            assert (await c.leases.list()).waiting == ()

    play(tmp_path, main)


def test_two_that_want_what_the_other_has_are_told_at_once(tmp_path):
    async def main(c):
        async def both(first, second, holder, ready):
            async with c.leases.hold(first, holder=holder, ttl_s=5):
                ready.set()
                await asyncio.gather(*(one.wait() for one in (here, there)))
                async with c.leases.hold(second, holder=holder, ttl_s=5, timeout_s=30):
                    return "both"

        here, there = asyncio.Event(), asyncio.Event()
        told = await asyncio.gather(
            both("a", "b", "ann", here), both("b", "a", "bob", there), return_exceptions=True
        )  # fmt: skip
        assert {type(one) for one in told} == {Deadlock, str}

    play(tmp_path, main)


def test_a_holder_that_is_asked_to_release_hears_of_it(tmp_path):
    async def main(c):
        async with c.leases.hold("x", holder="ann", ttl_s=5):
            await c.leases.ask_for("x", "I have a release to make", agent="bob")
            (notice,) = await c.inbox("ann").fetch()
            assert notice.type == "LEASE_RELEASE_REQUESTED"
            assert notice.content["reason"] == "I have a release to make"

    play(tmp_path, main)
