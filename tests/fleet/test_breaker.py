"""The circuit breaker: when it opens, what it lets through, when it closes."""

from concerted.fleet.breaker import Breaker

NEW = Breaker(failures=3, cooldown_s=10.0)


def opened_at(now: float) -> Breaker:
    breaker = NEW
    for _ in range(3):
        breaker = breaker.failed(now)
    return breaker


def test_a_new_breaker_lets_everything_through() -> None:
    assert NEW.admits(0.0)
    assert NEW.retry_at is None
    assert NEW.passed(0.0) == NEW


def test_it_opens_at_the_third_failure_in_a_row_and_not_before() -> None:
    assert NEW.failed(1.0).failed(2.0).admits(2.0)
    assert not NEW.failed(1.0).failed(2.0).failed(3.0).admits(3.0)


def test_a_success_between_failures_begins_the_count_anew() -> None:
    breaker = NEW.failed(1.0).failed(2.0).succeeded().failed(3.0).failed(4.0)
    assert breaker.admits(4.0)
    assert breaker.in_a_row == 2


def test_an_open_breaker_says_when_it_may_be_tried_again() -> None:
    breaker = opened_at(5.0)
    assert breaker.retry_at == 15.0
    assert not breaker.admits(14.9)
    assert breaker.admits(15.0)


def test_only_one_probe_passes() -> None:
    breaker = opened_at(5.0).passed(15.0)
    assert not breaker.admits(15.0)
    assert not breaker.admits(24.9)


def test_a_probe_that_is_answered_closes() -> None:
    breaker = opened_at(5.0).passed(15.0).succeeded()
    assert breaker == NEW


def test_a_probe_that_fails_opens_for_another_cooldown() -> None:
    breaker = opened_at(5.0).passed(15.0).failed(18.0)
    assert breaker.retry_at == 28.0
    assert breaker.in_a_row == 4


def test_a_probe_that_is_never_heard_of_again_does_not_shut_the_agent_out_for_ever() -> None:
    breaker = opened_at(5.0).passed(15.0)
    assert breaker.retry_at == 25.0
    assert breaker.admits(25.0)


def test_old_commands_that_fail_while_it_is_open_do_not_prolong_it() -> None:
    breaker = opened_at(5.0)
    assert breaker.failed(14.0) == breaker


def test_a_command_that_does_not_pass_is_no_probe() -> None:
    breaker = opened_at(5.0)
    assert breaker.passed(6.0) == breaker
