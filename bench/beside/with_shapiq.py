"""shapiq's SVARM: `sampled KIND N CALLS SEEDS`."""

from __future__ import annotations

import sys

import gaming
import numpy as np
from measuring import measured
from shapiq.approximator import SVARM


def main(what: str, kind: str, n: int, calls: int, seeds: int) -> None:
    """Estimate with many seeds; error is the mean square error over seeds and agents."""
    table = gaming.game(kind, n)
    fair, errors = gaming.plain_shapley(table), []
    two = 1 << np.arange(n)
    with measured(f"{what} {kind} {n} {calls}", seeds) as facts:
        for seed in range(seeds):
            found = SVARM(n, random_state=seed).approximate(calls, lambda rows: table[np.asarray(rows) @ two])
            values = np.array([found[(agent,)] for agent in range(n)])
            errors.append(float(((values - fair) ** 2).mean()))
        facts["error"] = float(np.mean(errors))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
