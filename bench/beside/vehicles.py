"""Vehicles with room for so much each visit every customer once: trips by our ants, cut into routes, the best kept.

A trip through all customers is cut where that is shortest (Beasley 1983, "Route first, cluster second methods for
vehicle routing"); of all routes that any trip was cut into, the packing of bids finds those that visit everybody once
and are the shortest together.  As long as that gets shorter, routes are added in which two have exchanged customers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, permutations, product
from pathlib import Path

import numpy as np

from concerted.allocation.optimum.effort import Effort
from concerted.allocation.optimum.packing import pack
from concerted.swarm.pheromones import Colony
from concerted.swarm.tours import Map

TRIPS = 20  # colonies, each with dice of its own
Route = tuple[int, ...]  # customers in order, without the depot


def demands(path: Path) -> tuple[list[float], float]:
    """Read what each place wants, and how much a vehicle takes, from a file as TSPLIB95 writes it."""
    section, wanted, room = "", [], 0.0
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("CAPACITY"):
            room = float(line.partition(":")[2])
        elif line.strip().endswith("_SECTION"):
            section = line.strip()
        elif section == "DEMAND_SECTION":
            wanted.append(float(line.split()[1]))
    return wanted, room


def routes(distances: Sequence[Sequence[float]], wanted: Sequence[float], room: float, effort: Effort) -> list[Route]:
    """Return routes that begin and end at place 0, visit every other place once, and are short together."""
    customers = list(range(1, len(distances)))
    among = Map([[distances[one][other] for other in customers] for one in customers])
    known: dict[frozenset[int], Route] = {}
    for seed in range(TRIPS):
        colony = Colony(among, seed)
        colony.run(2)
        order = [customers[at] for at in colony.order]
        for start in range(len(order)):
            for route in cut([*order[start:], *order[:start]], distances, wanted, room):
                stops = frozenset(route)
                if stops not in known or length(route, distances) < length(known[stops], distances):
                    known[stops] = route
    best = _together(known, customers, distances, effort)
    while True:
        for route in _beside(best, wanted, room):
            if frozenset(route) not in known:
                known[frozenset(route)] = shortened(route, distances)
        found = _together(known, customers, distances, effort)
        if total(found, distances) >= total(best, distances):
            return best
        best = found


def _together(
    known: dict[frozenset[int], Route], customers: Sequence[int], distances: Sequence[Sequence[float]], effort: Effort
) -> list[Route]:
    """Return those of the known routes that visit everybody once and are the shortest together."""
    pool = list(known.values())
    worth = 1 + 2 * sum(max(row) for row in distances)  # of a customer: more than any way
    values = np.rint([(worth * len(route) - length(route, distances)) * 1e3 for route in pool]).astype(np.int64)
    visits = [[at for at, route in enumerate(pool) if customer in route] for customer in customers]
    return [pool[at] for at in pack(values, visits, effort=effort).chosen]


def _beside(routes: Sequence[Route], wanted: Sequence[float], room: float) -> Iterator[Route]:
    """Yield the routes that come of giving up to two customers of one route to another, for up to two of its own."""
    for one, other in permutations(routes, 2):
        for going, coming in product(_some(one), _some(other)):
            changed = (*(stop for stop in one if stop not in going), *coming)
            if changed and sum(wanted[stop] for stop in changed) <= room:
                yield changed


def _some(route: Route) -> list[Route]:
    return [(), *combinations(route, 1), *combinations(route, 2)]


def total(routes: Sequence[Route], distances: Sequence[Sequence[float]]) -> float:
    """Return how long routes are together."""
    return sum(length(route, distances) for route in routes)


def length(route: Route, distances: Sequence[Sequence[float]]) -> float:
    """Return how long a route is, from the depot and back."""
    stops = (0, *route, 0)
    return sum(distances[one][other] for one, other in pairwise(stops))


def shortened(route: Route, distances: Sequence[Sequence[float]]) -> Route:
    """Return the same stops in the order of a short round trip."""
    if len(route) < 3:
        return route
    stops = (0, *route)
    colony = Colony(Map([[distances[one][other] for other in stops] for one in stops]), 0)
    colony.run(2)
    home = colony.order.index(0)
    found = tuple(stops[at] for at in (*colony.order[home + 1 :], *colony.order[:home]))
    return min(found, route, key=lambda each: length(each, distances))


def cut(
    order: Sequence[int], distances: Sequence[Sequence[float]], wanted: Sequence[float], room: float
) -> list[Route]:
    """Cut a trip into the routes that are shortest together.  O(customers x customers of a route)."""
    best, came_from = [0.0] + [float("inf")] * len(order), [0] * (len(order) + 1)
    for first in range(len(order)):
        load = way = 0.0
        for last in range(first, len(order)):
            load += wanted[order[last]]
            if load > room:
                break
            way += distances[order[last - 1]][order[last]] if last > first else 0.0
            through = best[first] + distances[0][order[first]] + way + distances[order[last]][0]
            if through < best[last + 1]:
                best[last + 1], came_from[last + 1] = through, first
    found: list[Route] = []
    end = len(order)
    while end:
        found.append(tuple(order[came_from[end] : end]))
        end = came_from[end]
    return found
