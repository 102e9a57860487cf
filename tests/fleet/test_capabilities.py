"""The capability cache: an answer is believed until its time is over."""

from concerted.fleet.capabilities import Cached


def test_an_answer_is_fresh_until_its_time_is_over() -> None:
    cached = Cached({"python": 0.9}, until=100.0)
    assert cached.fresh(99.9)
    assert not cached.fresh(100.0)


def test_an_answer_with_no_time_to_live_is_never_used() -> None:
    assert not Cached({}, until=5.0).fresh(5.0)
