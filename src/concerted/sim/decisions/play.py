"""Playing decisions over every replicated log under many seeds.

    report = simulate_decisions(range(100), Faults.parse("swarm"))

A failure carries the one command that replays it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

from concerted.sim.decisions.keeping import KEEPINGS
from concerted.sim.decisions.world import play_decisions
from concerted.sim.faults import Faults
from concerted.sim.play import Failure
from concerted.sim.worlds.play import COUNTS, ClusterReport

__all__ = ["DECIDE", "simulate_decisions"]

DECIDE = "decide"


def simulate_decisions(
    seeds: Iterable[int],
    faults: Faults,
    *,
    most_failures: int = 10,
    watch: Callable[[int, Sequence[str]], None] = lambda _seed, _problems: None,
) -> ClusterReport:
    """Play a world of each protocol under each seed; stop at `most_failures`.  watch: is told each seed."""
    failures: list[Failure] = []
    counts = dict.fromkeys(COUNTS, 0)
    virtual_s = 0.0
    for seed in seeds:
        problems: list[str] = []
        for name in KEEPINGS:
            played = play_decisions(name, seed, faults)
            problems += [f"over {name}, {each}" for each in played.problems]
            for count, more in (
                ("steps", played.steps),
                ("committed", played.chosen),
                ("elected", played.leaders),
                ("answered", played.answered),
                ("messages", played.messages),
            ):
                counts[count] += more
            virtual_s += played.virtual_s
        counts["seeds"] += 1
        if problems:
            failures.append(
                Failure(
                    seed=seed,
                    faults=played.faults.words(),
                    problems=tuple(problems),
                    command=_command(seed, faults),
                )
            )
        watch(seed, problems)
        if len(failures) >= most_failures:
            break
    return ClusterReport(
        algorithm=DECIDE, faults=faults.words(), failures=tuple(failures), virtual_s=round(virtual_s, 3), **counts
    )


def _command(seed: int, faults: Faults) -> str:
    words = ["concerted", "simulate", DECIDE, "--seeds", f"{seed}..{seed}"]
    if faults != Faults(swarm=True):
        words += ["--faults", faults.words() or "drop=0"]
    return shlex.join(words)
