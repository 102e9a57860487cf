"""Random walks over PBFT with liars: they end, they repeat themselves, and much happens on them."""

import random

import pytest

from concerted.sim.pbft.liars import KINDS
from concerted.sim.pbft.walk import draw_liars, pbft_walk


@pytest.mark.parametrize("seed", range(8))
def test_no_invariant_breaks_on_a_walk(seed: int) -> None:
    assert pbft_walk(seed).problems == ()


def test_a_walk_is_the_same_whenever_it_is_walked() -> None:
    first, second = (pbft_walk(3, transcript=True).transcript for _ in range(2))
    assert first == second != ()


def test_much_happens_on_a_walk() -> None:
    walks = [pbft_walk(seed) for seed in range(12)]
    assert sum(each.chosen_count for each in walks) > 40
    assert sum(each.answered_count for each in walks) > 40
    assert sum(each.views_count for each in walks) > 10
    assert sum(each.accused_count for each in walks) > 0, "liars are found out"


def test_never_more_than_f_lie_and_each_kind_of_lie_is_told() -> None:
    drawn = [draw_liars(random.Random(seed), 7) for seed in range(60)]
    assert {len(liars) for liars in drawn} == {0, 2}
    assert {kind for liars in drawn for kinds in liars.values() for kind in kinds} == set(KINDS)
