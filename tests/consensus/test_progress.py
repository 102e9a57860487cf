"""What a leader knows of a follower: probe, replicate, snapshot (etcd-io/raft's states)."""

import pytest

from concerted.consensus.entries import Snapshot
from concerted.consensus.progress import Progress


def test_a_new_follower_is_probed_with_one_message_at_a_time() -> None:
    progress = Progress(session=1, next=5)
    assert progress.may_send(window=9)
    progress.sent(7)
    assert (progress.next, progress.may_send(window=9)) == (5, False)


def test_after_a_success_it_is_sent_ahead_up_to_the_window() -> None:
    progress = Progress(session=1, next=5)
    assert progress.acknowledged(4)
    assert (progress.state, progress.next) == ("replicate", 5)
    progress.sent(5)
    progress.sent(6)
    assert (progress.next, progress.may_send(window=2)) == (7, False)
    progress.acknowledged(5)
    assert progress.may_send(window=2)


def test_a_refusal_leads_back_to_what_is_known_for_sure() -> None:
    progress = Progress(session=1, next=5)
    progress.acknowledged(4)
    progress.sent(9)
    assert progress.refused(9, hint=9)
    assert (progress.state, progress.next, len(progress.under_way)) == ("probe", 5, 0)


@pytest.mark.parametrize(("prev", "hint", "next_index"), [(9, 6, 7), (9, 20, 9), (9, 0, 3)])
def test_a_refused_probe_steps_back_to_the_hint_and_never_behind_the_match(
    prev: int, hint: int, next_index: int
) -> None:
    progress = Progress(session=1, next=10, match=2)
    assert progress.refused(prev, hint)
    assert progress.next == next_index


def test_an_old_refusal_changes_nothing() -> None:
    progress = Progress(session=1, next=5, match=4)
    progress.state = "replicate"
    assert not progress.refused(4, hint=1)
    probed = Progress(session=1, next=5)
    assert not probed.refused(7, hint=1)
    assert probed.next == 5


def test_an_old_acknowledgement_changes_nothing() -> None:
    progress = Progress(session=1, next=5)
    progress.acknowledged(8)
    assert not progress.acknowledged(3)
    assert (progress.match, progress.next) == (8, 9)


def test_a_snapshot_is_waited_for() -> None:
    progress = Progress(session=1, next=2)
    progress.next_piece(Snapshot(9, data=b"state"), 3, now=0.0)
    assert not progress.may_send(window=9)
    progress.acknowledged(0)
    assert progress.state == "snapshot"
    assert not progress.refused(5, hint=0)
    progress.acknowledged(9)
    assert (progress.state, progress.next, progress.sending) == ("replicate", 10, None)


def test_a_snapshot_is_sent_piece_by_piece() -> None:
    progress, snapshot = Progress(session=1, next=2), Snapshot(9, data=b"state")
    assert progress.next_piece(snapshot, 3, now=0.0).data == b"sta"
    assert not progress.piece_arrived(8, 0, 3), "of another snapshot"
    assert progress.piece_arrived(9, 0, 3)
    assert progress.next_piece(snapshot, 3, now=1.0).data == b"te"
    assert progress.snapshot_at == 1.0


def test_a_newer_snapshot_is_begun_from_its_first_piece() -> None:
    progress = Progress(session=1, next=2)
    progress.next_piece(Snapshot(9, data=b"state"), 3, now=0.0)
    progress.piece_arrived(9, 0, 3)
    piece = progress.next_piece(Snapshot(12, data=b"later"), 3, now=0.0)
    assert (piece.index, piece.offset, piece.data) == (12, 0, b"lat")
