"""The machine of a liar: it hears, goes on, and does what nobody has asked for, to the end of the world."""

import random

from concerted.sim.worlds.lair import Lair
from concerted.sim.worlds.timeline import Life, Timeline


class Liar:
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.went_on: list[float] = []
        self.schemes = 0

    def receive(self, message: object) -> None:
        self.heard.append(message)

    def go_on(self, now: float) -> None:
        self.went_on.append(now)

    def scheme(self) -> None:
        self.schemes += 1


def test_a_liar_hears_and_goes_on() -> None:
    timeline, liar, life = Timeline(), Liar(), Life()
    lair = Lair(liar, timeline, life, random.Random(1))
    lair.call_at(3.0, lair.arrive, "something")
    timeline.run(life)
    assert (liar.heard, liar.went_on) == (["something"], [3.0])


def test_it_lies_until_the_world_ends() -> None:
    timeline, liar, life = Timeline(), Liar(), Life()
    lair = Lair(liar, timeline, life, random.Random(1))
    lair.lie()
    timeline.at(60.0, life, setattr, life, "over", True)
    timeline.run(life)
    assert len(liar.went_on) > 60
    assert 60 > liar.schemes > 10
