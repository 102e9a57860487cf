"""Phase 2 for the slots of the log, and learning, sentence by sentence of Lamport, Paxos made simple, 2001."""

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.paxos.messages import Accept, Accepted, Arrived, InstallSnapshot, Refused
from concerted.consensus.pieces import Sending
from concerted.consensus.sessions import Command

ONE, TWO = (Command(0, number).encode() for number in (1, 2))

# The acceptor


def test_an_acceptor_accepts_unless_it_has_promised_more(alone) -> None:
    """P1a, phase 2b: "it accepts the proposal unless it has already responded to a prepare request having a number
    greater than n"."""
    acceptor = alone()
    acceptor.prepare(2002)
    assert acceptor.accept(1003, Entry(1, 1003)) == Refused(3, 1, 1003, 1, 2002)
    assert acceptor.accept(2002, Entry(1, 2002)) == Accepted(2, 1, 2002, 1, 1, 0)
    assert isinstance(acceptor.accept(3003, Entry(1, 2002)), Accepted), "it need not have promised"
    assert acceptor.disk.promised == 3003


def test_what_is_accepted_is_on_the_disk_before_it_is_said(alone) -> None:
    """2.5: "An acceptor records its intended response in stable storage before actually sending the response"."""
    acceptor = alone()
    ready = acceptor.hears(Accept(1, 2, 1002, 1, 0, 0, 0, (Entry(1, 1002, b"a"),)))
    assert [each.entry.command for each in ready.write.proposals] == [b"a"]
    assert [type(each) for each in ready.messages] == [Accepted]


def test_slots_that_are_missing_are_named(alone) -> None:
    """3: "the leader can propose commands for a number of instances ahead": they come in any order."""
    acceptor = alone()
    assert acceptor.accept(1002, Entry(3, 1002), after=2).index == 0
    assert acceptor.accept(1002, Entry(1, 1002), Entry(2, 1002)).index == 3


def test_what_was_accepted_in_a_lower_ballot_does_not_count(alone) -> None:
    """2.2: a proposal is a number and a value; chosen is a single proposal."""
    acceptor = alone()
    acceptor.accept(1002, Entry(1, 1002, b"a"))
    assert acceptor.accept(2002, after=1).index == 0


def test_a_learner_takes_for_chosen_what_the_leader_says_as_far_as_it_has_it_in_this_ballot(alone) -> None:
    """2.3: the distinguished learner informs the others."""
    learner = alone()
    learner.accept(1002, Entry(1, 1002, b"a"), Entry(2, 1002, b"b"))
    learner.accept(2002, Entry(1, 1002, b"a"), commit=2)
    assert learner.committed() == [b"a"], "in slot 2 something else may have been chosen"


def test_a_repeated_proposal_is_not_written_again(alone) -> None:
    acceptor = alone()
    acceptor.accept(1002, Entry(1, 1002, b"a"))
    ready = acceptor.hears(Accept(1, 2, 1002, 1, 0, 0, 0, (Entry(1, 1002, b"a"),)))
    assert (ready.write, [type(each) for each in ready.messages]) == (None, [Accepted])


def test_how_far_all_is_chosen_is_on_the_disk_before_an_answer_rests_on_it(alone) -> None:
    """Else a restart would take back what was said about slots of lower ballots."""
    acceptor = alone()
    acceptor.accept(1002, Entry(1, 1002, b"a"), commit=1)
    assert acceptor.accept(2002, after=1).index == 1
    acceptor.restart()
    assert acceptor.accept(2002, after=1).index == 1
    acceptor.wakes()
    assert acceptor.paxos.log.commit_index == 1


def test_after_a_restart_what_is_chosen_comes_out_again_behind_the_snapshot(alone) -> None:
    acceptor = alone()
    acceptor.accept(1002, Entry(1, 1002, b"a"), Entry(2, 1002, b"b"), commit=1)
    acceptor.accept(1002, Entry(3, 1002, b"c"), after=2, commit=2)
    acceptor.restart()
    acceptor.accept(1002, after=3, commit=3)
    assert acceptor.committed() == [b"a", b"b", b"c"]


