"""Paxos on walks and in worlds: it holds, it repeats itself, and much happens."""

import pytest

from concerted.sim.cluster.walk import walk
from concerted.sim.faults import Faults
from concerted.sim.protocols.paxos import PAXOS
from concerted.sim.worlds.world import play_world


@pytest.mark.parametrize("seed", range(8))
def test_no_invariant_breaks_on_a_walk(seed: int) -> None:
    assert walk(PAXOS, seed).problems == ()


def test_a_walk_is_the_same_whenever_it_is_walked() -> None:
    first, second = (walk(PAXOS, 3, transcript=True).transcript for _ in range(2))
    assert first == second != ()


def test_much_happens_on_a_walk() -> None:
    walks = [walk(PAXOS, seed) for seed in range(6)]
    assert sum(each.chosen_count for each in walks) > 20
    assert sum(each.leaders_count for each in walks) >= 6
    assert any(asked.result is not None for each in walks for asked in each.history if asked.op == "read")


def test_a_world_holds_and_is_the_same_whenever_it_is_played() -> None:
    played = play_world(PAXOS, 2, Faults(swarm=True))
    assert played.problems == ()
    assert played.answered > 0
    assert play_world(PAXOS, 2, Faults(swarm=True)) == played
