"""An auction of one task among 100 bidders, from submission to result, durable; commits counted.

Run: `python bench/auction.py [turns]`.
"""

from __future__ import annotations

import sys

from beside.comparing import REPEATS, Entrant, compete, floor, langgraph, machine, ours, table, written


def main(turns: int) -> None:
    """Print one table; the floor writes as many rows in as many commits as we do."""
    print(f"Measured {machine(turns)}.")
    rows, commits = written("auction")
    bare, peer = floor("bare SQLite", "with_sqlite.py", "auction", "100", str(rows), str(commits)), langgraph("auction")
    we = ours("auction")
    compete([bare, peer, we], turns)
    table(
        "An auction of one task among 100 agents, durable",
        [
            Entrant(we, "auction", "strategy `auction`"),
            Entrant(bare, "auction", f"{rows} rows, {commits} commits"),
            Entrant(peer, "auction", "`Send` to 100 nodes, award, execute"),
        ],
        ["commits"],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS)
