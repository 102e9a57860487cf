"""Untimed random walks over a cluster: at each step anything may happen next, however long it would take.

A message may arrive now or after a thousand elections, a timer may run off at any moment, a server may die between any
two parts of what it does.  That finds what a simulation in time, in which things take as long as they do, hardly
ever meets.  Each seed draws how many servers there are and how they are set, and for one while after the other how
likely each kind of step is.

In the end the network is healed, all but a minority of the servers live, and time is regular: then a leader must be
found and a new command be answered within a stated number of election timeouts.

Source of drawn likelihoods: Groce et al., Swarm Testing, ISSTA 2012.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import ReadId, Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.sim.cluster.algorithm import HEAL_TIMEOUTS, Act, Algorithm
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.clients import Asked, Client, Clients
from concerted.sim.cluster.damage import flip_a_bit
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.replica import Replica
from concerted.sim.cluster.settings import DRAWN, Settings
from concerted.sim.cluster.wandering import Likely, Wandering

__all__ = ["Walk", "WalkResult", "exchange", "leave_a_minority_dead", "walk"]

C = TypeVar("C", bound=ReplicatedLog[Any, Any])

STEPS = 800
COPIES = (0, 1, 1, 1, 1, 1, 2, 2)  # of a message that arrive in a quick exchange
CLIENTS = 4


@dataclass(frozen=True, slots=True)
class WalkResult:
    """What came of one walk.  problems: empty if all is well."""

    seed: int
    steps: int
    problems: tuple[str, ...]
    history: tuple[Asked, ...]
    chosen_count: int
    leaders_count: int
    transcript: tuple[str, ...] = field(default=(), repr=False)


class Walk(Wandering[Replica[C]], Generic[C]):
    """One cluster and what happens to it."""

    def __init__(
        self,
        algorithm: Algorithm[C],
        seed: int,
        settings: Settings = DRAWN,
        *,
        steps: int = STEPS,
        transcript: bool = False,
    ) -> None:
        super().__init__(random.Random(f"{seed}/walk"), steps, transcript=transcript)
        self.algorithm = algorithm
        self.seed = seed
        self.replicas: dict[NodeId, Replica[C]] = {}
        self.checks = algorithm.checks(self.replicas)
        self.clients = Clients(self.rng, CLIENTS)
        self._draw(settings)

    def _draw(self, settings: Settings) -> None:
        rng = self.rng
        self.settings = settings.over(self.algorithm.walk_settings(rng))
        self.timeout_s = self.settings.election_timeout_s
        self.sessions_limit = rng.choice((2, 1000))
        self.drift = self.algorithm.drift(self.settings)
        self.first = Configuration.of(range(1, rng.choice((1, 2, 3, 3, 3, 4, 5)) + 1))
        for node in self.first.voters:
            self._add(node, self.first)
        self._begin_era()

    def likely(self) -> Likely:
        """Draw how likely each act is, for a while."""
        rng = self.rng
        return [
            (self._deliver, 40.0),
            (self._carry_out, 40.0),
            (self._time_out, rng.choice((0.3, 1.0, 2.0, 8.0))),
            (lambda: _coup(self), rng.choice((0.0, 0.0, 1.0, 5.0))),
            (self._ask, rng.choice((1.0, 4.0, 8.0))),
            (self._pass_time, rng.choice((0.0, 1.0, 4.0))),
            (self._lose, rng.choice((0.0, 0.5, 8.0))),
            (self._keep, rng.choice((0.5, 4.0))),
            (self._replay, rng.choice((0.0, 0.5, 3.0))),
            (self._crash, rng.choice((0.0, 0.3, 1.5))),
            (self._restart, 2.0),
            (self._cut_off, rng.choice((0.0, 0.0, 1.0))),
            (self._heal, rng.choice((0.2, 1.0))),
            *((self._bind(act), rng.choice(act.weights)) for act in self.algorithm.acts),
            (self._compact, rng.choice((0.0, 0.3, 2.0))),
            (lambda: _fill(self), rng.choice((0.0, 0.0, 0.3))),
            (lambda: _flip(self), rng.choice((0.0, 0.0, 0.0, 0.1))),
        ]

    def _bind(self, act: Act[C]) -> Callable[[], None]:
        return lambda: act.do(self)

    def join(self, node: NodeId) -> None:
        """Start another server, which knows of no members yet."""
        self._add(node, Configuration())

    def _add(self, node: NodeId, configuration: Configuration) -> None:
        algorithm = self.algorithm
        replica = Replica(
            node,
            algorithm.start,
            self.settings,
            Disk(algorithm.storage, node, algorithm.first(configuration)),
            self.checks,
            self.rng.random,
            self.network.append,
            self.sessions_limit,
            lambda replica, answer: self.clients.answered(replica, answer, self.step),
            self._was_read,
        )
        self.replicas[node] = replica
        if self.drift is not None:
            self.rates[node] = 1.0 + self.rng.uniform(-self.drift, self.drift)
        replica.start()

    # The walk

    def run(self) -> WalkResult:
        """Walk, heal, and say what was wrong."""
        problems = self.wander()
        return WalkResult(
            self.seed,
            self.checks.steps,
            problems,
            tuple(self.clients.history),
            len(self.checks.chosen),
            len(self.checks.leaders),
            tuple(self.transcript),
        )

    def give(self, replica: Replica[C], act: Callable[[C], Ready[Any, Any]]) -> Ready[Any, Any]:
        """Give a core an input."""
        return replica.give(act)

    def leader(self) -> Replica[C] | None:
        """Find who leads the newest term, or, at times, an older one that does not know it yet."""
        leaders = [replica for replica in self.alive() if self.algorithm.leads(replica.core)]
        if len(leaders) > 1 and self.rng.random() < 0.3:
            return self.rng.choice(leaders)
        return max(leaders, key=lambda replica: replica.core.term, default=None)

    def _was_read(self, replica: Replica[C], read: ReadId, registers: dict[str, Any] | None) -> None:
        if registers is not None:
            self.clients.was_read(replica, read, registers, self.step)

    def end_well(self) -> None:
        """Heal; then a command must be answered in time."""
        _end_well(self)

    # What may happen

    def idle(self) -> Sequence[Callable[[], None]]:
        """Return what may happen instead."""
        return (self._ask, self._time_out)

    def _heal(self) -> None:
        self.cut.clear()

    def _compact(self) -> None:
        replica = self.any_alive()
        if replica is not None:
            replica.compact(self.algorithm.compacted(replica.core))

    def _ask(self) -> None:
        """Let one client ask, or ask again."""
        replica = self.leader() if self.rng.random() < 0.9 else self.any_alive()
        if replica is not None:
            self.ask_of(replica)

    def ask_of(self, replica: Replica[C]) -> None:
        """Let some client ask this server, which lives."""
        client = self.clients.any()
        self.clients.ask(client, replica, self.step)
        self.note(lambda: f"client {client.id} asks {replica.id}: {client.asked}")


# What befalls disks


def _fill(walk: Walk[C]) -> None:
    """Leave no room on a disk: the next write ends its server."""
    replica = walk.any_alive()
    if replica is not None:
        walk.note(lambda: f"the disk of {replica.id} is full")
        replica.disk.is_full = True


def _flip(walk: Walk[C]) -> None:
    """Flip a bit on a disk that the rest can spare; its server dies, and is lost."""
    replica = walk.any_alive()
    if replica is not None and flip_a_bit(walk.algorithm, replica, walk.replicas, walk.rng):
        walk.note(lambda: f"a bit flips on the disk of {replica.id}")
        replica.die()
        replica.start()
        assert replica.is_lost, "a server starts from a damaged disk"


# What takes several steps


def exchange(walk: Wandering[Any], kinds: tuple[type, ...], without: Collection[NodeId] = ()) -> None:
    """Let all messages of these kinds arrive, and what follows from them, once, twice or never.

    without: who neither hears nor says anything meanwhile.
    """
    while True:
        for replica in walk.alive():
            while replica.waiting and replica.id not in without:
                replica.carry_out()
        found: list[Any] = [message for message in walk.network if isinstance(message, kinds)]
        if not found:
            return
        walk.network[:] = [message for message in walk.network if not isinstance(message, kinds)]
        for message in found:
            for _ in range(walk.rng.choice(COPIES)):
                if message.to not in without:
                    walk.hand_over(message)


def _coup(walk: Walk[C]) -> None:
    """Let an election go through while everything else that is under way stays so: else terms are long here."""
    replica = walk.any_alive()
    if replica is None:
        return
    walk.pass_time(2 * walk.timeout_s)
    walk.note(lambda: f"{replica.id} stands")
    replica.wake()
    exchange(walk, walk.algorithm.election)


# The end


def _end_well(walk: Walk[C]) -> None:
    """Heal: time is regular now, nothing is lost; all but a minority of the voters live.  It must go on."""
    walk.step += 1
    walk.cut.clear()
    walk.note(lambda: "healed")
    for replica in walk.replicas.values():
        replica.disk.is_full = False
        if replica.running is None:
            replica.start()
    leave_a_minority_dead(walk.algorithm, walk.replicas, walk.rng)
    before, late = walk.clients.answered_count, 0.0
    client = Client(CLIENTS + 1)
    walk.clients.all.append(client)
    walk.algorithm.heal(walk)
    while late < HEAL_TIMEOUTS * walk.timeout_s:
        _settle(walk)
        if client.session and walk.algorithm.done(walk) and _nobody_is_behind(walk, client.session):
            assert walk.clients.answered_count > before
            return
        leader = walk.leader()
        if leader is not None and not client.session:
            walk.clients.ask(client, leader, walk.step)
            _settle(walk)
        due = min(max(replica.core.next_deadline - replica.now, 0.0) for replica in walk.alive())
        late += due
        for replica in walk.alive():
            replica.now += due
        for replica in walk.alive():
            if replica.now >= replica.core.next_deadline:
                replica.wake()
    found = {replica.id: (replica.core.leader, replica.core.term) for replica in walk.alive()}
    what = "somebody is behind" if client.session else "no command is answered"
    raise Broken(f"liveness: {what} {HEAL_TIMEOUTS:g} election timeouts after all is healed: {found}")


def _nobody_is_behind(walk: Walk[C], index: int) -> bool:
    """Say whether all members who live have carried out the entry at an index."""
    leader = walk.leader()
    members = () if leader is None else walk.algorithm.members(leader.core)
    return all(walk.replicas[node].running is None or walk.replicas[node].holding.index >= index for node in members)


def leave_a_minority_dead(
    algorithm: Algorithm[Any], replicas: Mapping[NodeId, Replica[Any]], rng: random.Random
) -> None:  # fmt: skip
    """Kill some, so that a quorum of every configuration that may be in force still lives."""
    can_spare = algorithm.spare([replica.core for replica in replicas.values() if replica.running is not None])
    for node in sorted(replicas):
        dead = {node} | {other for other, replica in replicas.items() if replica.running is None}
        if rng.random() < 0.3 and can_spare(dead):
            replicas[node].die()


def _settle(walk: Walk[C]) -> None:
    """Carry out and deliver everything, in order, until all is quiet."""
    while not walk.is_quiet:
        walk.round()


def walk(
    algorithm: Algorithm[Any], seed: int, settings: Settings = DRAWN, *, steps: int = STEPS, transcript: bool = False
) -> WalkResult:
    """Walk once.  The same seed walks the same way."""
    return Walk(algorithm, seed, settings, steps=steps, transcript=transcript).run()
