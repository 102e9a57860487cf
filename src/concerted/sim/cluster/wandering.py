"""What every untimed walk over replicas has in common: eras, messages under way, deaths, and what is said of them.

    an era: how likely each act is --its steps are done--> the next era ... --all steps are done--> it must end well

What may happen besides, and how a walk must end, is for each kind of walk to say.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.partitions import Way
from concerted.sim.cluster.replica import Replica

__all__ = ["Likely", "Wandering"]

ERAS = (50, 150, 400)  # steps
KEPT = 60  # doubles that may still come

R = TypeVar("R", bound=Replica[Any])
Likely = Sequence[tuple[Callable[[], None], float]]


class Wandering(ABC, Generic[R]):
    """One walk.  network: messages under way.  kept: their doubles.  cut: ways on which nothing arrives.

    network_limit: messages under way; beyond that the oldest are lost.
    """

    network_limit: ClassVar[int] = 400

    def __init__(self, rng: random.Random, steps: int, *, transcript: bool) -> None:
        self.rng = rng
        self.steps = steps
        self.step = 0
        self.network: list[Any] = []
        self.kept: list[Any] = []
        self.cut: set[Way] = set()
        self.transcript: list[str] = []
        self.wants_transcript = transcript

    @abstractmethod
    def likely(self) -> Likely:
        """Draw how likely each act is, for a while."""

    @abstractmethod
    def alive(self) -> list[R]:
        """Return all replicas that live."""

    @abstractmethod
    def hand_over(self, message: Any) -> None:
        """Let a message arrive, if nothing stands between."""

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
        # Mostly the oldest first, else nothing would ever come about.
        place = 0 if self.rng.random() < self.in_order else self.rng.randrange(len(self.network))
        self.hand_over(self.network.pop(place))

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
