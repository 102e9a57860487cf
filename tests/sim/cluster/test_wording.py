"""Messages, writes and entries in words."""

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.paxos.storage import Instance
from concerted.consensus.paxos.storage import Write as PaxosWrite
from concerted.consensus.pieces import Sending
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.messages import Append, Appended, InstallSnapshot
from concerted.consensus.raft.storage import Write
from concerted.consensus.sessions import Command
from concerted.sim.cluster.wording import entry_in_words, in_words

ENTRY = Entry(2, 1, Command(0, 7, b"a").encode())


def test_a_message_is_said_without_what_is_as_always() -> None:
    assert in_words(Append(2, 1, 3, 1, 1, 1, 0, entries=(ENTRY,))) == (
        'Append term=3 session=1 prev_index=1 prev_term=1 commit=0 entries=[2/1 "a"]'
    )
    assert in_words(Appended(1, 2, 3, 1, False, 4)) == "Appended term=3 session=1 success=no index=4"


def test_a_snapshot_is_said_with_its_members() -> None:
    snapshot = Snapshot(5, 2, Configuration.of((1, 2), (3,)), b"much")
    assert in_words(Write(9, 3, None, snapshot)) == "term=3 snapshot=(5/2 of <1,2; learners 3>)"


def test_a_piece_of_a_snapshot_is_said_with_its_place() -> None:
    sending = Sending(Snapshot(5, 2, Configuration.of((1, 2)), b"much"))
    whole = in_words(InstallSnapshot(2, 1, 3, 1, sending.piece(4)))
    assert whole == "InstallSnapshot term=3 session=1 piece=(5/2 of <1,2>)"
    part = in_words(InstallSnapshot(2, 1, 3, 1, sending.piece(3)))
    assert part == "InstallSnapshot term=3 session=1 piece=(5/2 of <1,2>, bytes 0-3 of 4)"


def test_a_write_is_said_without_its_number() -> None:
    assert in_words(Write(9, 3, None)) == "term=3"


def test_a_write_of_paxos_is_said_with_the_instances_that_changed() -> None:
    write = PaxosWrite(9, 1001, 0, instances=(Instance("colour", 2002, 2002, b"red"),))
    assert in_words(write) == (
        'promised=1001 commit=0 instances=[(Instance key=colour promised=2002 accepted=2002 value="red")]'
    )


def test_an_entry_is_its_place_and_what_is_in_it() -> None:
    joint = Configuration.of((1, 2)).change((1, 3))
    assert entry_in_words(Entry(4, 2)) == "4/2"
    assert entry_in_words(Entry(4, 2, None, joint)) == "4/2 <1,3; outgoing 1,2>"
    assert entry_in_words(Entry(4, 2, b"\xff")) == '4/2 "\\xff"'
