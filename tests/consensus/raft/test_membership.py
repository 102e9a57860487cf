"""Changes of members by joint consensus (paper, section 6; thesis, chapter 4)."""

import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.messages import Append, Appended
from concerted.consensus.sessions import Command
from concerted.errors import Invalid

COMMAND = Command(0, 1).encode()


def change(cluster, leader: int, voters, learners=()):
    return cluster.ask(leader, lambda raft, now: raft.change_members(voters, learners, now))


def test_the_joint_configuration_comes_first_and_the_new_one_after_it(room) -> None:
    """Paper 6: "the cluster first switches to a transitional configuration we call joint consensus; once the joint
    consensus has been committed, the system then transitions to the new configuration"."""
    three = room().elect(1)
    change(three, 1, (1, 2))
    three.pass_time(5.0)
    found = [entry.configuration for entry in three.checks.chosen if entry.configuration is not None]
    assert found == [
        Configuration(voters=(1, 2), outgoing=(1, 2, 3), last_id=3),
        Configuration(voters=(1, 2), last_id=3),
    ]


def test_a_configuration_is_used_as_soon_as_it_is_in_the_log(alone) -> None:
    """Paper 6: "Once a given server adds the new configuration entry to its log, it uses that configuration for all
    future decisions (a server always uses the latest configuration in its log, regardless of whether the entry is
    committed)"."""
    server = alone().is_elected()
    server.acknowledges(2)
    server.raft.change_members((1, 2), (), server.now)
    assert server.raft.log.configuration.is_joint
    assert server.raft.log.configuration_index > server.raft.log.commit_index


def test_while_it_is_joint_both_majorities_are_needed(room) -> None:
    """Paper 6: "Agreement (for elections and entry commitment) requires separate majorities from both the old and new
    configurations"."""
    five = room((1, 2, 3, 4, 5)).elect(1).cut_off(3, 4, 5)
    change(five, 1, (1, 2))
    five.propose(1, COMMAND)
    assert len(five.checks.chosen) == 1, "all of the new voters have it, and that is not enough"


def test_a_second_change_waits_for_the_first(room) -> None:
    """Known elsewhere: concurrent calls that leave a cluster in a joint configuration for ever. Here the second one is
    refused, and the first one ends."""
    three = room().elect(1).cut_off(3)
    three.cut_off(2)
    assert change(three, 1, (1, 2)).refused is None
    assert change(three, 1, (1, 3)).refused.reason == "changing"
    three.cut.clear()
    three.pass_time(10.0)
    assert not three[1].log.configuration.is_joint
    assert change(three, 1, (1,)).refused is None


def test_a_new_leader_commits_something_before_it_changes_members(alone) -> None:
    """Ongaro 2015, "Bug in single-server membership changes": else a change of an earlier leader could come back."""
    server = alone().is_elected()
    assert server.raft.change_members((1, 2), (), server.now).refused.reason == "changing"
    server.acknowledges(2)
    assert server.raft.change_members((1, 2), (), server.now).refused is None


def test_a_new_leader_brings_a_change_to_its_end(room) -> None:
    """Paper 6: "If the leader crashes, a new leader may be chosen under either C-old or C-old,new"."""
    three = room().elect(1)
    three.cut |= {(2, 1), (3, 1)}
    change(three, 1, (2, 3))
    three.replicas[1].die()
    three.cut.clear()
    three.elect(2)
    three.pass_time(20.0)
    assert three.leader() == 2
    assert three[2].log.configuration == Configuration(voters=(2, 3), last_id=3)


def test_a_server_joins_as_a_learner_and_catches_up(room) -> None:
    """Thesis 4.2.1: the leader replicates the log to it, and it is not counted in majorities yet."""
    three = room().elect(1)
    three.propose(1, COMMAND)
    three.join(4)
    change(three, 1, (1, 2, 3), (4,))
    three.pass_time(15.0)
    assert three.log(4) == three.log(1)
    assert change(three, 1, (1, 2, 3, 4)).refused is None
    three.pass_time(5.0)
    assert three[4].log.configuration.voters == (1, 2, 3, 4)


def test_nobody_votes_before_it_has_caught_up(room) -> None:
    """Thesis 4.2.1: else the cluster might commit nothing for as long as that takes."""
    three = room(batch_count=1).elect(1)
    for number in range(3):
        three.propose(1, Command(0, number).encode())
    three.join(4)
    assert change(three, 1, (1, 2, 3, 4)).refused.reason == "behind"
    three.replicas[4].die()
    change(three, 1, (1, 2, 3), (4,))
    assert change(three, 1, (1, 2, 3, 4)).refused.reason == "behind"
    three.replicas[4].start()
    three.pass_time(20.0)
    assert change(three, 1, (1, 2, 3, 4)).refused is None


