"""A cluster in a room where all that is sent arrives, in order, unless it was cut off: to look at one thing at a time.

    three = Room(RAFT, Settings(), (1, 2, 3)).elect(1).cut_off(3)

Nothing happens by itself: time goes by when that is asked for.  The invariants are looked at always.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.sessions import Answer
from concerted.sim.cluster.algorithm import Algorithm
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.replica import Replica

__all__ = ["Room"]

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


class Room(Generic[C]):
    """The room.  writes: what is on some disks before their replicas begin.

    answers, read: what clients were told.
    """

    def __init__(
        self,
        algorithm: Algorithm[C],
        settings: Any,
        voters: Sequence[NodeId] = (1, 2, 3),
        writes: Mapping[NodeId, Any] | None = None,
    ) -> None:
        self.algorithm = algorithm
        self.settings = settings
        self.network: list[Any] = []
        self.replicas: dict[NodeId, Replica[C]] = {}
        self.checks = algorithm.checks(self.replicas)
        self.cut: set[tuple[NodeId, NodeId]] = set()
        self.answers: list[Answer] = []
        self.read: dict[int, dict[str, Any] | None] = {}
        self.watched: tuple[type, int, Callable[[], object], list[Any]] = (type(None), 0, lambda: None, [])
        self.dice = itertools.cycle((0.1, 0.3, 0.5, 0.7, 0.9)).__next__
        for node in voters:
            self.join(node, Configuration.of(voters), start=writes is None)
        for node, write in (writes or {}).items():
            replica = self.replicas[node]
            replica.disk.write(write)
            self.checks.wrote(replica, write)
        if writes is not None:
            for replica in self.replicas.values():
                replica.start()

    def join(self, node: NodeId, configuration: Configuration | None = None, *, start: bool = True) -> Replica[C]:
        """Put in another server; without a configuration it knows of no members."""
        algorithm = self.algorithm
        disk = Disk(algorithm.storage, node, algorithm.first(configuration or Configuration()))
        replica = Replica(
            node, algorithm.start, self.settings, disk, self.checks, self.dice, self.network.append, 1000,
            lambda _, answer: self.answers.append(answer), lambda _, read, found: self.read.update({read: found}),
        )  # fmt: skip
        self.replicas[node] = replica
        replica.now = max(each.now for each in self.replicas.values())
        if start:
            replica.start()
        return replica

    def __getitem__(self, node: NodeId) -> C:
        return self.replicas[node].core

    def alive(self) -> list[Replica[C]]:
        """Return all servers that live."""
        return [replica for replica in self.replicas.values() if replica.running is not None]

    def leader(self) -> NodeId | None:
        """Find who leads the newest term."""
        leaders = [each for each in self.alive() if self.algorithm.leads(each.core)]
        return max(leaders, key=lambda each: each.core.term).id if leaders else None

    def settle(self) -> Room[C]:
        """Let everything arrive, and all that follows from it."""
        while self.network or any(replica.waiting for replica in self.alive()):
            for replica in self.alive():
                while replica.waiting:
                    replica.carry_out()
            messages, self.network[:] = self.network[:], []
            for message in messages:
                if (message.source, message.to) not in self.cut and self.replicas[message.to].running is not None:
                    self.replicas[message.to].receive(message)
                    self._look(message)
        return self

    def _look(self, message: Any) -> None:
        kind, number, act, seen = self.watched
        if isinstance(message, kind):
            seen.append(message)
            if len(seen) == number:
                act()

    def elect(self, node: NodeId) -> Room[C]:
        """Let a server run out of patience when everybody else would welcome a new leader."""
        for replica in self.alive():
            if not self.algorithm.leads(replica.core):
                replica.now += self.settings.election_timeout_s
        replica = self.replicas[node]
        replica.now = max(replica.now, replica.core.next_deadline)
        replica.wake()
        return self.settle()

    def pass_time(self, seconds: float) -> Room[C]:
        """Let time go by for all, with everything that comes due."""
        until = {replica.id: replica.now + seconds for replica in self.alive()}
        while True:
            late = {each.id: each.core.next_deadline - each.now for each in self.alive()}
            due = max(0.0, min(late.values()))
            if any(self.replicas[node].now + due > until[node] for node in late):
                for replica in self.alive():
                    replica.now = until[replica.id]
                return self
            for replica in self.alive():
                replica.now += due
            for replica in self.alive():
                if replica.now >= replica.core.next_deadline:
                    replica.wake()
            self.settle()

    def cut_off(self, *nodes: NodeId) -> Room[C]:
        """Cut all ways between these and the others."""
        rest = [node for node in self.replicas if node not in nodes]
        self.cut |= {way for a in nodes for b in rest for way in ((a, b), (b, a))}
        return self

    def watch(self, kind: type, number: int, act: Callable[[], object]) -> list[Any]:
        """Do something just behind the arrival of a message of a kind, the one of this number; return all of them."""
        self.watched = (kind, number, act, [])
        return self.watched[3]

    def restart(self, node: NodeId) -> Room[C]:
        """Let a server die, and begin again with what its disk holds."""
        self.replicas[node].die()
        self.replicas[node].start()
        return self

    def propose(self, node: NodeId, *commands: bytes) -> Ready[Any, Any]:
        """Propose commands at a server, and let everything arrive."""
        return self.ask(node, lambda core, now: core.propose(commands, now))

    def ask(self, node: NodeId, act: Callable[[C, float], Ready[Any, Any]]) -> Ready[Any, Any]:
        """Give a server an input, and let everything arrive."""
        replica = self.replicas[node]
        ready = replica.give(lambda core: act(core, replica.now))
        self.settle()
        return ready
