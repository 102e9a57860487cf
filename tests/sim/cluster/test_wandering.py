"""What every walk has in common."""

import random
from types import SimpleNamespace

from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.wandering import Wandering


class Stroll(Wandering):
    """A walk of one act, over no replicas.  heard: what has arrived."""

    network_limit = 3

    def __init__(self, act, steps: int = 10) -> None:
        super().__init__(random.Random(1), steps, transcript=True)
        self.act, self.heard, self.has_ended = act, [], False
        self.replicas = {}
        self._begin_era()

    def likely(self):
        return [(lambda: self.act(self), 1.0)]

    def idle(self):
        return [lambda: self.note(lambda: "nothing is there")]

    def ask_of(self, replica) -> None:
        raise AssertionError(f"{replica} is none")

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


def test_where_nothing_is_under_way_something_else_happens() -> None:
    walked = Stroll(Wandering._deliver, steps=1)
    walked.wander()
    assert walked.transcript == ["     1  nothing is there"]
    assert walked.is_quiet


class Liar:
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def receive(self, message: object) -> None:
        self.heard.append(message)

    def go_on(self, now: float) -> None:
        self.heard.append(now)

    def scheme(self) -> None:
        self.heard.append("scheme")


def message(source: int, to: int) -> SimpleNamespace:
    return SimpleNamespace(source=source, to=to)


def test_liars_hear_what_is_not_cut_off() -> None:
    walked, liar = Stroll(lambda _: None), Liar()
    walked.liars = {4: liar}
    walked.cut = {(1, 4)}
    for each in (message(1, 4), message(2, 4), message(4, 9)):
        Wandering.hand_over(walked, each)
    assert liar.heard == [message(2, 4)]
