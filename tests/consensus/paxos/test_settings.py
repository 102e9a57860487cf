"""How a Paxos replica behaves."""

import pytest

from concerted.consensus.paxos.settings import Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"heartbeat_interval_s": 20.0},
        {"retry_s": 0.0},
        {"retry_s": 11.0},
        {"drift": 1.1},
        {"drift": -0.1},
        {"window": 0},
        {"keys_count": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong) -> None:
    with pytest.raises(AssertionError):
        Settings(**wrong)


def test_a_lease_is_shorter_than_a_promise_by_what_clocks_may_drift_apart() -> None:
    """A promise of 10 s lasts at least 10 / 1.01 s of true time by the fastest clock; a lease of L s at most L / 0.99 s
    by the slowest."""
    lease_s = Settings(election_timeout_s=10.0, drift=0.01).lease_s
    assert lease_s / 0.99 == pytest.approx(10.0 / 1.01)


def test_without_a_bound_on_clocks_there_is_no_lease() -> None:
    assert Settings(drift=1.0).lease_s == 0.0
