"""A group of PBFT replicas in virtual time: a lossy network, slow disks, deaths, pauses, partitions, and liars.

    everything goes wrong as the faults say --FAULTS_S--> all but the liars is healed --a client is answered--> done

Liars lie to the end.  Each seed draws besides its faults how large the group is, how it is set, who lies and how.
Things last as long as they do in life; what hardly ever happens there is for `walk`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from concerted.consensus.pbft.messages import Message, NewView, Request, ViewChange
from concerted.consensus.pbft.node import Pbft
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import STORAGE, Stored
from concerted.consensus.quorum import NodeId
from concerted.sim.cluster.algorithm import Algorithm, Spare
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.damage import lost_among
from concerted.sim.cluster.partitions import Way
from concerted.sim.cluster.replica import Replica
from concerted.sim.faults import NOT_OF_CLUSTERS, Faults
from concerted.sim.network import Network, Pipe
from concerted.sim.pbft.cluster import Asked, Client, PbftCluster
from concerted.sim.pbft.liars import Liar
from concerted.sim.pbft.walk import HEAL_TIMEOUTS, TIMEOUT_S, draw_liars, draw_settings
from concerted.sim.worlds.host import Clock, Host
from concerted.sim.worlds.mischief import Mischief
from concerted.sim.worlds.timeline import Life, Timeline

__all__ = ["PbftWorldResult", "play_pbft"]

FAULTS_S = 60.0  # of virtual time in which things go wrong
SIZES = (4, 4, 4, 7)
PAUSES_S = (0.3, 1.0, 4.0)  # how long clients think
RETRY_S = 5.0  # how long they wait for an answer
LIES_S = 0.5  # how often a liar does something unasked
MOST_SKEW = 5.0  # percent by which a clock's pace is wrong


@dataclass(frozen=True, slots=True)
class PbftWorldResult:
    """What came of one world.  problems: empty if all is well.  steps: inputs to honest cores."""

    seed: int
    faults: Faults
    problems: tuple[str, ...]
    history: tuple[Asked, ...]
    steps: int
    chosen: int
    views: int
    answered: int
    accused: int
    messages: int
    virtual_s: float
    healed_after_s: float


class Lair:
    """The machine of one liar, whose time is the world's."""

    def __init__(self, liar: Liar, timeline: Timeline, life: Life) -> None:
        self.liar = liar
        self._timeline = timeline
        self._life = life

    def call_at(self, when: float, act: object, *args: object) -> None:
        """Have something happen to it: nothing ever ends a liar."""
        assert callable(act)
        self._timeline.at(when, self._life, act, *args)

    def arrive(self, message: Message) -> None:
        """Take a message, and carry out what follows."""
        self.liar.receive(message)
        self.liar.go_on(self._timeline.now)


