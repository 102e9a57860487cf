"""Workers that meet at a barrier and take turns at locks: the work of `bench/meeting.py`, the same for every system.

A system is what its own `with_....py` makes of these four calls, in the way that suits it best.  Only the
standard library is used, as in `measuring`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

PARTIES = 128
WAITERS = 8  # who want one and the same name
ROUNDS = 40  # of the barrier
LOCKS_S = 2.0  # for how long locks are taken and released
HAND_OFFS = 400
WARM_UP = 5  # rounds, and hand-offs of each, before the clock starts
TICK = os.sysconf("SC_CLK_TCK")


class System(Protocol):
    """One system; all workers are in this process and share what connections it has."""

    async def open(self) -> None:
        """Get ready."""

    async def close(self) -> None:
        """Leave."""

    def processes(self) -> Sequence[int]:
        """Return the ids of the server's processes, whose CPU counts beside ours; none if it lives in this one."""

    async def arrive(self, turn: int, worker: int) -> None:
        """Arrive at the barrier of PARTIES, and return when all have."""

    async def acquire(self, name: str, worker: int) -> Any:
        """Hold this name alone, waiting if need be; return what `release` needs."""

    async def release(self, name: str, worker: int, token: Any) -> None:
        """Hold it no longer."""


def run(system: System, wanted: Sequence[str]) -> None:
    """Measure what is wanted, among `barrier`, `locks` and `hand-off`."""
    asyncio.run(measure(system, wanted))


async def measure(system: System, wanted: Sequence[str], how: str = "") -> None:
    """Open the system, measure what is wanted, and close it.  how: stands before the name of each measurement."""
    await system.open()
    for what, work in (("barrier", barrier), ("locks", locks), ("hand-off", hand_off)):
        if what in wanted:
            await work(system, how + what)
    await system.close()


async def barrier(system: System, what: str) -> None:
    """All arrive at once, and go on when the last one has; again and again."""
    for turn in range(WARM_UP):
        await asyncio.gather(*(system.arrive(turn, worker) for worker in range(PARTIES)))
    took = []
    cost = Cost(system)
    for turn in range(WARM_UP, WARM_UP + ROUNDS):
        began = time.perf_counter()
        await asyncio.gather(*(system.arrive(turn, worker) for worker in range(PARTIES)))
        took.append(time.perf_counter() - began)
    report(what, statistics.median(took), *cost.each(ROUNDS * PARTIES))


async def locks(system: System, what: str) -> None:
    """Each worker takes and releases a name of its own, for a while."""
    for worker in range(PARTIES):
        await take_and_release(system, worker)
    pairs = 0
    cost = Cost(system)
    until = time.perf_counter() + LOCKS_S

    async def work(worker: int) -> None:
        nonlocal pairs
        while time.perf_counter() < until:
            await take_and_release(system, worker)
            pairs += 1

    await asyncio.gather(*(work(worker) for worker in range(PARTIES)))
    took, own, servers = cost.each(pairs)
    report(what, took, took, own, servers)


async def take_and_release(system: System, worker: int) -> None:
    """Take and release a name that nobody else wants."""
    name = f"own-{worker}"
    await system.release(name, worker, await system.acquire(name, worker))


async def hand_off(system: System, what: str) -> None:
    """All wait for one name; measured from the call that releases it to the return of the call that then has it."""
    released_at = 0.0
    took: list[float] = []

    async def work(worker: int) -> None:
        nonlocal released_at
        while len(took) < HAND_OFFS + WARM_UP * WAITERS:
            token = await system.acquire("wanted", worker)
            took.append(time.perf_counter() - released_at)
            released_at = time.perf_counter()
            await system.release("wanted", worker, token)

    cost = Cost(system)
    await asyncio.gather(*(work(worker) for worker in range(WAITERS)))
    report(what, statistics.median(took[WARM_UP * WAITERS :]), *cost.each(len(took)))


class Cost:
    """What is used up from now on: wall, CPU of this process, and CPU of the server's."""

    def __init__(self, system: System) -> None:
        gc.collect()
        self._processes = list(system.processes())
        self._servers = cpu_of(self._processes)
        self._wall, self._own = time.perf_counter(), time.process_time()

    def each(self, operations: int) -> tuple[float, float, float]:
        """Return seconds per operation: wall, CPU here, CPU there."""
        wall, own = time.perf_counter() - self._wall, time.process_time() - self._own
        servers = cpu_of(self._processes) - self._servers
        return wall / operations, own / operations, servers / operations


def cpu_of(processes: Iterable[int]) -> float:
    """Return how much CPU these processes have used, in seconds; one that has ended counts no more."""
    total = 0
    for process in processes:
        try:
            facts = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(facts[11]) + int(facts[12])
    return total / TICK


def report(what: str, median_s: float, wall_s: float, cpu_s: float, server_s: float = 0.0, **facts: float) -> None:
    """Print one measurement.  median_s: what the claim is about; the others are means per operation."""
    line = {"what": what, "median_s": median_s, "wall_s": wall_s, "cpu_s": cpu_s, "server_s": server_s, **facts}
    print(json.dumps(line), flush=True)


class Wakers:
    """Futures by name: who waits for a name is woken when it is called."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[Any]]] = {}

    def wait(self, name: str) -> asyncio.Future[Any]:
        """Return what is done when this name is called."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(future)
        return future

    def call(self, name: str, value: Any = None) -> None:
        """Wake all who wait for it."""
        for future in self._waiting.pop(name, ()):
            if not future.done():
                future.set_result(value)

    def forget(self, name: str) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(name, None)
