"""Virtual time: nothing waits, everything is the same again, and what is killed is dead."""

import asyncio

import pytest

from concerted.errors import Deadlock, NotAllowed
from concerted.sim.virtual_time import EPOCH, Process, SimClock, VirtualLoop, run_virtual


def test_a_year_passes_in_no_time():
    async def main():
        await asyncio.sleep(365 * 86400)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 365 * 86400


def test_plain_asyncio_works():
    async def main():
        order = []

        async def work(name, delay):
            await asyncio.sleep(delay)
            order.append((name, asyncio.get_running_loop().time()))

        async with asyncio.TaskGroup() as group:
            for name, delay in (("a", 3), ("b", 1), ("c", 2)):
                group.create_task(work(name, delay))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(100)
        return order

    assert run_virtual(main()) == [("b", 1.0), ("c", 2.0), ("a", 3.0)]


def test_when_nothing_can_happen_any_more_it_says_who_waits_and_where():
    async def waits_for_ever():
        await asyncio.get_running_loop().create_future()

    async def main():
        await asyncio.sleep(7)
        await asyncio.create_task(waits_for_ever(), name="the waiter")

    with pytest.raises(Deadlock, match=r"the waiter in .*waits_for_ever") as caught:
        run_virtual(main())
    assert caught.value.facts["at_s"] == 7.0


def test_there_are_no_threads():
    async def main():
        with pytest.raises(NotAllowed, match="threads"):
            await asyncio.to_thread(print)
        return "none"

    assert run_virtual(main()) == "none"


def test_the_clock_shows_virtual_time_and_may_be_wrong():
    async def main():
        loop = asyncio.get_running_loop()
        right, wrong = SimClock(loop), SimClock(loop, skew_s=-3.0)
        await asyncio.sleep(10)
        return right.now(), wrong.now(), right.monotonic(), wrong.monotonic()

    assert run_virtual(main()) == (EPOCH + 10, EPOCH + 7, 10.0, 10.0)


def test_what_is_left_over_ends_in_order():
    ended = []

    async def lingers():
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("lingers")

    async def main():
        task = asyncio.create_task(lingers())
        await asyncio.sleep(0)
        return task.done()

    assert run_virtual(main()) is False
    assert ended == ["lingers"]


# processes


def in_process(scene):
    async def main():
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return await scene(loop, Process(loop, "victim"))

    return run_virtual(main())


def test_a_killed_process_takes_no_further_step_not_even_a_finally():
    seen = []

    async def victim():
        try:
            async with asyncio.timeout(50):
                while True:
                    await asyncio.sleep(1)
                    seen.append("step")
        finally:
            seen.append("finally")

    async def scene(loop, process):
        process.start(victim())
        await asyncio.sleep(3.5)
        process.kill()
        await asyncio.sleep(100)
        return list(seen)

    assert in_process(scene) == ["step"] * 3


def test_everything_that_a_process_has_started_dies_with_it():
    seen = []

    async def child(name):
        await asyncio.sleep(5)
        seen.append(name)

    async def victim():
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(child("task")), asyncio.ensure_future(child("future"))]
        loop.call_later(5, seen.append, "timer")
        loop.call_soon(loop.call_later, 5, seen.append, "timer of a callback")
        await asyncio.gather(*tasks)

    async def scene(loop, process):
        process.start(victim())
        await asyncio.sleep(4)
        process.kill()
        await asyncio.sleep(10)
        return seen

    assert in_process(scene) == []


def test_the_dead_are_not_woken_by_what_they_waited_for():
    seen = []

    async def victim(future):
        await future
        seen.append("woken")

    async def scene(loop, process):
        future = loop.create_future()
        process.start(victim(future))
        await asyncio.sleep(1)
        process.kill()
        future.set_result(None)
        process.call(seen.append, "called")
        process.call_at(loop.time() + 1, seen.append, "called later")
        await asyncio.sleep(10)
        return seen

    assert in_process(scene) == []


def test_who_kills_itself_ends_what_it_is_doing_and_does_nothing_more():
    seen = []

    async def scene(loop, process):
        async def victim():
            process.kill()
            seen.append("the same step goes on")
            await asyncio.sleep(0)
            seen.append("never")

        process.start(victim())
        await asyncio.sleep(10)
        return seen

    assert in_process(scene) == ["the same step goes on"]


def test_others_do_not_die_with_it():
    async def lives(loop):
        await asyncio.sleep(5)
        return loop.time()

    async def scene(loop, process):
        other = Process(loop, "other")
        task = other.start(lives(loop))
        process.kill()
        return await task

    assert in_process(scene) == 5.0


def test_the_dead_who_await_in_their_finally_make_no_noise_at_the_end():
    async def stubborn():
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)

    async def scene(loop, process):
        process.start(stubborn())
        await asyncio.sleep(1)
        process.kill()
        return "quiet"

    assert in_process(scene) == "quiet"
