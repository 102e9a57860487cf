"""The slots of the log: each an instance of Paxos of its own (section 3)."""

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.paxos.log import Log
from concerted.consensus.paxos.messages import Proposal


def log_of(*ballots: int, commit: int = 0, after: int = 0) -> Log:
    """Make slots that were accepted in these ballots; 0 leaves a gap."""
    slots = [Proposal(each, Entry(index, each, b"x")) for index, each in enumerate(ballots, after + 1) if each]
    return Log(Snapshot(after, after), slots, commit)


def test_slots_are_accepted_in_any_order_and_may_have_gaps() -> None:
    log = log_of()
    for index in (3, 1):
        log.accept(1001, Entry(index, 1001))
    assert [log.term_at(index) for index in (1, 2, 3)] == [1001, None, 1001]
    assert (log.last_index, log.reached(1001)) == (3, 1)
    log.accept(1001, Entry(2, 1001))
    assert log.reached(1001) == 3


def test_what_is_not_chosen_is_replaced_in_a_higher_ballot_and_keeps_the_term_of_its_value() -> None:
    log = log_of(1001)
    log.accept(2002, Entry(1, 1001, b"x"))
    assert (log.proposal_at(1).ballot, log.term_at(1)) == (2002, 1001)


def test_what_is_chosen_stays_as_it_is_and_is_not_written_again() -> None:
    log = log_of(1001, commit=1)
    log.accept(2002, Entry(1, 1001, b"x"))
    assert not log.has_unwritten
    with pytest.raises(AssertionError, match="is chosen"):
        log.accept(2002, Entry(1, 2002, b"y"))


def test_one_ballot_has_one_value_for_a_slot() -> None:
    log = log_of(1001)
    log.accept(1001, Entry(1, 1001, b"x"))
    assert not log.has_unwritten, "a repeated proposal was written before"
    with pytest.raises(AssertionError, match="two values"):
        log.accept(1001, Entry(1, 1001, b"y"))


def test_what_is_chosen_counts_as_accepted_in_every_ballot() -> None:
    log = log_of(1001, 1001, 2002, commit=2)
    assert log.reached(3003) == 2
    log.accept(3003, Entry(3, 2002, b"x"))
    assert log.reached(3003) == 3


def test_a_page_ends_where_the_next_begins() -> None:
    log = log_of(1001, 0, 0, 1001, 1001)
    after, pages = 0, []
    while after < log.last_index:
        page, after = log.page(after, 2, 1 << 20)
        pages.append([each.entry.index for each in page])
    assert pages == [[1], [4], [5]]
    assert log.page(0, 9, size_bytes=1)[1] == 1, "as many bytes as there may be, but at least one slot"
    assert log.page(5, 2, 9) == ((), 5)


def test_a_snapshot_of_others_leaves_what_was_accepted_behind_it() -> None:
    """2.5: an acceptor must remember what it has accepted."""
    log = log_of(1001, 1001, 1001)
    log.restore(Snapshot(2, 1001))
    assert (log.commit_index, log.last_index, log.term_at(2), log.term_at(3)) == (2, 3, 1001, 1001)
    log.restore(Snapshot(9, 1001))
    assert (log.commit_index, log.last_index) == (9, 9)


def test_what_is_compacted_before_it_was_written_is_not_written() -> None:
    log = log_of()
    for index in (1, 2):
        log.accept(1001, Entry(index, 1001))
    log.commit_to(2)
    log.compact(Snapshot(1, 1001))
    assert [each.entry.index for each in log.write()] == [2]


def test_a_log_is_read_back_as_far_as_it_is_chosen() -> None:
    assert log_of(1001, 1001, 0, 2002, commit=2).commit_index == 2
    with pytest.raises(AssertionError, match="gaps"):
        log_of(1001, 0, 1001, commit=3)