def test_a_leader_that_is_not_a_member_any_more_steps_down_when_that_is_committed(room) -> None:
    """Paper 6: "the leader steps down (returns to follower state) once it has committed the C-new log entry"; until
    then "it replicates log entries but does not count itself in majorities"."""
    three = room().elect(1)
    change(three, 1, (2, 3))
    assert three[1].role == "follower"
    assert three[2].log.commit_index == 3, "the others hear that it is committed"
    three.pass_time(60.0)
    assert three.leader() in {2, 3}
    assert three[1].role == "follower"


def test_who_has_left_disturbs_nobody(room) -> None:
    """Paper 6: removed servers "will time out and start new elections"; here pre-vote and stickiness refuse them, and
    who knows that it has left does not stand."""
    three = room().elect(1).cut_off(3)
    change(three, 1, (1, 2))
    three.pass_time(20.0)
    three.cut.clear()
    three.pass_time(200.0)
    assert (three.leader(), three[1].term) == (1, 1)


def test_a_leader_that_leaves_and_has_the_longest_log_can_be_elected_once_more(room) -> None:
    """Thesis 4.2.2: "a server that is not part of its own latest configuration should still start new elections, as it
    might still be needed until the C-new entry is committed".

    Here 1 alone has the new configuration, in which it is not; of the old voters 1 and 2, both are needed.
    """
    two = room((1, 2)).elect(1)
    two.join(3)
    change(two, 1, (1, 2), (3,))
    two.pass_time(10.0)
    two.cut |= {(1, 2), (1, 3)}
    change(two, 1, (2, 3))
    two.cut = {(1, 2), (1, 3)}
    assert two[1].log.configuration.is_joint
    two.cut.clear()
    two.pass_time(60.0)
    assert two[2].log.configuration == Configuration(voters=(2, 3), last_id=3)
    assert two.leader() in {2, 3}


def test_a_server_that_leaves_stands_also_if_it_has_forgotten_what_is_committed(room) -> None:
    """Found by a random walk: 1 leads the change that takes it out, alone has the last configuration, and restarts.

    It does not know any more which one is committed. The other voter has a shorter log and needs the vote of 1; if 1
    did not stand, nobody could ever be elected.
    """
    joint = Configuration.of((1, 2)).change((2,))
    log = (Entry(1, 1), Entry(2, 1, None, joint), Entry(3, 1, None, joint.final()))
    two = room((1, 2), {1: (1, log), 2: (1, log[:2])}).pass_time(60.0)
    assert (two.leader(), two[2].log.configuration) == (2, joint.final())


def test_an_id_is_never_given_again(room) -> None:
    three = room().elect(1)
    change(three, 1, (1, 2))
    with pytest.raises(Invalid, match="above 3"):
        change(three, 1, (1, 2), (3,))


def test_what_was_said_before_a_removal_is_not_counted_after_a_return(alone) -> None:
    """Known elsewhere: a stale reply after remove and re-add. A removed server's acknowledgement was counted for the
    one that came back under its id with an empty log, and what seemed to be on a majority was not.

    Ids are never given again; and every stay of a follower is a session of its own, which its answers must name.
    """
    server = alone(voters=(1, 2, 3)).is_elected()
    for source in (2, 3):
        server.acknowledges(source)
    server._do(server.raft.change_members((1, 2), (), server.now))
    server.acknowledges(2)
    server.acknowledges(2)
    assert server.raft.log.configuration.voters == (1, 2)
    server.proposes(COMMAND)
    committed = server.raft.log.commit_index
    server.hears(Appended(1, 3, 1, 2, True, server.raft.log.last_index))
    assert server.raft.log.commit_index == committed, "3 has left, and its word with it"
    server._do(server.raft.change_members((1, 2), (4,), server.now))
    server.hears(Appended(1, 4, 1, 2, True, server.raft.log.last_index))
    assert server.raft.server.leading.followers[4].match == 0, "that was the session of 3"


def test_a_follower_cut_back_falls_back_to_the_configuration_before(alone, boxes) -> None:
    """Paper 6: the configuration is what the log says; a log that is corrected says something else."""
    server = alone(term=1)
    joint = Configuration.of((1, 2, 3)).change((1, 2))
    server.append(0, 0, Entry(1, 1, None, joint))
    assert server.raft.log.configuration.is_joint
    server.hears(Append(1, 3, 2, 1, 0, 0, 0, entries=boxes(2)))
    assert not server.raft.log.configuration.is_joint
