"""A plan of 1,000 tasks for 1,000 local agents, given out by auction; how its cost grows with size and with bids.

Run: `python bench/plan.py [turns]`.
"""

from __future__ import annotations

import statistics
import sys

from beside.comparing import REPEATS, Contestant, compete, in_words, machine

PLANS = ("250", "500", "1000", "1000:64", "1000:128")  # tasks = agents, and the most bids of an agent if not 32


def main(turns: int) -> None:
    """Print one table.  A bid is one agent's offer for one task; all of them are scored, and on disk."""
    print(f"Measured {machine(turns)}.\n\nN tasks, N agents of this process, strategy `auction`, durable\n")
    contestants = [Contestant(plan, sys.executable, "with_concerted_plan.py", [plan]) for plan in PLANS]
    compete(contestants, turns)
    print("| N | bids | CPU | lowest to highest | wall | CPU per bid | rows | commits | rounds | memory |")
    print("|---:|" + "---:|" * 9)
    for one in contestants:
        if one.missing:
            print(f"| {one.name} | not measured: {one.missing} |")
            continue
        lines = one.lines[f"plan {one.name}"]
        cpus = [line["cpu_s"] for line in lines]
        middle = {fact: statistics.median(line[fact] for line in lines) for fact in lines[0] if fact != "what"}
        print(
            f"| {one.name.split(':')[0]} | {middle['bids']:,.0f} | {in_words(middle['cpu_s'])} "
            f"| {in_words(min(cpus))} to {in_words(max(cpus))} | {in_words(middle['wall_s'])} "
            f"| {in_words(middle['cpu_s'] / middle['bids'])} | {middle['rows']:,.0f} | {middle['commits']:.0f} "
            f"| {middle['rounds']:.0f} | {middle['extra_mb']:.0f} MB |"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS)
