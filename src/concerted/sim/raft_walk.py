"""Untimed random walks over a Raft cluster: at each step anything may happen next, however long it would take.

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
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from concerted.consensus.quorum import Configuration, NodeId, majority
from concerted.consensus.raft.messages import Message, RequestVote, Vote
from concerted.consensus.raft.ready import ReadId, Settings
from concerted.sim.raft_checks import Broken, RaftChecks
from concerted.sim.raft_clients import Asked, Client, Clients
from concerted.sim.raft_cluster import Disk, Replica

__all__ = ["Walk", "WalkResult", "walk"]

STEPS = 800
HEAL_TIMEOUTS = 30.0  # election timeouts within which a healed cluster must answer
NETWORK_LIMIT = 400  # messages under way; beyond that the oldest are lost
KEPT = 60  # doubles that may still come
COPIES = (0, 1, 1, 1, 1, 1, 2, 2)  # of a vote in a quick election that arrive
CLIENTS = 4
MOST_MEMBERS = 7  # ids that are ever given


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


class Walk:
    """One cluster and what happens to it."""

    def __init__(self, seed: int, steps: int = STEPS, *, transcript: bool = False) -> None:
        self.wants_transcript = transcript
        self.seed = seed
        self.rng = random.Random(f"{seed}/walk")
        self.steps = steps
        self.step = 0
        self.network: list[Message] = []
        self.kept: list[Message] = []
        self.cut: set[tuple[NodeId, NodeId]] = set()
        self.replicas: dict[NodeId, Replica] = {}
        self.checks = RaftChecks(self.replicas)
        self.transcript: list[str] = []
        self.clients = Clients(self.rng, CLIENTS)
        self._draw()

    def _draw(self) -> None:
        rng = self.rng
        self.settings = Settings(
            election_timeout_s=10.0,
            heartbeat_interval_s=rng.choice((1.0, 3.0)),
            batch_count=rng.choice((1, 1, 3, 100)),
            window=rng.choice((1, 2, 16)),
            uncommitted_count=rng.choice((5, 1000)),
        )
        self.sessions_limit = rng.choice((2, 1000))
        self.first = Configuration.of(range(1, rng.choice((1, 2, 3, 3, 3, 4, 5)) + 1))
        for node in self.first.voters:
            self.join(node, self.first)
        self._draw_era()

    def _draw_era(self) -> None:
        """Draw how likely each kind of step is for a while: quiet times, and times in which much goes wrong."""
        rng = self.rng
        self.era = self.step + rng.choice((50, 150, 400))
        self.in_order = rng.choice((0.3, 0.8, 0.95))
        likely: list[tuple[Callable[[], None], float]] = [
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
            (self._transfer, rng.choice((0.0, 0.0, 0.7))),
            (lambda: _change_members(self), rng.choice((0.0, 0.5, 2.0))),
            (self._compact, rng.choice((0.0, 0.3, 2.0))),
        ]
        self._acts = [act for act, _ in likely]
        self._weights = [weight for _, weight in likely]

    def join(self, node: NodeId, configuration: Configuration) -> None:
        """Start another server, with what it knows of the members."""
        replica = Replica(
            node,
            self.settings,
            Disk(node, configuration),
            self.checks,
            self.rng.random,
            self.network.append,
            self.sessions_limit,
            lambda replica, answer: self.clients.answered(replica, answer, self.step),
            self._was_read,
        )
        self.replicas[node] = replica
        replica.start()

    # The walk

    def run(self) -> WalkResult:
        """Walk, heal, and say what was wrong."""
        problems: list[str] = []
        try:
            while self.step < self.steps:
                self.step += 1
                if self.step >= self.era:
                    self._draw_era()
                self.rng.choices(self._acts, self._weights)[0]()
                if len(self.network) > NETWORK_LIMIT:
                    del self.network[:-NETWORK_LIMIT]
            _end_well(self)
        except (Broken, AssertionError) as error:
            problems.append(f"step {self.step}: {error}")
            self.note(lambda: "BROKEN")
        return WalkResult(
            self.seed,
            self.checks.steps,
            tuple(problems),
            tuple(self.clients.history),
            len(self.checks.chosen),
            len(self.checks.leaders),
            tuple(self.transcript),
        )

    def note(self, what: Callable[[], str]) -> None:
        """Add a line to the transcript, if anybody wants one."""
        if self.wants_transcript:
            self.transcript.append(f"{self.step:6}  {what()}")

    def alive(self) -> list[Replica]:
        """Return all servers that live."""
        return [replica for replica in self.replicas.values() if replica.raft is not None]

    def any_alive(self) -> Replica | None:
        """Choose a server that lives."""
        alive = self.alive()
        return self.rng.choice(alive) if alive else None

    def leader(self) -> Replica | None:
        """Find who leads the newest term, or, at times, an older one that does not know it yet."""
        leaders = [replica for replica in self.alive() if replica.core.role == "leader"]
        if len(leaders) > 1 and self.rng.random() < 0.3:
            return self.rng.choice(leaders)
        return max(leaders, key=lambda replica: replica.core.term, default=None)

    def _was_read(self, replica: Replica, read: ReadId, registers: dict[str, Any] | None) -> None:
        if registers is not None:
            self.clients.was_read(replica, read, registers, self.step)

    # What may happen

    def _deliver(self) -> None:
        if not self.network:
            return self._carry_out()
        # Mostly the oldest first, else nothing would ever come about.
        place = 0 if self.rng.random() < self.in_order else self.rng.randrange(len(self.network))
        return self.hand_over(self.network.pop(place))

    def hand_over(self, message: Message) -> None:
        """Let a message arrive, if nothing stands between."""
        replica = self.replicas.get(message.to)
        if replica is None or replica.raft is None or (message.source, message.to) in self.cut:
            return
        self.note(lambda: f"{message}")
        replica.receive(message)

    def _carry_out(self) -> None:
        busy = [replica for replica in self.alive() if replica.waiting]
        if not busy:
            return self.rng.choice((self._ask, self._time_out))()
        replica = self.rng.choice(busy)
        self.note(lambda: f"{replica.id} carries out {replica.waiting[0]}")
        return replica.carry_out()

    def _time_out(self) -> None:
        """Let a server be woken; mostly that time has gone by for the others as well, who are woken later or never."""
        replica = self.any_alive()
        if replica is None:
            return
        due = max(replica.core.next_deadline - replica.now, 0.0)
        for other in self.replicas.values() if self.rng.random() < 0.8 else (replica,):
            other.now += due
        self.note(lambda: f"{replica.id} ({replica.core.role}) is woken at {replica.now:g}")
        replica.wake()

    def _pass_time(self) -> None:
        late = self.rng.uniform(0.0, self.settings.election_timeout_s)
        for replica in self.replicas.values():
            replica.now += late

    def _lose(self) -> None:
        if self.network:
            self.network.pop(self.rng.randrange(len(self.network)))

    def _keep(self) -> None:
        """Let a message be doubled, and its double come much later."""
        if self.network:
            self.kept.append(self.rng.choice(self.network))

    def _replay(self) -> None:
        """Let a double arrive: just now, or of a term long past."""
        if self.kept:
            message = self.rng.choice(self.kept[-KEPT:])
            self.note(lambda: "once more:")
            self.hand_over(message)

    def _crash(self) -> None:
        replica = self.any_alive()
        if replica is not None:
            behind = self.rng.choice(("write", "send", "apply")) if replica.waiting else None
            self.note(lambda: f"{replica.id} dies" + (f" behind {behind} of {replica.waiting[0]}" if behind else ""))
            if behind is None:
                replica.die()
            else:
                replica.carry_out(behind)

    def _restart(self) -> None:
        dead = [replica for replica in self.replicas.values() if replica.raft is None]
        if dead:
            replica = self.rng.choice(dead)
            self.note(lambda: f"{replica.id} starts again")
            replica.start()

    def _cut_off(self) -> None:
        """Cut one way, both ways around one server, or between two halves; or leave only a bridge between them."""
        nodes = list(self.replicas)
        one, other = self.rng.choice(nodes), self.rng.choice(nodes)
        match self.rng.choice(("way", "server", "halves", "bridge")):
            case "way":
                self.cut.add((one, other))
            case "server":
                self.cut |= {(one, node) for node in nodes} | {(node, one) for node in nodes}
            case kind:
                side = [node for node in nodes if self.rng.random() < 0.5]
                rest = [node for node in nodes if node not in side and (kind == "halves" or node != one)]
                side = [node for node in side if kind == "halves" or node != one]
                self.cut |= {(a, b) for a in side for b in rest} | {(b, a) for a in side for b in rest}
        self.note(lambda: f"cut: {sorted(self.cut)}")

    def _heal(self) -> None:
        self.cut.clear()

    def _transfer(self) -> None:
        leader = self.leader()
        if leader is not None:
            successor = self.rng.choice(list(self.replicas))
            self.note(lambda: f"{leader.id} hands over to {successor}")
            leader.give(lambda raft: raft.transfer(successor, leader.now))

    def _compact(self) -> None:
        replica = self.any_alive()
        if replica is not None:
            replica.compact()

    def _ask(self) -> None:
        """Let one client ask, or ask again."""
        replica = self.leader() if self.rng.random() < 0.9 else self.any_alive()
        if replica is not None:
            client = self.clients.any()
            self.clients.ask(client, replica, self.step)
            self.note(lambda: f"client {client.id} asks {replica.id}: {client.asked}")


# What takes several steps


def _coup(walk: Walk) -> None:
    """Let an election go through while everything else that is under way stays so: else terms are long here."""
    replica = walk.any_alive()
    if replica is None:
        return
    for other in walk.replicas.values():
        other.now += 2 * walk.settings.election_timeout_s
    walk.note(lambda: f"{replica.id} stands")
    replica.wake()
    while True:
        for other in walk.alive():
            while other.waiting:
                other.carry_out()
        votes = [message for message in walk.network if isinstance(message, RequestVote | Vote)]
        if not votes:
            return
        walk.network[:] = [message for message in walk.network if not isinstance(message, RequestVote | Vote)]
        for message in votes:
            for _ in range(walk.rng.choice(COPIES)):
                walk.hand_over(message)


def _change_members(walk: Walk) -> None:
    """Ask for members at random: of those there are, of one who is new, and never of who has left."""
    leader = walk.leader()
    if leader is None:
        return
    configuration = leader.core.log.configuration
    if configuration.is_joint:
        ready = leader.give(lambda raft: raft.change_members((1,), (), leader.now))
        assert ready.refused is not None, "a change was begun while another is under way"
        return
    voters = [node for node in configuration.members if walk.rng.random() < 0.75] or list(configuration.voters[:1])
    learners = [node for node in configuration.members if node not in voters and walk.rng.random() < 0.5]
    fresh = max(walk.replicas) + 1
    if fresh <= MOST_MEMBERS and walk.rng.random() < 0.7:
        walk.join(fresh, Configuration())
        learners.append(fresh)
    walk.note(lambda: f"{leader.id} changes to voters {voters}, learners {learners}")
    leader.give(lambda raft: raft.change_members(voters, learners, leader.now))


# The end


def _end_well(walk: Walk) -> None:
    """Heal: time is regular now, nothing is lost; all but a minority of the voters live.  It must go on."""
    walk.step += 1
    walk.cut.clear()
    walk.note(lambda: "healed")
    for replica in walk.replicas.values():
        if replica.raft is None:
            replica.start()
    _leave_a_minority_dead(walk)
    before, late = walk.clients.answered_count, 0.0
    client = Client(CLIENTS + 1)
    walk.clients.all.append(client)
    while late < HEAL_TIMEOUTS * walk.settings.election_timeout_s:
        _settle(walk)
        if client.session:
            assert walk.clients.answered_count > before
            return
        leader = walk.leader()
        if leader is not None:
            walk.clients.ask(client, leader, walk.step)
            _settle(walk)
        due = min(max(replica.core.next_deadline - replica.now, 0.0) for replica in walk.alive())
        late += due
        for replica in walk.alive():
            replica.now += due
        for replica in walk.alive():
            if replica.now >= replica.core.next_deadline:
                replica.wake()
    roles = {replica.id: (replica.core.role, replica.core.term) for replica in walk.alive()}
    raise Broken(f"liveness: no command is answered {HEAL_TIMEOUTS:g} election timeouts after all is healed: {roles}")


def _leave_a_minority_dead(walk: Walk) -> None:
    """Kill some, so that a quorum of every configuration that may be in force still lives."""
    found = [replica.core.log.configuration for replica in walk.alive()]
    halves = sorted({half for each in found for half in (each.voters, each.outgoing) if half})
    for node in sorted(walk.replicas):
        dead = {node} | {other for other, replica in walk.replicas.items() if replica.raft is None}
        if walk.rng.random() < 0.3 and all(len(set(half) - dead) >= majority(len(half)) for half in halves):
            walk.replicas[node].die()


def _settle(walk: Walk) -> None:
    """Carry out and deliver everything, in order, until all is quiet."""
    while walk.network or any(replica.waiting for replica in walk.alive()):
        for replica in walk.alive():
            while replica.waiting:
                replica.carry_out()
        messages = walk.network[:]
        walk.network.clear()
        for message in messages:
            walk.hand_over(message)


def walk(seed: int, steps: int = STEPS, *, transcript: bool = False) -> WalkResult:
    """Walk once.  The same seed walks the same way."""
    return Walk(seed, steps, transcript=transcript).run()
