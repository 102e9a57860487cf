"""Comparisons: every contestant in a process of its own, in turn, several times; medians, and how many times ours.

    all contestants once, all of them again, ...  -> median and range of CPU, median of wall -> a table

Turn by turn, so that a minute in which the machine is busy with something else hits everybody alike.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from peers import LANGGRAPH, PEERS, Peer

HERE = Path(__file__).parent
BUILD = HERE.parent.parent / "build"  # scratch files belong on the disk that is measured, not in a memory file system
REPEATS = 5
TURN_S = 300  # how long one contestant may take for one turn

Line = dict[str, Any]  # what `measured` reports


@dataclass
class Contestant:
    """One system that is measured.  wants: the arguments of its script.  missing: why it cannot be measured."""

    name: str
    python: Path | str
    script: str
    wants: Sequence[str]
    missing: str = ""
    lines: dict[str, list[Line]] = field(default_factory=dict)

    def take_turn(self) -> None:
        """Measure once; a contestant that fails is left alone from then on."""
        if self.missing:
            return
        BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
            command = [str(self.python), str(HERE / self.script), *self.wants]
            try:
                done = subprocess.run(
                    command, cwd=scratch, capture_output=True, text=True, timeout=TURN_S, check=False,
                    env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"},
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                self.missing = f"not done after {TURN_S} s"
                return
        if done.returncode != 0:
            self.missing = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]
            return
        for line in map(json.loads, done.stdout.splitlines()):
            self.lines.setdefault(line["what"], []).append(line)

    def median(self, what: str, fact: str) -> float | None:
        """Return the median of a time or fact over all turns, None if it was not measured."""
        found = [line[fact] for line in self.lines.get(what, ()) if fact in line]
        return statistics.median(found) if found else None


def ours(*wants: str) -> Contestant:
    """Let us measure these."""
    return Contestant("**concerted**", sys.executable, "with_concerted.py", wants)


def written(what: str) -> tuple[int, int]:
    """Return how many rows and commits one operation of ours takes, for a floor that writes as many."""
    we = ours(what)
    we.take_turn()
    return round(we.median(what, "rows") or 0), round(we.median(what, "commits") or 1)


def floor(name: str, script: str, *wants: str) -> Contestant:
    """Let a floor, which needs nothing but Python, measure these."""
    return Contestant(name, sys.executable, script, wants)


def beside(peer: Peer, *wants: str) -> Contestant:
    """Let a peer measure these."""
    return Contestant(peer.name, peer.python, peer.script, wants, peer.missing())


def peers(*wants: str) -> list[Contestant]:
    """Let every peer measure these, as far as it knows them."""
    return [beside(peer, *wants) for peer in PEERS]


def langgraph(*wants: str) -> Contestant:
    """Let LangGraph, the one durable peer, measure these."""
    return beside(LANGGRAPH, *wants)


def compete(contestants: Sequence[Contestant], repeats: int = REPEATS) -> None:
    """Let everybody take so many turns, one after the other."""
    for _ in range(repeats):
        for contestant in contestants:
            contestant.take_turn()


@dataclass(frozen=True)
class Entrant:
    """One line of a table: a contestant's measurement of `what`, with a note on what exactly was measured."""

    who: Contestant
    what: str
    note: str = ""

    @property
    def name(self) -> str:
        """How the table calls it."""
        return f"{self.who.name}: {self.note}" if self.note else self.who.name


def table(title: str, entrants: Sequence[Entrant], facts: Sequence[str] = ()) -> None:
    """Print one comparison as Markdown; the first entrant, ourselves, is what the others are divided by."""
    heads = ["", "CPU", "lowest to highest", "wall", "CPU, ours = 1", *facts]
    print(f"\n{title}\n\n| {' | '.join(heads)} |\n|---{'|---:' * (len(heads) - 1)}|")
    base = entrants[0].who.median(entrants[0].what, "cpu_s")
    for entrant in entrants:
        cpu = entrant.who.median(entrant.what, "cpu_s")
        if cpu is None:
            print(f"| {entrant.name} | not measured: {entrant.who.missing or 'it has no such thing'} |")
            continue
        spread = [line["cpu_s"] for line in entrant.who.lines[entrant.what]]
        wall = entrant.who.median(entrant.what, "wall_s") or 0.0
        cells = [
            in_words(cpu),
            f"{in_words(min(spread))} to {in_words(max(spread))}",
            in_words(wall),
            f"{cpu / base:.3g}" if base else "",
            *("" if (found := entrant.who.median(entrant.what, fact)) is None else f"{found:.4g}" for fact in facts),
        ]
        print(f"| {entrant.name} | {' | '.join(cells)} |")
    sys.stdout.flush()


def in_words(seconds: float) -> str:
    """Write a length of time with three digits and the unit that fits: `7.07 us`, `1.96 ms`, `1.08 s`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds * 1e6:.3g} us"


def machine(turns: int) -> str:
    """Say on what this was measured."""
    return (
        f"{date.today():%Y-%m-%d}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "  # noqa: DTZ011
        f"{os.cpu_count()} cores ({platform.machine()}), load {os.getloadavg()[0]:.1f} at the start, "
        f"median of {turns} turns"
    )
