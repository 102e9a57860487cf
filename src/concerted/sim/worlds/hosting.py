"""What every world of servers in virtual time has in common: machines, wires, and what befalls them.

    everything goes wrong as the faults say --its time is over--> all is healed --it goes on as it must--> done

What its clients want, and how it must end, is for each kind of world to say.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

import msgspec

from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.sim.cluster.algorithm import Act, Algorithm
from concerted.sim.cluster.checks import Broken, Checks
from concerted.sim.cluster.damage import lost_among
from concerted.sim.cluster.partitions import Way
from concerted.sim.cluster.replica import Replica
from concerted.sim.faults import NOT_OF_CLUSTERS, Faults
from concerted.sim.network import Network, Pipe
from concerted.sim.worlds.host import Clock, Host
from concerted.sim.worlds.lair import Lair
from concerted.sim.worlds.mischief import Mischief
from concerted.sim.worlds.timeline import Life, Timeline

__all__ = ["MOST_SKEW", "Hosting"]

MOST_SKEW = 5.0  # percent by which a clock's pace is wrong

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


class Hosting(ABC, Generic[C]):
    """One world.  faults: of which its seed draws.  hosts: the machines of the honest; lairs: of those who lie.

    checks: what must be true of the honest.  life: the world's.  drift: how far clocks may run apart, as a share; None:
    without bound.
    """

    checks: Checks[C]

    def __init__(self, algorithm: Algorithm[C], seed: int, rng: random.Random, faults: Faults) -> None:
        self.algorithm = algorithm
        self.seed = seed
        self.rng = rng
        self.faults = faults.draw(random.Random(f"{seed}/mix"), (*NOT_OF_CLUSTERS, *algorithm.without))
        self.timeline = Timeline()
        self.life = Life()
        self.network = Network(self.timeline, self.faults, rng)
        self.hosts: dict[NodeId, Host[C]] = {}
        self.replicas: dict[NodeId, Replica[C]] = {}
        self.lairs: dict[NodeId, Lair] = {}
        self.drift: float | None = None
        self._pipes: dict[Way, Pipe] = {}
        self._cut: dict[Way, int] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(algorithm.message).decode
        self.mischief = Mischief(
            algorithm, rng, self.timeline, self.life, self.hosts, self.replicas, self._pipes, self.leader, self._cut
        )

    def add(self, node: NodeId, configuration: Configuration) -> Host[C]:
        """Put up a machine for another server, which begins with these members."""
        raise AssertionError(f"{node} joins {configuration}, where nobody ever does")

    @abstractmethod
    def plan(self) -> None:
        """Say when everything happens."""

    def unfold(self) -> tuple[str, ...]:
        """Let everything happen to the end, or until something is wrong; return that."""
        try:
            for host in self.hosts.values():
                host.start()
            self.plan()
            self.timeline.run(self.life)
            assert self.life.over, "nothing is left to happen, and the world has no end"
            self.ended()
        except (Broken, AssertionError) as error:
            return (f"at {self.timeline.now:.4f} s: {error}",)
        return ()

    def ended(self) -> None:
        """Look at what is there in the end."""

    def send(self, message: Any) -> None:
        """Put a message on the wire."""
        host = self.hosts.get(message.to)
        way = (message.source, message.to)
        if way in self._cut or (host is not None and host.life.over):
            return
        lair = None if host is not None else self.lairs.get(message.to)
        pipe = self._pipes.get(way)
        if pipe is None:
            pipe = self._pipes[way] = Pipe()
        if host is not None:
            self.network.carry(pipe, host, host.arrive, pipe, pipe.resets, self._encode(message))
        elif lair is not None:
            self.network.carry(pipe, lair, lair.arrive, message)

    # What acts may ask for

    def leader(self) -> Replica[C] | None:
        """Find the server that leads the newest term."""
        leads = self.algorithm.leads
        leaders = [each for each in self.replicas.values() if each.running is not None and leads(each.core)]
        return max(leaders, key=lambda replica: replica.core.term, default=None)

    def join(self, node: NodeId) -> None:
        """Start another server, which knows of no members yet."""
        self.add(node, Configuration()).start()

    def give(self, replica: Replica[C], act: Callable[[C], Ready[Any, Any]]) -> Ready[Any, Any]:
        """Give a core an input."""
        return self.hosts[replica.id].give(act)

    def note(self, what: Callable[[], str]) -> None:
        """Keep no transcript."""

    # What worlds are made of

    def keep_clocks(self, settings: Any) -> None:
        """Let clocks run apart no further than a protocol with these settings survives."""
        self.drift = self.algorithm.drift(settings)
        if self.drift is not None:
            self.faults = replace(self.faults, jump=0)

    def house(self, replica: Replica[C]) -> Host[C]:
        """Give a server a machine, with a clock of its own."""
        rng = self.rng
        skew = min(self.faults.skew, MOST_SKEW) / 100.0
        if self.drift is not None:
            skew = min(skew, self.drift)
        clock = Clock(1.0 + rng.uniform(-skew, skew), rng.uniform(0.0, 1000.0))
        self.replicas[replica.id] = replica
        host = self.hosts[replica.id] = Host(replica, self.timeline, rng, clock, self._decode)
        return host

    def go_wrong(self, until: float) -> None:
        """Plan what befalls the servers, and what only this protocol's do."""
        rng = self.rng
        acts = [(self._bind(act), rng.choice(act.counts)) for act in self.algorithm.acts]
        for happen, count in (*self.mischief.planned(self.faults), (self._compact, rng.choice((0, 10))), *acts):
            for _ in range(count):
                self.timeline.at(rng.uniform(0.0, until), self.life, happen)

    def _bind(self, act: Act[C]) -> Callable[[], None]:
        return lambda: act.do(self)

    def _compact(self) -> None:
        host = self.mischief.anybody()
        if host is not None:
            host.compact(self.algorithm.compacted(host.replica.core))

    def leave_a_minority_dead(self) -> None:
        """Kill some, so that a quorum of every configuration that may be in force still lives."""
        can_spare = self.algorithm.spare([host.replica.core for host in self.hosts.values() if host.is_alive])
        dead = lost_among(self.replicas)
        for node in sorted(set(self.hosts) - dead):
            if self.rng.random() < 0.3 and can_spare({node, *dead}):
                dead.add(node)
                self.hosts[node].die()

    def found(self) -> dict[NodeId, tuple[NodeId | None, int]]:
        """Return whom each server that lives takes for the leader, and in which term."""
        alive = {node: host.replica.core for node, host in self.hosts.items() if host.is_alive}
        return {node: (core.leader, core.term) for node, core in alive.items()}
