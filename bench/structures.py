"""The best coalition structure on five published value models: both methods, which must find the same worth.

Run: `python bench/structures.py [turns]`.
"""

from __future__ import annotations

import sys

from beside.comparing import Entrant, compete, machine, table
from beside.game_peers import install_if_told, ours
from beside.gaming import STRUCTURES

AGENTS = (16, 18, 20)


def main(turns: int) -> None:
    """Print one table for each number of agents; a contestant fails if the two methods differ."""
    print(f"Measured {machine(turns)}, one thread.")
    for n in AGENTS:
        contestants = {kind: ours("structure", kind, str(n)) for kind in STRUCTURES}
        compete(list(contestants.values()), turns)
        lines = [Entrant(we, f"structure {kind} {n}", kind.replace("_", " ")) for kind, we in contestants.items()]
        slow = [Entrant(contestants["uniform"], f"splits uniform {n}", "uniform, by splits alone")]
        table(f"Best structure of {n} agents", [*lines, *slow])


if __name__ == "__main__":
    main(install_if_told(sys.argv[1:]))
