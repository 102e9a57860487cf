"""Raft over many seeds: clusters in virtual time under swarms of faults, and random walks over the core."""

import pytest

from concerted.sim.faults import Faults
from concerted.sim.raft_clients import Asked
from concerted.sim.raft_walk import walk
from concerted.sim.raft_world import play_raft
from concerted.testing import History, Operation, check_linearizable, models

BLOCK = 25  # seeds in one test


def judge(told: tuple[Asked, ...]) -> None:
    """What clients were told is linearizable by a checker that knows nothing of logs."""
    operations = [
        Operation(each.register, each.op, each.value, each.result, each.began, each.ended)
        if each.ended is not None
        else Operation(each.register, each.op, each.value, None, each.began, outcome="info")
        for each in told
        if each.op == "write" or each.ended is not None
    ]
    verdict = check_linearizable(History.of(operations), models.Register())
    assert not verdict.violations, verdict


@pytest.mark.parametrize("first", range(0, 200, BLOCK))
def test_worlds_hold_under_swarms_of_faults(first: int) -> None:
    for seed in range(first, first + BLOCK):
        played = play_raft(seed, Faults(swarm=True))
        assert not played.problems, f"concerted simulate raft --seeds {seed}..{seed}: {played.problems}"
        judge(played.history)


@pytest.mark.parametrize("first", range(0, 2000, 10 * BLOCK))
def test_walks_hold(first: int) -> None:
    for seed in range(first, first + 10 * BLOCK):
        walked = walk(seed)
        assert not walked.problems, f"concerted simulate raft --seeds {seed}..{seed}: {walked.problems}"
        judge(walked.history)
