"""What a Raft server keeps, and its bytes."""

from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.storage import STORAGE, Contents, Stored, Write

FIRST = Stored(snapshot=Snapshot(configuration=Configuration.of((1, 2, 3))))
WRITES = [
    Write(1, 1, 1, entries=(Entry(1, 1), Entry(2, 1, b"a"))),
    Write(2, 2, None, entries=(Entry(2, 2, b"b"), Entry(3, 2, None, Configuration.of((1, 2))))),
    Write(3, 2, 3),
]


def test_the_format_is_this_one() -> None:
    """Whoever changes it must read the old one still, and raise VERSION."""
    assert STORAGE.frame(Write(9, 3, 2, entries=(Entry(7, 3, b"x"),)), 5).hex() == (
        "0d000000" "d4cc9bf2" "0500000000000000" "950302c0c291940703c40178c0"
    )  # fmt: skip


entries = st.lists(st.integers(1, 3), max_size=4)


@given(st.lists(st.tuples(st.integers(0, 5), entries), max_size=6), st.data())
def test_a_file_says_what_its_writes_come_to(steps, data) -> None:
    contents, file = Contents(FIRST), STORAGE.begin(1, FIRST)
    for term, (back, terms) in enumerate(steps, 1):
        first = max(1, contents.last_index + 1 - back)
        write = Write(
            term, term, None, entries=tuple(Entry(place, term, b"%d" % each) for place, each in enumerate(terms, first))
        )
        contents.take(write)
        file += STORAGE.frame(write, data.draw(st.sampled_from([0, len(file)])))
    assert STORAGE.recover(1, file).stored == contents.stored()


def test_a_snapshot_of_its_own_keeps_what_follows_and_one_of_the_leader_does_not() -> None:
    snapshot = Snapshot(1, 1, FIRST.snapshot.configuration, b"state")
    for restores, left in ((False, 1), (True, 0)):
        contents = Contents(FIRST)
        contents.take(WRITES[0])
        contents.take(Write(2, 1, 1, snapshot, restores))
        assert (contents.snapshot, len(contents.entries)) == (snapshot, left)
