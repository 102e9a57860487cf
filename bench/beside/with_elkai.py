"""elkai, which calls LKH in C: names of TSPLIB files."""

from __future__ import annotations

import sys

import elkai
import tsplib
from measuring import measured


def main(names: list[str]) -> None:
    """Look for a shortest round trip, as often as it does by itself."""
    for name in names:
        rows, optimum = tsplib.published(name)
        with measured(name, 1) as facts:
            order = elkai.DistanceMatrix(rows).solve_tsp()
            facts["over_percent"] = tsplib.over_percent(rows, order[:-1], optimum)


if __name__ == "__main__":
    main(sys.argv[1:])
