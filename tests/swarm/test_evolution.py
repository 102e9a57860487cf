"""Differential evolution: who takes whose place, what is learned, what trials are made of."""

import numpy as np
import pytest

from concerted.swarm.dice import Dice
from concerted.swarm.evolution import MEMORY, STAY, Evolution
from concerted.swarm.moves import Moves


def begun(size: int = 8, width: int = 3) -> Evolution:
    evolution = Evolution(width, size, Dice(2))
    evolution.accept(evolution.propose(size), np.arange(size, dtype=np.float64) + 1.0)
    return evolution


def trial(slot: int, value: float, far: float = 0.8, crossover: float = 0.3) -> tuple[Moves, np.ndarray]:
    return Moves(np.array([slot]), np.full((1, 3), 0.25), np.array([[far, crossover]])), np.array([value])


def test_a_trial_that_is_not_worse_takes_its_parents_place() -> None:
    evolution = begun()
    evolution.accept(*trial(3, 4.0))
    assert evolution.best[3].tolist() == [0.25] * 3, "as good is good enough"
    before = evolution.best[4].tolist()
    evolution.accept(*trial(4, 5.5))
    assert (evolution.best[4].tolist(), evolution.values[4]) == (before, 5.0)


def test_a_late_trial_is_compared_with_whoever_is_there_by_then() -> None:
    evolution = begun()
    evolution.accept(*trial(3, 1.0))
    evolution.accept(*trial(3, 2.0))
    assert evolution.values[3] == 1.0


def test_settings_that_were_worth_more_count_more() -> None:
    """The Lehmer mean of Tanabe and Fukunaga 2013, equations 7 to 9, weights by the gain."""
    evolution = begun(4)
    for slot, (value, far, crossover) in enumerate(
        [(0.0, 0.4, 0.2), (-1.0, 0.8, 0.6), (3.0, 0.1, 0.1), (9.0, 0.9, 0.9)]
    ):
        evolution.accept(*trial(slot, value, far, crossover))
    weights = np.array([1.0, 3.0]) / 4.0  # the third is as good as its parent, the fourth is worse
    far, crossover = np.array([0.4, 0.8]), np.array([0.2, 0.6])
    assert evolution.memory[0, 0] == pytest.approx((weights * far**2).sum() / (weights * far).sum())
    assert evolution.memory[1, 0] == pytest.approx((weights * crossover**2).sum() / (weights * crossover).sum())
    assert evolution.memory[0, 1:].tolist() == [0.5] * (MEMORY - 1)


def test_where_one_coordinate_at_a_time_was_best_it_stays_so() -> None:
    evolution = begun(4)
    for slot in range(4):
        evolution.accept(*trial(slot, -1.0, 0.5, 0.0))
    assert evolution.memory[1, 0] == STAY
    evolution.memory[1] = STAY
    moves = evolution.propose(4)
    assert ((moves.points != evolution.best).sum(axis=1) <= 1).all()


def test_a_first_value_teaches_nothing_and_archives_nobody() -> None:
    evolution = begun()
    assert evolution.state()["archive"] == []
    assert evolution.memory.tolist() == [[0.5] * MEMORY] * 2
    evolution.accept(*trial(0, 0.5))
    assert len(evolution.state()["archive"]) == 1


def test_trials_stay_in_the_cube_and_a_full_archive_stays_as_large() -> None:
    evolution = begun()
    dice = np.random.default_rng(1)
    for _ in range(60):
        moves = evolution.propose(8)
        assert moves.points.min() >= 0.0
        assert moves.points.max() <= 1.0
        evolution.accept(moves, evolution.values[moves.slots] - dice.random(len(moves.slots)))
    assert len(evolution.state()["archive"]) == 8
