"""The best of 16 options by 20 judges, of whom some lie: how often it is found, and with how many judgements.

Run: `python bench/swarm_select.py [worlds]`.  Seeded: the numbers do not hang on the machine.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from concerted.swarm.nest import Bees, Halving

OPTIONS, JUDGES, NOISE, EACH = 16, 20, 0.2, 10
LIES = ("inverted", "together", "by chance")  # the worst is best; all for the same bad one; anything


class World:
    """Options of unknown worth, 0 to 0.8, but for the best, which is better by a gap; and judges."""

    def __init__(self, seed: int, gap: float, liars: float, lie: str) -> None:
        self.dice = np.random.default_rng(seed)
        self.worth = self.dice.uniform(0.0, 0.8, OPTIONS)
        self.best = int(self.dice.integers(OPTIONS))
        self.worth[self.best] = 0.8 + gap
        self.bad, self.lie, self.liars = int(self.worth.argmin()), lie, int(liars * JUDGES)
        self.calls = 0

    def score(self, option: str, judge: str) -> float:
        """Return what a judge says."""
        self.calls += 1
        at = int(option)
        if int(judge) >= self.liars:
            return float(self.worth[at] + self.dice.normal(0.0, NOISE))
        lies: dict[str, Any] = {"inverted": 1.0 - self.worth[at], "together": float(at == self.bad)}
        return float(lies.get(self.lie, self.dice.random()))


NAMES, CROWD = [str(at) for at in range(OPTIONS)], [str(at) for at in range(JUDGES)]


def halving(world: World) -> bool:
    """Halve by medians."""
    course = Halving.of(NAMES, CROWD, each=EACH)
    while len(course.left) > 1:
        for option, judge in course.wanted():
            course.tell(option, judge, world.score(option, judge))
        course.close()
    return course.left == [str(world.best)]


def means(world: World) -> bool:
    """Let everybody judge everything once and take the highest mean."""
    scores = [sum(world.score(option, judge) for judge in CROWD) for option in NAMES]
    return int(np.argmax(scores)) == world.best


def bees(world: World) -> bool:
    """Let the judges be bees, at most 100 rounds, until three in five are for one option."""
    swarm = Bees.of(NAMES, CROWD, seed=world.best)
    for _ in range(100):
        seen = {judge: (option, min(max(world.score(option, judge), 0.0), 1.0)) for option, judge in swarm.wanted()}
        swarm.tell(seen)
        winner = swarm.winner(JUDGES * 3 // 5)
        if winner is not None:
            return winner == str(world.best)
    return False


def main(worlds: int) -> None:
    """Print one line for each gap and kind of lie."""
    print(f"{OPTIONS} options, {JUDGES} judges, noise {NOISE}, {worlds} worlds: share that is right (judgements)")
    print("\n| gap | 20 % lie | halving by medians | mean of all | honeybees |\n|---:|---|---:|---:|---:|")
    for gap in (0.2, 0.1):
        for lie in LIES:
            cells = []
            for choose in (halving, means, bees):
                played = [World(seed, gap, 0.2, lie) for seed in range(worlds)]
                right = sum(choose(world) for world in played)
                cells.append(f"{right / worlds:.1%} ({sum(world.calls for world in played) / worlds:.0f})")
            print(f"| {gap} | {lie} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
