"""A replica's state: its watermarks, its timeouts, what it sends to all."""

import pytest

from concerted.consensus.pbft.messages import Fetch
from concerted.consensus.pbft.replica import Slot, say_to_all, slot_at, timeout_s


def test_there_are_slots_between_the_watermarks_only(alone) -> None:
    """Castro & Liskov 1999, section 4.3: h < n <= H."""
    replica = alone(2, checkpoint_interval=5, window=10).pbft.replica
    assert [seq for seq in range(-1, 13) if replica.is_between_watermarks(seq)] == list(range(1, 11))
    assert slot_at(replica, 10) is slot_at(replica, 10)
    with pytest.raises(AssertionError, match="outside the watermarks"):
        slot_at(replica, 11)


def test_timeouts_double_up_to_a_bound(alone) -> None:
    """4.5.2: it waits T, "but this time it will wait 2T"."""
    replica = alone(2, request_timeout_s=10.0, longest_timeout_s=50.0).pbft.replica
    found = []
    for attempts in (0, 1, 2, 3, 4, 10_000):
        replica.attempts = attempts
        found.append(timeout_s(replica))
    assert found == [10.0, 10.0, 20.0, 40.0, 50.0, 50.0]


def test_what_is_said_to_all_goes_to_all_others(alone) -> None:
    replica = alone(2).pbft.replica
    say_to_all(replica, Fetch(1, 0, 2))
    assert [(message.to, message.source) for message in replica.out.messages] == [(1, 2), (3, 2), (4, 2)]


def test_a_slot_keeps_what_is_prepared_when_a_view_ends(words) -> None:
    """4.4: P has what was prepared in any earlier view."""
    proposal = words.proposal()
    slot = Slot(1, pre_prepare=proposal.pre_prepare, accepted=True, prepared=words.prepared(proposal))
    slot.prepares[3] = words.prepare(3, proposal)
    slot.leave()
    assert (slot.pre_prepare, slot.accepted, slot.prepares) == (None, False, {})
    assert slot.is_prepared(0)
    assert not slot.is_prepared(1)
