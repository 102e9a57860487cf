"""The log: what stays, what goes, and what is durable (Ongaro & Ousterhout 2014, 5.3, 5.4.1, 7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.log import Log

OLD, NEW = Configuration.of((1, 2, 3)), Configuration.of((1, 2))


def log_with(boxes, *terms: int) -> Log:
    return Log(Snapshot(configuration=OLD), boxes(*terms))


def terms(log: Log) -> list[int]:
    return [entry.term for entry in log.between(log.snapshot.index, log.last_index)]


@pytest.mark.parametrize(
    ("index", "term", "fits"),
    [
        (3, 3, True),  # the same
        (1, 4, True),  # a later term beats a longer log
        (4, 3, True),  # longer
        (2, 3, False),  # shorter
        (9, 2, False),  # an earlier term, however long
    ],
)
def test_which_of_two_logs_is_more_up_to_date(boxes, index: int, term: int, fits: bool) -> None:
    """5.4.1: "If the logs have last entries with different terms, then the log with the later term is more up-to-date.
    If the logs end with the same term, then whichever log is longer is more up-to-date"."""
    assert log_with(boxes, 1, 1, 3).is_not_ahead_of(index, term) is fits


def test_conflicting_entries_are_deleted_with_all_that_follow(boxes) -> None:
    """5.3: "delete the existing entry and all that follow it"."""
    log = log_with(boxes, 1, 1, 2, 2)
    log.merge(boxes(3, after=2))
    assert terms(log) == [1, 1, 3]


def test_entries_that_are_there_already_stay_with_all_that_follow(boxes) -> None:
    """Figure 2, step 3: only "if an existing entry conflicts with a new one"; an old message cuts nothing off."""
    log = log_with(boxes, 1, 1, 1, 1)
    log.merge(boxes(1, 1))
    assert terms(log) == [1, 1, 1, 1]


def test_what_is_committed_is_never_deleted(boxes) -> None:
    log = log_with(boxes, 1, 1, 1)
    log.commit_to(2)
    with pytest.raises(AssertionError, match="entry 2 is committed"):
        log.merge(boxes(2, after=1))


def test_the_mark_of_what_is_committed_never_goes_back_nor_past_the_end(boxes) -> None:
    log = log_with(boxes, 1, 1, 1)
    log.commit_to(2)
    log.commit_to(1)
    assert log.commit_index == 2
    with pytest.raises(AssertionError, match="the log ends at 3"):
        log.commit_to(4)


def test_a_log_has_no_gaps_and_its_terms_never_fall(boxes) -> None:
    log = log_with(boxes, 1, 2)
    with pytest.raises(AssertionError):
        log.append(boxes(2, after=3))
    with pytest.raises(AssertionError):
        log.append(boxes(1, after=2))
    with pytest.raises(AssertionError, match="gap"):
        Log(Snapshot(), boxes(1, after=1))


def test_a_configuration_is_in_force_from_its_entry_on_and_goes_with_it(boxes) -> None:
    """Section 6: a server "always uses the latest configuration in its log", committed or not."""
    log = log_with(boxes, 1)
    log.append([Entry(2, 1, None, NEW)])
    assert (log.configuration, log.configuration_index) == (NEW, 2)
    assert log.configuration_at(1) == OLD
    log.merge([Entry(2, 2)])
    assert (log.configuration, log.configuration_index) == (OLD, 0)


def test_a_write_that_was_overtaken_makes_nothing_durable(boxes) -> None:
    """A slow disk: term 2's entry is handed out, cut off by term 3, and comes back; its first write ends only now.

    The disk will still cut it off again, so it is durable when the last write is, and not before.
    """
    log = log_with(boxes, 1)
    log.append(boxes(2, after=1))
    assert log.write(1) == boxes(2, after=1)
    log.merge(boxes(3, after=1))
    assert log.write(2) == boxes(3, after=1)
    log.merge([Entry(2, 4), Entry(3, 4)])
    log.write(3)
    log.written(1)
    assert log.durable_index == 1
    log.written(3)
    assert log.durable_index == 3


def test_each_entry_is_handed_out_once_and_again_if_it_changes(boxes) -> None:
    log = log_with(boxes, 1)
    assert log.unwritten_index == 2
    log.append(boxes(2, 2, after=1))
    assert log.unwritten_index == 2
    assert len(log.write(1)) == 2
    assert log.unwritten_index == 4
    log.merge(boxes(3, after=2))
    assert log.write(2) == boxes(3, after=2)


def test_compaction_keeps_what_follows_and_the_term_at_the_seam(boxes) -> None:
    """Section 7: the snapshot has "the index and term of the last entry", for the consistency check."""
    log = log_with(boxes, 1, 1, 2, 3)
    log.commit_to(3)
    log.compact(Snapshot(3, 2, OLD, b"state"))
    assert (log.term_at(2), log.term_at(3), log.term_at(4)) == (None, 2, 3)
    assert (log.last_index, terms(log)) == (4, [3])


def test_only_what_is_committed_is_compacted(boxes) -> None:
    log = log_with(boxes, 1, 1)
    log.commit_to(1)
    with pytest.raises(AssertionError):
        log.compact(Snapshot(2, 1, OLD))


def test_a_leaders_snapshot_replaces_the_whole_log(boxes) -> None:
    log = log_with(boxes, 1, 1, 1)
    log.append(boxes(2, after=3))
    log.write(1)
    log.restore(Snapshot(6, 5, NEW, b"state"))
    assert (log.last_index, log.last_term, log.commit_index, log.configuration) == (6, 5, 6, NEW)
    log.written(1)
    assert log.durable_index <= 6


def test_a_batch_is_bounded_by_count_and_bytes_and_never_empty() -> None:
    log = Log(Snapshot(configuration=OLD), [Entry(index, 1, b"12345") for index in range(1, 6)])
    assert [entry.index for entry in log.batch(1, 2, 100)] == [2, 3]
    assert [entry.index for entry in log.batch(0, 9, 12)] == [1, 2]
    assert [entry.index for entry in log.batch(0, 9, 1)] == [1]


lines = st.lists(st.integers(1, 4), max_size=8).map(sorted)


@given(lines, lines)
def test_a_hint_never_skips_what_two_logs_have_in_common(ours: list[int], theirs: list[int]) -> None:
    """End of 5.3: the optimisation must not lose the last matching entry."""
    common = 0
    while common < min(len(ours), len(theirs)) and ours[common] == theirs[common]:
        common += 1
    leader = Log(Snapshot(), [Entry(place, term) for place, term in enumerate(ours, 1)])
    follower = Log(Snapshot(), [Entry(place, term) for place, term in enumerate(theirs, 1)])
    hint = follower.last_not_after(leader.last_index, leader.last_term)
    index, _ = leader.last_not_after(*hint)
    assert index >= common


@given(lines, st.data())
def test_merging_is_the_same_in_whatever_pieces_and_order(theirs: list[int], data) -> None:
    """A leader's messages may be doubled and overtaken: in the end the logs are the same (5.3)."""
    whole = [Entry(place, term) for place, term in enumerate(theirs, 1)]
    log = Log(Snapshot())
    for _ in range(6):
        first = data.draw(st.integers(0, min(log.last_index, len(whole))))
        last = data.draw(st.integers(first, len(whole)))
        log.merge(whole[first:last])
        assert log.between(0, log.last_index) == tuple(whole[: log.last_index])
    log.merge(whole)
    assert log.between(0, log.last_index) == tuple(whole)
