"""A fleet of unknown, lognormal speeds to which tasks come by chance: how long they take, by who takes the next one."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Any

import numpy as np

from concerted.swarm.thresholds import Times, Worker, takers

AGENTS = 40
TASKS = 20_000
LEARNING = 2_000  # tasks at the beginning that are not counted, for nobody
SHOWN = 64  # waiting tasks that are looked at


def arrivals(seed: int, load: float, tasks: int = TASKS) -> tuple[Any, Any, Any]:
    """Return when tasks come, how much work each is, and how fast each agent is."""
    dice = np.random.default_rng(seed)
    speeds = dice.lognormal(0.0, 1.0, AGENTS)
    at = np.cumsum(dice.exponential(1.0 / (load * speeds.sum()), tasks))
    return at, dice.lognormal(-0.125, 0.5, tasks), speeds  # mean work 1


def summary(took: list[float]) -> tuple[float, float]:
    """Return the mean and the 99th percentile."""
    counted = np.array(took[LEARNING:])
    return float(counted.mean()), float(np.percentile(counted, 99))


def shortest_queue(seed: int, load: float, tasks: int = TASKS) -> tuple[float, float]:
    """Join the shortest queue: each task goes at once to who has fewest, ties by chance."""
    at, work, speeds = arrivals(seed, load, tasks)
    dice = np.random.default_rng(seed + 1)
    ends: list[deque[float]] = [deque() for _ in speeds]
    took = []
    for now, amount in zip(at.tolist(), work.tolist(), strict=True):
        for queue in ends:
            while queue and queue[0] <= now:
                queue.popleft()
        least = min(map(len, ends))
        agent = int(dice.choice([place for place, queue in enumerate(ends) if len(queue) == least]))
        end = max(now, ends[agent][-1] if ends[agent] else 0.0) + amount / speeds[agent]
        ends[agent].append(end)
        took.append(end - now)
    return summary(took)


def one_queue(seed: int, load: float, tasks: int = TASKS, *, learning: bool = True) -> tuple[float, float]:
    """Keep all tasks in one queue; learning: `takers` says who takes the next, else any idle agent does."""
    at, work, speeds = arrivals(seed, load, tasks)
    dice = np.random.default_rng(seed + 1)
    waiting: deque[int] = deque()
    busy: dict[int, tuple[int, float]] = {}  # agent -> its task, since when
    over: list[tuple[float, int]] = []
    times, took, coming = Times(), [0.0] * tasks, 0
    while coming < tasks or over:
        if coming < tasks and (not over or at[coming] <= over[0][0]):
            now = float(at[coming])
            waiting.append(coming)
            coming += 1
        else:
            now, agent = heapq.heappop(over)
            task, since = busy.pop(agent)
            took[task] = now - float(at[task])
            times.learn(str(agent), now - since)
        if learning:
            workers = [Worker(str(one), 1, (busy[one][1],) if one in busy else ()) for one in range(AGENTS)]
            chosen = takers(min(SHOWN, len(waiting)), workers, times, now)
        else:
            idle = [one for one in range(AGENTS) if one not in busy]
            chosen = [str(one) for one in dice.permutation(idle)[: len(waiting)]]
        left = deque()
        for name in chosen:
            task = waiting.popleft()
            if name is None:
                left.append(task)
                continue
            busy[int(name)] = (task, now)
            heapq.heappush(over, (now + float(work[task]) / float(speeds[int(name)]), int(name)))
        waiting.extendleft(reversed(left))
    return summary(took)
