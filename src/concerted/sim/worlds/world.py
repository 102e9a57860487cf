"""A cluster in virtual time: a lossy network, slow disks, clocks that run apart, deaths, pauses and partitions.

    everything goes wrong as the faults say --faults_s--> all is healed but a minority --a client is answered--> done

Each seed draws its own settings besides its faults: how many servers there are, how large batches and windows are, how
busy clients are, how often somebody compacts, and how often that happens which only this protocol can do.  Things last
as long as they do in life; what hardly ever happens there is for `walk`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, TypeVar

from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.sim.cluster.algorithm import HEAL_TIMEOUTS, Algorithm
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.clients import Asked, Client
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.replica import Replica
from concerted.sim.cluster.settings import DRAWN, Settings
from concerted.sim.faults import Faults
from concerted.sim.worlds.callers import CLIENTS, Callers
from concerted.sim.worlds.host import Host
from concerted.sim.worlds.hosting import Hosting

__all__ = ["World", "WorldResult", "play_world"]

FAULTS_S = 120.0  # of virtual time in which things go wrong, unless it is set
SERVERS = (1, 3, 3, 3, 5)

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


@dataclass(frozen=True, slots=True)
class WorldResult:
    """What came of one world.  problems: empty if all is well.  steps: inputs to cores.  answered: of clients."""

    seed: int
    faults: Faults
    problems: tuple[str, ...]
    history: tuple[Asked, ...]
    steps: int
    chosen: int
    leaders: int
    answered: int
    messages: int
    virtual_s: float


class World(Hosting[C]):
    """One cluster under one seed."""

    def __init__(self, algorithm: Algorithm[C], seed: int, faults: Faults, settings: Settings = DRAWN) -> None:
        rng = random.Random(f"{seed}/{algorithm.name}")
        super().__init__(algorithm, seed, rng, faults)
        self.faults_s = settings.seconds or FAULTS_S
        self.settings = settings.over(algorithm.world_settings(rng))
        self.keep_clocks(self.settings)
        self.sessions_limit = rng.choice((2, 1000))
        self.checks = algorithm.checks(self.replicas)
        self.callers: Callers[C] = Callers(rng, self.timeline, self.hosts, self.life)
        drawn = rng.choice(SERVERS)
        self.first = Configuration.of(tuple(range(1, (settings.servers or drawn) + 1)))
        for node in self.first.voters:
            self.add(node, self.first)

    def play(self) -> WorldResult:
        """Play to the end, or until something is wrong."""
        problems = self.unfold()
        clients = self.callers.clients
        return WorldResult(
            self.seed, self.faults, problems, tuple(clients.history), self.checks.steps,
            len(self.checks.chosen), len(self.checks.leaders), clients.answered_count, self.network.carried,
            self.timeline.now,
        )  # fmt: skip

    def add(self, node: NodeId, configuration: Configuration) -> Host[C]:
        """Put up a machine for another server."""
        algorithm = self.algorithm
        disk = Disk(algorithm.storage, node, algorithm.first(configuration))
        return self.house(
            Replica(
                node, algorithm.start, self.settings, disk, self.checks, self.rng.random, self.send,
                self.sessions_limit, self.callers.answered, self.callers.was_read,
            )
        )  # fmt: skip

    def plan(self) -> None:
        """Say when everything happens."""
        for _ in range(CLIENTS):
            self.callers.add()
        self.go_wrong(self.faults_s)
        self.timeline.at(self.faults_s, self.life, self._end_well)

    # The end

    def _end_well(self) -> None:
        """Heal the network and all but a minority of the servers: a client must be answered in time."""
        self.network.heal()
        self.mischief.heal()
        self.leave_a_minority_dead()
        client = self.callers.add(0.5)
        self.algorithm.heal(self)
        self._wait_for(client, self.timeline.now + HEAL_TIMEOUTS * self.settings.election_timeout_s)

    def _wait_for(self, client: Client, until: float) -> None:
        if client.session and self.algorithm.done(self):
            self.life.over = True
        elif self.timeline.now > until:
            raise Broken(
                f"liveness: nobody is answered {HEAL_TIMEOUTS:g} election timeouts after healing: {self.found()}"
            )
        else:
            self.timeline.at(self.timeline.now + 1.0, self.life, self._wait_for, client, until)


def play_world(algorithm: Algorithm[Any], seed: int, faults: Faults, settings: Settings = DRAWN) -> WorldResult:
    """Play one world.  The same seed, faults and settings play the same."""
    return World(algorithm, seed, faults, settings).play()
