"""Log replication, commitment and snapshots, sentence by sentence.

"The paper" is Ongaro & Ousterhout 2014, "the thesis" is Ongaro 2014.
"""

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.pieces import Sending
from concerted.consensus.raft.messages import Append, Appended, Arrived, InstallSnapshot, Vote

COMMAND = b"\x94\x00\x01\xc4\x00\x00"  # of a client that opens a session


def appends(server) -> list[Append]:
    return server.sent(Append)


def whole(snapshot: Snapshot) -> InstallSnapshot:
    """Make the message by which server 2 sends all of a snapshot in term 2."""
    return InstallSnapshot(1, 2, 2, 1, Sending(snapshot).piece(100))


# The leader


def test_a_command_is_appended_and_sent_to_all_in_parallel(alone) -> None:
    """Paper 5.3: "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in parallel
    to each of the other servers"."""
    server = alone().is_elected()
    server.acknowledges(2)
    server.acknowledges(3)
    ready = server.proposes(b"x")
    assert ready.write.entries == (Entry(2, 1, b"x"),)
    assert [(each.to, each.prev_index, each.entries[0].command) for each in ready.messages] == [
        (2, 1, b"x"),
        (3, 1, b"x"),
    ]


def test_an_entry_is_committed_once_a_majority_has_it(alone) -> None:
    """Paper 5.3: "A log entry is committed once the leader that created the entry has replicated it on a majority of
    the servers"; only then is it applied."""
    server = alone().is_elected()
    server.acknowledges(2)
    assert server.proposes(b"x").committed == ()
    assert [entry.command for entry in server.acknowledges(2).committed] == [b"x"]


def test_without_a_majority_nothing_is_committed(room) -> None:
    """Paper 5.3: two of five have the entry, for however long, and that is not enough."""
    five = room((1, 2, 3, 4, 5)).elect(1).cut_off(1, 2)
    first = len(five.checks.chosen)
    five.propose(1, COMMAND)
    five.pass_time(200.0)
    assert five[2].log.last_index == first + 1
    assert five.replicas[1].machine.index == first
    assert five.answers == []


def test_of_two_leaders_that_propose_at_once_one_commits(room) -> None:
    """Paper 5.4: one leads a minority and does not know that it was deposed; what only it has is overwritten."""
    five = room((1, 2, 3, 4, 5)).elect(1).cut_off(1, 2).elect(3)
    assert five[1].role == five[3].role == "leader"
    five.propose(1, COMMAND)
    five.propose(3, COMMAND)
    chosen = list(five.checks.chosen)
    five.cut.clear()
    five.pass_time(30.0)
    assert five.checks.chosen[: len(chosen)] == chosen
    assert {five.log(node)[-1] for node in five.replicas} == {five[3].term}
    assert len({tuple(five.log(node)) for node in five.replicas}) == 1


def test_the_leader_counts_itself_only_for_what_is_on_its_disk(alone, boxes) -> None:
    """Paper figure 2: the log is persistent state; thesis 10.2.1: the leader may write while it sends, and counts
    itself when the write is done."""
    server = alone().is_elected()
    server.acknowledges(2)
    raft = server.raft
    ready = raft.propose([b"x"], server.now)
    assert raft.receive(Appended(1, 2, 1, 1, True, 2), server.now).committed == ()
    assert [entry.command for entry in raft.written(ready.write.number, server.now).committed] == [b"x"]


def test_the_leader_says_how_far_is_committed(alone) -> None:
    """Paper 5.3: "The leader keeps track of the highest index it knows to be committed, and it includes that index in
    future AppendEntries RPCs (including heartbeats)"."""
    server = alone().is_elected()
    server.acknowledges(2)
    server.ready.clear()
    server.wakes()
    assert {each.commit for each in appends(server)} == {1}


def test_entries_of_earlier_terms_are_not_committed_by_counting(alone, boxes) -> None:
    """Paper 5.4.2 and figure 8: "Raft never commits log entries from previous terms by counting replicas. Only log
    entries from the leader's current term are committed by counting replicas"."""
    server = alone(term=2, log=boxes(1, 2)).is_elected()
    assert server.raft.term == 3
    server.acknowledges(2, 2)
    server.acknowledges(3, 2)
    assert server.raft.log.commit_index == 0
    server.acknowledges(2, 3)
    assert server.raft.log.commit_index == 3, "once an entry from the current term is committed, all prior ones are"


