"""The fair queue: who comes before whom, and that it is the same whatever way it was filled."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from concerted.board.queue import AGEING_S, CHUNK, EMPTY, Place, Queue, turn

places = st.tuples(st.integers(0, 20).map(float), st.integers(0, 1000), st.sampled_from(["a", "b"]))


def filled(count: int) -> Queue:
    queue = EMPTY
    for number in range(count):
        queue = queue.put((float(number), number, f"t{number}"))
    return queue


def test_of_one_priority_who_asks_first_comes_first() -> None:
    queue = EMPTY.put((turn(2.0, "medium"), 2, "later")).put((turn(1.0, "medium"), 1, "sooner"))
    assert [ticket for _, _, ticket in queue] == ["sooner", "later"]


def test_who_asks_in_the_same_instant_comes_in_the_order_of_the_numbers() -> None:
    queue = EMPTY.put((1.0, 2, "a")).put((1.0, 1, "b"))
    assert queue.first == (1.0, 1, "b")


def test_a_higher_priority_comes_before_a_lower_one_that_has_just_come() -> None:
    assert turn(10.0, "critical") < turn(10.0, "high") < turn(9.0, "medium") < turn(8.0, "low")


def test_waiting_is_worth_one_level_of_priority_in_each_ageing_time() -> None:
    assert turn(0.0, "low") < turn(AGEING_S + 1, "medium")
    assert turn(0.0, "low") > turn(AGEING_S - 1, "medium")
    assert turn(0.0, "low") < turn(3 * AGEING_S + 1, "critical")
    assert turn(0.0, "low") > turn(3 * AGEING_S - 1, "critical")


def test_an_empty_queue_has_nobody() -> None:
    place: Place = (1.0, 1, "a")
    assert (EMPTY.first, len(EMPTY), list(EMPTY), list(EMPTY.before(place)), list(EMPTY.back_from(place))) == (
        None, 0, [], [], []
    )  # fmt: skip
    assert EMPTY.without(place) == EMPTY
    assert EMPTY.position(place) == 1


def test_the_position_counts_those_before_and_one() -> None:
    queue = filled(5 * CHUNK)
    assert [queue.position(place) for place in queue] == list(range(1, 5 * CHUNK + 1))


def test_one_can_go_through_those_before_a_place_from_either_end() -> None:
    queue = filled(3 * CHUNK)
    place = (100.0, 100, "t100")
    assert [number for _, number, _ in queue.before(place)] == list(range(100))
    assert [number for _, number, _ in queue.back_from(place)] == list(range(99, -1, -1))


def test_who_is_not_in_it_cannot_leave_it() -> None:
    queue = filled(CHUNK)
    assert queue.without((3.0, 99, "t99")) is queue
    assert queue.without((-1.0, 0, "t")) is queue


def test_taking_from_the_front_leaves_nothing_behind() -> None:
    queue = filled(3 * CHUNK)
    while queue.first is not None:
        queue = queue.without(queue.first)
    assert queue == EMPTY


@given(st.lists(st.tuples(st.booleans(), places), max_size=300))
def test_it_is_a_sorted_list_whatever_comes_and_goes(changes: list[tuple[bool, Any]]) -> None:
    queue, plain = EMPTY, list[Place]()
    for is_put, place in changes:
        if is_put and place not in plain:
            queue, plain = queue.put(place), sorted([*plain, place])
        elif not is_put:
            queue, plain = queue.without(place), [other for other in plain if other != place]
    assert list(queue) == plain
    assert len(queue) == len(plain)
    assert queue.first == (plain[0] if plain else None)
    assert all(0 < len(chunk) <= CHUNK for chunk in queue.chunks)


@given(st.lists(places, max_size=30, unique=True))
def test_it_comes_back_from_json_as_it_was(some: list[Any]) -> None:
    queue = EMPTY
    for place in some:
        queue = queue.put(place)
    assert msgspec.json.decode(msgspec.json.encode(queue), type=Queue) == queue
