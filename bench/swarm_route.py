"""Round trips of `concerted.swarm` on TSPLIB, beside other packages: how much longer than the shortest, in 3 seconds.

Run: `CONCERTED_DATA=FOLDER python bench/swarm_route.py [--install]`; FOLDER has allocation/tsplib.
"""

from __future__ import annotations

import sys

from beside.comparing import Contestant, beside, compete, machine
from beside.game_peers import install_if_told
from peers import Peer

SKOPT = Peer("scikit-opt", "0.6.6", "with_scikit_opt.py", ("numpy<1.24", "scipy<1.11"))
ELKAI = Peer("elkai", "2.0.1", "with_elkai.py", ("numpy",))
FILES = (
    "burma14", "ulysses16", "gr17", "gr24", "bayg29", "dantzig42", "att48", "gr48", "eil51", "st70", "rat99", "kroA100",
    "rd100", "lin105", "ch130", "kroA200", "a280", "lin318",
)  # fmt: skip


def main() -> None:
    """Print one table: a line for each file, a column for each contestant."""
    print(f"Measured {machine(1)}, one thread; at most 3 s of CPU for each trip, worst of 3 seeds (others: one).")
    we = Contestant("**concerted**", sys.executable, "with_concerted_route.py", FILES)
    contestants = [we, beside(ELKAI, *FILES), beside(SKOPT, *FILES[:10])]
    compete(contestants, 1)
    names = [one.name for one in contestants]
    print(f"\n| | {' | '.join(f'{name}: % over | CPU s' for name in names)} |\n|---|{'---:|' * 2 * len(names)}")
    for file in FILES:
        cells = []
        for one in contestants:
            over, cpu = one.median(file, "over_percent"), one.median(file, "cpu_s")
            cells += ["", ""] if over is None or cpu is None else [f"{over:.3g}", f"{cpu:.2f}"]
        print(f"| {file} | {' | '.join(cells)} |")
    for one in contestants:
        if one.missing:
            print(f"\n{one.name}: not measured: {one.missing}")


if __name__ == "__main__":
    install_if_told(sys.argv[1:], SKOPT, ELKAI)
    main()