def test_a_command_is_sent_again_until_it_is_stored(alone) -> None:
    """Paper 5.3: "the leader retries AppendEntries RPCs indefinitely [...] until all followers eventually store all log
    entries"; here with the first refusal of a later heartbeat."""
    server = alone().is_elected()
    for source in (2, 3):
        server.acknowledges(source)
    server.proposes(b"x")
    server.ready.clear()
    server.wakes()
    [beat] = [each for each in appends(server) if each.to == 3]
    assert (beat.prev_index, beat.entries) == (2, ())
    server.hears(Appended(1, 3, 1, 2, False, 2, hint_index=1, hint_term=1))
    [again] = appends(server)
    assert [entry.index for entry in again.entries] == [2]


def test_after_a_refusal_the_leader_looks_further_back(alone, boxes) -> None:
    """Paper 5.3: "After a rejection, the leader decrements nextIndex and retries"; with a hint, by whole terms."""
    server = alone(term=5, log=boxes(1, 1, 4, 4)).is_elected()
    server.ready.clear()
    server.hears(Appended(1, 2, 6, 1, False, 4, hint_index=4, hint_term=2))
    [probe] = appends(server)
    assert (probe.prev_index, probe.prev_term, len(probe.entries)) == (2, 1, 3)


def test_a_leader_only_appends(alone, boxes) -> None:
    """Paper 5.3: "a leader never overwrites or deletes entries in its own log" (figure 3)."""
    server = alone(term=3, log=boxes(1, 2, 3)).is_elected()
    server.hears(Appended(1, 2, 4, 1, False, 3, hint_index=0, hint_term=0))
    server.proposes(b"x")
    assert server.log() == [1, 2, 3, 4, 4]


def test_nothing_is_proposed_to_a_follower(alone) -> None:
    """Paper 8: "If the client's first choice is not the leader, that server will reject the client's request and
    supply information about the most recent leader it has heard from"."""
    server = alone(term=1)
    server.append(0, 0, source=3)
    refused = server.proposes(b"x").refused
    assert (refused.reason, refused.leader, server.log()) == ("not_leader", 3, [])


def test_too_much_at_once_is_refused(alone) -> None:
    server = alone(uncommitted_count=3).is_elected()
    assert server.proposes(b"a", b"b").refused is None
    assert server.proposes(b"c").refused.reason == "overloaded"
    server.acknowledges(2)
    assert server.proposes(b"c").refused is None


def test_answers_of_another_session_are_not_counted(alone) -> None:
    """etcd-io/raft: an acknowledgement that was meant for an earlier stay of a follower must not count for this one."""
    server = alone().is_elected()
    server.hears(Appended(1, 2, 1, 7, True, 1))
    assert server.raft.log.commit_index == 0
    server.hears(Appended(1, 9, 1, 1, True, 1))
    assert server.raft.log.commit_index == 0
    server.hears(Appended(1, 2, 1, 1, True, 1))
    assert server.raft.log.commit_index == 1


def test_answers_of_an_earlier_term_are_not_counted(alone) -> None:
    """Paper 5.1: what has a stale term is rejected."""
    server = alone(term=4).is_elected()
    server.hears(Appended(1, 2, 4, 1, True, 1))
    assert server.raft.log.commit_index == 0


def test_an_acknowledgement_that_comes_twice_counts_once(alone) -> None:
    server = alone(voters=(1, 2, 3, 4, 5))
    server.wakes()
    for source in (2, 3):
        server.hears(Vote(1, source, 0, 1, True, pre=True))
    for source in (2, 3):
        server.hears(Vote(1, source, 1, 2, True))
    for _ in range(3):
        server.acknowledges(2)
    assert server.raft.log.commit_index == 0
    server.acknowledges(3)
    assert server.raft.log.commit_index == 1


def test_the_leader_sends_ahead_up_to_its_window(alone) -> None:
    """Thesis 10.2.1, pipelining: the leader does not wait for the answer before it sends the next entries."""
    server = alone(window=2).is_elected()
    for source in (2, 3):
        server.acknowledges(source)
    server.ready.clear()
    for command in (b"a", b"b", b"c"):
        server.proposes(command)
    assert [(each.prev_index, len(each.entries)) for each in appends(server) if each.to == 2] == [(1, 1), (2, 1)]
    server.acknowledges(2, 2)
    assert [(each.prev_index, len(each.entries)) for each in appends(server) if each.to == 2] == [(3, 1)]


def test_many_commands_travel_as_one(alone) -> None:
    """Thesis 10.2.1, batching: many log entries in one message."""
    server = alone(batch_count=3, window=9).is_elected()
    for source in (2, 3):
        server.acknowledges(source)
    server.ready.clear()
    server.proposes(*[b"%d" % number for number in range(7)])
    assert [len(each.entries) for each in appends(server) if each.to == 2] == [3, 3, 1]


