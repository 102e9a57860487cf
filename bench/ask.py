"""Request-reply and ask-100-and-gather, not durable and durable, beside four systems and two floors.

Not durable is `await session.ask(agent, request)` outside any run; durable is the same inside a run, each answer on
disk (SQLite, WAL, `synchronous = FULL`) before the strategy goes on.  Run: `python bench/ask.py [turns]`.
"""

from __future__ import annotations

import sys

from beside.comparing import REPEATS, Entrant, compete, floor, langgraph, machine, ours, peers, table


def main(turns: int) -> None:
    """Print four tables."""
    print(f"Measured {machine(turns)}.")
    not_durable(turns)
    durable(turns)


def not_durable(turns: int) -> None:
    """Ask outside any run, beside everybody."""
    we = ours("ask", "ask async", "gather", "gather async")
    others = [floor("bare asyncio", "with_asyncio.py", "ask", "gather"), *peers("ask", "gather")]
    compete([we, *others], turns)
    for what, title in ("ask", "One request, one reply"), ("gather", "100 agents asked at once"):
        as_task = Entrant(we, f"{what} async", "the agent's function is `async def`")
        table(f"{title}, not durable", [Entrant(we, what), as_task, *(Entrant(one, what) for one in others)])


def durable(turns: int) -> None:
    """Ask inside a run, beside the peer that is durable, too."""
    wants = "durable ask", "durable gather", "durable run"
    we, peer = ours(*wants), langgraph(*wants)
    bare = floor("bare SQLite", "with_sqlite.py", "durable ask", "500", "2", "1", "durable gather", "100", "101", "1")
    compete([we, bare, peer], turns)
    table(
        "One request, one reply, durable",
        [
            Entrant(we, "durable ask", "`run.ask`, one after the other"),
            Entrant(bare, "durable ask", "2 rows, 1 commit"),
            Entrant(peer, "durable ask", "one step of a running graph"),
            Entrant(we, "durable run", "a run for each"),
            Entrant(peer, "durable run", "an invocation for each"),
        ],
        ["commits"],
    )
    table(
        "100 agents asked at once, durable",
        [
            Entrant(we, "durable gather", "`run.gather`"),
            Entrant(bare, "durable gather", "101 rows, 1 commit"),
            Entrant(peer, "durable gather", "`Send` to 100 nodes"),
        ],
        ["commits"],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS)
