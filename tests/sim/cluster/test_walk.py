"""Random walks over the Raft core: they end, they repeat themselves, and much happens on them."""

import pytest

from concerted.sim.cluster.walk import walk
from concerted.sim.protocols.raft import RAFT


@pytest.mark.parametrize("seed", range(8))
def test_no_invariant_breaks_on_a_walk(seed: int) -> None:
    assert walk(RAFT, seed).problems == ()


def test_a_walk_is_the_same_whenever_it_is_walked() -> None:
    first, second = (walk(RAFT, 3, transcript=True).transcript for _ in range(2))
    assert first == second != ()


def test_much_happens_on_a_walk() -> None:
    walks = [walk(RAFT, seed, steps=600) for seed in range(4)]
    assert sum(each.chosen_count for each in walks) > 20
    assert sum(each.leaders_count for each in walks) >= 4
    assert any(asked.result is not None for each in walks for asked in each.history if asked.op == "read")
