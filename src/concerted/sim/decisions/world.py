"""Replicas that keep decisions, in virtual time: voters and deadlines, while leaders die and clocks differ.

    everything goes wrong as the faults say --FAULTS_S--> all is healed but a minority --all are answered, and every
    decision whose deadline has passed is closed--> done

A deadline passes by an entry: whoever leads says the time by its own wall clock, which may be wrong by far.  What is
looked at after every entry is in `court`; what the protocol promises is looked at as in any other world.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.sim.cluster.algorithm import ELECTION_TIMEOUT_S, HEAL_TIMEOUTS
from concerted.sim.cluster.checks import Broken
from concerted.sim.decisions.assembly import BEGAN_AT, WALLS_S, Assembly
from concerted.sim.decisions.callers import Callers
from concerted.sim.decisions.errands import Asker, draw_askers
from concerted.sim.decisions.keeping import KEEPINGS
from concerted.sim.faults import Faults
from concerted.sim.worlds.host import Host
from concerted.sim.worlds.hosting import MOST_SKEW, Hosting
from concerted.sim.worlds.lair import Lair

__all__ = ["DecisionsResult", "DecisionsWorld", "play_decisions"]

FAULTS_S = 120.0  # of virtual time in which things go wrong
RING_S = 1.0  # how often a leader looks whether a deadline has passed by its clock

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


@dataclass(frozen=True, slots=True)
class DecisionsResult:
    """What came of one world.  problems: empty if all is well.

    answered: of what was asked.  closed: decisions.  judged: how often one was looked at.
    """

    seed: int
    faults: Faults
    problems: tuple[str, ...]
    steps: int
    chosen: int
    leaders: int
    answered: int
    closed: int
    judged: int
    messages: int
    virtual_s: float


class DecisionsWorld(Hosting[C]):
    """One group that keeps decisions, under one seed.  protocol: one of KEEPINGS.

    servers, askers: 0, None: drawn.  Where it is not said how many there are, some may lie.
    """

    def __init__(
        self,
        protocol: str,
        seed: int,
        faults: Faults,
        *,
        servers: int = 0,
        askers: Sequence[Asker] | None = None,
    ) -> None:
        rng = random.Random(f"{seed}/decide/{protocol}")
        keeping = KEEPINGS[protocol](rng, servers)
        super().__init__(keeping.algorithm, seed, rng, faults)
        settings = self.algorithm.world_settings(rng)
        self.keep_clocks(settings)
        self.walls: dict[NodeId, float] = {}
        self.assembly: Assembly[C] = Assembly(
            keeping=keeping,
            settings=settings,
            rng=rng,
            replicas=self.replicas,
            send=self.send,
            wall=self._wall,
            askers=draw_askers(rng, BEGAN_AT) if askers is None else askers,
        )
        self.checks = self.assembly.watch
        self.crowd, self.court = self.assembly.crowd, self.assembly.court
        self.callers = Callers(
            rng=rng,
            timeline=self.timeline,
            life=self.life,
            crowd=self.crowd,
            there=self._there,
            ask=self._ask,
            leader=self._leading,
            is_signed=keeping.is_signed,
        )
        first = Configuration.of(self.assembly.nodes)
        for node in first.voters:
            if node in self.assembly.liars:
                self.lairs[node] = Lair(self.assembly.liars[node], self.timeline, self.life, rng)
            else:
                self.add(node, first)

    def play(self) -> DecisionsResult:
        """Play to the end, or until something is wrong."""
        problems = self.unfold()
        checks, court = self.checks, self.court
        return DecisionsResult(
            self.seed, self.faults, problems, checks.steps, len(checks.chosen), len(checks.leaders),
            self.crowd.answered_count, len(court.closed), court.judged_count, self.network.carried, self.timeline.now,
        )  # fmt: skip

    def ended(self) -> None:
        """Look at all that replicas show in the end."""
        self.assembly.judge_whole()

    # What happens

    def add(self, node: NodeId, configuration: Configuration) -> Host[C]:
        """Put up a machine for another server, with a wall clock that nobody sets."""
        host = self.house(self.assembly.keeper(node, configuration))
        self.walls[node] = BEGAN_AT - host.clock.ahead_s + self.rng.uniform(0.0, WALLS_S)
        self.timeline.at(self.timeline.now + RING_S * self.rng.random(), self.life, self._ring, node)
        return host

    def plan(self) -> None:
        """Say when everything happens."""
        self.go_wrong(FAULTS_S)
        for lair in self.lairs.values():
            lair.lie()
        self.callers.begin()
        self.timeline.at(FAULTS_S, self.life, self._end_well)

    def _there(self) -> list[NodeId]:
        return [*(node for node, host in self.hosts.items() if host.is_alive), *self.lairs]

    def _ask(self, nodes: Sequence[NodeId], command: bytes) -> NodeId | None:
        """Ask servers, with what the first one's clock says; return who is said to lead."""
        entered = self.assembly.signed(nodes[0], command)
        said: NodeId | None = nodes[0]
        for node in nodes:
            if node in self.lairs:
                self.assembly.ask(node, [entered])
                self.lairs[node].liar.go_on(self.timeline.now)
            else:
                refused = self._put(node, self.assembly.with_time(node, entered)).refused
                said = said if refused is None else refused.leader
        return said

    def _put(self, node: NodeId, commands: list[bytes]) -> Ready[Any, Any]:
        host = self.hosts[node]
        return host.give(lambda core: core.propose(commands, host.replica.now))

    def _leading(self) -> NodeId | None:
        hosts = self.hosts.items()
        return next((node for node, host in hosts if host.is_alive and host.replica.core.leader == node), None)

    # Time

    def _wall(self, node: NodeId) -> float:
        now = self.timeline.now
        return self.walls[node] + self.hosts[node].clock.read(now) if node in self.walls else BEGAN_AT + now

    def _ring(self, node: NodeId) -> None:
        """Say the time, if a deadline has passed by this server's clock, and it leads, or all say it."""
        host = self.hosts[node]
        if host.is_alive and self.timeline.now >= host.paused_until and self.assembly.is_due(node):
            self._put(node, [self.assembly.time(node)])
        self.timeline.at(self.timeline.now + RING_S, self.life, self._ring, node)

    # The end

    def _end_well(self) -> None:
        """Heal the network and all but a minority of the servers: all must be answered, and deadlines pass."""
        self.network.heal()
        self.mischief.heal()
        self.leave_a_minority_dead()
        self._wait(self.timeline.now)

    def _wait(self, healed_at: float) -> None:
        """Wait until all is done; not longer than is stated, behind the last deadline by the slowest clock."""
        latest, waiting = self.assembly.latest_deadline_at(), self.crowd.waiting
        if latest is None and not waiting:
            self.life.over = True
            return
        due_at = max(healed_at, ((latest or BEGAN_AT) - BEGAN_AT) / (1.0 - MOST_SKEW / 100.0))
        if self.timeline.now > due_at + HEAL_TIMEOUTS * ELECTION_TIMEOUT_S:
            raise Broken(f"liveness: {len(waiting)} wait, open until {latest}: {self.found()}")
        self.timeline.at(self.timeline.now + 1.0, self.life, self._wait, healed_at)


def play_decisions(protocol: str, seed: int, faults: Faults) -> DecisionsResult:
    """Play one world.  The same seed and faults play the same."""
    world: DecisionsWorld[Any] = DecisionsWorld(protocol, seed, faults)
    return world.play()
