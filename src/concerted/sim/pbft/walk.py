"""Untimed random walks over a group of PBFT replicas of which some lie: at each step anything may happen next.

A message may arrive now or after a hundred views, a timer may run off at any moment, a replica may die between any two
parts of what it does, and liars lie.  Each seed draws the size of the group, how it is set, how many lie and how, and
for one while after the other how likely each kind of step is.

In the end the network is healed, all honest replicas live and time is regular, though liars go on to lie: then a new
client must be answered within a stated number of timeouts.

Source of drawn likelihoods: Groce et al., Swarm Testing, ISSTA 2012.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from concerted.consensus.pbft.messages import Request
from concerted.consensus.pbft.settings import Settings as Own
from concerted.consensus.quorum import NodeId
from concerted.errors import Invalid
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.settings import DRAWN, Settings
from concerted.sim.cluster.wandering import Likely, Wandering
from concerted.sim.pbft.cluster import Asked, Client, PbftCluster
from concerted.sim.pbft.liars import KINDS, Liar
from concerted.sim.pbft.lying_client import LyingClient
from concerted.sim.pbft.replica import PbftReplica

__all__ = [
    "HEAL_TIMEOUTS", "PbftWalk", "PbftWalkResult", "draw_liars", "draw_lying_client", "draw_settings", "pbft_walk",
    "size_of",
]  # fmt: skip

STEPS = 800
LEAST_SIZE = 4
PIECE_BYTES = 32  # of a state: a few pieces each
LATE_KINDS = ("repeating",)
TIMEOUT_S = 10.0
HEAL_TIMEOUTS = 30.0  # request timeouts within which a healed group must answer
ROUNDS = 60  # of messages, before time goes by in a healed group


@dataclass(frozen=True, slots=True)
class PbftWalkResult:
    """What came of one walk.  problems: empty if all is well."""

    seed: int
    steps: int
    problems: tuple[str, ...]
    history: tuple[Asked, ...]
    chosen_count: int
    views_count: int
    answered_count: int
    accused_count: int
    healed_after_s: float
    transcript: tuple[str, ...] = field(default=(), repr=False)


def draw_liars(rng: random.Random, size: int, late: random.Random | None = None) -> dict[NodeId, tuple[str, ...]]:
    """Draw who lies, at most f, and how.  late: dice of their own for what is drawn here since later, so that what else
    a seed draws stays as it was; without them nobody lies so."""
    count = rng.choice((0, *[(size - 1) // 3] * 3))
    found: dict[NodeId, tuple[str, ...]] = {}
    for node in sorted(rng.sample(range(1, size + 1), count)):
        found[node] = tuple(kind for kind in KINDS if kind not in LATE_KINDS and rng.random() < 0.35)
        found[node] += tuple(kind for kind in LATE_KINDS if late is not None and late.random() < 0.35)
    return found


def draw_lying_client(late: random.Random, drawn: Own) -> tuple[bool, Own]:
    """Draw whether there is a client that lies, and how replicas are set then: so that numbers are soon too old."""
    if late.random() < 0.6:
        return False, drawn
    return True, replace(drawn, numbers_count=late.choice((1, 3, 1000)))


def size_of(settings: Settings, drawn: int) -> int:
    """Return how large a group is.

    Raises:
        Invalid: PBFT has no groups of the size that was set.
    """
    size = settings.servers or drawn
    if size < LEAST_SIZE or size % 3 != 1:
        raise Invalid(f"setting servers={size}: a group of PBFT has 3f + 1 replicas: 4, 7, 10 ...")
    return size


def draw_settings(rng: random.Random) -> Own:
    """Draw how replicas are set: with short logs, so that checkpoints and watermarks come often."""
    interval = rng.choice((2, 3, 10))
    return Own(
        request_timeout_s=TIMEOUT_S,
        longest_timeout_s=4 * TIMEOUT_S,
        retry_interval_s=rng.choice((1.0, 3.0)),
        batch_count=rng.choice((1, 1, 3, 100)),
        piece_bytes=PIECE_BYTES,
        pipeline_count=rng.choice((1, 2, 8)),
        checkpoint_interval=interval,
        window=interval * 2,
        waiting_count=rng.choice((5, 1000)),
    )


class PbftWalk(Wandering[PbftReplica]):
    """One group and what happens to it."""

    network_limit = 600
    liars: dict[NodeId, Liar]

    def __init__(
        self, seed: int, settings: Settings = DRAWN, *, steps: int = STEPS, transcript: bool = False
    ) -> None:  # fmt: skip
        super().__init__(random.Random(f"{seed}/pbft walk"), steps, transcript=transcript)
        self.seed = seed
        rng = self.rng
        size = size_of(settings, rng.choice((4, 4, 4, 4, 7)))
        late = random.Random(f"{seed}/pbft walk, late")
        kinds = draw_liars(rng, size, late)
        has_lying_client, drawn = draw_lying_client(late, draw_settings(rng))
        own = settings.over(drawn)
        self.cluster = PbftCluster(
            size, frozenset(kinds), own, rng, self.network.append, clock=lambda: float(self.step)
        )
        self.liars = {
            node: Liar(self.cluster, node, rng, kinds[node], self.network.append) for node in sorted(kinds)
        }  # fmt: skip
        self.replicas = self.cluster.replicas
        self.lying_client = (
            LyingClient(self.cluster.group, self.cluster.checks.signed, late, self._hear_client)
            if has_lying_client
            else None
        )
        self.timeout_s = own.request_timeout_s
        self.healed_after_s = 0.0
        self.note(
            lambda: f"{size} replicas, {self.cluster.settings}; liars: {kinds}" + " and a client" * has_lying_client
        )
        self._begin_era()

    def likely(self) -> Likely:
        """Draw how likely each act is, for a while."""
        rng = self.rng
        likely: Likely = [
            (self._deliver, 60.0),
            (self._carry_out, 40.0),
            (self._time_out, rng.choice((0.3, 1.0, 4.0))),
            (self._coup, rng.choice((0.0, 0.3, 1.0))),
            (self._rush, rng.choice((0.0, 0.5, 2.0))),
            (self._ask, rng.choice((1.0, 4.0, 8.0))),
            (self._pass_time, rng.choice((0.0, 1.0, 4.0))),
            (self._lose, rng.choice((0.0, 0.5, 8.0))),
            (self._keep, rng.choice((0.5, 4.0))),
            (self._replay, rng.choice((0.0, 0.5, 3.0))),
            (self._crash, rng.choice((0.0, 0.3, 1.5))),
            (self._restart, 2.0),
            (self._cut_off, rng.choice((0.0, 0.0, 1.0))),
            (self.cut.clear, rng.choice((0.2, 1.0))),
            (self._lie, rng.choice((1.0, 4.0))),
        ]
        return likely if self.lying_client is None else [*likely, (self.lying_client.lie, rng.choice((1.0, 6.0)))]

    # The walk

    def run(self) -> PbftWalkResult:
        """Walk, heal, and say what was wrong."""
        problems = self.wander()
        checks = self.cluster.checks
        return PbftWalkResult(
            self.seed, checks.steps, problems, tuple(self.cluster.history), len(checks.chosen), checks.views,
            self.cluster.answered_count, len(checks.accused), self.healed_after_s, tuple(self.transcript),
        )  # fmt: skip

    def end_well(self) -> None:
        """Heal; then a client must be answered in time, whatever liars do."""
        _end_well(self)

    # What may happen

    def idle(self) -> Sequence[Callable[[], None]]:
        """Return what may happen instead."""
        return (self._ask, self._time_out, self._lie)

    def _coup(self) -> None:
        """Let many lose patience at once: else views are long here."""
        for replica in self.cluster.alive():
            if self.rng.random() < 0.8:
                replica.now += 5 * self.timeout_s
                self.note(lambda replica=replica: f"{replica.id} loses patience")  # type: ignore[misc]
                replica.wake()

    def _rush(self) -> None:
        """Let much go through in order: else little is ever decided."""
        for _ in range(self.rng.choice((2, 5, 9))):
            self.round()

    def _ask(self) -> None:
        """Let one client ask one replica, or all."""
        client = self.rng.choice(self.cluster.clients)
        request = self.cluster.want(client)
        everybody = self.rng.random() < 0.3
        self.note(lambda: f"{client.name} asks {'all' if everybody else 'one'}: {client.asked}")
        for replica in self.cluster.alive() if everybody else [self.any_alive()]:
            if replica is not None:
                replica.ask(request)

    def _hear_client(self, node: NodeId, request: Request) -> None:
        """Let a replica hear the client that lies."""
        self.note(lambda: f"{node} hears of {request}")
        if node in self.liars:
            self.liars[node].ask(request)
        elif self.replicas[node].running is not None:
            self.replicas[node].ask(request)

    def ask_of(self, replica: PbftReplica) -> None:
        """Let some client ask this replica, which lives."""
        replica.ask(self.cluster.want(self.rng.choice(self.cluster.clients)))


def _end_well(walk: PbftWalk) -> None:
    """Heal: time is regular now, nothing is lost, all honest replicas live.  It must go on, whatever liars do."""
    walk.step += 1
    walk.cut.clear()
    walk.note(lambda: "healed")
    began = max(replica.now for replica in walk.replicas.values())
    for replica in walk.replicas.values():
        replica.now = began
        if replica.running is None:
            replica.start()
    client = walk.cluster.last_client
    answered_at = _go_on(walk, began, client, lambda: client.request is None)
    if answered_at is None:
        raise Broken(f"liveness: nobody is answered {HEAL_TIMEOUTS:g} timeouts after all is healed: {_views(walk)}")
    walk.healed_after_s = answered_at - began
    index = max(replica.core.replica.index for replica in walk.cluster.alive())
    if _go_on(walk, answered_at, None, lambda: not _is_anybody_behind(walk, index)) is None:
        raise Broken(f"liveness: somebody is behind {HEAL_TIMEOUTS:g} timeouts after all is healed: {_views(walk)}")


def _go_on(walk: PbftWalk, began: float, client: Client | None, is_done: Callable[[], bool]) -> float | None:
    """Let time go by until something is so, and return when; None: that was not so in time.  client: asks meanwhile."""
    timeout_s = walk.timeout_s
    now, ask_at = began, float("inf") if client is None else began
    while now < began + HEAL_TIMEOUTS * timeout_s:
        if client is not None and now >= ask_at:
            ask_at = now + timeout_s / 2
            request = walk.cluster.want(client)
            for replica in walk.cluster.alive():
                replica.ask(request)
        for _ in range(ROUNDS):
            walk.round()
            if walk.is_quiet:
                break
        if is_done():
            return now
        due = min(replica.core.next_deadline for replica in walk.cluster.alive())
        now = max(now + 0.1, min(due, ask_at))
        for replica in walk.cluster.alive():
            replica.now = now
            if now >= replica.core.next_deadline:
                replica.wake()
        for liar in walk.liars.values():
            liar.scheme()
        if walk.lying_client is not None:
            walk.lying_client.lie()
    return None


def _is_anybody_behind(walk: PbftWalk, index: int) -> bool:
    """Say whether a replica has not carried out an entry; one that is in no view, alone, may wait for a checkpoint."""
    active = [replica.core for replica in walk.cluster.alive() if replica.core.leader is not None]
    return any(core.replica.index < index for core in active)


def _views(walk: PbftWalk) -> dict[NodeId, tuple[int, NodeId | None]]:
    return {replica.id: (replica.core.term, replica.core.leader) for replica in walk.cluster.alive()}


def pbft_walk(seed: int, settings: Settings = DRAWN, *, transcript: bool = False) -> PbftWalkResult:
    """Walk once.  The same seed walks the same way."""
    return PbftWalk(seed, settings, transcript=transcript).run()
