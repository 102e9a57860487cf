"""The simulator of Raft: how many steps of servers it plays and checks in a second of CPU.

A step is one input to one core, after which every invariant is looked at. Worlds are played in virtual time, under
swarms of faults, with messages encoded and decoded on their way; walks have no time. Nobody else plays the same worlds,
so there is nobody to compare with. Run: `python bench/raft_simulator.py [turns]`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

from beside.comparing import machine

from concerted.sim.cluster.settings import Settings
from concerted.sim.cluster.walk import walk
from concerted.sim.faults import Faults
from concerted.sim.protocols.raft import RAFT
from concerted.sim.worlds.world import play_world

WORLDS, WALKS = 40, 200  # seeds in one turn
LARGE = Settings(servers=101)


def main(turns: int) -> None:
    """Print one table."""
    print(f"Measured {machine(turns)}, one thread.\n")
    print("| played | seeds in a minute of CPU | steps in one | steps/s of CPU | lowest to highest |")
    print("|---|---:|---:|---:|---:|")
    for what, count, play in (
        ("worlds under swarms of faults", WORLDS, lambda seed: play_world(RAFT, seed, Faults(swarm=True)).steps),
        ("walks", WALKS, lambda seed: walk(RAFT, seed).steps),
        ("a world of 101 servers", 1, lambda seed: play_world(RAFT, seed, Faults(swarm=True), LARGE).steps),
    ):
        measured = [turn(play, range(count * number, count * (number + 1))) for number in range(turns)]
        rates = sorted(steps / cpu_s for steps, cpu_s in measured)
        steps, cpu_s = (sum(each) for each in zip(*measured, strict=True))
        print(
            f"| {what} | {60 * count * turns / cpu_s:,.0f} | {steps / count / turns:,.0f} "
            f"| {statistics.median(rates):,.0f} | {rates[0]:,.0f} to {rates[-1]:,.0f} |"
        )


def turn(play: Callable[[int], int], seeds: range) -> tuple[int, float]:
    """Play these seeds; return how many steps that were, and the seconds of CPU."""
    began_at = time.process_time()
    steps = sum(play(seed) for seed in seeds)
    return steps, time.process_time() - began_at


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
