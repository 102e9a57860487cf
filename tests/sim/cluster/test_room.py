"""A room in which things happen one at a time."""

from concerted.consensus.raft.settings import Settings
from concerted.consensus.sessions import Command
from concerted.sim.cluster.room import Room
from concerted.sim.protocols.raft import RAFT


def test_nothing_happens_before_time_goes_by() -> None:
    three = Room(RAFT, Settings()).settle()
    assert three.leader() is None
    assert three.pass_time(60.0).leader() is not None


def test_who_is_cut_off_hears_nothing() -> None:
    three = Room(RAFT, Settings()).elect(1).cut_off(3)
    three.propose(1, Command(0, 1).encode())
    assert [three[node].log.last_index for node in (1, 2, 3)] == [2, 2, 1]


def test_who_begins_again_has_what_was_on_its_disk() -> None:
    three = Room(RAFT, Settings()).elect(1)
    three.propose(1, Command(0, 1).encode())
    assert three.restart(2)[2].log.last_index == 2
