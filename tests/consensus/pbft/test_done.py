"""Whose requests were carried out, so that none is twice."""

from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.pbft.done import Done

asked = st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.integers(-1, 12)), max_size=60)


@given(asked, st.integers(1, 6))
def test_each_number_of_a_client_is_carried_out_at_most_once(requests, limit) -> None:
    done = Done(limit)
    carried_out = [request for request in requests if done.add(*request)]
    assert len(set(carried_out)) == len(carried_out)
    assert all(done.has(*request) for request in carried_out)
    assert all(number > 0 for _, number in carried_out)


far_apart = st.lists(st.one_of(st.integers(1, 9), st.integers(1, 2**64 - 1)), max_size=40)


@given(far_apart, st.integers(1, 6))
def test_a_request_is_carried_out_unless_more_than_the_limit_have_overtaken_it(numbers, limit) -> None:
    done, before = Done(limit), set()
    for number in numbers:
        higher = sum(other > number for other in before)
        if done.add("ann", number):
            before.add(number)
        else:
            assert number in before or higher > limit


@given(asked, st.integers(1, 6))
def test_a_copy_goes_on_as_the_table_itself(requests, limit) -> None:
    half = len(requests) // 2
    done = Done(limit)
    for request in requests[:half]:
        done.add(*request)
    copy = Done.load(limit, done.dump())
    assert [done.add(*request) for request in requests[half:]] == [copy.add(*request) for request in requests[half:]]
    assert copy.dump() == done.dump(), "there is one form only"


def test_numbers_may_come_in_any_order_as_long_as_few_overtake() -> None:
    done = Done(2)
    assert [done.add("ann", number) for number in (2, 1, 5, 3)] == [True, True, True, True]
    assert done.add("ann", 4)
    done = Done(2)
    assert [done.add("ann", number) for number in (10, 20, 30)] == [True, True, True]
    assert not done.add("ann", 5), "more than two higher ones were carried out"
    assert done.add("ann", 15)


def test_nothing_is_done_at_first() -> None:
    assert Done.load(3, b"").dump() == Done(3).dump()
    assert not Done(3).has("ann", 1)
