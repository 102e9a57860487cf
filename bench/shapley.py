"""Shapley values: exact from a table, beside a Rust library, and sampled, beside shapiq's SVARM, at equal calls.

Run: `python bench/shapley.py [--install] [turns]`.
"""

from __future__ import annotations

import sys

from beside.comparing import Entrant, compete, machine, table
from beside.game_peers import COOPGAME, SHAPIQ, install_if_told, ours, theirs
from beside.gaming import SAMPLED

AGENTS = 24  # more than can be asked for as a whole
SEEDS = {2_000: 40, 10_000: 15}  # by calls


def main(turns: int) -> None:
    """Print one table for each number of agents, then one for each game that is sampled."""
    print(f"Measured {machine(turns)}, one thread.")
    for n in (16, 20, 25):
        we, peer = ours("exact", "noise", str(n)), theirs(COOPGAME, "exact", "noise", str(n))
        compete([peer, we] if n <= 20 else [we], turns)
        others = [Entrant(peer, f"exact {n}")] if n <= 20 else []
        table(f"Exact, {n} agents, 2^{n} worths in a table", [Entrant(we, f"exact {n}"), *others])
    for kind in SAMPLED:
        for calls, seeds in SEEDS.items():
            wants = ("sampled", kind, str(AGENTS), str(calls), str(seeds))
            we, peer = ours(*wants), theirs(SHAPIQ, *wants)
            compete([peer, we], 1)
            what = " ".join(wants[:4])
            table(
                f"Sampled, {kind}, {AGENTS} agents, {calls:,} calls; error: mean square, {seeds} seeds",
                [Entrant(we, what), Entrant(peer, what)],
                ["error"],
            )


if __name__ == "__main__":
    main(install_if_told(sys.argv[1:], SHAPIQ, COOPGAME))