# The leader


def test_commands_are_proposed_ahead_while_those_before_are_under_way(alone) -> None:
    """3: "a leader can get α commands ahead": a window of them."""
    leader = alone(batch_count=1, window=2).is_elected()
    for source in (2, 3):
        leader.acknowledges(source)
    leader.ready.clear()
    for command in (b"a", b"b", b"c"):
        leader.proposes(command)
    sent = [each.entries[0].command for each in leader.sent(Accept) if each.to == 2]
    assert sent == [b"a", b"b"]
    leader.acknowledges(2, 1)
    assert [each.entries[0].command for each in leader.sent(Accept) if each.to == 2] == [b"c"]


def test_a_command_is_chosen_once_a_majority_has_accepted_it(alone) -> None:
    """2.2: "accepted by a majority"; of five, itself and two others."""
    leader = alone((1, 2, 3, 4, 5))
    request = leader.prepares((2, 3))
    for source in (2, 3):
        leader.promised(request, source)
    leader.proposes(b"a")
    leader.ready.clear()
    leader.acknowledges(2)
    leader.acknowledges(2)
    assert leader.committed() == []
    leader.acknowledges(5)
    assert leader.committed() == [b"a"]


def test_the_leader_counts_itself_only_for_what_is_on_its_disk(alone) -> None:
    one = alone((1,))
    one.wakes()
    ready = one.paxos.propose([b"a"], one.now)
    assert ready.committed == ()
    assert [each.command for each in one.paxos.written(ready.write.number, one.now).committed] == [b"a"]


@pytest.mark.parametrize(("ballot", "session"), [(-1000, 0), (0, -1)])
def test_an_answer_about_another_ballot_or_campaign_is_not_counted(alone, ballot: int, session: int) -> None:
    leader = alone().is_elected()
    leader.proposes(b"a")
    leader.ready.clear()
    right = leader.paxos._server.leading.session
    leader.hears(Accepted(1, 2, leader.paxos.term + ballot, right + session, 1, 0))
    assert leader.committed() == []


def test_what_was_lost_is_sent_again_after_the_next_heartbeat(alone) -> None:
    leader = alone().is_elected()
    leader.acknowledges(2)
    leader.proposes(b"a")
    leader.wakes()
    [beat] = [each for each in leader.sent(Accept) if each.to == 2 and not each.entries][-1:]
    assert beat.after == 1
    leader.acknowledges(2, 0, after=beat.after)
    assert [each.entries[0].command for each in leader.sent(Accept)] == [b"a"]


def test_the_commit_index_is_told_to_all_learners(alone) -> None:
    leader = alone().is_elected()
    leader.proposes(b"a")
    leader.acknowledges(2)
    leader.ready.clear()
    leader.wakes()
    assert {each.commit for each in leader.sent(Accept)} == {1}


def test_nothing_is_proposed_by_others(alone) -> None:
    replica = alone()
    replica.accept(1003)
    refused = replica.proposes(b"a").refused
    assert (refused.reason, refused.leader) == ("not_leader", 3)


def test_too_much_at_once_is_refused(alone) -> None:
    leader = alone(uncommitted_count=2).is_elected()
    assert leader.proposes(b"a", b"b").refused is None
    assert leader.proposes(b"c").refused.reason == "overloaded"


# Who is behind


def test_who_was_away_is_sent_what_was_chosen(room) -> None:
    three = room().elect(1).cut_off(3)
    three.propose(1, ONE)
    three.cut.clear()
    three.pass_time(5.0)
    assert three.commands(3) == three.commands(1) != []


