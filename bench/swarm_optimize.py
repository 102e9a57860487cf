"""The search of `concerted.swarm`: how fast it finds, how fast its particles fly, and how busy it keeps agents.

Run: `python bench/swarm_optimize.py [--install] [turns]`.
"""

from __future__ import annotations

import sys

from beside.comparing import Contestant, Entrant, beside, compete, machine, table
from beside.game_peers import install_if_told
from beside.utilisation import AGENTS, EVALUATIONS, asynchronous, by_generations, whole_run
from peers import Peer

PYSWARMS = Peer("pyswarms", "1.3.0", "with_pyswarms.py")
SCIPY = Peer("scipy", "1.17.1", "with_scipy_search.py")
TARGET = "1e-8"
PSO = ("pso", "moved", "30", "40", "1000")
SEEDS = 5


def ours(*wants: str) -> Contestant:
    """Let us search."""
    return Contestant("**concerted**", sys.executable, "with_concerted_search.py", wants)


def main(turns: int) -> None:
    """Print one table for each comparison."""
    print(f"Measured {machine(turns)}, one thread.")
    for function in ("rastrigin", "moved"):
        we = ours("reach", function, "30", TARGET)
        peer = beside(SCIPY, "reach", function, "30", TARGET)
        compete([we], turns)
        compete([peer], 1)
        what = f"reach {function} 30"
        table(
            f"{function}, 30 dimensions, until {TARGET} or 400,000 evaluations (ours: mean of 3 seeds, the worst best)",
            [Entrant(we, what), Entrant(peer, what)],
            ["best", "evaluations"],
        )
    we, peer = ours(*PSO), beside(PYSWARMS, *PSO)
    compete([we, peer], turns)
    what = " ".join(PSO)
    table(
        "pso, 40 particles, 1,000 times, rastrigin moved, 30 dimensions",
        [Entrant(we, what), Entrant(peer, what)],
        ["best"],
    )
    print(f"\nUtilisation of {AGENTS} agents whose speeds are lognormal (deviation 1), {EVALUATIONS:,} evaluations\n")
    print("| seed | asynchronous | a whole run, simulated | generation by generation |\n|---:|---:|---:|---:|")
    for seed in range(SEEDS):
        print(f"| {seed} | {asynchronous(seed):.1%} | {whole_run(seed):.1%} | {by_generations(seed):.1%} |", flush=True)


if __name__ == "__main__":
    main(install_if_told(sys.argv[1:], PYSWARMS, SCIPY))
