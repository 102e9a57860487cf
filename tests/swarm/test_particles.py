"""Particles: the published move, walls, neighbours."""

import numpy as np
import pytest

from concerted.swarm.dice import Dice
from concerted.swarm.moves import Moves
from concerted.swarm.particles import INERTIA, PULL, Particles


def plain_moves(swarm: Particles, guides: list[int]) -> tuple[list[list[float]], list[list[float]]]:
    """Move every particle by the formula of Clerc and Kennedy, coordinate by coordinate."""
    size, width = swarm.places.shape
    pulls = Dice(swarm.dice.seed, swarm.dice.drawn).coarse(2, size, width)
    places, speeds = swarm.places.tolist(), swarm.speeds.tolist()
    for one in range(size):
        for at in range(width):
            here = places[one][at]
            own, guide = swarm.best[one][at] - here, swarm.best[guides[one]][at] - here
            speed = INERTIA * speeds[one][at] + PULL * pulls[0][one][at] * own + PULL * pulls[1][one][at] * guide
            place = here + speed
            if not 0.0 <= place <= 1.0:
                speed, place = -0.5 * speed, min(max(place, 0.0), 1.0)
            places[one][at], speeds[one][at] = place, speed
    return places, speeds


@pytest.mark.parametrize(("ring", "guides"), [(False, [2] * 6), (True, [0, 2, 2, 2, 5, 0])])
def test_a_swarm_moves_by_the_published_formula(ring: bool, guides: list[int]) -> None:
    swarm = Particles(3, 6, Dice(5), ring=ring)
    swarm.accept(swarm.propose(6), np.array([3.0, 5.0, 1.0, 6.0, 8.0, 4.0]))
    for _ in range(3):
        swarm.speeds *= 3.0  # so that some fly into walls
        places, speeds = plain_moves(swarm, guides)
        moves = swarm.propose(6)
        assert moves.points == pytest.approx(np.array(places))
        assert swarm.speeds == pytest.approx(np.array(speeds))
        swarm.accept(moves, np.full(6, 9.0))


def test_nobody_leaves_the_cube() -> None:
    swarm = Particles(2, 5, Dice(1), ring=False)
    for turn in range(40):
        moves = swarm.propose(5)
        assert moves.points.min() >= 0.0
        assert moves.points.max() <= 1.0
        swarm.accept(moves, -moves.points.sum(axis=1) - turn * 0.0)
    assert swarm.best[swarm.values.argmin()] == pytest.approx([1.0, 1.0])


def test_only_what_is_better_is_remembered() -> None:
    swarm = Particles(1, 4, Dice(1), ring=False)
    swarm.accept(Moves(np.array([2]), np.array([[0.5]])), np.array([1.0]))
    swarm.accept(Moves(np.array([2]), np.array([[0.7]])), np.array([2.0]))
    assert (swarm.best[2].tolist(), swarm.values[2]) == ([0.5], 1.0)


def test_a_batch_ends_where_the_swarm_ends_so_that_nobody_moves_twice_in_it() -> None:
    swarm = Particles(1, 5, Dice(1), ring=False)
    assert [swarm.propose(3).slots.tolist() for _ in range(4)] == [[0, 1, 2], [3, 4], [0, 1, 2], [3, 4]]
