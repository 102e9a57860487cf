"""One measurement, the same for everybody: CPU and wall of a block, printed as one line of JSON.

Every contestant runs in a process of its own, in an empty folder, under the interpreter of its own environment,
so this module uses nothing but the standard library.  What a contestant is to measure stands in its arguments.
"""

from __future__ import annotations

import gc
import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AGENTS = 100  # asked at once in a gather and in an auction
ASKS = 2_000  # requests, one after the other
ROUNDS = 50  # gathers, one after the other
DURABLE_ASKS = 500
DURABLE_ROUNDS = 20
AUCTIONS = 20
RUNS = 1_000  # coordinations at once
RUN_AGENTS = 10  # asked by each of them
WARM_UP = 3  # of each, before the clock starts


@contextmanager
def measured(what: str, operations: int) -> Iterator[dict[str, Any]]:
    """Measure the block, which does `operations` operations; yields the facts to report beside the times.

    CPU is that of the whole process, all threads, user and system.
    """
    facts: dict[str, Any] = {}
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    yield facts
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    line = {"what": what, "cpu_s": cpu / operations, "wall_s": wall / operations, "operations": operations, **facts}
    print(json.dumps(line), flush=True)


def resident_mb() -> float:
    """Return how much memory the process has in hand now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_mb() -> float:
    """Return the most memory that the process has ever had in hand."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
