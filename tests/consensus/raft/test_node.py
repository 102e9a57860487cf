"""The core as a value: inputs in, one Ready out, and nothing of the world (etcd-io/raft's shape)."""

import pytest

from concerted.consensus.raft.messages import Append, RequestVote, Vote
from concerted.consensus.raft.node import Raft
from concerted.consensus.raft.settings import Settings
from concerted.consensus.raft.storage import Stored
from concerted.consensus.ready import NOTHING


def test_the_same_inputs_give_the_same_outputs(room) -> None:
    """No clock, no dice, no order of a set: what is not an input does not count."""

    def play() -> list[str]:
        five = room((1, 2, 3, 4, 5)).elect(3).cut_off(3).pass_time(100.0)
        five.cut.clear()
        five.pass_time(50.0)
        return [str((five[node].term, five[node].role, five.log(node))) for node in five.replicas]

    assert play() == play()


def test_a_hundred_and_one_servers_agree(room) -> None:
    many = room(tuple(range(1, 102))).elect(7).pass_time(5.0)
    assert many.leader() == 7
    assert all(many[node].log.commit_index == 1 for node in many.replicas)


def test_an_idle_server_is_woken_when_its_deadline_comes_and_not_before(alone) -> None:
    server = alone()
    assert server.raft.wake(server.raft.next_deadline - 0.001) is NOTHING
    server.now = server.raft.next_deadline
    assert server.wakes().messages


def test_a_leader_is_woken_for_heartbeats(alone) -> None:
    server = alone().is_elected()
    assert server.raft.next_deadline == server.now + 2.0
    server.ready.clear()
    server.wakes()
    assert [each.to for each in server.sent(Append)] == [2, 3]


def test_time_does_not_go_back(alone) -> None:
    server = alone()
    server.raft.wake(5.0)
    with pytest.raises(AssertionError, match="went back"):
        server.raft.wake(4.0)


def test_a_message_for_somebody_else_is_a_mistake_of_the_driver(alone) -> None:
    with pytest.raises(AssertionError, match="for server 2"):
        alone().hears(RequestVote(2, 3, 1, 1, 0, 0))


def test_two_leaders_of_one_term_are_never_believed(alone) -> None:
    """Assertions stay on: whoever breaks the protocol is met with a stop, not with a guess."""
    server = alone(term=1)
    server.append(0, 0, source=2)
    with pytest.raises(AssertionError, match="two leaders, 2 and 3"):
        server.append(0, 0, source=3)


def test_what_was_handed_out_to_be_written_is_not_handed_out_again(alone) -> None:
    server = alone()
    first = server.hears(RequestVote(1, 2, 1, 1, 0, 0))
    assert (first.write.number, first.write.term, first.write.vote) == (1, 1, 2)
    assert server.hears(RequestVote(1, 2, 1, 1, 0, 0)).write is None


def test_committed_entries_come_once_and_in_order(alone, boxes) -> None:
    server = alone(term=1)
    given = []
    for prev, count, commit in ((0, 2, 1), (0, 2, 1), (2, 1, 3), (3, 0, 3)):
        message = Append(1, 2, 1, 1, prev, min(prev, 1), commit, entries=boxes(*[1] * count, after=prev))
        given.append([entry.index for entry in server.hears(message).committed])
    assert given == [[1], [], [2, 3], []]


def test_a_restart_remembers_what_the_disk_holds_and_nothing_else(alone, boxes) -> None:
    """Figure 2: term, vote and log are persistent; role, commit index and what is known of others are not."""
    again = Raft(1, Settings(), Stored(7, 3, alone().raft.log.snapshot, boxes(1, 7)), dice=lambda: 0.0, now=50.0)
    assert (again.term, again.role, again.log.last_index, again.log.commit_index) == (7, "follower", 2, 0)
    assert again.next_deadline == 60.0
    vote = again.receive(RequestVote(1, 2, 7, 1, 9, 9), 51.0).messages[0]
    assert not vote.granted


def test_only_what_was_applied_can_be_compacted(alone) -> None:
    server = alone(voters=(1,)).is_elected()
    with pytest.raises(AssertionError, match="entry 2"):
        server.raft.compact(2, b"", server.now)


def test_answers_of_a_term_that_is_over_are_ignored(alone) -> None:
    server = alone(term=9)
    assert server.hears(Vote(1, 2, 3, 1, True)) is NOTHING
