"""Playing PBFT under many seeds: for each, a world in virtual time and a random walk, both with liars.

    report = simulate_pbft(range(100), Faults.parse("swarm"))

A failure carries the one command that replays it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

from concerted.sim.faults import Faults
from concerted.sim.pbft.cluster import Asked
from concerted.sim.pbft.walk import pbft_walk
from concerted.sim.pbft.world import play_pbft
from concerted.sim.play import Failure
from concerted.sim.worlds.play import COUNTS, ClusterReport

__all__ = ["PBFT", "simulate_pbft"]

PBFT = "pbft"
TAIL_LINES = 60  # of a walk's transcript, in a report

Judge = Callable[[Sequence[Asked]], Sequence[str]]


def simulate_pbft(
    seeds: Iterable[int],
    faults: Faults,
    *,
    judge: Judge = lambda _history: (),
    most_failures: int = 10,
    watch: Callable[[int, Sequence[str]], None] = lambda _seed, _problems: None,
) -> ClusterReport:
    """Play a world and a walk under each seed; stop at `most_failures`.

    judge: looks at what the clients of each were told, and says what is wrong with it.  watch: is told each seed.  What
    the report calls `elected` are views that were entered after the first.
    """
    failures: list[Failure] = []
    counts = dict.fromkeys(COUNTS, 0)
    virtual_s = 0.0
    for seed in seeds:
        played, walked = play_pbft(seed, faults), pbft_walk(seed)
        problems = [f"in its world, {each}" for each in (*played.problems, *judge(played.history))]
        problems += [f"on its walk, {each}" for each in (*walked.problems, *judge(walked.history))]
        for name, count in (
            ("seeds", 1),
            ("steps", played.steps + walked.steps),
            ("committed", played.chosen + walked.chosen_count),
            ("elected", played.views + walked.views_count),
            ("answered", played.answered + walked.answered_count),
            ("messages", played.messages),
        ):
            counts[name] += count
        virtual_s += played.virtual_s
        if problems:
            failures.append(_failure(seed, faults, played.faults, problems))
        watch(seed, problems)
        if len(failures) >= most_failures:
            break
    return ClusterReport(
        algorithm=PBFT, faults=faults.words(), failures=tuple(failures), virtual_s=round(virtual_s, 3), **counts
    )


def _failure(seed: int, asked: Faults, drawn: Faults, problems: Sequence[str]) -> Failure:
    words = ["concerted", "simulate", PBFT, "--seeds", f"{seed}..{seed}"]
    if asked != Faults(swarm=True):
        words += ["--faults", asked.words() or "drop=0"]
    on_walk = any(each.startswith("on its walk") for each in problems)
    return Failure(
        seed=seed,
        faults=drawn.words(),
        problems=tuple(problems),
        command=shlex.join(words),
        transcript=pbft_walk(seed, transcript=True).transcript[-TAIL_LINES:] if on_walk else (),
    )
