"""Our search: `pso FUNCTION DIMENSIONS PARTICLES ITERATIONS`, or `reach FUNCTION DIMENSIONS TARGET`."""

from __future__ import annotations

import sys

from measuring import measured
from optimizing import FUNCTIONS, WIDTH

from concerted.swarm.search import Search
from concerted.swarm.space import Space

LIMIT = 400_000  # evaluations


def space(dimensions: int) -> Space:
    """Return the cube that is searched."""
    return Space.of({f"x{place}": {"float": [-WIDTH, WIDTH]} for place in range(dimensions)})


def pso(function: str, dimensions: int, particles: int, iterations: int) -> None:
    """Fly so many particles so many times."""
    search = Search(space(dimensions), rule="pso", seed=1, population=particles)
    with measured(f"pso {function} {dimensions} {particles} {iterations}", 1) as facts:
        for _ in range(iterations):
            batch = search.ask_all(particles)
            search.tell_all(batch, FUNCTIONS[function](search.numbers(batch)))
        assert search.best is not None
        facts["best"] = search.best.value


def reach(function: str, dimensions: int, target: float) -> None:
    """Search by shade, as `auto` does without a budget, until the target is reached; three seeds, their mean."""
    told, worst = 0, 0.0
    with measured(f"reach {function} {dimensions}", 3) as facts:
        for seed in range(3):
            search = Search(space(dimensions), seed=seed)
            best = float("inf")
            while best > target and search.told < LIMIT:
                batch = search.ask_all(search.population)
                if search.tell_all(batch, FUNCTIONS[function](search.numbers(batch))):
                    assert search.best is not None
                    best = search.best.value
            told += search.told
            worst = max(worst, best)
        facts["best"], facts["evaluations"] = worst, told / 3


if __name__ == "__main__":
    kind, function, dimensions, *rest = sys.argv[1:]
    if kind == "pso":
        pso(function, int(dimensions), *map(int, rest))
    else:
        reach(function, int(dimensions), float(rest[0]))
