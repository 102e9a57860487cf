"""1,000 runs at once, each asking 10 agents and giving the best one a task, durable; memory beside CPU.

Run: `python bench/runs.py [turns]`.
"""

from __future__ import annotations

import sys

from beside.comparing import REPEATS, Entrant, compete, floor, langgraph, machine, ours, table, written


def main(turns: int) -> None:
    """Print one table.  extra_mb: the peak of resident memory above what it was before the first run."""
    print(f"Measured {machine(turns)}.")
    # One process each: a peak of memory cannot be lowered again.
    together, queued, threads, auctions = (ours(what) for what in ("runs", "runs ten", "runs threads", "runs auction"))
    rows, commits = written("runs")
    bare, peer = floor("bare SQLite", "with_sqlite.py", "runs", "1", str(rows), str(commits)), langgraph("runs")
    compete([queued, threads, auctions, bare, peer, together], turns)
    table(
        "1,000 runs at once, 10 agents each, durable",
        [
            Entrant(together, "runs", "`max_concurrent_coordinations: 1000`"),
            Entrant(queued, "runs ten", "the default: 10 at once, the others queue"),
            Entrant(threads, "runs threads", "1000 at once, the task a plain function in a thread"),
            Entrant(auctions, "runs auction", "1000 at once, each a run of the strategy `auction`"),
            Entrant(bare, "runs", f"{rows:,} rows, {commits} commits"),
            Entrant(peer, "runs", "1,000 invocations at once"),
        ],
        ["extra_mb", "commits"],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS)
