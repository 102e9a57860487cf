"""The settings of a Raft server."""

import pytest

from concerted.consensus.raft.settings import Settings


def test_the_defaults_are_those_of_the_specification() -> None:
    settings = Settings()
    assert (settings.election_timeout_s, settings.heartbeat_interval_s, settings.batch_count) == (10.0, 2.0, 100)


@pytest.mark.parametrize("wrong", [{"heartbeat_interval_s": 10.0}, {"heartbeat_interval_s": 0.0}, {"window": 0}])
def test_settings_that_cannot_work_are_a_mistake(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        Settings(**wrong)
