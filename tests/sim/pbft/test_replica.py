"""One replica's state machine in a simulation."""

import pytest

from concerted.consensus.entries import Snapshot
from concerted.consensus.quorum import Configuration
from concerted.sim.pbft.replica import Service


@pytest.mark.parametrize("garbage", [b"garbage", b"", b"\xc1", b"\x01", b"\x90"])
def test_a_snapshot_that_is_none_is_told_as_a_fault(garbage: bytes) -> None:
    with pytest.raises(AssertionError, match="the snapshot at 3 is none"):
        Service().restore(Snapshot(3, 3, Configuration(), garbage))


def test_a_snapshot_holds_everything() -> None:
    service = Service()
    service.registers["x"] = 3
    service.index = 3
    other = Service()
    other.restore(Snapshot(3, 3, Configuration(), service.dump()))
    assert other.dump() == service.dump()
