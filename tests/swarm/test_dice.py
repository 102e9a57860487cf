"""Dice: the published numbers, the same in every order of asking, and as they should be spread."""

import numpy as np

from concerted.swarm.dice import Dice


def test_the_numbers_are_splitmix64s() -> None:
    """The first of seed 1234567 (Rosetta Code, "Pseudo-random numbers/Splitmix64")."""
    assert Dice(1234567).bits(3).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_whoever_knows_the_seed_and_the_count_goes_on_with_the_same() -> None:
    whole, first = Dice(7), Dice(7)
    numbers = whole.uniform(10)
    first.uniform(4)
    assert Dice(7, first.drawn).uniform(6).tolist() == numbers[4:].tolist()


def test_numbers_fill_their_interval_and_have_their_means() -> None:
    dice = Dice(3)
    for numbers in (dice.uniform(20_000), dice.coarse(100, 200).reshape(-1)):
        assert 0.0 <= numbers.min() < 0.001
        assert 0.999 < numbers.max() < 1.0
        assert abs(numbers.mean() - 0.5) < 0.01
    normal = dice.normal(20_000)
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1.0) < 0.02
    assert abs(np.median(dice.cauchy(20_000))) < 0.05
    assert np.bincount(dice.below(5, 5_000)).min() > 850


def test_an_odd_count_of_coarse_numbers_is_as_good() -> None:
    assert Dice(1).coarse(3).tolist() == Dice(1).coarse(4)[:3].tolist()
