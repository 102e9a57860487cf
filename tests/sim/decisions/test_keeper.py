"""A replica that keeps decisions: what it keeps outlives it, by its log and by snapshots."""

import random

import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.ready import Ready
from concerted.sim.cluster.checks import Broken
from concerted.sim.decisions.world import DecisionsWorld
from concerted.sim.faults import Faults


def test_a_keeper_that_starts_again_shows_what_it_showed() -> None:
    world = DecisionsWorld("paxos", 3, Faults(), servers=1)
    assert world.play().problems == ()
    (keeper,) = world.assembly.keepers.values()
    shown = keeper.kept.dump()
    before = keeper.kept.index
    assert before > 0
    world.hosts[1].compact(world.algorithm.compacted(keeper.core))
    while keeper.waiting:
        keeper.carry_out()
    keeper.die()
    keeper.start()
    assert keeper.kept.index == before
    assert keeper.kept.dump() == shown


def test_a_damaged_disk_ends_it_for_good() -> None:
    world = DecisionsWorld("paxos", 3, Faults(), servers=1)
    world.play()
    (keeper,) = world.assembly.keepers.values()
    keeper.die()
    keeper.disk.flip(random.Random(1))
    keeper.start()
    assert keeper.is_lost
    assert keeper.running is None


def test_a_snapshot_that_the_core_asks_for_is_the_same_at_every_replica() -> None:
    world = DecisionsWorld("pbft", 1, Faults(), servers=4)
    assert world.play().problems == ()
    stable = {keeper.core.replica.stable for keeper in world.assembly.keepers.values() if keeper.running is not None}
    assert min(stable) > 0, "2f + 1 have signed the same digest"


def test_a_replica_that_falls_over_an_entry_is_seen() -> None:
    world = DecisionsWorld("raft", 1, Faults(), servers=1)
    (keeper,) = world.assembly.keepers.values()
    keeper.start()
    with pytest.raises(Broken, match="falls over"):
        keeper._apply(Ready(committed=(Entry(1, 1, b"nonsense"),)))
