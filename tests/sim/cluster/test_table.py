"""A cluster on a table: nothing happens by itself, and every invariant is looked at."""

import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.settings import Settings
from concerted.consensus.ready import Ready
from concerted.errors import Invalid
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.table import Table, Unexpected, expect
from concerted.sim.protocols.raft import RAFT


def laid(count: int = 3) -> Table:
    table = Table(RAFT, Settings())
    members = Configuration.of(range(1, count + 1))
    for node in members.voters:
        table.add(node, members)
        table.start(node)
    return table


def test_nothing_arrives_before_it_is_delivered() -> None:
    table = laid()
    table.wake(1)
    assert len(table.network) == 2
    assert table.leader() is None
    table.settle()
    assert table.leader() == 1


def test_what_breaks_an_invariant_is_raised() -> None:
    table = laid()
    table.wake(1)
    table.settle()
    with pytest.raises(Broken, match="state-machine safety"):
        table.stepped(table[2], Ready(committed=(Entry(1, 9, b"other"),)))


def test_twins_of_a_message_are_two() -> None:
    table = laid()
    table.wake(1)
    table.network += table.network
    assert len(table.take([(1, 2)], 1)) == 1
    assert len(table.network) == 3


def test_who_is_not_there_cannot_be_asked() -> None:
    with pytest.raises(Invalid, match="there is no server 9; there are 1, 2, 3"):
        laid()[9]


def test_what_is_not_so_is_unexpected() -> None:
    expect(True, "never said")
    with pytest.raises(Unexpected, match="it is otherwise"):
        expect(False, "it is otherwise")
