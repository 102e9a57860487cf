"""What goes wrong in a world of servers, one function for each kind of fault; whatever breaks is mended after a while.

But a damaged disk stays damaged: its server is one of those that the rest can spare, for good, or until it is replaced
by another one under a new id.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from concerted.consensus.quorum import NodeId
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.sim.cluster.algorithm import Algorithm
from concerted.sim.cluster.damage import flip_a_bit
from concerted.sim.cluster.partitions import Way, ways_cut
from concerted.sim.cluster.replica import Replica
from concerted.sim.faults import Faults
from concerted.sim.network import Pipe
from concerted.sim.worlds.host import Host
from concerted.sim.worlds.timeline import Life, Timeline

__all__ = ["Mischief"]

AWAY_S = (0.1, 25.0)  # how long the dead, the paused, the slow and the unreachable are so
JUMP_S = (0.1, 40.0)  # how far a clock jumps

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


@dataclass(slots=True)
class Mischief(Generic[C]):
    """Whatever may befall the servers of one world.  cut: ways on which nothing arrives now.  life: the world's."""

    algorithm: Algorithm[C]
    rng: random.Random
    timeline: Timeline
    life: Life
    hosts: Mapping[NodeId, Host[C]]
    replicas: Mapping[NodeId, Replica[C]]
    pipes: Mapping[Way, Pipe]
    leader: Callable[[], Replica[C] | None]
    cut: dict[Way, int]

    def planned(self, faults: Faults) -> list[tuple[Callable[[], None], int]]:
        """Return what is to happen, and how often."""
        return [
            (self.crash, faults.crash),
            (self.tear, faults.disk),
            (self.pause, faults.pause),
            (self.partition, faults.silence),
            (self.slow, faults.slow),
            (self.jump, faults.jump),
            (self.reset, faults.reset),
            (self.fill, faults.full),
            (self.flip, faults.flip),
        ]

    def anybody(self) -> Host[C] | None:
        """Choose a server that lives."""
        alive = [host for host in self.hosts.values() if host.is_alive]
        return self.rng.choice(alive) if alive else None

    def crash(self) -> None:
        """Let a server die, now or in the middle of what it does next; it comes back."""
        host = self._victim()
        if host is not None:
            host.dies_behind = self.rng.choice((None, "write", "send", "apply"))
            if host.dies_behind is None:
                host.die()
            self._back(host)

    def tear(self) -> None:
        """Let a server die while its disk writes, with a part of that on it."""
        host = self._victim()
        if host is not None:
            host.dies_behind = "nothing"
            self._back(host)

    def fill(self) -> None:
        """Let a disk have no more room: each write fails and ends the server, which is tried again now and then."""
        host = self._victim()
        if host is not None:
            host.replica.disk.is_full = True
            until = self._late()
            self.timeline.at(until, self.life, self._give_room, host)
            for _ in range(2):
                self.timeline.at(self.rng.uniform(self.timeline.now, until), self.life, self._restart, host)

    def flip(self) -> None:
        """Flip a bit of what is durable on a disk, if the rest can spare its server: it stops, and never comes back."""
        host = self.anybody()
        if host is not None and flip_a_bit(self.algorithm, host.replica, self.replicas, self.rng):
            host.die()
            host.start()

    def pause(self) -> None:
        """Let a server do nothing for a while, and not know it."""
        host = self._victim()
        if host is not None:
            host.paused_until = self._late()

    def slow(self) -> None:
        """Let a server, and its disk, take long for everything."""
        host = self._victim()
        if host is not None:
            host.slow_until = self._late()

    def jump(self) -> None:
        """Let a clock jump ahead; monotonic clocks never jump back."""
        host = self.anybody()
        if host is not None:
            host.clock.ahead_s += self.rng.uniform(*JUMP_S)
            host.give(type(host.replica.core).wake, host.clock.read(self.timeline.now))

    def reset(self) -> None:
        """Lose all that is under way on some connections."""
        for pipe in self.pipes.values():
            if self.rng.random() < 0.5:
                pipe.resets += 1

    def partition(self) -> None:
        """Cut one way, or all ways of one server, or between two halves; or leave one bridge between these."""
        ways = ways_cut(self.rng, list(self.hosts))
        for way in ways:
            self.cut[way] = self.cut.get(way, 0) + 1
        self.timeline.at(self._late(), self.life, self._mend, ways)

    def heal(self) -> None:
        """Mend all but disks that are damaged; whoever is dead lives again."""
        self.cut.clear()
        for host in self.hosts.values():
            host.paused_until = host.slow_until = 0.0
            host.dies_behind = None
            host.replica.disk.is_full = False
            if not host.is_alive:
                host.start()

    def _victim(self) -> Host[C] | None:
        if self.rng.random() < 0.5:
            leader = self.leader()
            return None if leader is None else self.hosts[leader.id]
        return self.anybody()

    def _late(self) -> float:
        return self.timeline.now + self.rng.uniform(*AWAY_S)

    def _back(self, host: Host[C]) -> None:
        self.timeline.at(self._late(), self.life, self._restart, host)

    def _restart(self, host: Host[C]) -> None:
        host.die()
        host.start()

    def _give_room(self, host: Host[C]) -> None:
        host.replica.disk.is_full = False
        if not host.is_alive:
            host.start()

    def _mend(self, ways: frozenset[Way]) -> None:
        for way in ways:
            if self.cut.get(way, 0) > 1:
                self.cut[way] -= 1
            else:
                self.cut.pop(way, None)
