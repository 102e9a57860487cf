"""The simulator of Raft: how many events it plays and checks in a second of CPU, and how many seeds in a minute.

An event is one input that one server takes (a message, a timer, a request of a client, a write that is done), after
which every invariant is looked at; what else happens in a world, as deaths and partitions, is not counted.  Worlds are
played in virtual time, under swarms of faults, with messages encoded and decoded on their way; walks have no time.
Seeds differ much in how many events they have, so beside the seeds that were played stands how many of 3,000 events
each that comes to.  Nobody else plays the same worlds, so there is nobody to compare with.
Run: `python bench/raft_simulator.py [turns]`.
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
EVENTS = 3_000  # of the seeds that are counted in a minute
THREE = Settings(servers=3, seconds=220)  # long enough for that many, on the average
LARGE = Settings(servers=101)
SWARM = Faults(swarm=True)


def main(turns: int) -> None:
    """Print one table."""
    print(f"Measured {machine(turns)}, one thread.\n")
    print(f"| played | seeds/min of CPU | events in one | of {EVENTS:,} events | events/s of CPU | lowest to highest |")
    print("|---|---:|---:|---:|---:|---:|")
    for what, count, play in (
        ("worlds of 3 servers", WORLDS, lambda seed: play_world(RAFT, seed, SWARM, THREE).steps),
        ("worlds that draw all", WORLDS, lambda seed: play_world(RAFT, seed, SWARM).steps),
        ("walks", WALKS, lambda seed: walk(RAFT, seed).steps),
        ("a world of 101 servers", 1, lambda seed: play_world(RAFT, seed, SWARM, LARGE).steps),
    ):
        measured = [turn(play, range(count * number, count * (number + 1))) for number in range(turns)]
        rates = sorted(events / cpu_s for events, cpu_s in measured)
        events, cpu_s = (sum(each) for each in zip(*measured, strict=True))
        print(
            f"| {what} | {60 * count * turns / cpu_s:,.0f} | {events / count / turns:,.0f} "
            f"| {60 * events / EVENTS / cpu_s:,.0f} "
            f"| {statistics.median(rates):,.0f} | {rates[0]:,.0f} to {rates[-1]:,.0f} |"
        )


def turn(play: Callable[[int], int], seeds: range) -> tuple[int, float]:
    """Play these seeds; return how many events that were, and the seconds of CPU."""
    began_at = time.process_time()
    events = sum(play(seed) for seed in seeds)
    return events, time.process_time() - began_at


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
