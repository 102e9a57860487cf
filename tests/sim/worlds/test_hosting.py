"""What every world has in common: its end, its wires, and how far clocks run apart."""

import random

from concerted.consensus.quorum import Configuration
from concerted.sim.cluster.checks import Broken
from concerted.sim.faults import Faults
from concerted.sim.protocols.paxos import PAXOS
from concerted.sim.protocols.raft import RAFT
from concerted.sim.worlds.hosting import Hosting
from concerted.sim.worlds.world import World


class Short(Hosting):
    """A world in which only this happens."""

    def __init__(self, *happens) -> None:
        super().__init__(RAFT, 1, random.Random(1), Faults())
        self.happens = happens

    def plan(self) -> None:
        for at, what in enumerate(self.happens, 1):
            self.timeline.at(float(at), self.life, what, self)


def end(world: Short) -> None:
    world.life.over = True


def fail(_: Short) -> None:
    raise Broken("something")


def test_a_world_ends_when_its_life_is_over() -> None:
    assert Short(end, fail).unfold() == ()


def test_what_is_broken_is_told_with_its_instant() -> None:
    assert Short(fail, end).unfold() == ("at 1.0000 s: something",)


def test_a_world_without_an_end_is_wrong() -> None:
    assert "has no end" in Short().unfold()[0]


def test_nothing_is_carried_to_who_is_dead_cut_off_or_not_there() -> None:
    world = World(RAFT, 3, Faults())
    message = next(iter(_sent(world)))
    before = world.network.carried
    world.hosts[message.to].die()
    world.send(message)
    world.hosts[message.to].start()
    world._cut[(message.source, message.to)] = 1
    world.send(message)
    assert world.network.carried == before
    world._cut.clear()
    world.send(message)
    assert world.network.carried == before + 1


def test_clocks_keep_to_the_bound_of_a_protocol_that_rests_on_them() -> None:
    world = World(PAXOS, 1, Faults(skew=5.0, jump=3))
    world.keep_clocks(PAXOS.plain_settings())
    assert world.drift is not None
    assert world.faults.jump == 0
    host = world.add(99, Configuration.of((99,)))
    assert abs(host.clock.rate - 1.0) <= world.drift


def _sent(world: World) -> list:
    """Play until somebody has said something, and return all that was."""
    sent: list = []
    world.checks.sends = lambda _, message: sent.append(message)  # type: ignore[method-assign]
    world.play()
    return sent
