"""Whom askers believe: where nobody lies whoever answers, else as many as one of whom must be honest."""

from collections import deque

import msgspec
import pytest

from concerted.consensus.sessions import OPEN, Answer
from concerted.ports.decisions import CastBallot
from concerted.replicas.kept import Outcome
from concerted.sim.cluster.checks import Broken
from concerted.sim.decisions.court import Court
from concerted.sim.decisions.crowd import Crowd
from concerted.sim.decisions.errands import Asker
from concerted.values import AgentId


def crowd(honest: int) -> Crowd:
    vote = (1.0, CastBallot(id="d", choice="accept"))
    asker = Asker(1, AgentId("ann"), deque([vote]))
    asker.next_command()
    return Crowd([asker], Court([]), honest)


def refused(session: int, number: int) -> Answer:
    return Answer("done", session, number, msgspec.json.encode(Outcome(9, 1, error={"code": "not_found"})))


def test_where_nobody_lies_the_first_answer_is_believed() -> None:
    believing = crowd(1)
    believing.hear(3, Answer("opened", 7, 1))
    (asker,) = believing.askers
    assert (asker.session, asker.command) == (7, b"")
    asker.next_command()
    ended: list[bytes] = []
    believing.on_end = lambda _, command: ended.append(command)
    believing.hear(2, refused(7, 1))
    assert asker.is_done
    assert len(ended) == believing.answered_count == 1
    assert believing.waiting == []


def test_where_some_lie_so_many_must_say_the_same_that_one_is_honest() -> None:
    believing = crowd(2)
    (asker,) = believing.askers
    believing.hear(4, Answer("opened", 666, 1))
    believing.hear(4, Answer("opened", 666, 1))
    believing.hear(1, Answer("opened", 7, 1))
    assert asker.session == OPEN, "one that says it twice is one"
    believing.hear(2, Answer("opened", 7, 1))
    assert asker.session == 7


def test_who_believes_what_nobody_honest_says_is_wrong() -> None:
    believing = crowd(1)
    (asker,) = believing.askers
    believing.hear(1, Answer("opened", 7, 1))
    asker.next_command()
    with pytest.raises(Broken, match="believes what no honest server says"):
        believing.hear(4, Answer("done", 7, 1, b"{}"))


def test_what_others_have_asked_is_not_for_them() -> None:
    believing = crowd(1)
    believing.hear(1, Answer("opened", 7, 1, owner="replica-4"))
    assert believing.askers[0].session == OPEN


def test_what_each_will_cast_is_known_to_the_court() -> None:
    court = Court([])
    Crowd([Asker(1, AgentId("ann"), deque([(1.0, CastBallot(id="d", choice="reject"))]))], court, 1)
    assert court.cast == {("d", "ann"): {"reject"}}