class PbftWorld:
    """One group under one seed."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.seed = seed
        self.rng = rng = random.Random(f"{seed}/pbft")
        self.faults = faults.draw(random.Random(f"{seed}/mix"), NOT_OF_CLUSTERS)
        self.timeline = Timeline()
        self.life = Life()
        self.network = Network(self.timeline, self.faults, rng)
        size = rng.choice(SIZES)
        kinds = draw_liars(rng, size)
        self.cluster = PbftCluster(
            size, frozenset(kinds), self._settings(), rng, self.send, clock=self.timeline.time, starts=False
        )
        self.cluster.on_end = self._ended
        decode = msgspec.msgpack.Decoder(Message).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = decode
        skew = min(self.faults.skew, MOST_SKEW) / 100.0
        self.hosts = {
            node: Host[Pbft](
                replica, self.timeline, rng, Clock(1.0 + rng.uniform(-skew, skew), rng.uniform(0.0, 1000.0)), decode
            )
            for node, replica in self.cluster.replicas.items()
        }
        self.lairs = {
            node: Lair(Liar(self.cluster, node, rng, kinds[node], self.send), self.timeline, self.life)
            for node in sorted(kinds)
        }
        self._pipes: dict[Way, Pipe] = {}
        self._cut: dict[Way, int] = {}
        self._turns: dict[str, int] = {}
        self.healed_at = 0.0
        self.mischief = Mischief(
            self._algorithm(), rng, self.timeline, self.life, self.hosts, self.cluster.replicas, self._pipes,
            self._leader, self._cut,
        )  # fmt: skip

    def play(self) -> PbftWorldResult:
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
        checks = self.cluster.checks
        return PbftWorldResult(
            self.seed, self.faults, tuple(problems), tuple(self.cluster.history), checks.steps, len(checks.chosen),
            checks.views, self.cluster.answered_count, len(checks.accused), self.network.carried, self.timeline.now,
            self.timeline.now - self.healed_at,
        )  # fmt: skip

    def send(self, message: Message) -> None:
        """Put a message on the wire."""
        way = (message.source, message.to)
        if way in self._cut:
            return
        pipe = self._pipes.setdefault(way, Pipe())
        if message.to in self.lairs:
            lair = self.lairs[message.to]
            self.network.carry(pipe, lair, lair.arrive, message)
            return
        host = self.hosts[message.to]
        if not host.life.over:
            self.network.carry(pipe, host, host.arrive, pipe, pipe.resets, self._encode(message))

    # What happens

    def _plan(self) -> None:
        for client in self.cluster.clients:
            self._turns[client.name] = 0
            self._think(client)
        for happen, count in self.mischief.planned(self.faults):
            for _ in range(count):
                self.timeline.at(self.rng.uniform(0.0, FAULTS_S), self.life, happen)
        for lair in self.lairs.values():
            self._lie(lair)
        self.timeline.at(FAULTS_S, self.life, self._end_well)

    def _lie(self, lair: Lair) -> None:
        lair.liar.go_on(self.timeline.now)
        if self.rng.random() < 0.3:
            lair.liar.scheme()
        self.timeline.at(self.timeline.now + LIES_S * (0.5 + self.rng.random()), self.life, self._lie, lair)

    def _think(self, client: Client) -> None:
        late = self.rng.choice(PAUSES_S) * self.rng.random()
        self.timeline.at(self.timeline.now + late, self.life, self._ask, client, False)

    def _ask(self, client: Client, everybody: bool) -> None:
        """Ask one replica, and after a while all (4.1)."""
        request = self.cluster.want(client)
        self._turns[client.name] += 1
        turn = self._turns[client.name]
        alive = [host for host in self.hosts.values() if host.is_alive]
        for host in alive if everybody or not alive else [self.rng.choice(alive)]:
            self._give(host, request)
        self.timeline.at(self.timeline.now + RETRY_S, self.life, self._give_up, client, turn)

    def _give(self, host: Host[Pbft], request: Request) -> None:
        host.give(lambda core: core.wake(host.replica.now))  # sets its clock
        replica = self.cluster.replicas[host.replica.id]
        if replica.running is not None:
            replica.ask(request)
            host.give(lambda core: core.wake(host.replica.now))

    def _give_up(self, client: Client, turn: int) -> None:
        if self._turns[client.name] == turn:
            self._ask(client, everybody=True)

    def _ended(self, client: Client) -> None:
        self._turns[client.name] += 1
        if client is self.cluster.last_client:
            self.life.over = True
        else:
            self._think(client)

    def _leader(self) -> Replica[Pbft] | None:
        for replica in self.cluster.alive():
            if replica.core.leader == replica.id:
                return replica
        return None

    # The end

    def _end_well(self) -> None:
        """Heal the network and all honest replicas whose disks are whole: a new client must be answered in time."""
        self.network.heal()
        self.mischief.heal()
        self.healed_at = self.timeline.now
        self._turns[self.cluster.last_client.name] = 0
        self._ask(self.cluster.last_client, everybody=True)
        self.timeline.at(self.timeline.now + HEAL_TIMEOUTS * TIMEOUT_S, self.life, self._fail)

    def _fail(self) -> None:
        found = {replica.id: (replica.core.term, replica.core.leader) for replica in self.cluster.alive()}
        raise Broken(f"liveness: nobody is answered {HEAL_TIMEOUTS:g} timeouts after all is healed: {found}")

    # What it is played with

    def _settings(self) -> Settings:
        return draw_settings(self.rng)

    def _algorithm(self) -> Algorithm[Pbft]:
        cluster = self.cluster
        return Algorithm(
            name="pbft",
            storage=STORAGE,
            message=Message,
            election=(ViewChange, NewView),
            first=lambda _: Stored(),
            start=cluster.begin,
            checks=lambda _: cluster.checks,
            walk_settings=draw_settings,
            world_settings=draw_settings,
            plain_settings=Settings,
            state=lambda core: f"view {core.term}",
            leads=lambda core: core.leader == core.id,
            compacted=lambda core: core.replica.stable,
            spare=self._spare,
        )

    def _spare(self, _: Sequence[Pbft]) -> Spare:
        """Liars and those whose disks are damaged may be f together."""

        def can(dead: AbstractSet[NodeId]) -> bool:
            lost = lost_among(self.cluster.replicas)
            return len(self.cluster.liars | lost | dead) <= self.cluster.group.faulty

        return can


def play_pbft(seed: int, faults: Faults) -> PbftWorldResult:
    """Play one world.  The same seed and faults play the same."""
    return PbftWorld(seed, faults).play()
