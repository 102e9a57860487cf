"""The least core and the nucleolus beside coopgame-py, which is Rust: the same answers, and the time they take.

Run: `python bench/core.py [--install] [turns]`.
"""

from __future__ import annotations

import sys

from beside.comparing import Contestant, Entrant, compete, machine, table
from beside.game_peers import COOPGAME, install_if_told, ours, theirs
from beside.gaming import CORES

EQUAL = 1e-7
MEASURED = (("core", 16), ("core", 20), ("nucleolus", 12), ("nucleolus", 16), ("nucleolus", 20))
TOO_LONG = {("nucleolus", 20)}  # for the peer: minutes


def main(turns: int) -> None:
    """Print one table for each game and size, and how far the two answers are apart."""
    print(f"Measured {machine(turns)}, one thread.")
    for what, n in MEASURED:
        for kind in CORES:
            we, peer = ours(what, kind, str(n)), theirs(COOPGAME, what, kind, str(n))
            beside = [] if (what, n) in TOO_LONG else [peer]
            compete([*beside, we], turns)
            entrants = [Entrant(each, f"{what} {kind} {n}") for each in (we, *beside)]
            table(f"{'Least core' if what == 'core' else 'Nucleolus'}, {kind}, {n} agents", entrants)
            if beside and not peer.missing:
                apart = max(abs(a - b) for a, b in zip(answer(we), answer(peer), strict=True))
                print(f"\nThe answers are {apart:.1e} apart{'' if apart <= EQUAL else ', which is too far'}.")


def answer(contestant: Contestant) -> list[float]:
    """Return what a contestant has found."""
    found = contestant.lines["answer"][0]["answer"]
    return [float(each) for each in found]


if __name__ == "__main__":
    main(install_if_told(sys.argv[1:], COOPGAME))
