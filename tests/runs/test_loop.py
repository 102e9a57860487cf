"""The deterministic loop: plain asyncio works on it, nothing else does."""

import asyncio
import gc
import socket

import pytest

from concerted.errors import NotAllowed
from concerted.runs.loop import DeterministicLoop


def drive(main, until=1000.0):
    """Run a coroutine on a loop of its own, firing its timers in the order in which they are due."""
    loop = DeterministicLoop(0.0)
    task = loop.create_task(main)
    loop.run_ready()
    while not task.done():
        due = loop.next_due()
        assert due is not None, "nothing will ever happen"
        assert due[0] <= until
        loop.now = max(loop.now, due[0])
        loop.fire(due[1])
        loop.run_ready()
    return task.result()


async def after(delay, value):
    await asyncio.sleep(delay)
    return value


def test_sleep_takes_log_time_only():
    async def main():
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(100)
        return asyncio.get_running_loop().time() - began

    assert drive(main()) == 100.0


def test_gather_keeps_the_order_of_asking():
    async def main():
        return await asyncio.gather(after(3, "a"), after(1, "b"), after(2, "c"))

    assert drive(main()) == ["a", "b", "c"]


def test_gather_with_exceptions_returns_them():
    async def fails():
        raise ValueError("no")

    async def main():
        good, bad = await asyncio.gather(after(1, "a"), fails(), return_exceptions=True)
        return [good, str(bad)]

    assert drive(main()) == ["a", "no"]


def test_a_task_group_cancels_the_others_when_one_fails():
    seen = []

    async def fails():
        await asyncio.sleep(1)
        raise ValueError("no")

    async def waits():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main():
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits())
                group.create_task(fails())
        except ExceptionGroup as errors:
            return [str(error) for error in errors.exceptions]

    assert drive(main()) == ["no"]
    assert seen == ["cancelled"]


def test_timeouts_nest_and_the_inner_one_comes_first():
    async def main():
        told = []
        try:
            async with asyncio.timeout(5):
                try:
                    async with asyncio.timeout(2):
                        await asyncio.sleep(100)
                except TimeoutError:
                    told.append(asyncio.get_running_loop().time())
                await asyncio.sleep(100)
        except TimeoutError:
            told.append(asyncio.get_running_loop().time())
        return told

    assert drive(main()) == [2.0, 5.0]


def test_wait_for_queues_locks_events_and_semaphores_work():
    async def main():
        queue, lock, event, gate = asyncio.Queue(1), asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(2)
        order = []

        async def producer():
            for number in range(3):
                await queue.put(number)
            event.set()

        async def worker(name):
            async with gate:
                async with lock:
                    order.append(name)
                await asyncio.sleep(1)

        workers = [asyncio.ensure_future(worker(number)) for number in range(4)]
        asyncio.ensure_future(producer())  # noqa: RUF006
        got = [await asyncio.wait_for(queue.get(), 10) for _ in range(3)]
        await event.wait()
        await asyncio.gather(*workers)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 1)
        return [got, order]

    assert drive(main()) == [[0, 1, 2], [0, 1, 2, 3]]


def test_sets_of_tasks_have_one_order():
    """asyncio.wait returns sets; their order must not hang on memory addresses."""

    async def main():
        tasks = [asyncio.ensure_future(after(1, number)) for number in range(20)]
        done, _ = await asyncio.wait(tasks)
        return [task.result() for task in done]

    first = drive(main())
    padding = [object() for _ in range(1000)]
    assert drive(main()) == first
    assert sorted(first) == list(range(20))
    assert padding


def test_as_completed_yields_in_the_order_of_completion():
    async def main():
        return [await each for each in asyncio.as_completed([after(3, "a"), after(1, "b"), after(2, "c")])]

    assert drive(main()) == ["b", "c", "a"]


def test_two_timers_of_one_instant_fire_in_the_order_of_arming():
    async def main():
        order = []
        loop = asyncio.get_running_loop()
        for number in range(5):
            loop.call_later(1.0, order.append, number)
        await asyncio.sleep(1.0)
        return order

    assert drive(main()) == [0, 1, 2, 3, 4]


def test_due_timers_come_earliest_first_and_cancelled_ones_never():
    loop = DeterministicLoop(0.0)
    handles = [loop.call_at(when, lambda: None) for when in (3.0, 1.0, 2.0, 9.0)]
    handles[2].cancel()
    assert loop.next_due() == (1.0, 2)
    assert loop.due_by(5.0) == [(1.0, 2), (3.0, 1)]
    assert loop.due_of(3) is None
    loop.fire(3)
    loop.fire(77)
    loop.run_ready()
    assert loop.armed == 4


