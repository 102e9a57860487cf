"""The machine of one liar in virtual time: nothing ever ends it, and now and then it does something unasked."""

from __future__ import annotations

import random
from typing import Any

from concerted.sim.cluster.lying import Lying
from concerted.sim.worlds.timeline import Life, Timeline

__all__ = ["Lair"]

LIES_S = 0.5  # how often a liar does something unasked


class Lair:
    """One machine, whose time is the world's.  life: the world's."""

    def __init__(self, liar: Lying, timeline: Timeline, life: Life, rng: random.Random) -> None:
        self.liar = liar
        self._timeline = timeline
        self._life = life
        self._rng = rng

    def call_at(self, when: float, act: object, *args: object) -> None:
        """Have something happen to it."""
        assert callable(act)
        self._timeline.at(when, self._life, act, *args)

    def arrive(self, message: Any) -> None:
        """Take a message, and carry out what follows."""
        self.liar.receive(message)
        self.liar.go_on(self._timeline.now)

    def lie(self) -> None:
        """Go on, to the end of the world."""
        self.liar.go_on(self._timeline.now)
        if self._rng.random() < 0.3:
            self.liar.scheme()
        self._timeline.at(self._timeline.now + LIES_S * (0.5 + self._rng.random()), self._life, self.lie)
