"""Who takes the next task when nobody knows how fast anybody is: service times are learned, and slow ones wait.

Each waiting task goes, in its order, to the place where it would be over first: a free one, or one that will
be free soon and is much quicker.  So an idle agent takes a task only if the queue is long enough: a threshold
for each agent, which follows from what was learned.

Sources: Lin & Kumar 1984, "Optimal control of a queueing system with two heterogeneous servers" (thresholds);
Bonabeau, Theraulaz & Deneubourg 1996, "Quantitative study of the fixed threshold model for the regulation of
division of labour in insect societies".
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from concerted.errors import Invalid

__all__ = ["LEAST_S", "LEFT", "STREAM", "Times", "Worker", "takers"]

SLOWEST_LEARNING = 0.1  # what a new time counts, at least: an agent may become slower or quicker
PRIOR = 1.0  # how many times of its own an agent's first guess, that of the fleet, counts for
STREAM = 0.35  # measured: least mean at loads from 0.5 to 0.9, in bench/swarm_balance.py
LEAST_S = 1e-9  # that a task is thought to take
LEFT = 0.25  # of the estimated time, that a task which is overdue is thought to take still


@dataclass
class Times:
    """How long each agent takes for a task, learned, in seconds.  means, counts: of those who have done any."""

    means: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def learn(self, agent: str, took_s: float) -> None:
        """Take note of how long a task took.

        Raises:
            Invalid: that is no length of time.
        """
        if not (math.isfinite(took_s) and took_s >= 0.0):
            raise Invalid(f"{agent} took {took_s} s; a length of time is a number of at least 0")
        before = self.of(agent, took_s)
        count = self.counts[agent] = self.counts.get(agent, 0) + 1
        self.means[agent] = before + max(SLOWEST_LEARNING, 1.0 / (count + PRIOR)) * (took_s - before)

    def of(self, agent: str, unknown_s: float = 1.0) -> float:
        """Return how long an agent is thought to take; who is unknown takes as long as the fleet's middle one."""
        if agent in self.means:
            return self.means[agent]
        known = sorted(self.means.values())
        return known[len(known) // 2] if known else unknown_s


@dataclass(frozen=True, slots=True)
class Worker:
    """One agent.  capacity: tasks at once.  since: when each of those that it has in hand was begun."""

    agent: str
    capacity: int = 1
    since: tuple[float, ...] = ()


def takers(
    waiting: int, workers: Sequence[Worker], times: Times, now: float, patience: float = STREAM
) -> list[str | None]:
    """Return who takes each of so many waiting tasks, first come first; None: it waits for somebody quicker.

    A task waits if a busy agent would have it done in less than `patience` of the time that the idle one takes.
    Where more tasks will come, one that waits holds up all that come after it, so patience is little (STREAM);
    where all there are are known, 1 has them done soonest.  Ties go to who is less busy, then to the smaller
    name.  Cost: O((tasks + places) log places).

    Raises:
        Invalid: an agent has more in hand than its capacity.
    """
    places: list[tuple[float, int, str, float, float]] = []  # rank, how busy, who, when it is free, how long it takes
    free_count = 0
    for worker in workers:
        if len(worker.since) > worker.capacity:
            raise Invalid(f"{worker.agent} has {len(worker.since)} tasks in hand, and room for {worker.capacity}")
        lasts = expected(worker, times, now)
        for begun in worker.since:
            free_in = max(lasts - (now - begun), LEFT * lasts)
            places.append((free_in + lasts, len(worker.since), worker.agent, free_in, lasts))
        for place in range(len(worker.since), worker.capacity):
            places.append((lasts * patience, place, worker.agent, 0.0, lasts))
            free_count += 1
    heapq.heapify(places)
    found: list[str | None] = []
    while len(found) < waiting and free_count:
        _, busy, agent, free_in, lasts = heapq.heappop(places)
        found.append(agent if free_in == 0.0 else None)
        free_count -= free_in == 0.0
        heapq.heappush(places, (free_in + 2 * lasts, busy + 1, agent, free_in + lasts, lasts))
    return found + [None] * (waiting - len(found))


def expected(worker: Worker, times: Times, now: float) -> float:
    """Return how long a worker takes for a task, at least as long as its newest one has taken already if it is new."""
    known = max(LEAST_S, times.of(worker.agent))
    if worker.agent in times.means or not worker.since:
        return known
    return max(known, now - max(worker.since))
