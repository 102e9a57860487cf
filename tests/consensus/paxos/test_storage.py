"""What an acceptor remembers, and its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.paxos.messages import Proposal
from concerted.consensus.paxos.storage import STORAGE, Contents, Instance, Stored, Write
from concerted.consensus.quorum import Configuration

FIRST = Stored(snapshot=Snapshot(configuration=Configuration.of((1, 2, 3))))


def test_the_format_is_this_one() -> None:
    """Whoever changes it must read the old one still, and raise its version."""
    write = Write(9, 3002, 6, proposals=(Proposal(3002, Entry(7, 3002, b"x")),), instances=(Instance("k", 1001),))
    assert STORAGE.frame(write, 5).hex() == (
        "1f000000" "4cbb8218" "0500000000000000"
        "95cd0bba06c09192cd0bba9407cd0bbac40178c09195a16bcd03e900c400c2"
    )  # fmt: skip


proposals = st.builds(
    lambda index, ballot: Proposal(ballot, Entry(index, ballot, b"%d" % ballot)), st.integers(1, 9), st.integers(1, 3)
)
instances = st.builds(Instance, st.sampled_from("ab"), st.integers(0, 9), st.integers(0, 9), st.binary(max_size=3))


@given(st.lists(st.tuples(st.lists(proposals, max_size=3), st.lists(instances, max_size=3)), max_size=6), st.data())
def test_a_file_says_what_its_writes_come_to(steps, data) -> None:
    contents, file = Contents(FIRST), STORAGE.begin(1, FIRST)
    for number, (slots, keys) in enumerate(steps, 1):
        write = Write(number, number, 0, proposals=tuple(slots), instances=tuple(keys))
        contents.take(write)
        file += STORAGE.frame(write, data.draw(st.sampled_from([0, len(file)])))
    assert STORAGE.recover(1, file).stored == contents.stored()


def test_a_snapshot_stands_for_the_slots_up_to_it_and_what_was_accepted_later_stays() -> None:
    contents = Contents(FIRST)
    contents.take(Write(1, 1001, 0, proposals=tuple(Proposal(1001, Entry(index, 1001)) for index in (1, 2, 4))))
    snapshot = Snapshot(2, 1001, FIRST.snapshot.configuration, b"state")
    contents.take(Write(2, 1001, 2, snapshot))
    assert contents.stored() == Stored(1001, 2, snapshot, (Proposal(1001, Entry(4, 1001)),))


def test_a_compacted_file_holds_the_same() -> None:
    contents = Contents(FIRST)
    contents.take(Write(1, 1001, 0, None, (Proposal(1001, Entry(1, 1001)),), (Instance("k", 1, 1, b"v", True),)))
    assert STORAGE.recover(1, STORAGE.begin(1, contents.stored())).stored == contents.stored()


def test_a_promise_is_not_taken_back() -> None:
    contents = Contents(FIRST)
    contents.take(Write(1, 2001, 0))
    with pytest.raises(AssertionError, match="taken back"):
        contents.take(Write(2, 1001, 0))
