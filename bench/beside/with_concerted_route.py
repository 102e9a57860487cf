"""Our round trips: names of TSPLIB files."""

from __future__ import annotations

import sys
import time

import tsplib
from measuring import measured

from concerted.swarm.pheromones import Colony
from concerted.swarm.tours import Map

LIMIT_S = 3.0
SEEDS = 3


def main(names: list[str]) -> None:
    """Look for a shortest round trip until it is found or the time is up."""
    for name in names:
        rows, optimum = tsplib.published(name)
        found = []
        with measured(name, SEEDS) as facts:
            for seed in range(SEEDS):
                began = time.process_time()
                colony = Colony(Map(rows), seed)
                while colony.length > optimum and time.process_time() - began < LIMIT_S:
                    colony.run(1)
                found.append(tsplib.over_percent(rows, colony.order, optimum))
            facts["over_percent"] = max(found)


if __name__ == "__main__":
    main(sys.argv[1:])
