"""The settings of a PBFT replica."""

import pytest

from concerted.consensus.pbft.settings import Settings


def test_the_defaults_are_those_of_the_specification() -> None:
    settings = Settings()
    assert (settings.request_timeout_s, settings.retry_interval_s, settings.batch_count) == (10.0, 2.0, 100)


@pytest.mark.parametrize(
    "wrong",
    [{"retry_interval_s": 20.0}, {"longest_timeout_s": 5.0}, {"window": 100}, {"batch_count": 0}, {"numbers_count": 0}],
)
def test_settings_that_cannot_work_are_a_mistake(wrong: dict[str, float]) -> None:
    with pytest.raises(AssertionError):
        Settings(**wrong)
