"""Round trips: lengths, moves, and maps that are none."""

import math
from itertools import permutations

import pytest

from concerted.errors import Invalid
from concerted.swarm.dice import Dice
from concerted.swarm.tours import Map, Trip


def scattered(count: int, seed: int = 1) -> Map:
    return Map.of_points(Dice(seed).uniform(count, 2).tolist())


def shortest(where: Map) -> float:
    """Try every round trip."""
    return min(where.length([0, *rest]) for rest in permutations(range(1, len(where))))


def test_the_length_of_a_square_is_that_of_its_sides() -> None:
    square = Map.of_points([(0, 0), (3, 0), (3, 4), (0, 4)])
    assert square.length([0, 1, 2, 3]) == 14.0
    assert square.length([0, 2, 1, 3]) == 18.0
    assert square.near[0] == [1, 3, 2]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_small_trips_become_the_shortest_from_any_beginning(count: int) -> None:
    where = scattered(count)
    trip = Trip(where, list(range(count)))
    trip.improve()
    assert where.length(trip.order) == pytest.approx(shortest(where))


def test_what_is_improved_has_no_gainful_turn_left_between_neighbours() -> None:
    where = scattered(40)
    trip = Trip(where, Dice(2).uniform(40).argsort().tolist())
    trip.improve()
    length = where.length(trip.order)
    for one in range(40):
        for other in range(one + 2, 40):
            turned = [*trip.order[: one + 1], *trip.order[other:one:-1], *trip.order[other + 1 :]]
            near = trip.order[other] in where.near[trip.order[one]]
            assert not near or where.length(turned) >= length - 1e-9


def test_turning_around_and_following_keep_every_stop_and_its_place() -> None:
    where, dice = scattered(12), Dice(3)
    trip = Trip(where, list(range(12)))
    for _ in range(200):
        first, last = dice.below(12, 2).tolist()
        if dice.uniform(1)[0] < 0.5:
            trip._reverse(first, last)
        elif first != last:
            trip.follow(first, last)
            assert trip.order[(trip.place[first] + 1) % 12] == last
        assert sorted(trip.order) == list(range(12))
        assert [trip.order[place] for place in trip.place] == list(range(12))


def test_turning_around_the_rest_is_the_same_trip() -> None:
    where = scattered(9)
    inner, whole = Trip(where, list(range(9))), Trip(where, list(range(9)))
    inner._reverse(3, 5)
    whole._reverse(6, 2)
    assert where.length(inner.order) == pytest.approx(where.length(whole.order))


def test_the_nearest_comes_first() -> None:
    assert Map.of_points([(0,), (5,), (1,), (2,)]).nearest_first() == [0, 2, 3, 1]
    assert sorted(scattered(60).nearest_first()) == list(range(60))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "there are 0 stops"),
        ([[0.0, 1.0], [1.0]], "row 1 of the distances has 1 numbers"),
        ([[0.0, 1.0], [2.0, 0.0]], "from 0 to 1 is 1.0, and back 2.0"),
        ([[0.0, -1.0], [-1.0, 0.0]], "from 0 to 1 is -1.0"),
        ([[0.0, math.nan], [math.nan, 0.0]], "from 0 to 1 is nan"),
    ],
)
def test_what_is_no_map_is_refused_with_the_place(rows: list[list[float]], told: str) -> None:
    with pytest.raises(Invalid, match=told):
        Map(rows)


def test_points_and_trips_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Invalid, match="point 1 is"):
        Map.of_points([(0, 0), (0,)])
    with pytest.raises(Invalid, match="does not visit each of 3 stops once"):
        scattered(3).length([0, 1, 1])
