"""Laws of round trips: never worse than where they began, and the shortest where all can be tried."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.swarm.pheromones import Colony
from concerted.swarm.tours import Map, Trip

POINTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=5, max_size=7)


@given(POINTS)
def test_ants_find_the_shortest_of_all_trips_through_a_few_stops(points: list[tuple[int, int]]) -> None:
    where = Map.of_points(points)
    colony = Colony(where, seed=1)
    colony.run(2)
    assert colony.length == pytest.approx(min(where.length([0, *rest]) for rest in permutations(range(1, len(where)))))


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=5, max_size=25), st.randoms())
def test_improving_never_makes_a_trip_longer(points: list[tuple[int, int]], dice: object) -> None:
    where, order = Map.of_points(points), list(range(len(points)))
    dice.shuffle(order)  # type: ignore[attr-defined]
    trip = Trip(where, order)
    trip.improve()
    assert where.length(trip.order) <= where.length(order) + 1e-9
