"""The file of a server: every torn tail is cut, and no damage before it is passed over."""

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.storage import STORAGE, Stored, Write
from concerted.errors import StoreDamaged

FIRST = Stored(snapshot=Snapshot(configuration=Configuration.of((1, 2, 3))))
WRITES = [
    Write(1, 1, 1, entries=(Entry(1, 1), Entry(2, 1, b"a"))),
    Write(2, 2, None, entries=(Entry(2, 2, b"b"), Entry(3, 2, None, Configuration.of((1, 2))))),
    Write(3, 2, 3),
]


def synced(writes) -> bytes:
    """Write these, and sync each before the next."""
    data = STORAGE.begin(1, FIRST)
    for write in writes:
        data += STORAGE.frame(write, len(data))
    return data


def test_what_was_written_is_read_back() -> None:
    data = synced(WRITES)
    found = STORAGE.recover(1, data)
    assert found.size_bytes == len(data)
    assert found.stored == Stored(
        2, 3, FIRST.snapshot, (Entry(1, 1), Entry(2, 2, b"b"), Entry(3, 2, None, Configuration.of((1, 2))))
    )


def test_a_file_torn_at_any_byte_ends_with_the_last_whole_write() -> None:
    whole = synced(WRITES[:2])
    data = synced(WRITES)
    for length in range(len(whole), len(data)):
        found = STORAGE.recover(1, data[:length])
        assert (found.stored.term, found.stored.vote, found.size_bytes) == (2, None, len(whole))


def test_a_bit_that_flipped_in_the_newest_write_ends_the_file_before_it() -> None:
    """That cannot be told from a torn write."""
    whole, data = len(synced(WRITES[:2])), synced(WRITES)
    for at in range(whole, len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        assert STORAGE.recover(1, bytes(damaged)).size_bytes == whole


def test_damage_in_the_middle_stops_the_server_and_says_where() -> None:
    """What was durable has been promised: to go on without it would be to break a promise in silence."""
    first, data = len(STORAGE.begin(1, FIRST)), synced(WRITES)
    for at in range(first, len(synced(WRITES[:2]))):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        with pytest.raises(StoreDamaged, match="log of server 1 is damaged at byte") as error:
            STORAGE.recover(1, bytes(damaged))
        assert first <= error.value.facts["at_byte"] <= at


def test_writes_that_were_not_synced_may_be_torn_in_any_order() -> None:
    """Two writes go out before one sync; the disk has written the second and not the first."""
    begun = STORAGE.begin(1, FIRST)
    first, second = STORAGE.frame(WRITES[0], len(begun)), STORAGE.frame(WRITES[1], len(begun))
    found = STORAGE.recover(1, begun + bytes(len(first)) + second)
    assert (found.stored, found.size_bytes) == (FIRST, len(begun))


def test_a_compacted_file_holds_the_same() -> None:
    stored = STORAGE.recover(1, synced(WRITES)).stored
    assert STORAGE.recover(1, STORAGE.begin(1, stored)).stored == stored


@pytest.mark.parametrize(
    ("node", "data", "text"),
    [
        (2, STORAGE.begin(1, FIRST), "this is the log of server 1, not of 2"),
        (1, b"", "does not begin as one"),
        (1, b"SQLite format 3\0" * 4, "does not begin as one"),
        (1, STORAGE.begin(1, FIRST)[:20], "does not begin as one"),
    ],
    ids=["of another", "empty", "foreign", "torn"],
)
def test_a_file_that_is_not_this_servers_is_refused(node: int, data: bytes, text: str) -> None:
    with pytest.raises(StoreDamaged, match=text):
        STORAGE.recover(node, data)
