"""Raft and Paxos over many seeds: clusters in virtual time under swarms of faults, and random walks over the cores."""

import pytest

from concerted.sim.cluster.walk import walk
from concerted.sim.faults import Faults
from concerted.sim.protocols.algorithms import ALGORITHMS
from concerted.sim.worlds.world import play_world

BLOCK = 25  # seeds in one test


@pytest.mark.parametrize("first", range(0, 200, BLOCK))
@pytest.mark.parametrize("name", ["raft", "paxos"])
def test_worlds_hold_under_swarms_of_faults(name: str, first: int, judge) -> None:
    for seed in range(first, first + BLOCK):
        played = play_world(ALGORITHMS[name], seed, Faults(swarm=True))
        assert not played.problems, f"concerted simulate {name} --seeds {seed}..{seed}: {played.problems}"
        judge(played.history)


@pytest.mark.parametrize("first", range(0, 2000, 10 * BLOCK))
@pytest.mark.parametrize("name", ["raft", "paxos"])
def test_walks_hold(name: str, first: int, judge) -> None:
    for seed in range(first, first + 10 * BLOCK):
        walked = walk(ALGORITHMS[name], seed)
        assert not walked.problems, f"concerted simulate {name} --seeds {seed}..{seed}: {walked.problems}"
        judge(walked.history)
