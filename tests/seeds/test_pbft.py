"""PBFT over many seeds: groups with liars in virtual time under swarms of faults, and random walks over the core."""

import pytest

from concerted.sim.faults import Faults
from concerted.sim.pbft.walk import pbft_walk
from concerted.sim.pbft.world import play_pbft

BLOCK = 10  # seeds in one test


@pytest.mark.parametrize("first", range(0, 160, BLOCK))
def test_worlds_hold_under_swarms_of_faults(first: int, judge) -> None:
    for seed in range(first, first + BLOCK):
        played = play_pbft(seed, Faults(swarm=True))
        assert not played.problems, f"concerted simulate pbft --seeds {seed}..{seed}: {played.problems}"
        judge(played.history)


@pytest.mark.parametrize("first", range(0, 600, 5 * BLOCK))
def test_walks_hold(first: int, judge) -> None:
    for seed in range(first, first + 5 * BLOCK):
        walked = pbft_walk(seed)
        assert not walked.problems, f"concerted simulate pbft --seeds {seed}..{seed}: {walked.problems}"
        judge(walked.history)


def test_who_has_executed_a_number_still_helps_to_commit_it_in_a_new_view() -> None:
    played = play_pbft(649, Faults(swarm=True))

    assert not played.problems, f"concerted simulate pbft --seeds 649..649: {played.problems}"
