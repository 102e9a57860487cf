"""Laws of sharing out, judging and averaging."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.swarm.averaging import PushSum, metropolis, ring_of, weights
from concerted.swarm.nest import Halving
from concerted.swarm.thresholds import Times, Worker, takers

NUMBERS = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 3), st.integers(0, 3)), max_size=8), st.integers(0, 12))
def test_nobody_is_given_more_than_there_is_room_for_and_all_places_are_used_if_all_are_alike(
    fleet: Any, waiting: int
) -> None:
    times, workers = Times(), []
    for place, (lasts, capacity, held) in enumerate(fleet):
        times.learn(str(place), lasts)
        workers.append(Worker(str(place), capacity, (0.0,) * min(capacity, held)))
    found = takers(waiting, workers, times, 0.0)
    assert len(found) == waiting
    for worker in workers:
        assert found.count(worker.agent) <= worker.capacity - len(worker.since)
    alike = takers(waiting, workers, Times(), 0.0)
    room = sum(worker.capacity - len(worker.since) for worker in workers)
    assert len([agent for agent in alike if agent is not None]) == min(waiting, room)


@given(st.integers(2, 9), st.integers(3, 9), st.data())
def test_a_minority_of_judges_never_moves_a_score_beyond_what_the_others_say(n: int, judges: int, data: Any) -> None:
    options, names = [str(at) for at in range(n)], [str(at) for at in range(judges)]
    course, honest = Halving.of(options, names), names[(judges - 1) // 2 :]
    for option in options:
        said = [data.draw(NUMBERS) for _ in honest]
        for judge, score in zip(honest, said, strict=True):
            course.tell(option, judge, score)
        for judge in names[: (judges - 1) // 2]:
            course.tell(option, judge, data.draw(NUMBERS))
        assert min(said) <= course.score(option) <= max(said)
    left = course.left
    assert len(course.close()) == n // 2
    assert sorted(course.left + course.standing) == sorted(left)


@given(
    st.lists(NUMBERS, min_size=2, max_size=8), st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=30)
)
def test_push_sum_loses_nothing_whoever_gives_and_takes_when(values: list[float], acts: Any) -> None:
    names = [str(place) for place in range(len(values))]
    gossip = PushSum.of({name: (value,) for name, value in zip(names, values, strict=True)})
    for giver, other in acts:
        gossip.give(names[giver % len(names)], names[other % len(names)])
        gossip.take(names[(giver + other) % len(names)])
    for name in names:
        gossip.take(name)
    assert sum(gossip.masses.values()) == pytest.approx(len(values))
    assert sum(value[0] for value in gossip.sums.values()) == pytest.approx(sum(values), abs=1e-6)


@given(st.lists(NUMBERS, min_size=2, max_size=8))
def test_a_round_of_metropolis_keeps_the_mean_and_never_spreads(values: list[float]) -> None:
    names = [str(place) for place in range(len(values))]
    ring, now = ring_of(names), {name: (value,) for name, value in zip(names, values, strict=True)}
    after = [
        metropolis(now[name], {other: now[other] for other in ring[name]}, weights(ring, name))[0] for name in names
    ]
    assert sum(after) == pytest.approx(sum(values), abs=1e-6)
    assert min(values) - 1e-6 <= min(after)
    assert max(after) <= max(values) + 1e-6
