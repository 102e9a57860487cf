"""Playing decisions over every replicated log under many seeds.

    report = simulate_decisions(range(100), Faults.parse("swarm"))

A failure carries the one command that replays it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from concerted.sim.decisions.keeping import KEEPINGS
from concerted.sim.decisions.world import play_decisions
from concerted.sim.faults import Faults
from concerted.sim.play import Failure
from concerted.sim.worlds.play import ClusterReport, SeedPlayed, replay_command, simulate_cluster

__all__ = ["DECIDE", "DecisionsGame", "simulate_decisions"]

DECIDE = "decide"


@dataclass(frozen=True, slots=True)
class DecisionsGame:
    """How decisions are played."""

    faults: Faults
    name: str = DECIDE

    def play(self, seed: int) -> SeedPlayed:
        """Play a world of each protocol."""
        worlds = [(name, play_decisions(name, seed, self.faults)) for name in KEEPINGS]
        problems = tuple(f"over {name}, {each}" for name, played in worlds for each in played.problems)
        _, last = worlds[-1]
        return SeedPlayed(
            failure=Failure(
                seed=seed,
                faults=last.faults.words(),
                problems=problems,
                command=replay_command(DECIDE, seed, self.faults),
            )
            if problems
            else None,
            steps=sum(played.steps for _, played in worlds),
            committed=sum(played.chosen for _, played in worlds),
            elected=sum(played.leaders for _, played in worlds),
            answered=sum(played.answered for _, played in worlds),
            messages=sum(played.messages for _, played in worlds),
            virtual_s=sum(played.virtual_s for _, played in worlds),
        )


def simulate_decisions(seeds: Iterable[int], faults: Faults, **how: Any) -> ClusterReport:
    """Play decisions under each seed; how: as of `simulate_cluster`."""
    return simulate_cluster(DecisionsGame(faults), seeds, **how)
