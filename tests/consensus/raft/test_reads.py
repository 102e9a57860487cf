"""Reads without an entry in the log (ReadIndex, thesis 6.4)."""

from concerted.consensus.raft.messages import Append
from concerted.consensus.sessions import Command


def rounds(server) -> list[int]:
    return [each.round for each in server.sent(Append) if each.to == 2]


def leader(alone):
    """Give a leader that has committed an entry of its term."""
    server = alone().is_elected()
    server.acknowledges(2)
    server.ready.clear()
    return server


def test_a_read_waits_until_a_majority_has_answered_a_later_round(alone) -> None:
    """Thesis 6.4, step 3: the leader issues a new round of heartbeats and waits until a majority has acknowledged them;
    then it knows that there was no leader of a greater term when it sent them."""
    server = leader(alone)
    assert server.reads(7).reads == ()
    [asked] = rounds(server)
    assert server.acknowledges(2, round=asked - 1).reads == (), "that was said before the question"
    assert server.acknowledges(2, round=asked).reads == (7,)


def test_a_leader_that_has_committed_nothing_in_its_term_lets_reads_wait(alone) -> None:
    """Thesis 6.4, step 1: "If the leader has not yet marked an entry from its current term committed, it waits until it
    has done so"."""
    server = alone().is_elected()
    server.ready.clear()
    assert server.reads(7).reads == ()
    assert rounds(server) == []
    server.acknowledges(2)
    [asked] = rounds(server)
    assert server.acknowledges(3, round=asked).reads == (7,)


def test_a_read_is_answered_behind_all_that_was_committed_when_it_was_asked(alone) -> None:
    """Thesis 6.4, step 2: "The leader saves its current commit index in a local variable readIndex"; step 4: "The
    leader waits for its state machine to advance at least as far as the readIndex". Here what is committed is in this
    Ready, or was in an earlier one, and all of it is applied before the reads of a Ready are answered."""
    server = leader(alone)
    server.proposes(b"a")
    handed_out = [entry.index for entry in server.acknowledges(2).committed]
    read_index = server.raft.log.commit_index
    assert (handed_out, read_index) == ([2], 2)
    server.proposes(b"b")
    server.reads(7)
    asked = rounds(server)[-1]
    ready = server.acknowledges(2, index=2, round=asked)
    assert (ready.reads, ready.committed) == ((7,), ()), "what came behind it, it does not wait for"


def test_many_reads_share_a_round(alone) -> None:
    """Thesis 6.4: any number of read-only queries can share one round of heartbeats."""
    server = leader(alone)
    server.reads(1, 2, 3)
    [asked] = rounds(server)
    assert server.acknowledges(2, round=asked).reads == (1, 2, 3)


def test_a_later_round_answers_earlier_reads_too(alone) -> None:
    server = leader(alone)
    server.reads(1)
    server.reads(2)
    assert server.acknowledges(2, round=rounds(server)[-1]).reads == (1, 2)


def test_reads_end_with_the_leadership(alone) -> None:
    """A deposed leader may have missed what was committed since: its reads are asked again, elsewhere."""
    server = leader(alone)
    server.reads(1)
    assert server.hears(Append(1, 3, 9, 1, 0, 0, 0)).lost_reads == (1,)
    assert server.reads(2).refused.reason == "not_leader"


def test_reads_that_came_too_early_are_told_as_well(alone) -> None:
    server = alone().is_elected()
    server.reads(1)
    assert server.hears(Append(1, 3, 9, 1, 0, 0, 0)).lost_reads == (1,)


def test_the_reads_that_wait_are_bounded(alone) -> None:
    server = alone(reads_count=2).is_elected()
    assert server.reads(1, 2).refused is None
    assert server.reads(3).refused.reason == "overloaded"


def test_a_cluster_of_one_reads_at_once(alone) -> None:
    assert alone(voters=(1,)).is_elected().reads(1).reads == (1,)


def test_a_leader_that_was_cut_off_never_answers_from_an_old_state(room) -> None:
    """Thesis 6.4: without the round of heartbeats, a leader that does not know that it was deposed would."""
    three = room().elect(1).cut_off(1)
    three.elect(2)
    three.propose(2, Command(0, 1).encode())
    three.ask(1, lambda raft, now: raft.read([7], now))
    three.ask(2, lambda raft, now: raft.read([8], now))
    assert 7 not in three.read
    assert 8 in three.read
    three.cut.clear()
    three.pass_time(30.0)
    assert three.read[7] is None, "it is told that nobody will answer"