def test_who_lacks_what_is_compacted_away_is_sent_the_snapshot(room) -> None:
    three = room().elect(1).cut_off(3)
    for _ in range(3):
        three.propose(1, ONE)
    three.replicas[1].compact(0)
    three.cut.clear()
    three.settle().pass_time(5.0)
    assert (three[3].log.snapshot.index, three[3].log.commit_index) == (3, 3)
    assert three.replicas[3].machine.dump() == three.replicas[1].machine.dump()


def test_a_snapshot_that_was_lost_is_sent_again(room) -> None:
    three = room().elect(1).cut_off(3)
    three.propose(1, ONE)
    three.replicas[1].compact(0)
    three.settle()
    three.cut = {(1, 3)}
    three.pass_time(5.0)
    three.cut.clear()
    three.pass_time(20.0)
    assert three[3].log.commit_index == 1


def test_an_old_snapshot_changes_nothing(alone) -> None:
    replica = alone()
    replica.accept(1002, Entry(1, 1002, b"a"), Entry(2, 1002, b"b"), commit=2)
    ready = replica.hears(
        InstallSnapshot(1, 2, 1002, 1, Sending(Snapshot(1, 1002, replica.disk.snapshot.configuration)).piece(9))
    )
    assert (ready.restore, replica.paxos.log.commit_index) == (None, 2)


def test_a_snapshot_is_taken_when_all_pieces_are_there(alone) -> None:
    replica = alone()
    sending = Sending(Snapshot(9, 1002, replica.disk.snapshot.configuration, b"state"))
    ready = replica.hears(InstallSnapshot(1, 2, 1002, 1, sending.piece(3), 7))
    assert (ready.restore, ready.messages) == (None, (Arrived(2, 1, 1002, 1, 9, 0, 3, 7),))
    sending.answered(0, 3)
    ready = replica.hears(InstallSnapshot(1, 2, 1002, 1, sending.piece(3), 7))
    assert (ready.restore, ready.messages) == (sending.snapshot, (Accepted(2, 1, 1002, 1, 9, 9, 7),))


@pytest.mark.parametrize("dies_behind", range(1, 6))
def test_a_replica_that_dies_behind_any_piece_gets_all_of_them_again(room, dies_behind: int) -> None:
    three = room(piece_bytes=8).elect(1).cut_off(3)
    for _ in range(3):
        three.propose(1, ONE)
    three.replicas[1].compact(0)
    three.cut.clear()
    pieces = three.watch(InstallSnapshot, dies_behind, lambda: three.restart(3))
    three.pass_time(60.0)
    assert len(pieces) > dies_behind
    assert three.replicas[3].machine.dump() == three.replicas[1].machine.dump()


def test_a_leader_of_a_lower_ballot_is_told_so(alone) -> None:
    replica = alone()
    replica.prepare(2002)
    ready = replica.hears(
        InstallSnapshot(1, 3, 1003, 7, Sending(Snapshot(9, 1003, replica.disk.snapshot.configuration)).piece(9))
    )
    assert (ready.restore, ready.messages) == (None, (Refused(3, 1, 1003, 7, 2002),))


# All together


def test_a_command_that_was_acknowledged_is_there_after_every_leader_died(room) -> None:
    """P2b, for every slot."""
    five = room((1, 2, 3, 4, 5)).elect(1)
    five.propose(1, ONE)
    assert five.answers
    for node in (1, 2):
        five.replicas[node].die()
    five.pass_time(60.0)
    assert five.commands(five.leader())[0] == ONE


def test_without_a_majority_nothing_is_chosen(room) -> None:
    five = room((1, 2, 3, 4, 5)).elect(1).cut_off(1, 2)
    five.propose(1, ONE)
    five.pass_time(200.0)
    assert five.answers == []
    assert five.propose(1, TWO).refused is not None


@pytest.mark.parametrize("count", [1, 3, 5, 7])
def test_a_log_is_kept_by_so_many_replicas(room, count: int) -> None:
    group = room(tuple(range(1, count + 1))).elect(1)
    group.propose(1, ONE)
    group.pass_time(5.0)
    assert all(group.commands(node) == [ONE] for node in group.replicas)
