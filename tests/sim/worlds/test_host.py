"""The machine of a simulated server."""

import pytest

from concerted.sim.worlds.host import Clock


def test_a_clock_says_when_it_will_say_something() -> None:
    clock = Clock(1.05, 500.0)
    assert clock.read(100.0) == pytest.approx(605.0)
    assert clock.instant(clock.read(100.0)) == pytest.approx(100.0)
