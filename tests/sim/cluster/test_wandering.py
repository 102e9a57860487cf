"""What every walk has in common."""

import random

from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.wandering import Wandering


class Stroll(Wandering):
    """A walk of one act, over no replicas.  heard: what has arrived."""

    network_limit = 3

    def __init__(self, act, steps: int = 10) -> None:
        super().__init__(random.Random(1), steps, transcript=True)
        self.act, self.heard, self.has_ended = act, [], False
        self._begin_era()

    def likely(self):
        return [(lambda: self.act(self), 1.0)]

    def alive(self):
        return []

    def hand_over(self, message) -> None:
        self.heard.append(message)

    def end_well(self) -> None:
        self.has_ended = True


def test_a_walk_takes_its_steps_and_then_ends_well() -> None:
    walked = Stroll(lambda walk: walk.note(lambda: "a step"), steps=3)
    assert walked.wander() == ()
    assert walked.transcript == ["     1  a step", "     2  a step", "     3  a step"]
    assert walked.has_ended


def test_what_is_broken_ends_a_walk_and_is_said_with_its_step() -> None:
    def fall(walk: Stroll) -> None:
        if walk.step == 4:
            raise Broken("two leaders")

    walked = Stroll(fall)
    assert walked.wander() == ("step 4: two leaders",)
    assert walked.transcript == ["     4  BROKEN"]
    assert not walked.has_ended


def test_beyond_the_limit_the_oldest_messages_are_lost() -> None:
    walked = Stroll(lambda walk: walk.network.append(walk.step))
    walked.wander()
    assert walked.network == [8, 9, 10]


def test_a_message_that_was_kept_arrives_once_more() -> None:
    def double(walk: Stroll) -> None:
        if walk.step == 1:
            walk.network.append("vote")
            walk._keep()
            walk._deliver()
        walk._replay()

    walked = Stroll(double, steps=2)
    walked.wander()
    assert walked.heard == ["vote", "vote", "vote"]


def test_where_nobody_lives_nobody_dies() -> None:
    walked = Stroll(Wandering._crash)
    assert walked.wander() == ()
