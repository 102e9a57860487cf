"""A cluster in virtual time: a lossy network, slow disks, clocks that run apart, deaths, pauses and partitions.

    everything goes wrong as the faults say --faults_s--> all is healed but a minority --a client is answered--> done

Each seed draws its own settings besides its faults: how many servers there are, how large batches and windows are, how
busy clients are, how often somebody compacts, and how often that happens which only this protocol can do.  Things last
as long as they do in life; what hardly ever happens there is for `walk`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import msgspec

from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.sim.cluster.algorithm import ELECTION_TIMEOUT_S, HEAL_TIMEOUTS, Act, Algorithm
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.clients import Asked, Client
from concerted.sim.cluster.damage import lost_among
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.replica import Replica
from concerted.sim.cluster.settings import DRAWN, Settings
from concerted.sim.faults import NOT_OF_CLUSTERS, Faults
from concerted.sim.network import Network, Pipe
from concerted.sim.worlds.callers import CLIENTS, Callers
from concerted.sim.worlds.host import Clock, Host
from concerted.sim.worlds.mischief import Mischief
from concerted.sim.worlds.timeline import Life, Timeline

__all__ = ["World", "WorldResult", "play_world"]

FAULTS_S = 120.0  # of virtual time in which things go wrong, unless it is set
SERVERS = (1, 3, 3, 3, 5)
MOST_SKEW = 5.0  # percent by which a clock's pace is wrong

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


class World(Generic[C]):
    """One cluster under one seed."""

    def __init__(self, algorithm: Algorithm[C], seed: int, faults: Faults, settings: Settings = DRAWN) -> None:
        self.algorithm = algorithm
        self.seed = seed
        self.rng = rng = random.Random(f"{seed}/{algorithm.name}")
        self.faults = faults.draw(random.Random(f"{seed}/mix"), (*NOT_OF_CLUSTERS, *algorithm.without))
        self.faults_s = settings.seconds or FAULTS_S
        self.timeline = Timeline()
        self.life = Life()
        self.network = Network(self.timeline, self.faults, rng)
        self.settings = settings.over(algorithm.world_settings(rng))
        self.drift = algorithm.drift(self.settings)
        if self.drift is not None:
            self.faults = replace(self.faults, jump=0)
        self.sessions_limit = rng.choice((2, 1000))
        self.hosts: dict[NodeId, Host[C]] = {}
        self.replicas: dict[NodeId, Replica[C]] = {}
        self.checks = algorithm.checks(self.replicas)
        self.callers: Callers[C] = Callers(rng, self.timeline, self.hosts, self.life)
        self._pipes: dict[tuple[NodeId, NodeId], Pipe] = {}
        self._cut: dict[tuple[NodeId, NodeId], int] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(algorithm.message).decode
        self.mischief = Mischief(
            algorithm, rng, self.timeline, self.life, self.hosts, self.replicas, self._pipes, self.leader, self._cut
        )
        drawn = rng.choice(SERVERS)
        self.first = Configuration.of(tuple(range(1, (settings.servers or drawn) + 1)))
        for node in self.first.voters:
            self._add(node, self.first)

    def play(self) -> WorldResult:
        """Play to the end, or until something is wrong."""
        problems: list[str] = []
        try:
            for host in self.hosts.values():
                host.start()
            self._plan()
            self.timeline.run(self.life)
            assert self.life.over, "nothing is left to happen, and the world has no end"
        except (Broken, AssertionError) as error:
            problems.append(f"at {self.timeline.now:.4f} s: {error}")
        clients = self.callers.clients
        return WorldResult(
            self.seed, self.faults, tuple(problems), tuple(clients.history), self.checks.steps,
            len(self.checks.chosen), len(self.checks.leaders), clients.answered_count, self.network.carried,
            self.timeline.now,
        )  # fmt: skip

    def send(self, message: Any) -> None:
        """Put a message on the wire."""
        host = self.hosts.get(message.to)
        way = (message.source, message.to)
        if host is None or host.life.over or way in self._cut:
            return
        pipe = self._pipes.get(way)
        if pipe is None:
            pipe = self._pipes[way] = Pipe()
        self.network.carry(pipe, host, host.arrive, pipe, pipe.resets, self._encode(message))

    # What acts may ask for

    def leader(self) -> Replica[C] | None:
        """Find the server that leads the newest term."""
        leads = self.algorithm.leads
        leaders = [each for each in self.replicas.values() if each.running is not None and leads(each.core)]
        return max(leaders, key=lambda replica: replica.core.term, default=None)

    def join(self, node: NodeId) -> None:
        """Start another server, which knows of no members yet."""
        self._add(node, Configuration()).start()

    def give(self, replica: Replica[C], act: Callable[[C], Ready[Any, Any]]) -> Ready[Any, Any]:
        """Give a core an input."""
        return self.hosts[replica.id].give(act)

    def note(self, what: Callable[[], str]) -> None:
        """Keep no transcript."""

    # What happens

    def _add(self, node: NodeId, configuration: Configuration) -> Host[C]:
        """Put up a machine for another server."""
        algorithm, rng = self.algorithm, self.rng
        disk = Disk(algorithm.storage, node, algorithm.first(configuration))
        replica = Replica(
            node, algorithm.start, self.settings, disk, self.checks, rng.random, self.send, self.sessions_limit,
            self.callers.answered, self.callers.was_read,
        )  # fmt: skip
        skew = min(self.faults.skew, MOST_SKEW) / 100.0
        if self.drift is not None:
            skew = min(skew, self.drift)
        clock = Clock(1.0 + rng.uniform(-skew, skew), rng.uniform(0.0, 1000.0))
        self.replicas[node] = replica
        self.hosts[node] = Host(replica, self.timeline, rng, clock, self._decode)
        return self.hosts[node]

    def _plan(self) -> None:
        """Say when everything happens."""
        rng = self.rng
        for _ in range(CLIENTS):
            self.callers.add()
        acts = [(self._bind(act), rng.choice(act.counts)) for act in self.algorithm.acts]
        for happen, count in (*self.mischief.planned(self.faults), (self._compact, rng.choice((0, 10))), *acts):
            for _ in range(count):
                self.timeline.at(rng.uniform(0.0, self.faults_s), self.life, happen)
        self.timeline.at(self.faults_s, self.life, self._end_well)

    def _bind(self, act: Act[C]) -> Callable[[], None]:
        return lambda: act.do(self)

    def _compact(self) -> None:
        host = self.mischief.anybody()
        if host is not None:
            host.compact(self.algorithm.compacted(host.replica.core))

    # The end

    def _end_well(self) -> None:
        """Heal the network and all but a minority of the servers: a client must be answered in time."""
        self.network.heal()
        self.mischief.heal()
        self._leave_a_minority_dead()
        client = self.callers.add(0.5)
        self.algorithm.heal(self)
        self._wait_for(client, self.timeline.now + HEAL_TIMEOUTS * ELECTION_TIMEOUT_S)

    def _wait_for(self, client: Client, until: float) -> None:
        if client.session and self.algorithm.done(self):
            self.life.over = True
        elif self.timeline.now > until:
            found = {node: (host.replica.core.leader, host.replica.core.term) for node, host in self.hosts.items()
                     if host.is_alive}  # fmt: skip
            raise Broken(f"liveness: nobody is answered {HEAL_TIMEOUTS:g} election timeouts after healing: {found}")
        else:
            self.timeline.at(self.timeline.now + 1.0, self.life, self._wait_for, client, until)

    def _leave_a_minority_dead(self) -> None:
        can_spare = self.algorithm.spare([host.replica.core for host in self.hosts.values() if host.is_alive])
        dead = lost_among(self.replicas)
        for node in sorted(set(self.hosts) - dead):
            if self.rng.random() < 0.3 and can_spare({node, *dead}):
                dead.add(node)
                self.hosts[node].die()


def play_world(algorithm: Algorithm[Any], seed: int, faults: Faults, settings: Settings = DRAWN) -> WorldResult:
    """Play one world.  The same seed, faults and settings play the same."""
    return World(algorithm, seed, faults, settings).play()
