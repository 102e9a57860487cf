"""The worker threads."""

import asyncio
import threading

import pytest

from concerted.agent.threads import Threads


def test_values_and_errors_come_back_to_the_loop() -> None:
    async def main() -> None:
        threads = Threads(2)
        assert await threads.run(lambda: 1 + 1) == 2
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await threads.run(lambda: next(iter(())))

    asyncio.run(main())


def test_there_are_never_more_threads_than_the_limit_and_idle_ones_are_used_again() -> None:
    async def main() -> None:
        threads, names = Threads(3), set()

        def work() -> None:
            names.add(threading.current_thread().name)

        for _ in range(5):
            await asyncio.gather(*(threads.run(work) for _ in range(10)))
        assert len(names) <= 3
        lazy = Threads(50)
        for _ in range(20):
            await lazy.run(work)
            await asyncio.sleep(0.001)
        assert lazy._count <= 3

    asyncio.run(main())


def test_a_thread_whose_loop_has_gone_goes_on_with_the_next_work() -> None:
    threads, end, ended = Threads(1), threading.Event(), threading.Event()

    async def leave() -> None:
        threads.run(lambda: (end.wait(5), ended.set()))

    asyncio.run(leave())
    end.set()
    assert ended.wait(5)

    async def come() -> int:
        return await asyncio.wait_for(threads.run(lambda: 7), 5)

    assert asyncio.run(come()) == 7
