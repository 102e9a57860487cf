"""What a decision costs: 100 voters, judgement instant, every ballot on disk before it is answered.

The ballots come in at once, or one after the other.  Run: `python bench/decide.py [turns]`.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from beside.comparing import REPEATS, machine

from concerted import open_coordinator
from concerted.consensus.decisions.certificate import verify
from concerted.launch import Session

VOTERS = 100
DECISIONS = 20  # in one turn


async def at_once(session: Session, id: str, voters: list[str]) -> None:
    """Decide with all ballots in flight together; whoever comes after the end is too late."""
    decision = session.decision(id)
    await decision.create("ship it?", voters, rule="all")
    await asyncio.gather(*(decision.vote("accept", "so", agent=voter) for voter in voters))
    assert (await decision.get()).success


async def in_turn(session: Session, id: str, voters: list[str]) -> None:
    """Decide with one ballot after the other."""
    decision = session.decision(id)
    await decision.create("ship it?", voters, rule="all")
    for voter in voters:
        await decision.vote("accept", "so", agent=voter)
    assert (await decision.get()).success


async def turn(folder: Path) -> dict[str, tuple[float, float]]:
    """Return milliseconds per decision, of CPU and by the wall, by way."""
    voters, found = [f"v{i}" for i in range(VOTERS)], {}
    async with open_coordinator(f"sqlite:///{folder}/x.db") as session:
        for way in (at_once, in_turn):
            await way(session, f"{way.__name__} to warm up", voters)
            began = time.process_time(), time.perf_counter()
            for number in range(DECISIONS):
                await way(session, f"{way.__name__} {number}", voters)
            found[way.__name__] = since(began)
        told = await session.decision("at_once 0").get()
    began = time.process_time(), time.perf_counter()
    for _ in range(DECISIONS):
        assert told.certificate is not None
        assert verify(told.certificate).valid
    found["verify"] = since(began)
    return found


def since(began: tuple[float, float]) -> tuple[float, float]:
    """Return milliseconds per decision, of CPU and by the wall."""
    ended = time.process_time(), time.perf_counter()
    return (ended[0] - began[0]) / DECISIONS * 1e3, (ended[1] - began[1]) / DECISIONS * 1e3


def main(turns: int) -> None:
    """Print one table."""
    print(f"Measured {machine(turns)}.")
    times = []
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as folder:
            times.append(asyncio.run(turn(Path(folder))))
    print(f"\nA decision of {VOTERS} voters, SQLite, `synchronous = FULL`, in one process\n")
    print("| | CPU | wall |\n|---|---:|---:|")
    for way, words in (("at_once", "all ballots at once"), ("in_turn", "one ballot after the other"),
                       ("verify", "its certificate verified, unsigned")):  # fmt: skip
        cpu, wall = (statistics.median(found[way][which] for found in times) for which in (0, 1))
        print(f"| {words} | {cpu:.1f} ms | {wall:.1f} ms |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS)
