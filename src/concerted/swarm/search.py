"""A search for the least value, by ask and tell: whoever is free asks for a candidate, and tells what it is worth.

    search = Search(Space.of({"x": {"float": [-5, 5]}, "kind": {"choice": ["a", "b"]}}), rule="shade", seed=1)
    candidate = search.ask()
    search.tell(candidate.id, cost_of(**candidate.point))

Nobody waits for anybody: many candidates may be out at once, and be told of in any order, late, or never.
What is asked for follows from the seed and from what was told, in its order, alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from concerted.errors import Invalid, NotFound, Overloaded
from concerted.swarm.dice import Array, Dice
from concerted.swarm.evolution import Evolution
from concerted.swarm.moves import Moves, Rule
from concerted.swarm.particles import Particles
from concerted.swarm.space import Space

__all__ = ["MOST_OPEN", "RULES", "Best", "Candidate", "RuleName", "Search", "rule_for"]

RuleName = Literal["auto", "pso", "ring", "shade"]
RULES: tuple[RuleName, ...] = ("auto", "pso", "ring", "shade")
MOST_OPEN = 100_000  # candidates that are out at once
MOST_POPULATION = 10_000
FEW = 60  # evaluations for each dimension, below which particles are quicker than evolution


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point to look at.  point: dimension -> value."""

    id: int
    point: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Best:
    """The best so far.  at: how many evaluations had been told of when it came."""

    value: float
    point: dict[str, Any]
    at: int


