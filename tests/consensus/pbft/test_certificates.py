"""What makes a certificate, and what follows from certificates: a table of each rule (Castro & Liskov 1999)."""

import pytest
from msgspec.structs import replace

from concerted.consensus.pbft.certificates import chosen, is_new_view, is_prepared, is_stable, is_view_change, min_s
from concerted.consensus.pbft.messages import NULL, PrePrepare, State
from concerted.consensus.pbft.seal import Seal
from concerted.sim.pbft.keys import SimSigner

STATE = State(2, 2, b"", b"state")


def seal(words) -> Seal:
    return Seal(1, words.group, SimSigner(1))


@pytest.mark.parametrize(
    ("holds", "proof"),
    [
        (True, lambda w: w.stable(STATE)),
        (True, lambda w: w.stable(STATE, (1, 2, 3, 4))),
        (False, lambda w: w.stable(STATE, (1, 2))),
        (False, lambda w: w.stable(STATE, (1, 2, 2))),
        (False, lambda w: (*w.stable(STATE, (1, 2)), *w.stable(replace(STATE, data=b"other"), (3,)))),
        (False, lambda w: (*w.stable(STATE, (1, 2)), replace(w.stable(STATE, (3,))[0], source=4))),
        (False, lambda w: ()),
    ],
)
def test_a_stable_checkpoint_takes_two_f_and_one_that_match(holds: bool, proof, words) -> None:
    """4.3: 2f + 1 messages "with the same digest d signed by different replicas"."""
    assert is_stable(proof(words), words.group, seal(words)) == holds


@pytest.mark.parametrize(
    ("holds", "prepared"),
    [
        (True, lambda w, p: w.prepared(p)),
        (True, lambda w, p: w.prepared(p, (2, 3, 4))),
        (False, lambda w, p: w.prepared(p, (3,))),
        (False, lambda w, p: w.prepared(p, (3, 3))),
        (False, lambda w, p: w.prepared(p, (1, 3))),
        (False, lambda w, p: replace(w.prepared(p), pre_prepare=replace(p.pre_prepare, digest=b"other"))),
        (False, lambda w, p: replace(w.prepared(p), pre_prepare=w.signed(replace(p.pre_prepare, source=4)))),
        (False, lambda w, p: replace(w.prepared(p), prepares=w.prepared(w.proposal(2)).prepares)),
        (False, lambda w, p: replace(w.prepared(p), prepares=w.prepared(w.proposal(1, view=4)).prepares)),
        (False, lambda w, p: replace(w.prepared(p), prepares=w.prepared(w.proposal(1, w.request(9))).prepares)),
        (False, lambda w, p: replace(w.prepared(p), pre_prepare=replace(p.pre_prepare, signature=b"no"))),
    ],
)
def test_prepared_takes_a_pre_prepare_and_two_f_backups(holds: bool, prepared, words) -> None:
    """4.4: "Each set Pm contains a valid pre-prepare message (without the corresponding client message) and 2f
    matching, valid prepare messages signed by different backups with the same view, sequence number, and the digest of
    m"."""
    assert is_prepared(prepared(words, words.proposal()), words.group, seal(words)) == holds


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        (True, lambda w: w.view_change(3, 1)),
        (True, lambda w: w.view_change(3, 1, w.prepared(w.proposal(1)), w.prepared(w.proposal(4)))),
        (True, lambda w: w.view_change(3, 1, w.prepared(w.proposal(3)), proof=w.stable(STATE))),
        (False, lambda w: replace(w.view_change(3, 1), source=4)),
        (False, lambda w: w.view_change(3, 0)),
        (False, lambda w: w.signed(replace(w.view_change(3, 1), stable=2))),
        (False, lambda w: w.signed(replace(w.view_change(3, 1, proof=w.stable(STATE)), stable=4))),
        (False, lambda w: w.view_change(3, 1, proof=w.stable(STATE, (1, 2)))),
        (False, lambda w: w.view_change(3, 1, w.prepared(w.proposal(2)), proof=w.stable(STATE))),
        (False, lambda w: w.view_change(3, 1, w.prepared(w.proposal(5)))),
        (False, lambda w: w.view_change(3, 1, w.prepared(w.proposal(1, view=1)))),
        (False, lambda w: w.view_change(3, 1, w.prepared(w.proposal(2)), w.prepared(w.proposal(1)))),
        (False, lambda w: w.view_change(3, 1, w.prepared(w.proposal(1)), w.prepared(w.proposal(1)))),
        (False, lambda w: w.view_change(3, 1, w.prepared(w.proposal(1), (3,)))),
    ],
)
def test_a_view_change_proves_all_that_it_says(holds: bool, said, words) -> None:
    """4.4: C is "a set of 2f + 1 valid checkpoint messages proving the correctness of s, and P is a set containing a
    set Pm for each request m that prepared at i with a sequence number higher than n"."""
    assert is_view_change(said(words), 4, words.group, seal(words)) == holds


