"""scipy's differential evolution: `reach FUNCTION DIMENSIONS TARGET`."""

from __future__ import annotations

import sys

from measuring import measured
from optimizing import FUNCTIONS, WIDTH
from scipy.optimize import differential_evolution

LIMIT = 400_000  # evaluations


def main(what: str, function: str, dimensions: int, target: float) -> None:
    """Search until the target is reached or the evaluations are used up."""
    asked = 0
    best = float("inf")

    def values(rows: object) -> object:
        nonlocal asked, best
        found = FUNCTIONS[function](rows.T)  # type: ignore[attr-defined]
        asked += len(found)
        best = min(best, float(found.min()))
        return found

    def enough(*_: object) -> bool:
        return best <= target or asked >= LIMIT

    with measured(f"{what} {function} {dimensions}", 1) as facts:
        differential_evolution(
            values, [(-WIDTH, WIDTH)] * dimensions, rng=1, maxiter=10**6, tol=0, polish=False, vectorized=True,
            updating="deferred", callback=enough,
        )  # fmt: skip
        facts["best"], facts["evaluations"] = best, asked


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
