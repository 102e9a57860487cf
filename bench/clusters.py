"""Clusters: k-means beside scikit-learn, and with sizes kept to beside k-means-constrained; one start each.

Run: `python bench/clusters.py [--install] [turns]`.
"""

from __future__ import annotations

import sys

from beside.cluster_peers import CONSTRAINED, SKLEARN, ours, theirs
from beside.comparing import Entrant, compete, machine, table
from beside.game_peers import install_if_told

PLAIN = (("even", 10_000, 100), ("roles", 10_000, 100), ("roles", 1_000, 32))
BALANCED = (("even", 1_000, 32), ("roles", 1_000, 32), ("roles", 2_000, 45), ("even", 4_000, 64))
LARGE = (("even", 10_000, 100), ("roles", 10_000, 100))


def main(turns: int) -> None:
    """Print one table for each set of points; inertia is the mean over the seeds."""
    print(f"Measured {machine(turns)}, one thread.")
    for kind, n, k in PLAIN:
        compare("none", kind, n, k, turns)
    for balance in ("max", "exact"):
        for kind, n, k in BALANCED:
            compare(balance, kind, n, k, turns)
        for kind, n, k in LARGE:
            compare(balance, kind, n, k, turns, alone=True)


def compare(balance: str, kind: str, n: int, k: int, turns: int, *, alone: bool = False) -> None:
    """Measure one set of points, beside the peer that knows this balance."""
    wants = (balance, kind, str(n), str(k))
    we, peer = ours(*wants), theirs(SKLEARN if balance == "none" else CONSTRAINED, *wants)
    entered = [we] if alone else [we, peer]
    compete(entered, turns)
    lines = [Entrant(who, " ".join(wants)) for who in entered]
    table(f"{n:,} points ({kind}) in {k} groups, balance {balance}", lines, ["inertia", "least", "most"])


if __name__ == "__main__":
    main(install_if_told(sys.argv[1:], SKLEARN, CONSTRAINED))
