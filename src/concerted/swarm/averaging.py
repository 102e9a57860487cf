"""A number, or a vector, that all share in the end, though each speaks with its neighbours alone.

`metropolis`: everybody moves towards its neighbours, by weights that both ends of a road agree on; the mean of
all stays what it was as long as everybody moves in every round.  `PushSum`: everybody gives half of what it
has, value and weight, to one neighbour; nothing is lost while it is on its way, so late or silent ones delay
the mean and do not change it.

Sources: Xiao & Boyd 2004, "Fast linear iterations for distributed averaging" (Metropolis weights); Kempe, Dobra
& Gehrke 2003, "Gossip-based computation of aggregate information" (push-sum).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from concerted.errors import Invalid

__all__ = ["MOST_NUMBERS", "Graph", "PushSum", "average", "metropolis", "ring_of", "spread", "vector", "weights"]

MOST_NUMBERS = 1_000  # of a vector

Graph = Mapping[str, Sequence[str]]  # who -> its neighbours, in both directions
Vector = tuple[float, ...]


def ring_of(agents: Sequence[str], reach: int = 2) -> dict[str, tuple[str, ...]]:
    """Make everybody a neighbour of those up to `reach` places away, in a ring, and of the one across it.

    The way across keeps the number of rounds small: it grows with the ring's length without it.
    """
    count = len(agents)
    neighbours: dict[str, set[int]] = {agent: set() for agent in agents}
    for place, agent in enumerate(agents):
        for other in (*range(place + 1, place + reach + 1), place + count // 2):
            if (other - place) % count:
                neighbours[agent].add(other % count)
                neighbours[agents[other % count]].add(place)
    return {agent: tuple(agents[place] for place in sorted(places)) for agent, places in neighbours.items()}


def checked(graph: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return a graph with every road in both directions.

    Raises:
        Invalid: a neighbour is nobody in the graph, or the graph falls apart; somebody is named.
    """
    both: dict[str, dict[str, None]] = {agent: {} for agent in graph}
    for agent, others in graph.items():
        for other in others:
            if other not in both:
                raise Invalid(
                    f"{agent} has the neighbour {other}, who is not in the graph; there are {', '.join(both)}"
                )
            if other != agent:
                both[agent][other] = None
                both[other][agent] = None
    seen, ahead = set(), list(both)[:1]
    while ahead:
        agent = ahead.pop()
        if agent not in seen:
            seen.add(agent)
            ahead += both[agent]
    apart = [agent for agent in both if agent not in seen]
    if apart:
        raise Invalid(f"no way leads from {next(iter(both))} to {apart[0]}; they can never agree: join the parts")
    return {agent: tuple(sorted(others)) for agent, others in both.items()}


def weights(graph: Graph, agent: str) -> dict[str, float]:
    """Return how far an agent moves towards each neighbour: 1 / (1 + the greater number of neighbours of the two)."""
    return {other: 1.0 / (1 + max(len(graph[agent]), len(graph[other]))) for other in graph[agent]}


def metropolis(own: Sequence[float], heard: Mapping[str, Sequence[float]], weight: Mapping[str, float]) -> Vector:
    """Return an agent's next value.  heard: neighbour -> its value, of those of whom anything was heard."""
    return tuple(
        math.fsum([mine, *(weight[other] * (value[at] - mine) for other, value in heard.items())])
        for at, mine in enumerate(own)
    )


def average(
    own: Sequence[float], heard: Mapping[str, Sequence[float]], weight: Mapping[str, float] | None
) -> list[float]:
    """Return an agent's next value by Metropolis weights, or, without weights, the sum of all, as push-sum has it."""
    if weight is not None:
        return list(metropolis(own, heard, weight))
    return [math.fsum([mine, *(value[at] for value in heard.values())]) for at, mine in enumerate(own)]


def vector(value: object, size: int | None = None) -> Vector:
    """Read a number or a list of numbers.

    Raises:
        Invalid: it is neither, is not finite, or has another size than expected.
    """
    numbers = [value] if isinstance(value, int | float) else value
    if not isinstance(numbers, list | tuple) or not 1 <= len(numbers) <= MOST_NUMBERS:
        raise Invalid(f"{value!r} is no number and no list of 1 to {MOST_NUMBERS} numbers")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise Invalid(f"{number!r} is no finite number")
    if size is not None and len(numbers) != size:
        raise Invalid(f"{value!r} has {len(numbers)} numbers; the others have {size}")
    return tuple(map(float, numbers))


def spread(values: Iterable[Sequence[float]]) -> float:
    """Return how far the two furthest are apart, in the coordinate in which that is most."""
    return max((max(column) - min(column) for column in zip(*values, strict=True)), default=0.0)


@dataclass
class PushSum:
    """What everybody has.  sums, masses: agent -> what it holds.  on_the_way: agent -> what it was given and not yet
    taken."""

    sums: dict[str, Vector]
    masses: dict[str, float]
    on_the_way: dict[str, list[tuple[Vector, float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Vector]) -> PushSum:
        """Begin with everybody's own value, each of mass 1."""
        return cls(dict(values), dict.fromkeys(values, 1.0))

    def give(self, agent: str, to: str) -> None:
        """Send half of what an agent holds to another, who has not taken it yet."""
        half = tuple(number / 2.0 for number in self.sums[agent])
        self.sums[agent], self.masses[agent] = half, self.masses[agent] / 2.0
        self.on_the_way.setdefault(to, []).append((half, self.masses[agent]))

    def take(self, agent: str) -> None:
        """Let an agent take all that is on its way to it."""
        for values, mass in self.on_the_way.pop(agent, ()):
            self.sums[agent] = tuple(mine + more for mine, more in zip(self.sums[agent], values, strict=True))
            self.masses[agent] += mass

    def leave(self, agent: str, heir: str) -> None:
        """Give all that a lost agent holds, and all on its way to it, to another."""
        self.take(agent)
        self.on_the_way.setdefault(heir, []).append((self.sums.pop(agent), self.masses.pop(agent)))

    def value(self, agent: str) -> Vector:
        """Return what an agent takes the mean to be."""
        return tuple(number / self.masses[agent] for number in self.sums[agent])
