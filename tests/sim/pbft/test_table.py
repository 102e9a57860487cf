"""A group of PBFT replicas to which nothing happens by itself, some of which say what they are told."""

import pytest

from concerted.consensus.pbft.messages import Commit, Message
from concerted.consensus.pbft.settings import Settings
from concerted.sim.cluster.checks import Broken
from concerted.sim.pbft.table import PbftTable


def table(*liars: int) -> PbftTable:
    found = PbftTable(Settings())
    found.gather((1, 2, 3, 4), liars)
    return found


def test_what_an_honest_replica_says_is_held_against_it_and_what_a_liar_says_is_not() -> None:
    honest, lying = table(), table(1)
    for each in (honest, lying):
        each.propose(1, ["a"])
        each.settle()
    wrong = Message(2, 1, lying.seal(1).sign(Commit(0, 1, b"of something else", 1)))
    with pytest.raises(Broken, match="contradiction"):
        honest.sends(honest.servers[1], wrong)
    lying.sends(lying.servers[1], wrong)


def test_the_client_believes_no_replica_alone() -> None:
    found = table(4)
    found.propose(1, ["a"])
    found.answer(4, "a", 9)
    assert found.answered == {}
    found.settle()
    assert found.answered == {"a": 1}


def test_a_replica_that_starts_again_is_in_the_group_as_before() -> None:
    found = table()
    found.propose(1, ["a"])
    found.settle()
    found.die(2, None)
    found.start(2)
    found.propose(1, ["b"])
    found.settle()
    assert found.servers[1].service.index == 2
    assert found.leader() == 1
