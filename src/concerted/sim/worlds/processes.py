"""Playing seeds over several processes: what comes of each is told in the order of the seeds, whichever ends first."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from concerted.errors import Unreachable

__all__ = ["cores", "in_order"]

AHEAD = 4  # seeds that each process has before it, at most

T = TypeVar("T")


def in_order(play: Callable[[int], T], seeds: Iterable[int], jobs: int = 1) -> Iterator[tuple[int, T]]:
    """Play each seed and yield it with what came of it; what nobody asks for any more is not begun.

    play: for more than one job it can be pickled, and is called in processes of their own.

    Raises:
        Unreachable: one of these processes was killed.
    """
    if jobs == 1:
        for seed in seeds:
            yield seed, play(seed)
        return
    under_way: deque[tuple[int, Future[T]]] = deque()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_leave_interrupts) as pool:
        try:
            for seed in seeds:
                under_way.append((seed, pool.submit(play, seed)))
                if len(under_way) > AHEAD * jobs:
                    yield _first_of(under_way)
            while under_way:
                yield _first_of(under_way)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _first_of(under_way: deque[tuple[int, Future[T]]]) -> tuple[int, T]:
    seed, playing = under_way.popleft()
    try:
        return seed, playing.result()
    except BrokenProcessPool:
        raise Unreachable(
            f"a process that plays seeds was killed, with seed {seed} not played yet; "
            f"if memory had run out, play with fewer --jobs, from --seeds {seed}..N on"
        ) from None


def _leave_interrupts() -> None:
    """An interrupt at the keyboard reaches every process; the one that began the others answers it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
