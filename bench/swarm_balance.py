"""Who takes the next task when speeds are unknown: time from coming to done, beside joining the shortest queue.

Run: `python bench/swarm_balance.py [tasks]`.  Virtual time: the numbers do not hang on the machine.
"""

from __future__ import annotations

import sys

from beside.queueing import AGENTS, TASKS, one_queue, shortest_queue

LOADS = (0.5, 0.7, 0.8, 0.9)
SEEDS = (0, 1, 2)


def main(tasks: int) -> None:
    """Print one line for each load: what share of the shortest queue's mean and 99th percentile each way takes."""
    print(f"{AGENTS} agents, speeds lognormal (deviation 1), work lognormal (0.5), {tasks:,} tasks")
    print(
        "\n| load | mean, learned | p99, learned | mean, any idle one | p99, any idle one |\n|---:|---:|---:|---:|---:|"
    )
    for load in LOADS:
        cells = [0.0] * 4
        for seed in SEEDS:
            mean, high = shortest_queue(seed, load, tasks)
            learned, plain = one_queue(seed, load, tasks), one_queue(seed, load, tasks, learning=False)
            ratios = (learned[0] / mean, learned[1] / high, plain[0] / mean, plain[1] / high)
            cells = [max(pair) for pair in zip(cells, ratios, strict=True)]
        print(f"| {load} | {' | '.join(f'{cell:.2f}' for cell in cells)} |", flush=True)
    print(f"\nShortest queue = 1; worst of {len(SEEDS)} seeds.")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TASKS)
