"""Ants: published shortest round trips, trails and their bounds, and going on from a board."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from concerted.errors import Invalid
from concerted.swarm.dice import Dice
from concerted.swarm.pheromones import LEAST, Colony
from concerted.swarm.tours import Map

# TSPLIB95, burma14: degrees and minutes of 14 places; the shortest round trip has 3323 km.
BURMA = [
    (16.47, 96.10), (16.47, 94.44), (20.09, 92.54), (22.39, 93.37), (25.23, 97.24), (22.00, 96.05), (20.47, 97.02),
    (17.20, 96.29), (16.30, 97.38), (14.05, 98.12), (16.53, 97.38), (21.52, 95.59), (19.41, 97.13), (20.09, 94.55),
]  # fmt: skip


def kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Measure as TSPLIB95, section 2.4, says."""

    def radians(degrees: float) -> float:
        return 3.141592 * (int(degrees) + 5.0 * (degrees - int(degrees)) / 3.0) / 180.0

    (lat1, long1), (lat2, long2) = ((radians(one[0]), radians(one[1])), (radians(other[0]), radians(other[1])))
    q1, q2, q3 = math.cos(long1 - long2), math.cos(lat1 - lat2), math.cos(lat1 + lat2)
    return float(int(6378.388 * math.acos(0.5 * ((1.0 + q1) * q2 - (1.0 - q1) * q3)) + 1.0))


def burma() -> Map:
    return Map([[0.0 if one == other else kilometres(one, other) for other in BURMA] for one in BURMA])


def plane(path: Path) -> Map:
    """Read a file of points whose distances are rounded (EUC_2D)."""
    text = path.read_text("utf-8").partition("NODE_COORD_SECTION\n")[2].partition("EOF")[0]
    points = [tuple(map(float, line.split()[1:])) for line in text.splitlines()]
    return Map([[float(int(math.dist(one, other) + 0.5)) for other in points] for one in points])


def test_fourteen_places_in_burma_are_visited_on_the_shortest_way() -> None:
    colony = Colony(burma(), seed=1)
    colony.run(5)
    assert colony.length == burma().length(colony.order) == 3323.0


@pytest.mark.parametrize(("file", "optimum"), [("eil51", 426), ("st70", 675), ("kroA100", 21282)])
def test_published_round_trips_are_found_within_one_percent(
    data: Callable[[str], Path], file: str, optimum: int
) -> None:
    colony = Colony(plane(data(f"allocation/tsplib/{file}.tsp")), seed=1)
    while colony.rounds < 60 and colony.length > optimum:
        colony.run(1)
    assert optimum <= colony.length <= 1.01 * optimum


def scattered(count: int) -> Map:
    return Map.of_points(Dice(7).uniform(count, 2).tolist())


def test_trails_stay_between_their_bounds_and_lead_along_the_best_trip() -> None:
    colony = Colony(scattered(30), seed=2)
    colony.run(15)
    assert colony.trails.min() >= LEAST
    assert colony.trails.max() <= 1.0
    strongest = {(stop, colony.map.near[stop][int(place)]) for stop, place in enumerate(colony.trails.argmax(axis=1))}
    roads = set(zip(colony.order, [*colony.order[1:], colony.order[0]], strict=True))
    assert len(strongest & (roads | {(other, one) for one, other in roads})) >= 27
    assert 1.0 <= colony.branching <= 10.0


def test_a_trip_that_was_brought_home_is_laid_on_the_board() -> None:
    where = scattered(25)
    best = Colony(where, seed=3)
    best.run(10)
    board = Colony(where, seed=4)
    board.order, board.length = list(range(25)), where.length(list(range(25)))
    before = board.trails.copy()
    assert board.lay(best.order)
    assert board.order == best.order
    assert not board.lay(list(range(25))), "a longer one is laid, and is not the best"
    assert (board.trails < before).any()
    with pytest.raises(Invalid, match="does not visit each of 25 stops once"):
        board.lay(best.order[:-1])


def test_a_restored_board_goes_on_as_the_other_does() -> None:
    where = scattered(20)
    colony = Colony(where, seed=5)
    colony.run(3)
    again = Colony.restored(where, json.loads(json.dumps(colony.state())))
    colony.run(3)
    again.run(3)
    assert again.state() == colony.state()
    other = Colony.restored(where, colony.state(digits=3), seed=9)
    assert other.order == colony.order
    with pytest.raises(Invalid, match="send them together"):
        Colony.restored(scattered(21), colony.state())


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_stops_need_no_ants(count: int) -> None:
    colony = Colony(scattered(count), seed=1)
    assert not colony.run(3)
    assert sorted(colony.order) == list(range(count))
    assert not colony.lay(list(range(count)))


def test_stops_at_the_same_place_are_no_trouble() -> None:
    colony = Colony(Map.of_points([(0, 0)] * 6 + [(1, 1)] * 6), seed=1)
    colony.run(3)
    assert colony.length == pytest.approx(2 * math.sqrt(2))
    nowhere = Colony(Map.of_points([(0, 0)] * 8), seed=1)
    nowhere.run(2)
    assert nowhere.length == 0.0
