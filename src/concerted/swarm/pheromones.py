"""An ant system: many look for a short round trip, and what they find leaves a trail that the others follow.

The board has a trail from each stop to its near ones, between LEAST and 1.  An ant takes the trip it is sent
out with, follows trails for a while from a stop chosen by chance, rearranging the trip as it goes, and mends
it by local search where it has changed it.  Trails then move towards the best trip of the round.

Trails of many boards can be brought together: an agent takes a copy of the board along, lets its ants run,
and brings back its best trip, which is laid on the board.

Sources: Dorigo & Gambardella 1997, "Ant colony system"; Stuetzle & Hoos 2000, "MAX-MIN ant system" (bounds of
trails); Blum & Dorigo 2004, "The hyper-cube framework for ant colony optimization" (trails from 0 to 1);
Skinderowicz 2022, "Improving ant colony optimization efficiency for solving large TSP instances" (ants that
change only a part of a trip).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concerted.errors import Invalid
from concerted.swarm.dice import Array, Dice
from concerted.swarm.tours import Map, Trip

__all__ = ["LEAST", "Colony", "explore"]

AT_ONCE = 5  # rounds of ants, unless told otherwise
ANTS = 16  # of a round
FADING = 0.1  # how far a trail moves towards the newest trip in a round
LEAST = 0.02  # of a trail
CHANGED = 40  # stops with a new road, after which an ant goes home
TOO_CLOSE = 1e-3  # of the longest near distance: nearer is not more attractive
DRAWN = 4_096  # random numbers at once
STALE = 20  # rounds without anything better, after which the ants start from elsewhere


def explore(
    board: dict[str, Any], points: Sequence[Sequence[float]] | None, distances: Sequence[Sequence[float]] | None,
    seed: int, rounds: int = AT_ONCE,
) -> list[int]:  # fmt: skip
    """Let ants run on a copy of a board, with dice of one's own; returns the best trip they find.

    Raises:
        Invalid: board and map do not fit, or are none.
    """
    colony = Colony.restored(Map.of_points(points or []) if distances is None else Map(distances), board, seed)
    colony.run(rounds)
    return colony.order


class Colony:
    """The ants of one board.  order, length: the best trip so far.  rounds: how many have run here."""

    def __init__(self, where: Map, seed: int) -> None:
        import numpy as np

        self.map = where
        self._dice = Dice(seed)
        self._drawn: list[float] = []  # random numbers not used yet, the next one last
        self._near = np.array(where.near, dtype=np.int64).reshape(len(where), -1)
        near = np.array(where.rows)[np.arange(len(where))[:, None], self._near]
        closeness = near.max(initial=0.0) / np.maximum(near, TOO_CLOSE * near.max(initial=1.0) + 1e-300)
        self._attraction: Array = closeness * closeness  # the square of how near it is, as in the ant system
        self.trails: Array = np.ones(self._near.shape)
        trip = Trip(where, where.nearest_first())
        trip.improve()
        self.order, self.length = list(trip.order), where.length(trip.order)
        self._source, self._source_length = self.order, self.length
        self.rounds = self._stale = 0

    def run(self, rounds: int) -> bool:
        """Send out ANTS ants so many times; returns whether there is a better trip."""
        before = self.length
        for _ in range(rounds):
            if len(self.map) < 5:
                break
            self._round()
        return self.length < before

    def lay(self, order: Sequence[int], weight: float = 1.0) -> bool:
        """Lay a trip that somebody has found on the board; returns whether it is the best so far.

        weight: how much of FADING the trails move towards it.

        Raises:
            Invalid: it does not visit every stop once.
        """
        length = self.map.length(order)
        better = length < self.length - self.map.least_gain
        if better:
            self.order, self.length = list(order), length
            self._source, self._source_length = self.order, length
            self._stale = 0
        self._strengthen(order, FADING * weight)
        return better

    @property
    def branching(self) -> float:
        """How many ways go on from a stop, by strong trails: about 2 when all ants take one trip."""
        strong = self.trails > (LEAST + 1.0) * 0.05 + LEAST
        return float(strong.sum(axis=1).mean()) if strong.size else 0.0

    def state(self, digits: int | None = None) -> dict[str, Any]:
        """Return the board as JSON, its trails with so many digits: the best trip, the dice, all there is."""
        return {
            "order": self.order, "source": self._source,
            "trails": (self.trails if digits is None else self.trails.round(digits)).tolist(),
            "rounds": self.rounds, "stale": self._stale,
            "seed": self._dice.seed, "drawn": self._dice.drawn - len(self._drawn),
        }  # fmt: skip

    @classmethod
    def restored(cls, where: Map, state: dict[str, Any], seed: int | None = None) -> Colony:
        """Go on from a board, with the dice that it had or with others.

        Raises:
            Invalid: the board is of another map.
        """
        import numpy as np

        colony = cls(where, state["seed"] if seed is None else seed)
        if len(state["trails"]) != len(where):
            raise Invalid(f"the board is of {len(state['trails'])} stops, the map has {len(where)}; send them together")
        trails = np.array(state["trails"], dtype=np.float64).reshape(colony.trails.shape)
        colony.trails = np.clip(trails, LEAST, 1.0)
        colony.order, colony.length = list(state["order"]), where.length(state["order"])
        colony._source, colony._source_length = list(state["source"]), where.length(state["source"])
        colony.rounds, colony._stale = state["rounds"], state["stale"]
        if seed is None:
            colony._dice.drawn = state["drawn"]
        return colony

    # one round

    def _round(self) -> None:
        weights = (self.trails * self._attraction).tolist()
        found = [self._ant(weights) for _ in range(ANTS)]
        best = min(found, key=lambda one: one[0])
        self.rounds += 1
        self._stale += 1
        length, order = best
        if length < self.length - self.map.least_gain:
            self.length, self.order, self._stale = self.map.length(order), order, 0
        if length < self._source_length - self.map.least_gain:
            self._source, self._source_length = order, length
        self._strengthen(self._source, FADING)
        if self._stale >= STALE:
            self.trails[:] = 1.0
            self._source_length, self._source = max(found)
            self._stale = 0

    def _ant(self, weights: list[list[float]]) -> tuple[float, list[int]]:
        """Send one ant out with the source's trip; returns what it brings home."""
        trip, near = Trip(self.map, self._source), self.map.near
        order, place, count = trip.order, trip.place, len(trip.order)
        here = int(self._random() * count)
        visited: set[int] = {here}
        changed: set[int] = set()
        for _ in range(count - 1):
            following = self._choose(near[here], weights[here], visited)
            if following is None:
                following = order[(place[here] + 1) % count]
                if following in visited:
                    break
            behind, before = order[(place[here] + 1) % count], order[place[here] - 1]
            if following not in (behind, before):
                at = place[following]
                changed.update((here, behind, following, order[at - 1], order[(at + 1) % count]))
                trip.follow(here, following)
                if len(changed) >= CHANGED:
                    break
            here = following
            visited.add(here)
        trip.improve(sorted(changed))
        return self._length(order), order

    def _choose(self, near: list[int], weights: list[float], visited: set[int]) -> int | None:
        """Choose a near stop that was not visited, by chance in proportion to the weights; None if there is none."""
        total = 0.0
        for stop, weight in zip(near, weights, strict=True):
            if stop not in visited:
                total += weight
        if total == 0.0:
            return None
        left, last = self._random() * total, None
        for stop, weight in zip(near, weights, strict=True):
            if stop not in visited:
                left -= weight
                last = stop
                if left < 0.0:
                    break
        return last

    def _length(self, order: list[int]) -> float:
        rows, total, one = self.map.rows, 0.0, order[-1]
        for other in order:
            total += rows[one][other]
            one = other
        return total

    def _strengthen(self, order: Sequence[int], share: float) -> None:
        """Move all trails towards a trip: its own towards 1, the others towards LEAST."""
        import numpy as np

        self.trails += share * (LEAST - self.trails)
        if len(order) < 2:
            return
        stops = np.array(order)
        for following in (np.roll(stops, -1), np.roll(stops, 1)):
            ours = self._near[stops] == following[:, None]
            row, column = np.nonzero(ours)
            self.trails[stops[row], column] += share * (1.0 - LEAST)
        np.clip(self.trails, LEAST, 1.0, out=self.trails)

    def _random(self) -> float:
        if not self._drawn:
            self._drawn = self._dice.uniform(DRAWN).tolist()[::-1]
        return self._drawn.pop()
