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
from concerted.consensus.sessions import Answer
from concerted.replicas.protocols.entering import Proposed
from concerted.sim.cluster.algorithm import ELECTION_TIMEOUT_S, HEAL_TIMEOUTS
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.replica import Replica
from concerted.sim.decisions.court import Court
from concerted.sim.decisions.crowd import Crowd
from concerted.sim.decisions.errands import Asker, draw_askers
from concerted.sim.decisions.keeper import Keeper
from concerted.sim.decisions.keeping import KEEPINGS
from concerted.sim.faults import Faults
from concerted.sim.worlds.host import Host
from concerted.sim.worlds.hosting import MOST_SKEW, Hosting

__all__ = ["BEGAN_AT", "DecisionsResult", "DecisionsWorld", "play_decisions"]

FAULTS_S = 120.0  # of virtual time in which things go wrong
BEGAN_AT = 1_000_000.0  # what a wall clock that is right says when the world begins
WALLS_S = 20.0  # how far wall clocks lie apart at most
STALE_S = 1.0  # how old the time of a group that signs may be when a command comes
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
    """One group that keeps decisions, under one seed.  protocol: one of KEEPINGS.  servers, askers: 0, None: drawn."""

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
        self.keeping = KEEPINGS[protocol](rng, servers)
        super().__init__(self.keeping.algorithm, seed, rng, faults)
        self.settings = self.algorithm.world_settings(rng)
        self.keep_clocks(self.settings)
        self.keepers: dict[NodeId, Keeper[C]] = {}
        self.walls: dict[NodeId, float] = {}
        self.checks = self.algorithm.checks(self.replicas)
        self.court = Court(self.checks.chosen, self.keeping.honest)
        self.crowd: Crowd[C] = Crowd(rng, self.timeline, self.life, self.hosts, self._propose, self.court)
        self._said: dict[Answer, set[NodeId]] = {}
        first = Configuration.of(tuple(range(1, self.keeping.servers + 1)))
        for node in first.voters:
            self.add(node, first)
        self.crowd.gather(draw_askers(rng, BEGAN_AT) if askers is None else askers)

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
        for keeper in self.keepers.values():
            if keeper.running is not None:
                self.court.judged_whole(keeper)

    # What happens

    def add(self, node: NodeId, configuration: Configuration) -> Host[C]:
        """Put up a machine for another server, with a wall clock that nobody sets."""
        algorithm, rng = self.algorithm, self.rng
        keeper = self.keepers[node] = Keeper(
            id=node,
            begin=algorithm.start,
            settings=self.settings,
            disk=Disk(algorithm.storage, node, algorithm.first(configuration)),
            watch=self.checks,
            dice=rng.random,
            send=self.send,
            on_answer=self._answered,
            make=lambda: self.keeping.make(node),
            judged=self.court.judged,
        )
        host = self.house(keeper)
        self.walls[node] = BEGAN_AT - host.clock.ahead_s + rng.uniform(0.0, WALLS_S)
        self.timeline.at(self.timeline.now + RING_S * rng.random(), self.life, self._ring, node)
        return host

    def plan(self) -> None:
        """Say when everything happens."""
        self.go_wrong(FAULTS_S)
        self.crowd.begin()
        self.timeline.at(FAULTS_S, self.life, self._end_well)

    # Time

    def _wall(self, node: NodeId) -> float:
        return self.walls[node] + self.hosts[node].clock.read(self.timeline.now)

    def _propose(self, node: NodeId, command: bytes) -> Ready[Any, Any]:
        """Have a session's command put into the log, or the time, as a real replica does: with what its clock says."""
        host, at, term = self.hosts[node], self._wall(node), self.hosts[node].replica.core.term
        commands = [self.keeping.enter(Proposed(at, node, command, term))]
        if self.keeping.is_signed and command and at - self.keepers[node].kept.now > STALE_S:
            commands.insert(0, self.keeping.enter(Proposed(at, node, b"", term)))
        return host.give(lambda core: core.propose(commands, host.replica.now))

    def _ring(self, node: NodeId) -> None:
        """Say the time, if a deadline has passed by this server's clock, and it leads, or all say it."""
        host = self.hosts[node]
        is_here = host.is_alive and self.timeline.now >= host.paused_until
        if is_here and (self.keeping.is_signed or host.replica.core.leader == node):
            due = self.keepers[node].kept.next_wake()
            if due is not None and due <= self._wall(node):
                self._propose(node, b"")
        self.timeline.at(self.timeline.now + RING_S, self.life, self._ring, node)

    def _answered(self, replica: Replica[C], answer: Answer) -> None:
        """Tell whoever has asked, as soon as so many have said the same that one of them is honest."""
        said = self._said.setdefault(answer, set())
        said.add(replica.id)
        if len(said) >= self.keeping.honest:
            self.crowd.answered(answer)

    # The end

    def _end_well(self) -> None:
        """Heal the network and all but a minority of the servers: all must be answered, and deadlines pass."""
        self.network.heal()
        self.mischief.heal()
        self.leave_a_minority_dead()
        self._wait(self.timeline.now)

    def _wait(self, healed_at: float) -> None:
        """Wait until all is done; not longer than is stated, behind the last deadline by the slowest clock."""
        latest = self._latest_deadline_at()
        unanswered = [asker for asker in self.crowd.askers if not asker.is_done]
        if latest is None and not unanswered:
            self.life.over = True
            return
        due_at = max(healed_at, (latest or 0.0) / (1.0 - MOST_SKEW / 100.0))
        if self.timeline.now > due_at + HEAL_TIMEOUTS * ELECTION_TIMEOUT_S:
            raise Broken(f"liveness: {len(unanswered)} wait, open until {latest}: {self.found()}")
        self.timeline.at(self.timeline.now + 1.0, self.life, self._wait, healed_at)

    def _latest_deadline_at(self) -> float | None:
        """Return the last deadline of what is open, as an instant of the world; None: no deadline is open."""
        self.court.standing(len(self.checks.chosen))
        found = [
            each.made["deadline_at"] - BEGAN_AT
            for each in self.court.oracle.decisions.values()
            if each.status == "voting" and each.made.get("deadline_at") is not None
        ]
        return max(found, default=None)


def play_decisions(protocol: str, seed: int, faults: Faults) -> DecisionsResult:
    """Play one world.  The same seed and faults play the same."""
    world: DecisionsWorld[Any] = DecisionsWorld(protocol, seed, faults)
    return world.play()
