"""The clock of a database, as it is carried forward between two measurements."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.launch.clock import DatabaseClock, SystemClock


class Machine:
    """A steady clock, and a database so far away.  delays: how long a question takes, how long its answer."""

    def __init__(self, database: float, delays: tuple[float, float] = (0.0, 0.0)) -> None:
        self.steady = 500.0
        self.database = database
        self.delays = delays

    def monotonic(self) -> float:
        return self.steady

    def pass_time(self, seconds: float) -> None:
        self.steady += seconds
        self.database += seconds

    async def time(self) -> float:
        there, back = self.delays
        self.pass_time(there)
        answer = self.database
        self.pass_time(back)
        return answer


def adjusted(clock: DatabaseClock) -> DatabaseClock:
    asyncio.run(clock.adjust())
    return clock


def clock_of(machine: Machine) -> DatabaseClock:
    return adjusted(DatabaseClock(machine.time, machine.monotonic))


def test_it_shows_the_database_s_time_and_goes_on_with_this_machine_s() -> None:
    machine = Machine(database=1_000.0)
    clock = clock_of(machine)
    assert (clock.now(), clock.monotonic()) == (1_000.0, 500.0)
    machine.pass_time(7.5)
    assert (clock.now(), clock.monotonic()) == (1_007.5, 507.5)


def test_a_jump_of_the_wall_clock_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(database=1_000.0)
    clock = clock_of(machine)
    monkeypatch.setattr("time.time", lambda: 9e9)
    machine.pass_time(1.0)
    assert clock.now() == 1_001.0


def test_the_system_s_clock_shows_the_wall_clock_s_time_and_does_not_jump_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, wall = SystemClock(), time.time()
    assert clock.now() == pytest.approx(wall, abs=1.0)
    monkeypatch.setattr("time.time", lambda: wall + 3_600.0)
    assert clock.now() == pytest.approx(wall, abs=1.0), "leases would end an hour early"
    assert SystemClock().now() == pytest.approx(wall + 3_600.0, abs=1.0)


def test_one_that_is_behind_jumps_forward() -> None:
    machine = Machine(database=1_000.0)
    clock = clock_of(machine)
    machine.database += 60.0
    assert adjusted(clock).now() == 1_060.0


def test_one_that_is_ahead_runs_at_half_speed_until_the_other_has_caught_up() -> None:
    machine = Machine(database=1_000.0)
    clock = clock_of(machine)
    machine.database -= 10.0
    assert adjusted(clock).now() == 1_000.0, "it does not go back"
    machine.pass_time(4.0)
    assert clock.now() == 1_002.0
    machine.pass_time(16.0)
    assert clock.now() == machine.database == 1_010.0
    machine.pass_time(3.0)
    assert clock.now() == machine.database
    assert adjusted(clock).now() == machine.database


def test_what_a_slow_answer_cannot_tell_changes_nothing() -> None:
    machine = Machine(database=1_000.0)
    clock = clock_of(machine)
    machine.delays = (0.4, 0.0)
    assert adjusted(clock).now() == machine.database
    machine.delays = (0.0, 0.4)
    assert adjusted(clock).now() == machine.database


def test_reading_it_before_it_was_adjusted_is_a_fault() -> None:
    with pytest.raises(AssertionError, match="adjusted before it is read"):
        DatabaseClock(Machine(0.0).time).now()


STEPS = st.lists(
    st.tuples(
        st.floats(0, 20),  # time passes
        st.one_of(st.just(0.0), st.floats(-30, 30)),  # the database's clock is set
        st.floats(0, 0.5),  # a question takes so long
        st.floats(0, 0.5),  # and its answer
    ),
    max_size=8,
)


@given(start=st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), steps=STEPS)
def test_it_never_goes_back_and_is_as_right_as_its_newest_answer(
    start: tuple[float, float], steps: list[tuple[float, float, float, float]]
) -> None:
    machine = Machine(database=1_000.0, delays=start)
    clock = clock_of(machine)
    newest, ahead = clock.now(), 0.0
    assert abs(newest - machine.database) <= sum(start) + 1e-6
    for passed, jump, *delays in steps:
        machine.pass_time(passed)
        assert clock.now() >= newest
        machine.database += jump
        machine.delays = (delays[0], delays[1])
        adjusted(clock)
        assert clock.now() >= newest
        newest = clock.now()
        ahead = newest - machine.database
        assert ahead >= -sum(delays) - 1e-6, "it is never left behind"
    machine.pass_time(2 * max(ahead, 0.0) + 2.0)
    bound = sum(machine.delays) + 1e-6
    assert abs(clock.now() - machine.database) <= bound, "in time it is right"
