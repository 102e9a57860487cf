"""A replica that keeps decisions: what it keeps outlives it, by its log and by snapshots."""

import random

from concerted.sim.decisions.world import DecisionsWorld
from concerted.sim.faults import Faults
from concerted.sim.protocols.paxos import PAXOS


def test_a_keeper_that_starts_again_shows_what_it_showed() -> None:
    world = DecisionsWorld(PAXOS, 3, Faults(), servers=1)
    assert world.play().problems == ()
    (keeper,) = world.keepers.values()
    shown = keeper.kept.dump()
    before = keeper.kept.index
    assert before > 0
    world.hosts[1].compact(0)
    while keeper.waiting:
        keeper.carry_out()
    keeper.die()
    keeper.start()
    assert keeper.kept.index == before
    assert keeper.kept.dump() == shown


def test_a_damaged_disk_ends_it_for_good() -> None:
    world = DecisionsWorld(PAXOS, 3, Faults(), servers=1)
    world.play()
    (keeper,) = world.keepers.values()
    keeper.die()
    keeper.disk.flip(random.Random(1))
    keeper.start()
    assert keeper.is_lost
    assert keeper.running is None
