"""What every untimed walk over replicas has in common: eras, messages under way, deaths, and what is said of them.

    an era: how likely each act is --its steps are done--> the next era ... --all steps are done--> it must end well

What may happen besides, and how a walk must end, is for each kind of walk to say.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from concerted.consensus.quorum import NodeId
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.lying import Lying
from concerted.sim.cluster.partitions import Way, ways_cut
from concerted.sim.cluster.replica import Replica

__all__ = ["Likely", "Wandering"]

ERAS = (50, 150, 400)  # steps
KEPT = 60  # doubles that may still come

R = TypeVar("R", bound=Replica[Any])
Likely = Sequence[tuple[Callable[[], None], float]]


class Wandering(ABC, Generic[R]):
    """One walk.  network: messages under way.  kept: their doubles.  cut: ways on which nothing arrives.

    network_limit: messages under way; beyond that the oldest are lost.  replicas: all that do not lie.  liars: the
    others.  timeout_s: after so long replicas lose patience.  rates: how fast clocks run, where a protocol bounds how
    far they run apart; else each runs as it likes.
    """

    network_limit: ClassVar[int] = 400
    replicas: dict[NodeId, R]
    timeout_s: float

    def __init__(self, rng: random.Random, steps: int, *, transcript: bool) -> None:
        self.rng = rng
        self.steps = steps
        self.step = 0
        self.network: list[Any] = []
        self.kept: list[Any] = []
        self.cut: set[Way] = set()
        self.liars: Mapping[NodeId, Lying] = {}
        self.rates: dict[NodeId, float] = {}
        self.transcript: list[str] = []
        self.wants_transcript = transcript

    @abstractmethod
    def likely(self) -> Likely:
        """Draw how likely each act is, for a while."""

    @abstractmethod
    def idle(self) -> Sequence[Callable[[], None]]:
        """Return what may happen instead, where nothing is under way and nothing waits to be carried out."""

    @abstractmethod
    def ask_of(self, replica: R) -> None:
        """Let some client ask this replica, which lives."""

    @abstractmethod
    def end_well(self) -> None:
        """Heal; then it must go on."""

    def wander(self) -> tuple[str, ...]:
        """Walk to the end, and say what was wrong."""
        try:
            while self.step < self.steps:
                self.step += 1
                if self.step >= self.era:
                    self._begin_era()
                self.rng.choices(self._acts, self._weights)[0]()
                if len(self.network) > self.network_limit:
                    del self.network[: -self.network_limit]
            self.end_well()
        except (Broken, AssertionError) as error:
            self.note(lambda: "BROKEN")
            return (f"step {self.step}: {error}",)
        return ()

    def note(self, what: Callable[[], str]) -> None:
        """Add a line to the transcript, if anybody wants one."""
        if self.wants_transcript:
            self.transcript.append(f"{self.step:6}  {what()}")

    def alive(self) -> list[R]:
        """Return all replicas that live, and do not lie."""
        return [replica for replica in self.replicas.values() if replica.running is not None]

    def any_alive(self) -> R | None:
        """Choose a replica that lives."""
        alive = self.alive()
        return self.rng.choice(alive) if alive else None

    def _begin_era(self) -> None:
        """Draw how likely each kind of step is for a while: quiet times, and times in which much goes wrong."""
        self.era = self.step + self.rng.choice(ERAS)
        self.in_order = self.rng.choice((0.3, 0.8, 0.95))
        likely = self.likely()
        self._acts = [act for act, _ in likely]
        self._weights = [weight for _, weight in likely]

    # What may happen on any walk

    def _deliver(self) -> None:
        if not self.network:
            return self._carry_out()
        # Mostly the oldest first, else nothing would ever come about.
        place = 0 if self.rng.random() < self.in_order else self.rng.randrange(len(self.network))
        return self.hand_over(self.network.pop(place))

    def hand_over(self, message: Any) -> None:
        """Let a message arrive, if nothing stands between."""
        if (message.source, message.to) in self.cut:
            return
        if message.to in self.liars:
            self.note(lambda: f"{message}")
            self.liars[message.to].receive(message)
            return
        replica = self.replicas.get(message.to)
        if replica is not None and replica.running is not None:
            self.note(lambda: f"{message}")
            replica.receive(message)

    def _carry_out(self) -> None:
        busy = [replica for replica in self.alive() if replica.waiting]
        if not busy:
            return self.rng.choice(self.idle())()
        replica = self.rng.choice(busy)
        self.note(lambda: f"{replica.id} carries out {replica.waiting[0]}")
        return replica.carry_out()

    def _time_out(self) -> None:
        """Let a replica be woken; mostly that time has gone by for the others as well, who are woken later or never."""
        replica = self.any_alive()
        if replica is None or replica.core.next_deadline == float("inf"):
            return
        due = max(replica.core.next_deadline - replica.now, 0.0)
        if self.rates:
            self.pass_time(due / self.rates[replica.id])
            replica.now = max(replica.now, replica.core.next_deadline)
        else:
            for other in self.replicas.values() if self.rng.random() < 0.8 else (replica,):
                other.now += due
        self.note(lambda: f"{replica.id} is woken at {replica.now:g}")
        replica.wake()

    def _pass_time(self) -> None:
        self.pass_time(self.rng.uniform(0.0, self.timeout_s))

    def pass_time(self, true_s: float) -> None:
        """Let time go by for all, as fast as their clocks run."""
        for replica in self.replicas.values():
            replica.now += true_s * self.rates.get(replica.id, 1.0)

    def _restart(self) -> None:
        dead = [replica for replica in self.replicas.values() if replica.running is None and not replica.is_lost]
        if dead:
            replica = self.rng.choice(dead)
            self.note(lambda: f"{replica.id} starts again")
            replica.disk.is_full = False
            replica.start()

    def _cut_off(self) -> None:
        self.cut |= ways_cut(self.rng, sorted({*self.replicas, *self.liars}))
        self.note(lambda: f"cut: {sorted(self.cut)}")

    def _lie(self) -> None:
        if self.liars:
            liar = self.liars[self.rng.choice(list(self.liars))]
            liar.go_on(max(replica.now for replica in self.replicas.values()))
            if self.rng.random() < 0.3:
                liar.scheme()

    def round(self) -> None:
        """Carry out and deliver everything that is there, in order."""
        for replica in self.alive():
            while replica.waiting:
                replica.carry_out()
        if self.liars:
            now = max(replica.now for replica in self.replicas.values())
            for liar in self.liars.values():
                liar.go_on(now)
        messages = self.network[:]
        self.network.clear()
        for message in messages:
            self.hand_over(message)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way, and no honest replica has anything to carry out."""
        return not self.network and not any(replica.waiting for replica in self.alive())

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
        """Let a replica die, at once or behind a part of what it carries out."""
        replica = self.any_alive()
        if replica is not None:
            behind = self.rng.choice(("write", "send", "apply")) if replica.waiting else None
            self.note(lambda: f"{replica.id} dies" + (f" behind {behind} of {replica.waiting[0]}" if behind else ""))
            if behind is None:
                replica.die()
            else:
                replica.carry_out(behind)
