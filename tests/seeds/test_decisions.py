"""Decisions that replicas keep, over many seeds: voters of all kinds, deadlines, liars, and everything that breaks."""

import pytest

from concerted.sim.decisions.play import simulate_decisions
from concerted.sim.faults import Faults

BLOCK = 10  # seeds in one test


@pytest.mark.parametrize("first", range(0, 60, BLOCK))
def test_worlds_and_walks_hold_under_swarms_of_faults(first: int) -> None:
    report = simulate_decisions(range(first, first + BLOCK), Faults(swarm=True))
    assert report.failures == ()