# A follower


def test_a_follower_refuses_what_does_not_follow_its_log(alone, boxes) -> None:
    """Paper 5.3: "If the follower does not find an entry in its log with the same index and term, then it refuses the
    new entries"."""
    server = alone(term=3, log=boxes(1, 1, 2))
    assert not server.append(4, 3).success
    assert not server.append(3, 3).success
    assert server.log() == [1, 1, 2]
    assert server.append(3, 2).success


def test_a_refusal_says_where_to_look(alone, boxes) -> None:
    """Paper 5.3, the optimisation: "the follower can include the term of the conflicting entry"."""
    answer = alone(term=6, log=boxes(1, 1, 5, 5, 5)).append(5, 4)
    assert (answer.success, answer.index, answer.hint_index, answer.hint_term) == (False, 5, 2, 1)


def test_conflicting_entries_give_way_to_the_leaders(alone, boxes) -> None:
    """Paper 5.3: "the leader handles inconsistencies by forcing the followers' logs to duplicate its own"."""
    server = alone(term=3, log=boxes(1, 2, 2))
    answer = server.append(1, 1, *boxes(3, 3, after=1))
    assert (answer.success, answer.index, server.log()) == (True, 3, [1, 3, 3])


def test_a_delayed_message_cuts_nothing_off(alone, boxes) -> None:
    """Paper 5.5: "if a follower receives an AppendEntries request that includes log entries already present in its log,
    it ignores those entries in the new request". Truncating them loses what was acknowledged."""
    server = alone(term=1)
    server.append(0, 0, *boxes(1, 1, 1))
    answer = server.append(0, 0, *boxes(1))
    assert (answer.success, answer.index, server.log()) == (True, 1, [1, 1, 1])


def test_a_follower_commits_what_the_leader_has_and_it_has_too(alone, boxes) -> None:
    """Paper figure 2, step 5: "set commitIndex = min(leaderCommit, index of last new entry)"."""
    server = alone(term=2, log=boxes(1, 1, 1))
    server.append(1, 1, commit=3)
    assert server.raft.log.commit_index == 1, "what stands behind entry 1 here may be another leader's"
    server.append(1, 1, *boxes(2, after=1), commit=9)
    assert server.raft.log.commit_index == 2


def test_a_heartbeat_of_an_earlier_leader_is_refused_with_the_newer_term(alone) -> None:
    """Paper 5.1: "If a server receives a request with a stale term number, it rejects the request"."""
    answer = alone(term=5).append(0, 0, term=4)
    assert (answer.success, answer.term) == (False, 5)


def test_what_is_acknowledged_is_in_the_same_ready_to_be_written_first(alone, boxes) -> None:
    """Paper figure 2: persistent state is "updated on stable storage before responding to RPCs"."""
    server = alone(term=1)
    ready = server.hears(Append(1, 2, 3, 1, 0, 0, 0, entries=boxes(3)))
    assert (ready.write.term, ready.write.entries) == (3, boxes(3))
    assert ready.messages[0].success


