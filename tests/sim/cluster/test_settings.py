"""What is set for all seeds in the place of what each would draw."""

import random

import pytest

from concerted.errors import Invalid
from concerted.sim.cluster.settings import DRAWN, Settings
from concerted.sim.protocols.raft import RAFT


def test_settings_are_read_as_they_are_written() -> None:
    settings = Settings.parse("servers=5, seconds=2.5, window=1")
    assert (settings.servers, settings.seconds, settings.replica) == (5, 2.5, {"window": 1.0})
    assert Settings.parse(settings.words()) == settings
    assert Settings.parse("") == DRAWN


def test_what_is_set_takes_the_place_of_what_was_drawn() -> None:
    drawn = RAFT.world_settings(random.Random(1))
    changed = Settings.parse("window=7").over(drawn)
    assert (changed.window, type(changed.window), changed.batch_count) == (7, int, drawn.batch_count)


@pytest.mark.parametrize(
    "words", ["servers=many", "servers=-1", "servers=0", "servers=2.5", "servers=1000", "seconds=-1", "seconds=inf"]
)
def test_what_cannot_be_is_refused(words: str) -> None:
    with pytest.raises(Invalid):
        Settings.parse(words)


@pytest.mark.parametrize(
    ("words", "why"), [("windw=1", "no setting 'windw'"), ("window=0", "window=0"), ("window=1.5", "whole number")]
)
def test_what_the_protocol_does_not_know_is_refused(words: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        Settings.parse(words).over(RAFT.world_settings(random.Random(1)))
