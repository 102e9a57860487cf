"""The simultaneous ascending auction."""

import pytest

from concerted.allocation.market.ascending import ascend
from concerted.errors import Invalid


def test_what_nobody_contends_for_is_sold_for_nothing() -> None:
    ascent = ascend([{0: 10}], [1], 1)
    assert (ascent.holder_of, ascent.price_of, ascent.rounds) == ({0: 0}, {0: 0}, 1)


def test_the_price_rises_until_the_second_gives_up() -> None:
    ascent = ascend([{0: 10}, {0: 7}], [1, 1], 1)
    assert ascent.holder_of == {0: 0}
    assert ascent.price_of == {0: 6}, "at 6 the second would have to bid 7, all that it is worth to it"


def test_who_is_outbid_turns_to_what_profits_it_more() -> None:
    # Both want the first thing most; the second gives way as soon as the other thing is worth as much to it.
    ascent = ascend([{0: 10, 1: 2}, {0: 9, 1: 6}], [1, 1], 1)
    assert ascent.holder_of == {0: 0, 1: 1}
    assert ascent.price_of[1] == 0
    assert 2 <= ascent.price_of[0] <= 4


def test_no_agent_holds_more_than_it_has_room_for() -> None:
    ascent = ascend([{0: 9, 1: 9, 2: 9}, {2: 1}], [2, 1], 1)
    assert sorted(ascent.holder_of.items()) == [(0, 0), (1, 0), (2, 1)]


def test_the_whole_is_an_increment_per_thing_from_the_best_at_most() -> None:
    values = [{0: 8, 1: 7}, {0: 7, 1: 3}]
    ascent = ascend(values, [1, 1], 3)
    assert sum(values[agent][thing] for thing, agent in ascent.holder_of.items()) >= 14 - 2 * 3


def test_of_equal_bids_that_of_the_first_agent_wins() -> None:
    assert ascend([{0: 5}, {0: 5}], [1, 1], 5).holder_of == {0: 0}


def test_an_increment_below_one_or_too_small_to_end_in_time_is_refused() -> None:
    with pytest.raises(Invalid, match="the increment is 0; it must be at least 1"):
        ascend([{0: 1}], [1], 0)
    with pytest.raises(Invalid, match="more than 100000 rounds; take an increment above 1"):
        ascend([{0: 10**6}, {0: 10**6}], [1, 1], 1)
