"""Untimed random walks over replicas that keep decisions: at each step anything may happen next.

A message may come a hundred terms late, a replica may die between any two parts of what it does, wall clocks go as they
like, whoever waits asks whomever he likes, and, over PBFT, liars lie.  Each seed draws the group, how it is set, who
wants what of it, and for one while after the other how likely each kind of step is.

In the end all is healed but a minority, and all deadlines have passed by all clocks, though liars go on to lie: then
everybody must be answered, and what has a deadline be closed, within a stated number of election timeouts.

Source of drawn likelihoods: Groce et al., Swarm Testing, ISSTA 2012.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import Ready
from concerted.ports.decisions import CreateDecision
from concerted.sim.cluster.algorithm import ELECTION_TIMEOUT_S, HEAL_TIMEOUTS, Act
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.replica import Replica
from concerted.sim.cluster.walk import exchange, leave_a_minority_dead
from concerted.sim.cluster.wandering import Likely, Wandering
from concerted.sim.decisions.assembly import BEGAN_AT, WALLS_S, Assembly
from concerted.sim.decisions.errands import Asker, draw_askers
from concerted.sim.decisions.keeping import KEEPINGS

__all__ = ["DecisionsWalk", "DecisionsWalkResult", "decisions_walk"]

STEPS = 800
TICK_S = 20.0  # the most that wall clocks go on at once
OVER_S = 200.0  # behind the beginning all deadlines have passed
RETRY_S = 2.0  # how long somebody waits for an answer, when all is healed
ROUNDS = 200  # of messages, before time goes by in a healed group


@dataclass(frozen=True, slots=True)
class DecisionsWalkResult:
    """What came of one walk.  problems: empty if all is well.  closed: decisions."""

    seed: int
    problems: tuple[str, ...]
    steps: int
    chosen: int
    leaders: int
    answered: int
    closed: int
    transcript: tuple[str, ...] = field(default=(), repr=False)


class DecisionsWalk(Wandering[Replica[Any]]):
    """One group and what happens to it.  protocol: one of KEEPINGS."""

    network_limit = 600

    def __init__(self, protocol: str, seed: int, steps: int = STEPS, *, transcript: bool = False) -> None:
        rng = random.Random(f"{seed}/decide walk/{protocol}")
        super().__init__(rng, steps, transcript=transcript)
        self.seed = seed
        keeping = KEEPINGS[protocol](rng, 0)
        self.algorithm = keeping.algorithm
        settings = self.algorithm.walk_settings(rng)
        self.drift = self.algorithm.drift(settings)
        self.walls: dict[NodeId, float] = {}
        self.true_wall = BEGAN_AT
        self.timeout_s = ELECTION_TIMEOUT_S
        self.replicas: dict[NodeId, Replica[Any]] = {}
        self.assembly: Assembly[Any] = Assembly(
            keeping=keeping,
            settings=settings,
            rng=rng,
            replicas=self.replicas,
            send=self.network.append,
            wall=lambda node: self.walls.get(node, self.true_wall),
            askers=draw_askers(rng, BEGAN_AT),
        )
        self.checks, self.crowd = self.assembly.watch, self.assembly.crowd
        self.crowd.on_end = self._ended
        self.liars = self.assembly.liars
        self.answered: list[bytes] = []
        first = Configuration.of(self.assembly.nodes)
        for node in first.voters:
            if node not in self.liars:
                self._add(node, first)
        self.note(lambda: f"{len(first.voters)} replicas, {settings}; liars: {dict(keeping.liars)}")
        self._begin_era()

    def likely(self) -> Likely:
        """Draw how likely each act is, for a while."""
        rng = self.rng
        return [
            (self._deliver, 60.0),
            (self._carry_out, 40.0),
            (self._time_out, rng.choice((0.3, 1.0, 2.0))),
            (self._coup, rng.choice((0.0, 0.3, 1.0))),
            (self._rush, rng.choice((0.0, 0.5, 2.0))),
            (self._ask, rng.choice((2.0, 4.0, 8.0))),
            (self._ask_once_more, rng.choice((0.0, 0.3))),
            (self._tick, rng.choice((0.1, 0.5, 1.0))),
            (self._say_time, rng.choice((0.3, 2.0))),
            (self._pass_time, rng.choice((0.0, 1.0, 4.0))),
            (self._lose, rng.choice((0.0, 0.5, 8.0))),
            (self._keep, rng.choice((0.5, 4.0))),
            (self._replay, rng.choice((0.0, 0.5, 3.0))),
            (self._crash, rng.choice((0.0, 0.3, 1.5))),
            (self._restart, 2.0),
            (self._cut_off, rng.choice((0.0, 0.0, 1.0))),
            (self.cut.clear, rng.choice((0.2, 1.0))),
            *((self._bind(act), rng.choice(act.weights)) for act in self.algorithm.acts),
            (self._compact, rng.choice((0.0, 0.3, 2.0))),
            (self._lie, rng.choice((1.0, 4.0))),
        ]

    def _bind(self, act: Act[Any]) -> Callable[[], None]:
        return lambda: act.do(self)

    def idle(self) -> Sequence[Callable[[], None]]:
        """Return what may happen instead."""
        return (self._ask, self._time_out, self._lie)

    # The walk

    def run(self) -> DecisionsWalkResult:
        """Walk, heal, and say what was wrong."""
        problems = self.wander()
        checks = self.checks
        return DecisionsWalkResult(
            self.seed, problems, checks.steps, len(checks.chosen), len(checks.leaders), self.crowd.answered_count,
            len(self.assembly.court.closed), tuple(self.transcript),
        )  # fmt: skip

    # What acts may ask for

    def leader(self) -> Replica[Any] | None:
        """Find who leads the newest term."""
        leaders = [replica for replica in self.alive() if self.algorithm.leads(replica.core)]
        return max(leaders, key=lambda replica: replica.core.term, default=None)

    def join(self, node: NodeId) -> None:
        """Start another server, which knows of no members yet."""
        self._add(node, Configuration())

    def give(self, replica: Replica[Any], act: Callable[[Any], Ready[Any, Any]]) -> Ready[Any, Any]:
        """Give a core an input."""
        return replica.give(act)

    def _add(self, node: NodeId, configuration: Configuration) -> None:
        keeper = self.assembly.keeper(node, configuration)
        self.walls[node] = self.true_wall + self.rng.uniform(0.0, WALLS_S)
        if self.drift is not None:
            self.rates[node] = 1.0 + self.rng.uniform(-self.drift, self.drift)
        keeper.start()

    # What may happen

    def _coup(self) -> None:
        """Let an election go through while all else that is under way stays so: else terms are long here."""
        self.pass_time(2 * ELECTION_TIMEOUT_S)
        signed = self.assembly.keeping.is_signed
        for replica in self.alive() if signed else [self.any_alive()]:
            if replica is not None and (not signed or self.rng.random() < 0.8):
                self.note(lambda replica=replica: f"{replica.id} loses patience")  # type: ignore[misc]
                replica.wake()
        if not signed:
            exchange(self, self.algorithm.election)

    def _rush(self) -> None:
        """Let much go through in order: else little is ever decided."""
        for _ in range(self.rng.choice((2, 5, 9))):
            self.round()

    def _compact(self) -> None:
        replica = self.any_alive()
        if replica is not None:
            replica.compact(self.algorithm.compacted(replica.core))

    def _tick(self) -> None:
        """Let wall clocks go on: all of them, or one alone."""
        late = self.rng.uniform(0.0, TICK_S)
        one = self.any_alive()
        if one is not None and self.rng.random() < 0.3:
            self.walls[one.id] += late
        else:
            self._go_on(late)

    def _go_on(self, late: float) -> None:
        self.true_wall += late
        for node in self.walls:
            self.walls[node] += late

    def _say_time(self) -> None:
        """Let somebody say the time, if it is for him to say."""
        replica = self.any_alive()
        if replica is not None and self.assembly.is_due(replica.id):
            self._put(replica.id, [self.assembly.time(replica.id)])

    def _ask(self) -> None:
        """Let one who waits ask whoever leads, or anybody, or all."""
        rng, leader = self.rng, self.leader()
        there = [*(replica.id for replica in self.alive()), *self.liars]
        if there:
            node = leader.id if leader is not None and rng.random() < 0.8 else rng.choice(there)
            self._ask_some(there if rng.random() < 0.3 and self.assembly.keeping.is_signed else [node])

    def ask_of(self, replica: Replica[Any]) -> None:
        """Let one who waits ask this replica, which lives."""
        self._ask_some([replica.id])

    def _ask_some(self, nodes: Sequence[NodeId]) -> None:
        """Let one who waits ask these; decisions are opened before they are voted on, mostly."""
        waiting = self.crowd.waiting
        if waiting:
            opening = [asker for asker in waiting if _opens(asker)]
            asker = self.rng.choice(opening if opening and self.rng.random() < 0.5 else waiting)
            self._ask_these(nodes, asker.next_command(), f"{asker.agent}'s process {asker.id}")

    def _ask_once_more(self) -> None:
        """Let what was answered come once more."""
        replica = self.any_alive()
        if self.answered and replica is not None:
            self._ask_these([replica.id], self.rng.choice(self.answered), "somebody, once more,")

    def _ask_these(self, nodes: Sequence[NodeId], command: bytes, who: str) -> None:
        self.note(lambda: f"{who} asks {', '.join(map(str, nodes))}")
        entered = self.assembly.signed(nodes[0], command)
        for node in nodes:
            if node in self.liars:
                self.assembly.ask(node, [entered])
            else:
                self._put(node, self.assembly.with_time(node, entered))

    def _put(self, node: NodeId, commands: Sequence[bytes]) -> None:
        keeper = self.replicas[node]
        keeper.give(lambda core: core.propose(list(commands), keeper.now))

    def _ended(self, _: Asker, command: bytes) -> None:
        if command:
            self.answered.append(command)

    # The end

    def end_well(self) -> None:
        """Heal all but a minority; then all must be answered, and all be closed that has a deadline, in time."""
        self.step += 1
        self.cut.clear()
        self.note(lambda: "healed")
        for replica in self.replicas.values():
            if replica.running is None:
                replica.start()
        leave_a_minority_dead(self.algorithm, self.replicas, self.rng)
        self._go_on(max(0.0, BEGAN_AT + OVER_S - self.true_wall))
        late, asked_at = 0.0, float("-inf")
        while late < HEAL_TIMEOUTS * ELECTION_TIMEOUT_S:
            if late >= asked_at + RETRY_S:
                asked_at = late
                self._ask_all()
            for _ in range(ROUNDS):
                self.round()
                if self.is_quiet:
                    break
            if not self.crowd.waiting and self.assembly.latest_deadline_at() is None:
                return self.assembly.judge_whole()
            late += self._pass_some_time()
            for liar in self.liars.values():
                liar.scheme()
        found = {replica.id: (replica.core.leader, replica.core.term) for replica in self.alive()}
        latest = self.assembly.latest_deadline_at()
        raise Broken(f"liveness: {len(self.crowd.waiting)} wait, open until {latest}: {found}")

    def _ask_all(self) -> None:
        """Let everybody ask who waits, and whoever is to say the time say it."""
        leader = self.leader()
        alive = [replica.id for replica in self.alive()]
        asked = alive if leader is None or self.assembly.keeping.is_signed else [leader.id]
        for asker in self.crowd.waiting:
            self._ask_these(asked, asker.next_command(), f"{asker.agent}'s process {asker.id}")
        for node in alive:
            if self.assembly.is_due(node):
                self._put(node, [self.assembly.time(node)])

    def _pass_some_time(self) -> float:
        due: float = min(replica.core.next_deadline - replica.now for replica in self.alive())
        late = min(max(due, 0.1), RETRY_S)
        for replica in self.alive():
            replica.now += late
            if replica.now >= replica.core.next_deadline:
                replica.wake()
        self._go_on(late)
        return late


def _opens(asker: Asker) -> bool:
    """Say whether somebody is about to open a decision."""
    return not asker.command and bool(asker.errands) and isinstance(asker.errands[0][1], CreateDecision)


def decisions_walk(protocol: str, seed: int, steps: int = STEPS, *, transcript: bool = False) -> DecisionsWalkResult:
    """Walk once.  The same seed walks the same way."""
    return DecisionsWalk(protocol, seed, steps, transcript=transcript).run()
