"""The file of a server: every torn tail is cut, and no damage before it is passed over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.ready import Stored, Write
from concerted.consensus.raft.storage import Contents, begin, frame, recover
from concerted.errors import StoreDamaged

FIRST = Stored(snapshot=Snapshot(configuration=Configuration.of((1, 2, 3))))
WRITES = [
    Write(1, 1, 1, entries=(Entry(1, 1), Entry(2, 1, b"a"))),
    Write(2, 2, None, entries=(Entry(2, 2, b"b"), Entry(3, 2, None, Configuration.of((1, 2))))),
    Write(3, 2, 3),
]


def synced(writes) -> bytes:
    """Write these, and sync each before the next."""
    data = begin(1, FIRST)
    for write in writes:
        data += frame(write, len(data))
    return data


def test_what_was_written_is_read_back() -> None:
    data = synced(WRITES)
    found = recover(1, data)
    assert found.size_bytes == len(data)
    assert found.stored == Stored(
        2, 3, FIRST.snapshot, (Entry(1, 1), Entry(2, 2, b"b"), Entry(3, 2, None, Configuration.of((1, 2))))
    )


def test_a_file_torn_at_any_byte_ends_with_the_last_whole_write() -> None:
    whole = synced(WRITES[:2])
    data = synced(WRITES)
    for length in range(len(whole), len(data)):
        found = recover(1, data[:length])
        assert (found.stored.term, found.stored.vote, found.size_bytes) == (2, None, len(whole))


def test_a_bit_that_flipped_in_the_newest_write_ends_the_file_before_it() -> None:
    """That cannot be told from a torn write."""
    whole, data = len(synced(WRITES[:2])), synced(WRITES)
    for at in range(whole, len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        assert recover(1, bytes(damaged)).size_bytes == whole


def test_damage_in_the_middle_stops_the_server_and_says_where() -> None:
    """What was durable has been promised: to go on without it would be to break a promise in silence."""
    first, data = len(begin(1, FIRST)), synced(WRITES)
    for at in range(first, len(synced(WRITES[:2]))):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(StoreDamaged, match="log of server 1 is damaged at byte") as error:
            recover(1, bytes(damaged))
        assert first <= error.value.facts["at_byte"] <= at


def test_writes_that_were_not_synced_may_be_torn_in_any_order() -> None:
    """Two writes go out before one sync; the disk has written the second and not the first."""
    begun = begin(1, FIRST)
    first, second = frame(WRITES[0], len(begun)), frame(WRITES[1], len(begun))
    found = recover(1, begun + bytes(len(first)) + second)
    assert (found.stored, found.size_bytes) == (FIRST, len(begun))


def test_a_compacted_file_holds_the_same() -> None:
    stored = recover(1, synced(WRITES)).stored
    assert recover(1, begin(1, stored)).stored == stored


@pytest.mark.parametrize(
    ("node", "data", "text"),
    [
        (2, begin(1, FIRST), "this is the log of server 1, not of 2"),
        (1, b"", "does not begin as one"),
        (1, b"SQLite format 3\0" * 4, "does not begin as one"),
        (1, begin(1, FIRST)[:20], "does not begin as one"),
    ],
    ids=["of another", "empty", "foreign", "torn"],
)
def test_a_file_that_is_not_this_servers_is_refused(node: int, data: bytes, text: str) -> None:
    with pytest.raises(StoreDamaged, match=text):
        recover(node, data)


def test_the_format_is_this_one() -> None:
    """Whoever changes it must read the old one still, and raise VERSION."""
    assert frame(Write(9, 3, 2, entries=(Entry(7, 3, b"x"),)), 5).hex() == (
        "0d000000" "d4cc9bf2" "0500000000000000" "950302c0c291940703c40178c0"
    )  # fmt: skip


entries = st.lists(st.integers(1, 3), max_size=4)


@given(st.lists(st.tuples(st.integers(0, 5), entries), max_size=6), st.data())
def test_a_file_says_what_its_writes_come_to(steps, data) -> None:
    contents, file = Contents(FIRST), begin(1, FIRST)
    for term, (back, terms) in enumerate(steps, 1):
        first = max(1, contents.last_index + 1 - back)
        write = Write(
            term, term, None, entries=tuple(Entry(place, term, b"%d" % each) for place, each in enumerate(terms, first))
        )
        contents.take(write)
        file += frame(write, data.draw(st.sampled_from([0, len(file)])))
    assert recover(1, file).stored == contents.stored()


def test_a_snapshot_of_its_own_keeps_what_follows_and_one_of_the_leader_does_not() -> None:
    snapshot = Snapshot(1, 1, FIRST.snapshot.configuration, b"state")
    for restores, left in ((False, 1), (True, 0)):
        contents = Contents(FIRST)
        contents.take(WRITES[0])
        contents.take(Write(2, 1, 1, snapshot, restores))
        assert (contents.snapshot, len(contents.entries)) == (snapshot, left)
