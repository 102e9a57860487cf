"""Playing decisions over every replicated log under many seeds: for each a world in virtual time, and a random walk.

    report = simulate_decisions(range(100), Faults.parse("swarm"))

A failure carries the one command that replays it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concerted.sim.decisions.keeping import KEEPINGS
from concerted.sim.decisions.walk import DecisionsWalkResult, decisions_walk
from concerted.sim.decisions.world import DecisionsResult, play_decisions
from concerted.sim.faults import Faults
from concerted.sim.play import Failure
from concerted.sim.worlds.play import TAIL_LINES, ClusterReport, SeedPlayed, replay_command, simulate_cluster

__all__ = ["DECIDE", "DecisionsGame", "simulate_decisions"]

DECIDE = "decide"


@dataclass(frozen=True, slots=True)
class DecisionsGame:
    """How decisions are played."""

    faults: Faults
    name: str = DECIDE

    def play(self, seed: int) -> SeedPlayed:
        """Play a world and a walk over each protocol."""
        worlds = {name: play_decisions(name, seed, self.faults) for name in KEEPINGS}
        walks = {name: decisions_walk(name, seed) for name in KEEPINGS}
        problems = [f"over {name}, in its world, {each}" for name, of in worlds.items() for each in of.problems]
        problems += [f"over {name}, on its walk, {each}" for name, of in walks.items() for each in of.problems]
        everything: tuple[DecisionsResult | DecisionsWalkResult, ...] = (*worlds.values(), *walks.values())
        return SeedPlayed(
            failure=self._failure(seed, worlds, walks, problems) if problems else None,
            steps=sum(played.steps for played in everything),
            committed=sum(played.chosen for played in everything),
            elected=sum(played.leaders for played in everything),
            answered=sum(played.answered for played in everything),
            messages=sum(played.messages for played in worlds.values()),
            virtual_s=sum(played.virtual_s for played in worlds.values()),
        )

    def _failure(
        self, seed: int, worlds: Mapping[str, DecisionsResult], walks: Mapping[str, DecisionsWalkResult],
        problems: Sequence[str],
    ) -> Failure:  # fmt: skip
        """Tell what was wrong; of walks, what went before it on the first that went wrong."""
        drawn = next((played.faults for played in worlds.values() if played.problems), self.faults)
        lost = next((name for name, walked in walks.items() if walked.problems), None)
        return Failure(
            seed=seed,
            faults=drawn.words(),
            problems=tuple(problems),
            command=replay_command(DECIDE, seed, self.faults),
            transcript=() if lost is None else decisions_walk(lost, seed, transcript=True).transcript[-TAIL_LINES:],
        )


def simulate_decisions(seeds: Iterable[int], faults: Faults, **how: Any) -> ClusterReport:
    """Play decisions under each seed; how: as of `simulate_cluster`."""
    return simulate_cluster(DecisionsGame(faults), seeds, **how)
