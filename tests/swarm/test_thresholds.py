"""Who takes the next task: learned times, slow ones that wait, and a fleet that is quicker for it."""

import heapq
import math

import numpy as np
import pytest

from concerted.errors import Invalid
from concerted.swarm.thresholds import STREAM, Times, Worker, takers


def known(**times_s: float) -> Times:
    return Times(dict(times_s), dict.fromkeys(times_s, 1))


def test_a_time_is_learned_and_follows_an_agent_that_becomes_slower() -> None:
    times = Times()
    times.learn("ann", 2.0)
    assert times.of("ann") == 2.0
    for _ in range(60):
        times.learn("ann", 10.0)
    assert 9.5 < times.of("ann") < 10.0
    assert times.counts["ann"] == 61


def test_who_is_unknown_is_taken_for_the_fleets_middle_one() -> None:
    assert known(ann=1.0, bob=4.0, cy=9.0).of("new") == 4.0
    assert Times().of("new") == 1.0
    times = known(ann=1.0, bob=4.0, cy=9.0)
    times.learn("new", 8.0)
    assert times.of("new") == 6.0, "half of it is still the guess"


def test_the_quicker_of_two_idle_ones_takes_the_task() -> None:
    workers = [Worker("slow"), Worker("quick")]
    assert takers(1, workers, known(slow=5.0, quick=1.0), 0.0) == ["quick"]
    assert takers(2, workers, known(slow=5.0, quick=1.0), 0.0, patience=STREAM) == ["quick", "slow"]


def test_an_idle_one_waits_while_a_quicker_one_would_be_done_sooner() -> None:
    workers, times = [Worker("slow"), Worker("quick", since=(0.0,))], known(slow=10.0, quick=1.0)
    assert takers(1, workers, times, 0.5, patience=1.0) == [None]
    assert takers(9, workers, times, 0.5, patience=1.0) == [None] * 9
    waits = takers(10, workers, times, 0.5, patience=1.0)
    assert waits == [None] * 9 + ["slow"], "the tenth would be done by the quick one after 10.5 s"


def test_where_more_will_come_less_is_waited() -> None:
    workers, times = [Worker("slow"), Worker("quick", since=(0.0,))], known(slow=3.0, quick=1.0)
    assert takers(1, workers, times, 0.0, patience=1.0) == [None]
    assert takers(1, workers, times, 0.0, patience=STREAM) == ["slow"]


def test_an_overdue_task_is_expected_to_take_a_while_still() -> None:
    workers, times = [Worker("a"), Worker("b", since=(0.0,))], known(a=1.3, b=1.0)
    assert takers(1, workers, times, 100.0, patience=1.0) == [None]
    assert takers(1, workers, known(a=1.2, b=1.0), 100.0, patience=1.0) == ["a"]


def test_who_is_new_and_does_not_finish_is_not_waited_for() -> None:
    workers, times = [Worker("a"), Worker("new", since=(0.0,))], known(a=5.0, b=1.0, c=1.0)
    assert takers(1, workers, times, 0.5, patience=1.0) == [None]
    assert takers(1, workers, times, 50.0, patience=1.0) == ["a"]


def test_ties_go_to_who_is_less_busy_and_then_by_name() -> None:
    assert takers(2, [Worker("b"), Worker("a")], Times(), 0.0) == ["a", "b"]
    assert takers(1, [Worker("a", 2, (0.0,)), Worker("b", 2)], Times(), 0.0) == ["b"]
    assert takers(5, [Worker("a", 2), Worker("b", 1)], Times(), 0.0) == ["a", "b", "a", None, None]
    assert takers(2, [], Times(), 0.0) == [None, None]


def test_wrong_times_and_workers_are_named() -> None:
    with pytest.raises(Invalid, match="ann took nan s"):
        Times().learn("ann", math.nan)
    with pytest.raises(Invalid, match="ann has 2 tasks in hand, and room for 1"):
        takers(1, [Worker("ann", 1, (0.0, 0.0))], Times(), 0.0)


def mean_time(learned: bool, tasks: int = 1500) -> float:
    """Play 12 agents of lognormal speeds under a load of 0.8; any idle one takes a task, unless it is learned who."""
    dice = np.random.default_rng(3)
    speeds = dice.lognormal(0.0, 1.0, 12).tolist()
    at = np.cumsum(dice.exponential(1.0 / (0.8 * sum(speeds)), tasks)).tolist()
    busy: dict[int, tuple[float, float]] = {}
    over: list[tuple[float, int]] = []
    waiting: list[float] = []
    times, took = Times(), 0.0
    while at or over:
        if at and (not over or at[0] <= over[0][0]):
            now = at.pop(0)
            waiting.append(now)
        else:
            now, agent = heapq.heappop(over)
            since, came = busy.pop(agent)
            took += now - came
            times.learn(str(agent), now - since)
        workers = [Worker(str(one), 1, (busy[one][0],) if one in busy else ()) for one in range(12)]
        chosen: list[str | None] = [worker.agent for worker in workers if not worker.since][: len(waiting)]
        for name in takers(len(waiting), workers, times, now) if learned else chosen:
            if name is not None:
                busy[int(name)] = (now, waiting.pop(0))
                heapq.heappush(over, (now + 1.0 / speeds[int(name)], int(name)))
    return took / tasks


def test_a_fleet_that_learns_is_quicker_than_one_that_does_not() -> None:
    assert mean_time(learned=True) < 0.85 * mean_time(learned=False)
