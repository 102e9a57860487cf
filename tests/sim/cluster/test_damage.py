"""Damage to disks: it is always noticed, and never more than the rest can spare."""

import random

import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.storage import Write
from concerted.errors import StoreDamaged
from concerted.sim.cluster.damage import flip_a_bit, lost_among
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.walk import Walk
from concerted.sim.protocols.raft import RAFT


@pytest.mark.parametrize("seed", range(200))
def test_a_flipped_bit_is_always_noticed(seed: int) -> None:
    disk = Disk(RAFT.storage, 1, RAFT.first(Configuration.of((1, 2, 3))))
    for number in range(1, 1 + seed % 4):
        disk.write(Write(number, number, 2, entries=(Entry(number, number, b"a"),)))
    disk.flip(random.Random(seed))
    with pytest.raises(StoreDamaged):
        disk.read()


def test_a_server_is_lost_only_if_the_others_can_spare_it() -> None:
    walk = Walk(RAFT, 3)
    assert len(walk.first.voters) == 3
    one, two, _ = walk.replicas.values()
    assert flip_a_bit(RAFT, one, walk.replicas, random.Random(1))
    one.die()
    one.start()
    assert lost_among(walk.replicas) == {one.id}
    assert not flip_a_bit(RAFT, two, walk.replicas, random.Random(1))


def test_no_disk_is_damaged_while_somebody_is_dead() -> None:
    walk = Walk(RAFT, 3)
    one, two, _ = walk.replicas.values()
    two.die()
    assert not flip_a_bit(RAFT, one, walk.replicas, random.Random(1))
