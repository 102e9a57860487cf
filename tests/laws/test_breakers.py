"""Laws of the circuit breaker, against a plain account of what has happened."""

from hypothesis import given
from hypothesis import strategies as st

from concerted.fleet.breaker import Breaker

COOLDOWN_S = 10.0
happenings = st.lists(st.tuples(st.sampled_from(["send", "fail", "answer"]), st.integers(0, 15)), max_size=60)


@given(happenings, st.integers(1, 4))
def test_it_lets_all_pass_while_closed_and_one_a_cooldown_while_open(story: list[tuple[str, int]], limit: int) -> None:
    breaker = Breaker(failures=limit, cooldown_s=COOLDOWN_S)
    now, in_a_row, shut_since = 0.0, 0, None  # shut_since: when it opened, or when the last probe passed
    for what, pause in story:
        now += pause
        if what == "send":
            expected = shut_since is None or now >= shut_since + COOLDOWN_S
            assert breaker.admits(now) == expected
            breaker = breaker.passed(now)
            if expected and shut_since is not None:
                shut_since = now
                assert not breaker.admits(now), "a second probe passes"
        elif what == "fail":
            before, breaker = breaker, breaker.failed(now)
            if before.opened_at is None:
                in_a_row += 1
                if in_a_row >= limit:
                    shut_since = now
            elif before.probed_at is not None:
                shut_since = now
        else:
            breaker = breaker.succeeded()
            in_a_row, shut_since = 0, None
            assert breaker.admits(now)
        assert (breaker.retry_at is None) == (shut_since is None)
