"""What goes wrong in a world: each kind of fault does what it says, and is mended."""

import pytest

from concerted.sim.cluster.settings import Settings
from concerted.sim.faults import NOT_OF_CLUSTERS, Faults
from concerted.sim.protocols.raft import RAFT
from concerted.sim.worlds.world import World, play_world

FIVE = Settings(servers=5)
KINDS = ["crash=3", "disk=3", "pause=3", "silence=4", "slow=3", "jump=5", "reset=9", "full=3", "flip=2", "skew=5",
         "drop=0.3", "duplicate=0.3", "reorder=0.4", "replay=0.1"]  # fmt: skip


def started(faults: str = "") -> World:
    """Return a world of five that has elected somebody."""
    world = World(RAFT, 1, Faults.parse(faults), FIVE)
    for host in world.hosts.values():
        host.start()
    until(world, 60.0)
    assert world.leader() is not None
    return world


def until(world: World, late_s: float) -> None:
    """Let some time go by."""
    world.timeline.at(world.timeline.now + late_s, world.life, setattr, world.life, "over", True)
    world.timeline.run(world.life)
    world.life.over = False


@pytest.mark.parametrize("kind", KINDS)
def test_a_cluster_survives_each_kind_of_fault(kind: str) -> None:
    played = play_world(RAFT, 5, Faults.parse(kind), FIVE)
    assert played.problems == ()
    assert played.answered > 0


def test_every_kind_of_fault_of_clusters_is_tried() -> None:
    names = {name for name in Faults.__slots__ if name not in {*NOT_OF_CLUSTERS, "swarm", "delay"}}
    assert names == {kind.partition("=")[0] for kind in KINDS}


def test_a_flipped_bit_ends_a_server_for_good() -> None:
    world = started()
    world.mischief.flip()
    world.mischief.flip()
    lost = [host for host in world.hosts.values() if host.replica.is_lost]
    world.mischief.flip()  # the third cannot be spared
    assert len(lost) == 2
    world.mischief.heal()
    assert not any(host.is_alive for host in lost)
    assert sum(host.is_alive for host in world.hosts.values()) == 3


def test_a_server_without_room_dies_at_its_next_write_and_comes_back() -> None:
    world = started()
    leader = world.leader()
    assert leader is not None
    leader.disk.is_full = True
    world.callers.add(0.2)
    until(world, 60.0)
    assert leader.running is None
    world.mischief.heal()
    assert leader.running is not None


def test_a_paused_server_does_nothing_until_it_goes_on() -> None:
    world = started()
    leader = world.leader()
    assert leader is not None
    world.hosts[leader.id].paused_until = world.timeline.now + 100.0
    until(world, 60.0)
    assert leader.core.role == "leader"
    assert world.leader() is not leader
    until(world, 60.0)
    assert leader.core.role == "follower"


def test_what_is_under_way_is_lost_when_a_connection_is_reset() -> None:
    world = started()
    one = world.hosts[1]
    pipe = next(iter(world._pipes.values()))
    steps = world.checks.steps
    one.arrive(pipe, pipe.resets - 1, b"not even looked at")
    assert world.checks.steps == steps


def test_ways_that_were_cut_twice_are_free_when_both_cuts_are_mended() -> None:
    world = started()
    mischief, ways = world.mischief, frozenset({(1, 2)})
    mischief.cut[1, 2] = 2
    mischief._mend(ways)
    assert (1, 2) in mischief.cut
    mischief._mend(ways)
    assert (1, 2) not in mischief.cut
