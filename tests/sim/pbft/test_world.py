"""Groups of PBFT in virtual time: no invariant breaks, and in the end they go on."""

import pytest

from concerted.consensus.pbft.messages import read_request
from concerted.sim.faults import Faults
from concerted.sim.pbft.lying_client import LYING_CLIENT
from concerted.sim.pbft.world import PbftWorld, play_pbft


@pytest.mark.parametrize("seed", range(6))
def test_no_invariant_breaks_under_a_swarm_of_faults(seed: int) -> None:
    played = play_pbft(seed, Faults(swarm=True))
    assert played.problems == ()
    assert played.chosen >= played.answered > 0


def test_a_client_may_lie_to_the_end_of_a_world() -> None:
    worlds = [PbftWorld(seed, Faults(swarm=True)) for seed in range(8, 13)]
    liars = [world for world in worlds if world.lying_client is not None]
    assert 0 < len(liars) < len(worlds)
    assert [problem for world in liars for problem in world.play().problems] == []
    carried_out = [read_request(entry.command).client for world in liars for entry in world.cluster.checks.chosen]
    assert LYING_CLIENT in carried_out


def test_a_world_is_the_same_whenever_it_is_played() -> None:
    faults = Faults.parse("drop=0.1,crash=3,disk=1,silence=2,pause=1")
    assert play_pbft(5, faults) == play_pbft(5, faults)


def test_all_is_quick_where_nothing_goes_wrong() -> None:
    quiet = [played for played in (play_pbft(seed, Faults()) for seed in range(3)) if played.accused == 0]
    assert all(played.problems == () for played in quiet)
    assert max(played.answered for played in quiet) > 60
