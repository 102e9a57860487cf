"""Playing seeds over several processes."""

import itertools
import operator
import os

import pytest

from concerted.errors import Unreachable
from concerted.sim.cluster.settings import Settings
from concerted.sim.faults import Faults
from concerted.sim.worlds.play import Game, simulate_cluster
from concerted.sim.worlds.processes import in_order


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_came_of_seeds_is_told_in_their_order_also_of_seeds_without_end(jobs: int) -> None:
    told = itertools.islice(in_order(operator.neg, itertools.count(3), jobs), 40)
    assert list(told) == [(seed, -seed) for seed in range(3, 43)]


def test_a_report_is_the_same_over_several_processes() -> None:
    game = Game("paxos", Faults(swarm=True), Settings.parse("servers=3,seconds=20"))
    alone, together = (simulate_cluster(game, range(6), jobs=jobs) for jobs in (1, 2))
    assert alone == together


def test_a_process_that_was_killed_is_told_with_the_seed_to_go_on_from() -> None:
    with pytest.raises(Unreachable, match=r"with seed 7 not played yet.*--seeds 7\.\.N"):
        list(in_order(os._exit, [7], 2))
