"""Entries and snapshots on a wire come back as they were."""

import msgspec
import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration

CONFIGURATION = Configuration.of((1, 2, 3), (4,))


@pytest.mark.parametrize(
    "value", [Entry(1, 2, b"x"), Entry(1, 2), Entry(1, 2, None, CONFIGURATION), Snapshot(5, 6, CONFIGURATION, b"data")]
)
def test_it_comes_back_as_it_was(value: Entry | Snapshot) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=type(value)) == value
