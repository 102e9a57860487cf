"""Clients in virtual time."""

from concerted.sim.cluster.settings import Settings
from concerted.sim.faults import Faults
from concerted.sim.protocols.raft import RAFT
from concerted.sim.worlds.world import World


def test_a_client_that_is_not_answered_asks_somebody_else() -> None:
    world = World(RAFT, 1, Faults(), Settings(servers=3))
    for host in world.hosts.values():
        host.start()
    client = world.callers.add(1.0)
    world.timeline.at(60.0, world.life, lambda: world.hosts[world.leader().id].die())
    world.timeline.at(120.0, world.life, setattr, world.life, "over", True)
    world.timeline.run(world.life)
    answered = [asked for asked in world.callers.clients.history if asked.ended is not None]
    assert client.session
    assert any(asked.ended < 60.0 for asked in answered)
    assert any(asked.began > 60.0 for asked in answered)
