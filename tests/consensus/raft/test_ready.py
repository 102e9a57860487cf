"""What a step gives back, and the settings behind it."""

import dataclasses

import pytest

from concerted.consensus.raft.ready import NOTHING, Ready, Refusal, Settings, Write


def test_the_defaults_are_those_of_the_specification() -> None:
    settings = Settings()
    assert (settings.election_timeout_s, settings.heartbeat_interval_s, settings.batch_count) == (10.0, 2.0, 100)


@pytest.mark.parametrize("wrong", [{"heartbeat_interval_s": 10.0}, {"heartbeat_interval_s": 0.0}, {"window": 0}])
def test_settings_that_cannot_work_are_a_mistake(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        Settings(**wrong)


def test_a_ready_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Ready().index = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        Write(1, 1, None).term = 2


def test_nothing_to_do_is_one_value() -> None:
    assert NOTHING.is_empty
    assert not Ready(refused=Refusal("not_leader")).is_empty