@pytest.mark.parametrize(
    "follower",
    [
        (1, 1, 1, 4, 4, 5, 5, 6, 6),
        (1, 1, 1, 4),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
        (1, 1, 1, 4, 4, 4, 4),
        (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
    ],
    ids="abcdef",
)
def test_figure_7_every_follower_comes_to_have_the_leaders_log(room, boxes, follower: tuple[int, ...]) -> None:
    """Paper figure 7: (a), (b) lack entries, (c), (d) have extra ones, (e), (f) both."""
    leader = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
    logs = {1: (7, boxes(*leader)), 2: (7, boxes(*follower)), 3: (7, boxes(1, 1, 1))}
    three = room(logs=logs).elect(1)
    assert three.leader() == 1
    three.pass_time(5.0)
    assert three.log(2) == three.log(3) == three.log(1) == [*leader, 8]


def test_figure_8_what_an_earlier_leader_left_is_committed_with_the_first_entry_of_the_new_one(room, boxes) -> None:
    """Paper figure 8, (d) and (e): entry 2 of term 2 is on a majority, and still not safe; so it is not committed
    before an entry of the leader's own term is, and then nobody without it can be elected."""
    logs = {
        1: (4, boxes(1, 2)), 2: (4, boxes(1, 2)), 3: (4, boxes(1, 2)), 4: (4, boxes(1)), 5: (3, boxes(1, 3)),
    }  # fmt: skip
    five = room((1, 2, 3, 4, 5), logs).cut_off(4, 5).elect(1)
    assert five.leader() == 1
    assert [entry.term for entry in five.checks.chosen] == [1, 2, 5]
    five.cut.clear()
    five.elect(5)
    assert five.leader() == 1 or five.log(five.leader())[:3] == [1, 2, 5]


# Snapshots


def test_a_snapshot_takes_the_place_of_the_log_up_to_it(alone, boxes) -> None:
    """Paper 7: "the entire current system state is written to a snapshot on stable storage, then the entire log up
    to that point is discarded"."""
    server = alone(voters=(1,)).is_elected()
    server.proposes(b"a", b"b")
    ready = server.raft.compact(2, b"state", server.now)
    assert (ready.write.snapshot.index, ready.write.snapshot.term, ready.write.snapshot.data) == (2, 1, b"state")
    assert server.log() == [1]


def test_who_is_too_far_behind_is_sent_the_snapshot(alone) -> None:
    """Paper 7: "the leader must occasionally send snapshots to followers that lag behind. This happens when the leader
    has already discarded the next log entry that it needs to send"."""
    server = alone().is_elected()
    server.acknowledges(2)
    server.proposes(b"a")
    server.acknowledges(2)
    server.raft.compact(2, b"state", server.now)
    server.ready.clear()
    server.acknowledges(3, 0)
    [sent] = server.sent(InstallSnapshot)
    assert (sent.to, sent.piece.index, sent.piece.data) == (3, 2, b"state")


def test_a_follower_discards_its_whole_log_for_a_snapshot_that_is_news(alone, boxes) -> None:
    """Paper 7: "the follower discards its entire log; it is all superseded by the snapshot"."""
    server = alone(term=2, log=boxes(1, 1))
    snapshot = Snapshot(5, 2, server.raft.log.configuration, b"state")
    ready = server.hears(whole(snapshot))
    assert (ready.restore, ready.write.snapshot, ready.write.restores) == (snapshot, snapshot, True)
    assert (server.raft.log.last_index, server.raft.log.commit_index, server.log()) == (5, 5, [])
    assert (ready.messages[0].success, ready.messages[0].index) == (True, 5)


def test_a_snapshot_of_a_prefix_leaves_the_rest_of_the_log(alone, boxes) -> None:
    """Paper 7: "If instead the follower receives a snapshot that describes a prefix of its log [...] entries following
    the snapshot are still valid and must be retained"."""
    server = alone(term=2, log=boxes(1, 1, 2))
    ready = server.hears(whole(Snapshot(2, 1, server.raft.log.configuration, b"state")))
    assert ready.restore is None
    assert (server.log(), server.raft.log.commit_index) == ([1, 1, 2], 2)
    assert [entry.index for entry in ready.committed] == [1, 2]


def test_an_old_snapshot_changes_nothing(alone, boxes) -> None:
    server = alone(term=2, log=boxes(1, 1, 2))
    server.append(3, 2, commit=3)
    ready = server.hears(whole(Snapshot(2, 1, server.raft.log.configuration, b"state")))
    assert (ready.restore, ready.messages[0].index, server.log()) == (None, 3, [1, 1, 2])


def test_a_snapshot_that_was_lost_is_sent_again(alone) -> None:
    server = alone().is_elected()
    server.acknowledges(2)
    server.raft.compact(1, b"state", server.now)
    server.acknowledges(3, 0)
    assert len(server.sent(InstallSnapshot)) == 1
    server.wakes()
    server.acknowledges(2)
    [again] = server.sent(InstallSnapshot)
    assert (again.piece.offset, again.piece.data) == (0, b"state")


def test_a_large_snapshot_goes_in_pieces_each_when_the_one_before_is_there(alone) -> None:
    """Paper, figure 13: InstallSnapshot with the offset "where chunk is positioned in the snapshot file"."""
    server = alone(piece_bytes=3).is_elected()
    server.acknowledges(2)
    server.raft.compact(1, b"state", server.now)
    server.acknowledges(3, 0)
    [first] = server.sent(InstallSnapshot)
    server.hears(Arrived(1, 3, 1, 2, 1, 0, 3))
    [second] = server.sent(InstallSnapshot)
    assert [(each.piece.offset, each.piece.data) for each in (first, second)] == [(0, b"sta"), (3, b"te")]
    server.hears(Arrived(1, 3, 1, 2, 1, 0, 3))
    server.hears(Arrived(1, 3, 1, 9, 1, 3, 5))
    assert server.sent(InstallSnapshot) == [], "an old answer, and one of another stay"
    server.acknowledges(3, 1)
    assert server.raft.followers[3].state == "replicate"


def test_a_follower_says_how_much_of_a_snapshot_is_there_until_it_is_whole(alone, boxes) -> None:
    """Paper, figure 13: "Reply and wait for more data chunks if done is false"."""
    server = alone(term=2, log=boxes(1, 1))
    sending = Sending(Snapshot(5, 2, server.raft.log.configuration, b"state"))
    ready = server.hears(InstallSnapshot(1, 2, 2, 1, sending.piece(3), 7))
    assert (ready.restore, ready.messages) == (None, (Arrived(2, 1, 2, 1, 5, 0, 3, 7),))
    assert server.log() == [1, 1], "nothing is used before all of it is there"
    sending.answered(0, 3)
    ready = server.hears(InstallSnapshot(1, 2, 2, 1, sending.piece(3)))
    assert (ready.restore, ready.messages[0].success, ready.messages[0].index) == (sending.snapshot, True, 5)


def test_pieces_of_a_leader_put_off_the_next_election(alone) -> None:
    server = alone(term=2)
    before = server.raft.next_deadline
    sending = Sending(Snapshot(5, 2, server.raft.log.configuration, b"state"))
    server.hears(InstallSnapshot(1, 2, 2, 1, sending.piece(3)), after_s=5.0)
    assert server.raft.next_deadline == before + 5.0


def test_what_has_arrived_of_a_snapshot_is_forgotten_when_entries_were_quicker(alone, boxes) -> None:
    server = alone(term=2, log=boxes(1, 1))
    sending = Sending(Snapshot(2, 2, server.raft.log.configuration, b"state"))
    server.hears(InstallSnapshot(1, 2, 2, 1, sending.piece(3)))
    server.append(2, 1, commit=2)
    server.append(2, 1, commit=2)
    assert server.raft.server.arriving.index == 0


@pytest.mark.parametrize("dies_behind", range(1, 5))
def test_a_follower_that_dies_behind_any_piece_gets_all_of_them_again(room, dies_behind: int) -> None:
    three = room(piece_bytes=8).elect(1)
    three.replicas[3].die()
    three.propose(1, COMMAND)
    three.replicas[1].compact(0)
    three.settle()
    three.replicas[3].start()
    pieces = three.watch(InstallSnapshot, dies_behind, lambda: three.restart(3))
    three.pass_time(30.0)
    assert len(pieces) > dies_behind
    assert three[3].log.snapshot.index == 2
    assert three.replicas[3].machine.dump() == three.replicas[1].machine.dump()


@pytest.mark.parametrize("dies_behind", range(1, 5))
def test_a_leader_that_dies_behind_any_piece_leaves_nothing_to_the_next_one(room, dies_behind: int) -> None:
    three = room(piece_bytes=8).elect(1)
    three.replicas[3].die()
    three.propose(1, COMMAND)
    three.settle()
    for node in (1, 2):
        three.replicas[node].compact(0)
    three.settle()
    three.replicas[3].start()
    three.watch(InstallSnapshot, dies_behind, three.replicas[1].die)
    three.pass_time(60.0)
    assert three.leader() == 2
    assert three.replicas[3].machine.index >= 2


def test_a_server_that_slept_through_a_compaction_catches_up(room) -> None:
    """Paper 7, from end to end: snapshot, then the entries after it."""
    three = room().elect(1)
    three.replicas[3].die()
    three.propose(1, COMMAND)
    three.replicas[1].compact(0)
    three.settle()
    three.propose(1, b"\x94\x00\x02\xc4\x00\x00")
    three.replicas[3].start()
    three.pass_time(15.0)
    assert three[3].log.snapshot.index == 2
    assert three[3].log.commit_index == three[1].log.commit_index == 3
    assert three.replicas[3].machine.index == 3


def test_a_snapshot_has_the_members_as_of_its_last_entry(alone) -> None:
    """Paper 7: "the snapshot also includes the latest configuration in the log as of last included index"."""
    server = alone(voters=(1,)).is_elected()
    server._do(server.raft.change_members((1,), (4,), server.now))
    members = server.raft.log.configuration.members
    assert 4 in members
    before = server.raft.compact(1, b"state", server.now).write.snapshot
    assert 4 not in before.configuration.members, "the change comes behind it"
    after = server.raft.compact(server.raft.log.commit_index, b"state", server.now).write.snapshot
    assert after.configuration.members == members
