"""A group of PBFT replicas in virtual time: a lossy network, slow disks, deaths, pauses, partitions, and liars.

    everything goes wrong as the faults say --FAULTS_S--> all but the liars is healed --a client is answered--> done

Liars lie to the end.  Each seed draws besides its faults how large the group is, how it is set, who lies and how.
Things last as long as they do in life; what hardly ever happens there is for `walk`.
"""

from __future__ import annotations

import random
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from concerted.consensus.pbft.messages import Request
from concerted.consensus.pbft.node import Pbft
from concerted.consensus.quorum import NodeId
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.damage import lost_among
from concerted.sim.cluster.replica import Replica
from concerted.sim.cluster.settings import DRAWN, Settings
from concerted.sim.faults import Faults
from concerted.sim.pbft.algorithm import pbft
from concerted.sim.pbft.cluster import Asked, Client, PbftCluster
from concerted.sim.pbft.liars import Liar
from concerted.sim.pbft.lying_client import LyingClient
from concerted.sim.pbft.walk import HEAL_TIMEOUTS, draw_liars, draw_lying_client, draw_settings, size_of
from concerted.sim.worlds.host import Host
from concerted.sim.worlds.hosting import Hosting
from concerted.sim.worlds.lair import Lair

__all__ = ["PbftWorld", "PbftWorldResult", "play_pbft"]

FAULTS_S = 60.0  # of virtual time in which things go wrong, unless it is set
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


class PbftWorld(Hosting[Pbft]):
    """One group under one seed."""

    def __init__(self, seed: int, faults: Faults, settings: Settings = DRAWN) -> None:
        rng = random.Random(f"{seed}/pbft")
        algorithm = pbft(lambda: self.cluster.group, lambda _: self.cluster.checks, self._gone)
        super().__init__(algorithm, seed, rng, faults)
        self.faults_s = settings.seconds or FAULTS_S
        size = size_of(settings, rng.choice(SIZES))
        self.late = random.Random(f"{seed}/pbft, late")
        kinds = draw_liars(rng, size, self.late)
        has_lying_client, drawn = draw_lying_client(self.late, draw_settings(rng))
        own = settings.over(drawn)
        self.cluster = PbftCluster(size, frozenset(kinds), own, rng, self.send, clock=self.timeline.time, starts=False)
        self.checks = self.cluster.checks
        self.cluster.on_end = self._ended
        for replica in self.cluster.replicas.values():
            self.house(replica)
        self.liars: dict[NodeId, Liar] = {}
        for node in sorted(kinds):
            liar = self.liars[node] = Liar(self.cluster, node, rng, kinds[node], self.send)
            self.lairs[node] = Lair(liar, self.timeline, self.life, rng)
        self.lying_client = (
            LyingClient(self.cluster.group, self.cluster.checks.signed, self.late, self._hear_client)
            if has_lying_client
            else None
        )
        self._turns: dict[str, int] = {}
        self.healed_at = 0.0

    def play(self) -> PbftWorldResult:
        """Play to the end, or until something is wrong."""
        problems = self.unfold()
        checks = self.cluster.checks
        return PbftWorldResult(
            self.seed, self.faults, problems, tuple(self.cluster.history), checks.steps, len(checks.chosen),
            checks.views, self.cluster.answered_count, len(checks.accused), self.network.carried, self.timeline.now,
            self.timeline.now - self.healed_at,
        )  # fmt: skip

    def _gone(self) -> AbstractSet[NodeId]:
        """Liars and those whose disks are damaged may be f together."""
        return self.cluster.liars | lost_among(self.replicas)

    def leader(self) -> Replica[Pbft] | None:
        """Find a replica that takes itself for the primary."""
        return next((each for each in self.cluster.alive() if each.core.leader == each.id), None)

    # What happens

    def plan(self) -> None:
        """Say when everything happens."""
        for client in self.cluster.clients:
            self._turns[client.name] = 0
            self._think(client)
        for happen, count in self.mischief.planned(self.faults):
            for _ in range(count):
                self.timeline.at(self.rng.uniform(0.0, self.faults_s), self.life, happen)
        for lair in self.lairs.values():
            lair.lie()
        if self.lying_client is not None:
            self._let_client_lie(self.lying_client)
        self.timeline.at(self.faults_s, self.life, self._end_well)

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

    def _let_client_lie(self, client: LyingClient) -> None:
        """Let it ask for something, and go on, to the end of the world."""
        client.lie()
        late = self.late.choice(PAUSES_S) * self.late.random()
        self.timeline.at(self.timeline.now + late, self.life, self._let_client_lie, client)

    def _hear_client(self, node: NodeId, request: Request) -> None:
        if node in self.liars:
            self.liars[node].ask(request)
        elif self.hosts[node].is_alive:
            self._give(self.hosts[node], request)

    def _give_up(self, client: Client, turn: int) -> None:
        if self._turns[client.name] == turn:
            self._ask(client, everybody=True)

    def _ended(self, client: Client) -> None:
        self._turns[client.name] += 1
        if client is self.cluster.last_client:
            self.life.over = True
        else:
            self._think(client)

    # The end

    def _end_well(self) -> None:
        """Heal the network and all honest replicas whose disks are whole: a new client must be answered in time."""
        self.network.heal()
        self.mischief.heal()
        self.healed_at = self.timeline.now
        self._turns[self.cluster.last_client.name] = 0
        self._ask(self.cluster.last_client, everybody=True)
        patience_s = HEAL_TIMEOUTS * self.cluster.settings.request_timeout_s
        self.timeline.at(self.timeline.now + patience_s, self.life, self._fail)

    def _fail(self) -> None:
        found = {replica.id: (replica.core.term, replica.core.leader) for replica in self.cluster.alive()}
        raise Broken(f"liveness: nobody is answered {HEAL_TIMEOUTS:g} timeouts after all is healed: {found}")


def play_pbft(seed: int, faults: Faults, settings: Settings = DRAWN) -> PbftWorldResult:
    """Play one world.  The same seed, faults and settings play the same."""
    return PbftWorld(seed, faults, settings).play()
