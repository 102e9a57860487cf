"""Playing PBFT under many seeds: for each, a world in virtual time and a random walk, both with liars.

    report = simulate_pbft(range(100), Faults.parse("swarm"))

A failure carries the one command that replays it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from concerted.sim.cluster.settings import DRAWN, Settings
from concerted.sim.faults import Faults
from concerted.sim.pbft.cluster import Asked
from concerted.sim.pbft.walk import pbft_walk
from concerted.sim.pbft.world import play_pbft
from concerted.sim.play import Failure
from concerted.sim.worlds.play import TAIL_LINES, ClusterReport, SeedPlayed, content, replay_command, simulate_cluster

__all__ = ["PBFT", "PbftGame", "simulate_pbft"]

PBFT = "pbft"

Judge = Callable[[Sequence[Asked]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class PbftGame:
    """How PBFT is played.  judge: looks at what the clients of each were told, and says what is wrong with it."""

    faults: Faults
    settings: Settings = DRAWN
    judge: Judge = content
    name: str = PBFT

    def play(self, seed: int) -> SeedPlayed:
        """Play a world and a walk.  What a report calls `elected` are views that were entered after the first."""
        played, walked = play_pbft(seed, self.faults, self.settings), pbft_walk(seed, self.settings)
        problems = [f"in its world, {each}" for each in (*played.problems, *self.judge(played.history))]
        problems += [f"on its walk, {each}" for each in (*walked.problems, *self.judge(walked.history))]
        return SeedPlayed(
            failure=self._failure(seed, played.faults, problems) if problems else None,
            steps=played.steps + walked.steps,
            committed=played.chosen + walked.chosen_count,
            elected=played.views + walked.views_count,
            answered=played.answered + walked.answered_count,
            messages=played.messages,
            virtual_s=played.virtual_s,
        )

    def _failure(self, seed: int, drawn: Faults, problems: Sequence[str]) -> Failure:
        on_walk = any(each.startswith("on its walk") for each in problems)
        return Failure(
            seed=seed,
            faults=drawn.words(),
            problems=tuple(problems),
            command=replay_command(PBFT, seed, self.faults, self.settings),
            transcript=pbft_walk(seed, self.settings, transcript=True).transcript[-TAIL_LINES:] if on_walk else (),
        )


def simulate_pbft(seeds: Iterable[int], faults: Faults, *, judge: Judge = content, **how: Any) -> ClusterReport:
    """Play PBFT under each seed; how: as of `simulate_cluster`."""
    return simulate_cluster(PbftGame(faults, judge=judge), seeds, **how)
