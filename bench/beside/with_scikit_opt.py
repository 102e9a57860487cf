"""scikit-opt's ant colony: names of TSPLIB files."""

from __future__ import annotations

import sys
import time

import numpy as np
import tsplib
from measuring import measured
from sko.ACA import ACA_TSP

LIMIT_S = 3.0


def main(names: list[str]) -> None:
    """Let the ants run, round by round, until the time is up; its own defaults."""
    for name in names:
        rows, optimum = tsplib.published(name)
        matrix = np.array(rows) + np.eye(len(rows)) * 1e-10

        def length(order: list[int], rows: tsplib.Matrix = rows) -> float:
            return sum(rows[one][other] for one, other in zip(order, [*order[1:], order[0]], strict=True))

        np.random.seed(1)
        ants = ACA_TSP(func=length, n_dim=len(rows), size_pop=20, max_iter=1, distance_matrix=matrix)
        best, over = float("inf"), float("inf")
        with measured(name, 1) as facts:
            began = time.process_time()
            while time.process_time() - began < LIMIT_S and best > optimum:
                order, value = ants.run(1)
                if float(value) < best:
                    best, over = float(value), tsplib.over_percent(rows, [int(each) for each in order], optimum)
            facts["over_percent"] = over


if __name__ == "__main__":
    main(sys.argv[1:])
