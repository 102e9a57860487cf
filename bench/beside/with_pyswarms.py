"""pyswarms: `pso FUNCTION DIMENSIONS PARTICLES ITERATIONS`."""

from __future__ import annotations

import logging
import sys

import numpy as np
from measuring import measured
from optimizing import FUNCTIONS, WIDTH
from pyswarms.single import GlobalBestPSO

logging.disable(logging.CRITICAL)


def main(what: str, function: str, dimensions: int, particles: int, iterations: int) -> None:
    """Fly so many particles so many times, with the constants that we take."""
    np.random.seed(1)
    bounds = (np.full(dimensions, -WIDTH), np.full(dimensions, WIDTH))
    options = {"c1": 1.49618, "c2": 1.49618, "w": 0.7298}
    swarm = GlobalBestPSO(n_particles=particles, dimensions=dimensions, options=options, bounds=bounds)
    with measured(f"{what} {function} {dimensions} {particles} {iterations}", 1) as facts:
        cost, _ = swarm.optimize(FUNCTIONS[function], iters=iterations, verbose=False)
        facts["best"] = float(cost)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
