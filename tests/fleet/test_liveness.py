"""Liveness: what the age of a heartbeat says, and when to look again."""

import math

import pytest

from concerted.fleet.liveness import Thresholds, judge, look_again_s

EVERY_10_S = Thresholds(interval_s=10.0, missed=3)


@pytest.mark.parametrize(
    ("age_s", "state"),
    [(0, "alive"), (10, "alive"), (14.9, "alive"), (15, "suspect"), (34.9, "suspect"), (35, "gone"), (1e9, "gone")],
)
def test_one_missed_heartbeat_makes_suspect_and_three_make_gone(age_s: float, state: str) -> None:
    assert judge(age_s, EVERY_10_S) == state


def test_with_a_threshold_of_one_nobody_is_ever_suspect() -> None:
    strict = Thresholds(interval_s=1.0, missed=1)
    assert {judge(age / 10, strict) for age in range(40)} == {"alive", "gone"}


@pytest.mark.parametrize(("age_s", "look_s"), [(0, 15), (10, 5), (15, 20), (34, 1), (35, math.inf)])
def test_it_says_when_to_look_again(age_s: float, look_s: float) -> None:
    assert look_again_s(age_s, EVERY_10_S) == look_s


def test_looking_again_finds_another_state_and_a_moment_earlier_the_same() -> None:
    for age_s in (0.0, 3.0, 15.0, 20.0):
        later = age_s + look_again_s(age_s, EVERY_10_S)
        assert judge(later, EVERY_10_S) != judge(age_s, EVERY_10_S)
        assert judge(later - 1e-6, EVERY_10_S) == judge(age_s, EVERY_10_S)