def test_o_has_what_was_prepared_in_the_newest_view_and_nothing_between(words) -> None:
    """4.4: the primary creates a pre-prepare "for each sequence number n between min-s and max-s. There are two cases:
    (1) there is at least one set in the P component of some view-change message in V with sequence number n, or (2)
    there is no such set"; "d is the request digest in the pre-prepare message for sequence number n with the highest
    view number in V"."""
    old, new, last = words.proposal(3), words.proposal(3, words.request(9), view=1), words.proposal(5)
    view_changes = [
        words.view_change(1, 2, words.prepared(old), words.prepared(last)),
        words.view_change(3, 2, words.prepared(new)),
        words.view_change(4, 2, proof=words.stable(STATE)),
    ]
    expected = [(3, new.pre_prepare.digest), (4, NULL), (5, last.pre_prepare.digest)]
    assert min_s(view_changes) == 2
    assert chosen(view_changes) == chosen(view_changes[::-1]) == expected


def test_what_lies_at_or_below_the_newest_checkpoint_is_not_in_o(words) -> None:
    view_changes = [
        words.view_change(1, 1, words.prepared(words.proposal(1)), words.prepared(words.proposal(2))),
        words.view_change(3, 1),
        words.view_change(4, 1, proof=words.stable(STATE)),
    ]
    assert chosen(view_changes) == []


def test_a_checkpoint_may_be_above_most_of_those_who_left(words) -> None:
    """Hyperledger Fabric, pull request 1111: a new view was computed only from the view-changes that had the checkpoint
    which was chosen, so that with a quorum of different checkpoints a view change never completed."""
    later = State(4, 4, b"", b"later")
    view_changes = [
        words.view_change(1, 1),
        words.view_change(3, 1, proof=words.stable(STATE)),
        words.view_change(4, 1, proof=words.stable(later)),
    ]
    assert is_new_view(words.new_view(1, *view_changes), 4, words.group, seal(words))
    assert min_s(view_changes) == 4


@pytest.mark.parametrize(
    ("why", "twist"),
    [
        ("another than its primary sends it", lambda w, said: w.signed(replace(said, source=3))),
        ("the signature is not good", lambda w, said: replace(said, signature=b"")),
        ("two have left", lambda w, said: w.new_view(1, *said.view_changes[:2])),
        ("one of them twice", lambda w, said: w.new_view(1, *said.view_changes[:2], said.view_changes[1])),
        ("one left for another view", lambda w, said: w.new_view(1, *said.view_changes[:2], w.view_change(4, 2))),
        ("one has not signed", lambda w, said: w.new_view(
            1, *said.view_changes[:2], replace(said.view_changes[2], source=1))),
        ("one proves nothing", lambda w, said: w.new_view(
            1, *said.view_changes[:2], w.view_change(4, 1, w.prepared(w.proposal(1), (3,))))),
        ("O leaves out what was prepared", lambda w, said: w.signed(replace(said, pre_prepares=()))),
        ("O has another batch", lambda w, said: w.signed(replace(
            said, pre_prepares=(w.pre_prepare(1, [w.request(9)], 1),)))),
        ("O has one more", lambda w, said: w.signed(replace(
            said, pre_prepares=(*said.pre_prepares, w.pre_prepare(2, [w.request(9)], 1))))),
        ("O has the number of another", lambda w, said: w.signed(replace(
            said, pre_prepares=(w.signed(PrePrepare(1, 2, said.pre_prepares[0].digest, 2)),)))),
        ("O is of another view", lambda w, said: w.signed(replace(
            said, pre_prepares=(w.signed(PrePrepare(5, 1, said.pre_prepares[0].digest, 2)),)))),
        ("O is not signed", lambda w, said: w.signed(replace(
            said, pre_prepares=(replace(said.pre_prepares[0], signature=b""),)))),
    ],
)  # fmt: skip
def test_a_new_view_is_not_taken_if(why: str, twist, words) -> None:
    """4.4: "A backup accepts a new-view message for view v + 1 if it is signed properly, if the view-change messages it
    contains are valid for view v + 1, and if the set O is correct"."""
    view_changes = [words.view_change(node, 1) for node in (2, 3)]
    said = words.new_view(1, *view_changes, words.view_change(4, 1, words.prepared(words.proposal(1))))
    assert is_new_view(said, 4, words.group, seal(words))
    assert not is_new_view(twist(words, said), 4, words.group, seal(words)), why


def test_of_what_is_not_proved_nothing_is_computed(words) -> None:
    """O has every number up to the highest one that is claimed, and anybody may claim the end of time."""
    said = words.new_view(1, *(words.view_change(node, 1) for node in (1, 2)), words.view_change(4, 1))
    far = words.prepared(words.proposal(2**60))
    claimed = words.signed(replace(said, view_changes=(*said.view_changes[:2], words.view_change(4, 1, far))))
    assert not is_new_view(claimed, 4, words.group, seal(words))
