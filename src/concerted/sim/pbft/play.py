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
from concerted.sim.worlds.play import ClusterReport, SeedPlayed, content, failure_of, replay_command, simulate_cluster

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
        command = replay_command(PBFT, seed, self.faults, self.settings)
        return SeedPlayed(
            failure=failure_of(seed, played, walked, self.judge, command, lambda: self._transcript(seed)),
            steps=played.steps + walked.steps,
            committed=played.chosen + walked.chosen_count,
            elected=played.views + walked.views_count,
            answered=played.answered + walked.answered_count,
            messages=played.messages,
            virtual_s=played.virtual_s,
        )

    def _transcript(self, seed: int) -> Sequence[str]:
        return pbft_walk(seed, self.settings, transcript=True).transcript


def simulate_pbft(seeds: Iterable[int], faults: Faults, *, judge: Judge = content, **how: Any) -> ClusterReport:
    """Play PBFT under each seed; how: as of `simulate_cluster`."""
    return simulate_cluster(PbftGame(faults, judge=judge), seeds, **how)
