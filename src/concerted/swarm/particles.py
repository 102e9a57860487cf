"""Particles: each flies on from where it is, towards the best that it and its neighbours have seen.

The moves are asynchronous: a particle flies on whether or not its last place has been told of, and what is
told late or never does not hold up the others.  In `pso` everybody is everybody's neighbour, which is
quick; in `ring` each particle has two, which is slower and is caught less easily.

Sources: Kennedy & Eberhart 1995, "Particle swarm optimization"; Clerc & Kennedy 2002, "The particle swarm:
explosion, stability, and convergence" (the constants); Kennedy & Mendes 2002 (the ring).
"""

from __future__ import annotations

from typing import Any

from concerted.swarm.dice import Array, Dice
from concerted.swarm.moves import Moves

__all__ = ["Particles"]

INERTIA = 0.7298  # Clerc and Kennedy's constriction
PULL = 1.49618  # towards one's own best, and towards the neighbours'


class Particles:
    """A swarm in the unit cube.  best, values: the best place of each particle and its value, least is best."""

    def __init__(self, dimensions: int, population: int, dice: Dice, *, ring: bool) -> None:
        import numpy as np

        self.ring, self.dice = ring, dice
        self.places = dice.uniform(population, dimensions)
        self.speeds = (dice.uniform(population, dimensions) - 0.5) * 0.5
        self.best = self.places.copy()
        self.values = np.full(population, np.inf)
        self._asked = 0
        self._hint = 0  # whose best is the best of all

    def propose(self, count: int) -> Moves:
        """Fly with the next so many particles, at most the whole swarm once; returns where they are now."""
        import numpy as np

        size = len(self.places)
        count = min(count, size - self._asked % size)
        start = self._asked % size
        part = slice(start, start + count)
        self._asked += count
        if self._asked > size:
            places, best = self.places[part], self.best[part]
            pulls = self.dice.coarse(2, count, places.shape[1])
            pulls *= PULL
            speed = self.speeds[part]
            speed *= INERTIA
            speed += pulls[0] * (best - places)
            speed += pulls[1] * (self.best[self._guides(start, count)] - places)
            places += speed
            beyond = (places < 0.0) | (places > 1.0)
            if beyond.any():  # who flies into a wall stops there and turns back
                speed[beyond] *= -0.5
                np.clip(places, 0.0, 1.0, out=places)
        return Moves(np.arange(start, start + count), self.places[part].copy())

    def accept(self, moves: Moves, values: Array) -> None:
        """Take note of what places are worth."""
        slots = moves.slots
        better = values < self.values[slots]
        if better.any():
            slots = slots[better]
            self.best[slots] = moves.points[better]
            self.values[slots] = values[better]
            lowest = int(slots[self.values[slots].argmin()])
            if self.values[lowest] < self.values[self._hint]:
                self._hint = lowest

    def state(self) -> dict[str, Any]:
        """Return all there is, as JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("places", "speeds", "best")}
        values = [None if value == float("inf") else value for value in self.values.tolist()]
        return {**arrays, "values": values, "asked": self._asked, "hint": self._hint}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        import numpy as np

        for name in ("places", "speeds", "best"):
            setattr(self, name, np.array(state[name], dtype=np.float64))
        self.values = np.array([np.inf if value is None else value for value in state["values"]], dtype=np.float64)
        self._asked, self._hint = int(state["asked"]), int(state["hint"])

    def _guides(self, start: int, count: int) -> Any:
        """Return whose best guides each of these particles: that of all, or of itself and its two neighbours."""
        import numpy as np

        if not self.ring:
            return self._hint
        size = len(self.places)
        near = (np.arange(start, start + count)[:, None] + np.array([0, -1, 1])) % size
        return near[np.arange(count), self.values[near].argmin(axis=1)]
