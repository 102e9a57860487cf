"""A snapshot on its way, in pieces."""

import msgspec
import pytest

from concerted.consensus.entries import Snapshot
from concerted.consensus.pieces import Arriving, Sending
from concerted.consensus.quorum import Configuration

MEMBERS = Configuration.of((1, 2, 3))
OLD = Snapshot(5, 2, MEMBERS, b"an old state")
NEW = Snapshot(9, 2, MEMBERS, b"a new state!")
ONE, TWO = (1, 4, 1), (2, 5, 1)  # two leaders


def sent(snapshot: Snapshot, *, size_bytes: int = 5):
    """Return the pieces of a snapshot, as they are sent where all of them arrive."""
    sending, pieces = Sending(snapshot), []
    while True:
        pieces.append(sending.piece(size_bytes))
        end = pieces[-1].offset + len(pieces[-1].data)
        if end == len(snapshot.data):
            return pieces
        assert sending.answered(pieces[-1].offset, end)


@pytest.mark.parametrize("size_bytes", [1, 5, 12, 100])
def test_what_is_sent_in_pieces_arrives_as_it_was(size_bytes: int) -> None:
    arriving = Arriving()
    *some, last = sent(OLD, size_bytes=size_bytes)
    assert all(len(each.data) <= size_bytes for each in (*some, last))
    assert all(arriving.take(ONE, each) is None for each in some)
    assert arriving.take(ONE, last) == OLD
    assert (arriving.index, arriving.size_bytes) == (0, 0)


def test_a_snapshot_of_nothing_is_one_piece() -> None:
    empty = Snapshot(5, 2, MEMBERS)
    [only] = sent(empty)
    assert Arriving().take(ONE, only) == empty


def test_a_piece_that_comes_twice_or_too_early_does_nothing() -> None:
    arriving = Arriving()
    first, second, third = sent(OLD)
    assert arriving.take(ONE, third) is None
    assert arriving.size_bytes == 0
    for each in (first, first, third, second, first, second):
        assert arriving.take(ONE, each) is None
    assert arriving.size_bytes == 10
    assert arriving.take(ONE, third) == OLD


def test_a_newer_snapshot_takes_the_place_of_what_has_arrived() -> None:
    arriving = Arriving()
    arriving.take(ONE, sent(OLD)[0])
    assert arriving.take(ONE, sent(NEW)[1]) is None
    assert (arriving.index, arriving.size_bytes) == (9, 0)
    assert [arriving.take(ONE, each) for each in sent(NEW)] == [None, None, NEW]


def test_a_late_piece_of_an_older_snapshot_does_no_harm() -> None:
    arriving = Arriving()
    arriving.take(ONE, sent(NEW)[0])
    assert arriving.take(ONE, sent(OLD)[1]) is None
    assert (arriving.index, arriving.size_bytes) == (9, 5)


def test_what_another_leader_has_sent_is_not_gone_on_with() -> None:
    arriving = Arriving()
    arriving.take(ONE, sent(OLD)[0])
    assert arriving.take(TWO, sent(OLD)[1]) is None
    assert arriving.size_bytes == 0


def test_a_piece_that_does_not_follow_ends_the_whole() -> None:
    """The same place of the same snapshot, and other bytes: a disk or memory has failed somewhere."""
    arriving = Arriving()
    first, second, _ = sent(OLD)
    arriving.take(ONE, first)
    assert arriving.take(ONE, msgspec.structs.replace(second, data=b"wrong")) is None
    assert (arriving.index, arriving.size_bytes) == (0, 0)


def test_the_next_piece_is_sent_when_the_one_before_has_arrived() -> None:
    sending = Sending(OLD)
    assert sending.answered(0, 5)
    assert (sending.offset, sending.piece(5)) == (5, sent(OLD)[1])


def test_an_answer_to_an_earlier_piece_is_old() -> None:
    sending = Sending(OLD)
    sending.answered(0, 5)
    assert not sending.answered(0, 5)
    assert not sending.answered(0, 0)
    assert sending.offset == 5


def test_what_was_not_taken_is_not_sent_at_once() -> None:
    """It is sent again in time: two that do not understand each other must not talk without a pause."""
    sending = Sending(OLD)
    sending.answered(0, 5)
    assert not sending.answered(5, 5)


@pytest.mark.parametrize("arrived_bytes", [0, 3, 13])
def test_who_has_lost_what_had_arrived_is_sent_all_of_it(arrived_bytes: int) -> None:
    sending = Sending(OLD)
    sending.answered(0, 5)
    assert sending.answered(5, arrived_bytes)
    assert sending.piece(5) == sent(OLD)[0]