class Search:
    """One search.  asked, told: how many candidates were given out, and how many came back with a value."""

    def __init__(
        self, space: Space, *, rule: RuleName = "auto", seed: int = 0, population: int | None = None,
        budget: int | None = None,
    ) -> None:  # fmt: skip
        """Begin a search.

        population: by default 20 to 100, more where the budget allows more.  budget: how many evaluations there
        will be, as far as one knows; it decides what `auto` is, and the population, and ends nothing.

        Raises:
            Invalid: the rule is unknown, or the population is not 4 to 10,000.
        """
        if rule not in RULES:
            raise Invalid(f"there is no rule {rule!r}; take one of {', '.join(RULES)}")
        self.space = space
        self.rule = rule_for(rule, len(space), budget)
        self.population = population if population is not None else _population(self.rule, len(space), budget)
        if not 4 <= self.population <= MOST_POPULATION:
            raise Invalid(f"the population is {self.population}; it must be 4 to {MOST_POPULATION}")
        self._dice = Dice(seed)
        self._moving: Rule
        if self.rule == "shade":
            self._moving = Evolution(len(space), self.population, self._dice)
        else:
            self._moving = Particles(len(space), self.population, self._dice, ring=self.rule == "ring")
        self._open: dict[int, Moves] = {}
        self.asked = self.told = 0
        self._best_value, self._best_at = math.inf, 0
        self._best_levels: Array | None = None
        self._bounds: tuple[Array, Array] | None = None

    # one by one

    def ask(self) -> Candidate:
        """Return the next candidate.

        Raises:
            Overloaded: MOST_OPEN are out; tell of some, or forget them.
        """
        if len(self._open) >= MOST_OPEN:
            raise Overloaded(f"{MOST_OPEN} candidates are out; tell what some of them are worth, or forget them")
        moves = self._moving.propose(1)
        self.asked += 1
        self._open[self.asked] = moves
        return Candidate(self.asked, self.space.point(moves.points[0]))

    def tell(self, candidate: int, value: float) -> bool:
        """Say what a candidate is worth, the less the better; returns whether it is the best so far.

        Infinite means: not allowed.  Telling again of the same changes nothing.

        Raises:
            Invalid: the value is not a number.
            NotFound: it was never asked for.
        """
        import numpy as np

        if not 1 <= candidate <= self.asked:
            raise NotFound(f"candidate {candidate} was never given out; the newest is {self.asked}")
        if math.isnan(value) or value == -math.inf:
            raise Invalid(f"candidate {candidate} is worth {value}; tell a number, or infinity if it is not allowed")
        moves = self._open.pop(candidate, None)
        return moves is not None and self.tell_all(moves, np.array([value]), drop=False)

    def forget(self, candidate: int) -> None:
        """Expect no value of this candidate any more."""
        self._open.pop(candidate, None)

    # many at once

    def ask_all(self, count: int) -> Moves:
        """Return a batch of at least one and at most so many; `numbers` has what stands for them."""
        moves = self._moving.propose(count)
        self.asked += len(moves.slots)
        return moves

    def numbers(self, moves: Moves) -> Array:
        """Return a batch as rows of numbers, for a function that takes whole matrices; where all dimensions are floats.

        Raises:
            Invalid: one is not.
        """
        if self._bounds is None:
            self._bounds = self.space.bounds()
        low, width = self._bounds
        rows = moves.points * width
        rows += low
        return rows

    def tell_all(self, moves: Moves, values: Sequence[float] | Array, *, drop: bool = True) -> bool:
        """Say what all of a batch are worth, in their order; returns whether the best so far is among them.

        drop: take what is no number as not allowed.
        """
        import numpy as np

        worth = np.asarray(values, dtype=np.float64)
        if worth.shape != moves.slots.shape:
            raise Invalid(f"{len(moves.slots)} candidates were given out, and {worth.size} values came")
        if drop:
            worth = np.where(np.isnan(worth), np.inf, worth)
        self.told += len(worth)
        place = int(worth.argmin())
        improved = float(worth[place]) < self._best_value
        if improved:
            self._best_value, self._best_at = float(worth[place]), self.told
            self._best_levels = moves.points[place].copy()
        self._moving.accept(moves, worth)
        return improved

    # where it stands

    @property
    def best(self) -> Best | None:
        """The best so far, None before anything was told that is allowed."""
        if self._best_levels is None:
            return None
        return Best(self._best_value, self.space.point(self._best_levels), self._best_at)

    @property
    def open_count(self) -> int:
        """How many candidates are out."""
        return len(self._open)

    @property
    def diversity(self) -> float:
        """The population's mean deviation from its middle: 0.25 when it is everywhere, 0 in one place."""
        import numpy as np

        places = self._moving.best
        return float(np.abs(places - places.mean(axis=0)).mean())

    @property
    def gap(self) -> float:
        """How much the worst of the population is above the best; infinite while some are unknown."""
        values = self._moving.values
        return float(values.max() - values.min()) if math.isfinite(values.max()) else math.inf

    # remembering

    def state(self) -> dict[str, Any]:
        """Return all there is, as JSON.  What is out is forgotten, so tell or forget first."""
        levels = None if self._best_levels is None else self._best_levels.tolist()
        return {
            "rule": self.rule, "population": self.population, "seed": self._dice.seed, "drawn": self._dice.drawn,
            "asked": self.asked, "told": self.told, "best": [levels, self._best_at],
            "value": None if levels is None else self._best_value, "moving": self._moving.state(),
        }  # fmt: skip

    @classmethod
    def restored(cls, space: Space, state: dict[str, Any]) -> Search:
        """Go on from a state; the same candidates follow as would have followed there."""
        search = cls(space, rule=state["rule"], seed=state["seed"], population=state["population"])
        search._moving.restore(state["moving"])
        search._dice.drawn = state["drawn"]
        search.asked, search.told = state["asked"], state["told"]
        levels, search._best_at = state["best"]
        if levels is not None:
            import numpy as np

            search._best_levels, search._best_value = np.array(levels, dtype=np.float64), state["value"]
        return search


def rule_for(rule: RuleName, dimensions: int, budget: int | None) -> RuleName:
    """Say what `auto` is: particles where there are few evaluations for each dimension, else shade."""
    if rule != "auto":
        return rule
    return "pso" if budget is not None and budget < FEW * dimensions else "shade"


def _population(rule: RuleName, dimensions: int, budget: int | None) -> int:
    """Choose a size: enough generations matter more than many in each."""
    most = 50 if rule == "shade" else 40
    wanted = max(20, min(most, 10 + 3 * dimensions))
    return wanted if budget is None else max(8, min(wanted, budget // 20))
