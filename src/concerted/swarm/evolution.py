"""Differential evolution that learns its own settings: SHADE, one place of the population at a time.

A trial is built from differences of others, pulled towards one of the best; it takes the place of its parent
if it is not worse.  The settings (how far, how many coordinates) that made trials better are remembered and
varied.  Trials are told of in any order: each is compared with whoever is in its place by then.

Source: Tanabe & Fukunaga 2013, "Success-history based parameter adaptation for differential evolution", and
2014, "Improving the search performance of SHADE" (a memory of six, and crossover that stays at one coordinate).
"""

from __future__ import annotations

from typing import Any

from concerted.swarm.dice import Array, Dice, Ints
from concerted.swarm.moves import Moves

__all__ = ["Evolution"]

MEMORY = 6
GREEDIEST = 0.2  # the share of the population from which the best to follow is taken, at most
STAY = -1.0  # in the memory of crossover: one coordinate alone


class Evolution:
    """A population in the unit cube.  best, values: its places and what they are worth, least is best."""

    def __init__(self, dimensions: int, population: int, dice: Dice) -> None:
        import numpy as np

        self.dice = dice
        self.best = dice.uniform(population, dimensions)
        self.values = np.full(population, np.inf)
        self.archive = np.zeros((population, dimensions))
        self._archived = 0  # how many have come into the archive, ever
        self._asked = self._told = 0
        self.memory = np.full((2, MEMORY), 0.5)  # how far; how many coordinates
        self._next = 0
        self._successes: list[Array] = []  # rows of: how far, crossover, gain

    def propose(self, count: int) -> Moves:
        """Build trials for the next so many of the population, at most for the whole of it once."""
        import numpy as np

        size = len(self.best)
        start = self._asked % size
        count = min(count, size - start)
        first = self._asked < size
        self._asked += count
        slots = np.arange(start, start + count)
        if first:
            return Moves(slots, self.best[slots], np.full((count, 2), 0.5))
        settings = self._settings(count)
        return Moves(slots, self._trials(slots, settings), settings)

    def accept(self, moves: Moves, values: Array) -> None:
        """Let trials that are not worse take their parents' places; learn from those that are better."""
        import numpy as np

        slots = moves.slots
        before = self.values[slots]
        stays = values <= before
        known = (values < before) & (before < np.inf)  # the first in a place teaches nothing
        if known.any():
            won = slots[known]
            space = (self._archived + np.arange(len(won))) % len(self.archive)
            if self._archived + len(won) > len(self.archive):  # full: anybody's place
                space = self.dice.below(len(self.archive), len(won))
            self.archive[space] = self.best[won]
            self._archived = min(len(self.archive), self._archived + len(won))
            assert moves.settings is not None
            self._successes.append(np.column_stack([moves.settings[known], before[known] - values[known]]))
        self.best[slots[stays]] = moves.points[stays]
        self.values[slots[stays]] = values[stays]
        self._told += len(slots)
        if self._told >= len(self.best):
            self._told = 0
            self._learn()

    def state(self) -> dict[str, Any]:
        """Return all there is, as JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("best", "memory")}
        return {
            **arrays,
            "values": [None if value == float("inf") else value for value in self.values.tolist()],
            "archive": self.archive[: self._archived].tolist(),
            "asked": self._asked,
            "told": self._told,
            "next": self._next,
            "successes": [row for part in self._successes for row in part.tolist()],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        import numpy as np

        self.best, self.memory = (np.array(state[name], dtype=np.float64) for name in ("best", "memory"))
        self.values = np.array([np.inf if value is None else value for value in state["values"]], dtype=np.float64)
        self._archived = len(state["archive"])
        self.archive = np.zeros_like(self.best)
        self.archive[: self._archived] = np.array(state["archive"]).reshape(-1, self.best.shape[1])
        self._asked, self._told, self._next = (int(state[name]) for name in ("asked", "told", "next"))
        self._successes = [np.array(state["successes"])] if state["successes"] else []

    def _settings(self, count: int) -> Array:
        """Draw how far and how many coordinates for each trial, around what has been successful."""
        import numpy as np

        chosen = self.memory[:, self.dice.below(MEMORY, count)]
        far = chosen[0] + 0.1 * self.dice.cauchy(count)
        for _ in range(9):  # as the paper draws anew what is not above 0; after nine times, what was remembered
            low = far <= 0.0
            if not low.any():
                break
            far[low] = chosen[0][low] + 0.1 * self.dice.cauchy(int(low.sum()))
        far = np.minimum(np.where(far <= 0.0, chosen[0], far), 1.0)
        crossover = np.clip(chosen[1] + 0.1 * self.dice.normal(count), 0.0, 1.0)
        crossover[chosen[1] == STAY] = 0.0
        return np.column_stack([far, crossover])

    def _trials(self, slots: Ints, settings: Array) -> Array:
        """Build a trial for each slot: current-to-pbest/1 with archive, and binomial crossover."""
        import numpy as np

        population, (count, size) = self.best, (len(slots), len(self.best))
        width = population.shape[1]
        draws = self.dice.uniform(5, count)
        greedy = np.maximum(2.0, draws[0] * GREEDIEST * size).astype(np.int64)
        lead = np.argsort(self.values, kind="stable")[(draws[1] * greedy).astype(np.int64)]
        one = (draws[2] * (size - 1)).astype(np.int64)
        one += one >= slots
        other = (draws[3] * (size + self._archived - 2)).astype(np.int64)
        other += other >= np.minimum(slots, one)
        other += other >= np.maximum(slots, one)
        from_archive = other >= size
        second = np.where(
            from_archive[:, None], self.archive[np.maximum(other - size, 0)], population[np.minimum(other, size - 1)]
        )
        parent, far = population[slots], settings[:, :1]
        mutant = parent + far * (population[lead] - parent + population[one] - second)
        below, above = mutant < 0.0, mutant > 1.0
        mutant = np.where(below, parent * 0.5, np.where(above, (parent + 1.0) * 0.5, mutant))
        crossed = self.dice.uniform(count, width) < settings[:, 1:]
        crossed[np.arange(count), (draws[4] * width).astype(np.int64)] = True
        return np.where(crossed, mutant, parent)

    def _learn(self) -> None:
        """Remember the settings that made trials better, by how much better: their Lehmer means."""
        import numpy as np

        if not self._successes:
            return
        far, crossover, gain = np.concatenate(self._successes).T
        self._successes = []
        weight = gain / gain.max()
        place = self._next % MEMORY
        self._next += 1
        self.memory[0, place] = (weight * far * far).sum() / (weight * far).sum()
        if self.memory[1, place] == STAY or crossover.max() == 0.0:
            self.memory[1, place] = STAY
        else:
            self.memory[1, place] = (weight * crossover * crossover).sum() / (weight * crossover).sum()
