"""A replica as a whole: its inputs, its Ready, and the log and single values side by side over one disk."""

import msgspec
import pytest

from concerted.consensus.entries import Snapshot
from concerted.consensus.paxos.messages import PrepareValue
from concerted.consensus.paxos.node import Paxos
from concerted.consensus.paxos.settings import Settings
from concerted.consensus.paxos.storage import Stored
from concerted.consensus.quorum import Configuration
from concerted.consensus.ready import NOTHING
from concerted.consensus.sessions import Command


def test_the_log_and_single_values_share_one_write(alone) -> None:
    """One replica, one file: what both have to keep goes to the disk at once."""
    one = alone((1,))
    one.wakes()
    one.paxos.agree("k", b"v", one.now)
    ready = one.agrees("l", b"w")
    one.proposes(b"a")
    assert ready.write is not None
    assert (one.paxos.chosen("l"), one.disk.proposals[1].entry.command) == (b"w", b"a")


def test_single_values_need_no_leader(room) -> None:
    three = room().agree(3, "k", b"v")
    assert (three.leader(), three.values()) == (None, [b"v"] * 3)


def test_a_value_comes_out_at_every_replica_that_learns_it(room) -> None:
    three = room()
    three.begin(1, "k", b"v")
    told = []
    while three.network or any(replica.waiting for replica in three.alive()):
        told += [(replica.id, each) for replica in three.alive() for ready in replica.waiting for each in ready.chosen]
        for replica in three.alive():
            if replica.waiting:
                replica.carry_out()
        messages, three.network[:] = three.network[:], []
        for message in messages:
            three.replicas[message.to].receive(message)
    assert {node for node, _ in told} == {1, 2, 3}


def test_waking_too_early_does_nothing(alone) -> None:
    replica = alone()
    assert replica.paxos.wake(replica.now) is NOTHING
    replica.agrees("k", b"v")
    assert replica.paxos.wake(replica.now) is NOTHING


def test_it_asks_to_be_woken_for_a_value_that_takes_too_long(alone) -> None:
    replica = alone(retry_s=0.5)
    replica.agrees("k", b"v")
    assert replica.paxos.next_deadline == pytest.approx(0.375)
    replica.wakes()
    assert {each.ballot for each in replica.sent(PrepareValue)} == {1001, 2001}


def test_an_idle_replica_needs_nothing_before_its_patience_ends(alone) -> None:
    replica = alone()
    assert replica.paxos.next_deadline == 15.0


def test_time_does_not_go_back(alone) -> None:
    replica = alone()
    replica.paxos.wake(5.0)
    with pytest.raises(AssertionError, match="went back"):
        replica.paxos.wake(4.0)


def test_a_stranger_takes_no_part() -> None:
    stored = Stored(snapshot=Snapshot(configuration=Configuration.of((1, 2, 3))))
    with pytest.raises(AssertionError, match="is none of"):
        Paxos(4, Settings(), stored, dice=lambda: 0.5, now=0.0)


def test_what_was_not_given_out_is_not_compacted(alone) -> None:
    leader = alone().is_elected()
    leader.proposes(b"a")
    with pytest.raises(AssertionError, match="not given out"):
        leader.paxos.compact(1, b"state", leader.now)


def test_a_command_that_is_proposed_twice_is_carried_out_once(room) -> None:
    """The sessions are part of the state machine, whichever protocol keeps the log."""
    three = room().elect(1)
    three.propose(1, Command(0, 1).encode())
    three.pass_time(5.0)
    opened = three.answers.pop()
    three.answers.clear()
    command = Command(opened.session, 1, msgspec.msgpack.encode(("x", 5))).encode()
    for _ in range(2):
        three.propose(1, command)
    three.pass_time(5.0)
    assert {each.result for each in three.answers} == {msgspec.msgpack.encode(1)}
    assert len(three.answers) == 6, "twice at each replica"