IO = {
    "open_connection": lambda: asyncio.open_connection("localhost", 1),
    "start_server": lambda: asyncio.start_server(print, "localhost", 0),
    "to_thread": lambda: asyncio.to_thread(print),
    "subprocess": lambda: asyncio.create_subprocess_exec("true"),
    "shell": lambda: asyncio.create_subprocess_shell("true"),
    "getaddrinfo": lambda: asyncio.get_running_loop().getaddrinfo("localhost", 1),
    "executor": lambda: asyncio.get_running_loop().run_in_executor(None, print),
    "sock_connect": lambda: asyncio.get_running_loop().sock_connect(socket.socket(), ("localhost", 1)),
    "unix": lambda: asyncio.open_unix_connection("x"),
}


@pytest.mark.parametrize("name", sorted(IO))
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_io_is_refused_with_what_to_do_instead(name):
    async def main():
        with pytest.raises(NotAllowed, match=r"run\.do"):
            await IO[name]()
        return "refused"

    assert drive(main()) == "refused"


def test_a_strategy_that_never_settles_is_stopped(monkeypatch):
    monkeypatch.setattr("concerted.runs.loop.STEPS", 1000)

    async def main():
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(NotAllowed, match="still wants more"):
        drive(main())


def test_the_host_loop_is_back_after_a_step_even_if_it_raises(monkeypatch):
    monkeypatch.setattr("concerted.runs.loop.STEPS", 10)

    async def spins():
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    def step():
        loop = DeterministicLoop(0.0)
        loop.create_task(spins())
        with pytest.raises(NotAllowed):
            loop.run_ready()
        loop.abandon()

    async def host():
        mine = asyncio.get_running_loop()
        done = mine.create_future()
        mine.call_soon(lambda: (step(), done.set_result(asyncio.get_running_loop() is mine)))
        return await done

    assert asyncio.run(host())


def test_an_async_generator_may_be_left_in_the_middle():
    closed = []

    async def numbers():
        try:
            for number in range(10):
                yield number
                await asyncio.sleep(1)
        finally:
            closed.append("closed")

    async def main():
        async for number in numbers():
            if number == 2:
                break
        return "left"

    loop = DeterministicLoop(0.0)
    task = loop.create_task(main())
    loop.run_ready()
    while not task.done():
        due = loop.next_due()
        loop.now = due[0]
        loop.fire(due[1])
        loop.run_ready()
    assert closed == [], "nothing but the code and its inputs may decide when it is closed"
    loop.abandon()
    assert closed == ["closed"]


def test_abandoning_closes_what_awaits_in_its_finally_and_what_raises():
    order = []

    async def stubborn(name):
        try:
            await asyncio.sleep(100)
        finally:
            order.append(name)
            await asyncio.sleep(1)
            order.append("never")

    async def raises():
        try:
            await asyncio.sleep(100)
        finally:
            raise ValueError("in the end")

    async def never_started():
        order.append("never")

    loop = DeterministicLoop(0.0)
    for name in ("a", "b"):
        loop.create_task(stubborn(name))
    loop.create_task(raises())
    loop.run_ready()
    loop.create_task(never_started())
    loop.abandon()
    assert order == ["a", "b"]
    assert loop.next_due() is None
    loop.run_ready()
    assert order == ["a", "b"]


def test_the_garbage_collector_does_not_end_a_task_that_nobody_holds():
    """asyncio itself keeps tasks weakly, so that a collection at any time may run their `finally` blocks."""
    ended = []

    async def lonely(event):
        try:
            await event.wait()
        finally:
            ended.append(True)

    async def main():
        event = asyncio.Event()
        asyncio.ensure_future(lonely(event))  # noqa: RUF006
        del event
        await asyncio.sleep(1)
        gc.collect()
        await asyncio.sleep(1)
        return list(ended)

    loop = DeterministicLoop(0.0)
    task = loop.create_task(main())
    loop.run_ready()
    while not task.done():
        due = loop.next_due()
        loop.now = due[0]
        loop.fire(due[1])
        loop.run_ready()
    assert (task.result(), loop.complaints) == ([], [])
    loop.abandon()
    assert ended == [True]


def test_what_a_callback_raises_is_kept_for_the_engine():
    loop = DeterministicLoop(0.0)
    loop.call_soon(lambda: 1 / 0)
    loop.run_ready()
    assert isinstance(loop.complaints[0]["exception"], ZeroDivisionError)
