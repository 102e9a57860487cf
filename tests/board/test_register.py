"""A named value: versions, comparing, counting, who may write, and repeats that count once."""

from typing import Any, get_args, get_origin

import msgspec
import pytest
from msgspec import UNSET

from concerted.board import register
from concerted.board.register import (
    COUNTER_MAX,
    REQUESTERS_KEPT,
    REQUESTS_KEPT,
    VALUE_BYTES,
    WRITERS_MAX,
    Await,
    CompareAndSwap,
    Create,
    Delete,
    Increment,
    Put,
    Register,
    RegisterResult,
    Restrict,
    answer,
    decide,
    evolve,
    topic,
    waits,
    wakes,
)
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def after(state: Register | None, *requests: Any) -> Register:
    """Return the state after requests at the instants 1, 2, 3 ..."""
    for at, request in enumerate(requests, 1):
        for event in decide(state, request, float(at)).events:
            assert event.kind in register.KINDS
            state = evolve(state, event, float(at))
    assert state is not None
    return state


def events(state: Register | None, request: Any) -> list[Event]:
    return list(decide(state, request, 9.0).events)


def told(state: Register, request: Any) -> RegisterResult:
    """Have a request decided, and return what its caller is told."""
    return answer(after(state, request), request, 9.0)


LIMIT = after(None, Create("limit", ANN, value=10))


# making a value


def test_a_value_is_created_at_version_1() -> None:
    created = events(None, Create("limit", ANN, value={"of": [1, 2]}, writers=(BOB,)))
    assert [(event.kind, event.agent) for event in created] == [("register.created", ANN)]
    assert created[0].data == {
        "name": "limit", "status": "set", "value": {"of": [1, 2]}, "version": 1, "writers": ["bob"], "request_id": None
    }  # fmt: skip
    result = told(LIMIT, Look())
    assert (result.name, result.exists, result.value, result.version, result.creator) == ("limit", True, 10, 1, ANN)
    assert (result.changed_by, result.changed_at, result.status) == (ANN, 1.0, "set")


def test_a_value_may_be_created_empty() -> None:
    result = told(after(None, Create("limit", ANN)), Look())
    assert (result.exists, result.value, result.version, result.status) == (False, None, 0, "empty")
    assert (result.changed_by, result.changed_at) == (None, None)


def test_null_is_a_value() -> None:
    assert told(after(None, Create("limit", ANN, value=None)), Look()).exists


def test_the_same_creation_again_changes_nothing_even_when_the_value_has_changed() -> None:
    changed = after(LIMIT, Put(BOB, 11, "r1"))
    assert events(changed, Create("limit", ANN, value=10)) == []


@pytest.mark.parametrize("other", [Create("limit", ANN, 11), Create("limit", ANN), Create("limit", ANN, 10, (BOB,))])
def test_another_creation_of_the_same_name_is_a_conflict(other: Create) -> None:
    with pytest.raises(Conflict, match="limit was created by ann with another value or other writers; look at it"):
        decide(LIMIT, other, 2.0)


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 201])
def test_a_value_has_a_proper_name(name: str) -> None:
    with pytest.raises(Invalid, match="cannot name a value"):
        decide(None, Create(name, ANN), 1.0)


@pytest.mark.parametrize(
    "request_",
    [
        Look(), Await(0), Put(ANN, 1, "r"), Increment(ANN, "r"), Delete(ANN, "r"), Restrict(ANN, ()),
        CompareAndSwap(ANN, 1, "r", expected_version=0),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_not_found(request_: Any) -> None:
    with pytest.raises(NotFound, match="there is no such value; create it, or put it together with its name"):
        decide(None, request_, 1.0)


@pytest.mark.parametrize(
    ("request_", "value"),
    [
        (Put(BOB, "on", "r1", name="limit"), "on"),
        (Increment(BOB, "r1", amount=5, name="limit"), 5),
        (CompareAndSwap(BOB, 7, "r1", expected_version=0, name="limit"), 7),
    ],
)
def test_a_change_that_names_the_value_makes_it(request_: Any, value: Any) -> None:
    made = after(None, request_)
    assert (made.value, made.version, made.creator, made.changed_by) == (value, 1, BOB, BOB)
    assert answer(made, request_, 2.0).swapped
    assert events(made, request_) == []  # and its repeat counts once, like any other


@pytest.mark.parametrize(
    "request_",
    [
        CompareAndSwap(BOB, 7, "r1", expected_version=3, name="limit"),
        CompareAndSwap(BOB, 7, "r1", expected_value=None, name="limit"),
        Increment(BOB, "r1", amount=-1, minimum=0, name="limit"),
    ],
)
def test_what_would_not_hold_of_nothing_makes_nothing(request_: Any) -> None:
    with pytest.raises(NotFound, match="there is no value limit to compare with"):
        decide(None, request_, 1.0)


# changing it


def test_a_change_raises_the_version_and_says_by_whom() -> None:
    changed = events(LIMIT, Put(BOB, 11, "r1"))
    assert [(event.kind, event.agent) for event in changed] == [("register.changed", BOB)]
    data = {key: value for key, value in changed[0].data.items() if key != "digest"}
    assert data == {"value": 11, "version": 2, "status": "set", "request_id": "r1"}
    result = told(LIMIT, Put(BOB, 11, "r1"))
    assert (result.swapped, result.success, result.value, result.version) == (True, True, 11, 2)
    assert (result.changed_by, result.changed_at) == (BOB, 1.0)


def test_the_same_value_again_is_a_change_too() -> None:
    assert told(LIMIT, Put(BOB, 10, "r1")).version == 2


def test_a_swap_that_finds_the_expected_version_is_done() -> None:
    assert told(LIMIT, CompareAndSwap(BOB, 11, "r1", expected_version=1)).swapped


def test_a_swap_that_finds_another_version_is_told_so_and_writes_nothing() -> None:
    changed = after(LIMIT, Put(BOB, 11, "r1"))
    swap = CompareAndSwap(CY, 12, "r1", expected_version=1)
    assert events(changed, swap) == []
    result = told(changed, swap)
    assert (result.swapped, result.success, result.value, result.version) == (False, False, 11, 2)
    assert result.reason == "limit is at version 2, not 1; bob changed it last"


def test_a_swap_may_compare_the_value() -> None:
    assert told(LIMIT, CompareAndSwap(BOB, 11, "r1", expected_value=10)).swapped
    failed = told(LIMIT, CompareAndSwap(BOB, 11, "r1", expected_value=9))
    assert (failed.swapped, failed.reason) == (False, "limit has another value than expected, at version 1")


@pytest.mark.parametrize(("there", "expected"), [(1, True), (0, False), (1, 1.0), ({"a": 1}, {"a": 2}), ([1], [1, 2])])
def test_values_are_compared_as_json(there: Any, expected: Any) -> None:
    state = after(None, Create("x", ANN, value=there))
    assert not told(state, CompareAndSwap(BOB, 0, "r", expected_value=expected)).swapped


def test_the_order_of_keys_does_not_matter_in_a_comparison() -> None:
    state = after(None, Create("x", ANN, value={"a": 1, "b": 2}))
    assert told(state, CompareAndSwap(BOB, 0, "r", expected_value={"b": 2, "a": 1})).swapped


@pytest.mark.parametrize(("version", "value", "swapped"), [(1, 10, True), (1, 9, False), (2, 10, False)])
def test_if_both_are_expected_both_must_hold(version: int, value: int, swapped: bool) -> None:
    swap = CompareAndSwap(BOB, 11, "r1", expected_version=version, expected_value=value)
    assert told(LIMIT, swap).swapped is swapped


def test_a_swap_must_say_what_to_compare_with() -> None:
    with pytest.raises(Invalid, match="compare with what"):
        decide(LIMIT, CompareAndSwap(BOB, 11, "r1"), 2.0)


def test_version_0_expects_that_there_is_no_value() -> None:
    swap = CompareAndSwap(BOB, 11, "r1", expected_version=0)
    assert told(LIMIT, swap).reason == "limit has a value already, at version 1; ann changed it last"
    assert told(after(LIMIT, Delete(ANN, "d")), swap).version == 3
    assert told(after(None, Create("limit", ANN)), swap).version == 1


def test_an_empty_value_is_equal_to_nothing() -> None:
    empty = after(None, Create("limit", ANN))
    assert not told(empty, CompareAndSwap(BOB, 11, "r1", expected_value=None)).swapped


# deleting


def test_a_deleted_value_is_gone_but_its_versions_go_on() -> None:
    deleted = after(LIMIT, Delete(BOB, "d1"))
    result = answer(deleted, Delete(BOB, "d1"), 9.0)
    assert (result.swapped, result.exists, result.value, result.version) == (True, False, None, 2)
    assert result.status == "empty"
    again = told(deleted, Put(CY, 1, "r1"))
    assert (again.version, again.exists, again.status) == (3, True, "set")
    assert not told(after(deleted, Put(CY, 10, "r1")), CompareAndSwap(ANN, 0, "r2", expected_version=1)).swapped


def test_what_has_no_value_cannot_be_deleted() -> None:
    deleted = after(LIMIT, Delete(BOB, "d1"))
    assert events(deleted, Delete(CY, "d2")) == []
    assert told(deleted, Delete(CY, "d2")).reason == "limit has no value"


def test_a_deletion_may_compare_the_version() -> None:
    assert not told(LIMIT, Delete(BOB, "d1", expected_version=2)).swapped
    assert told(LIMIT, Delete(BOB, "d1", expected_version=1)).swapped


# counting


def test_a_count_adds_up() -> None:
    state = after(None, Create("hits", ANN), Increment(BOB, "r1"), Increment(BOB, "r2", 2.5), Increment(CY, "r1", -1))
    assert (state.value, state.version) == (2.5, 3)
    assert events(state, Increment(CY, "r2", 4))[0].data["amount"] == 4


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Increment(BOB, "r1", -11, minimum=0), "limit would be -1, below the minimum of 0"),
        (Increment(BOB, "r1", 6, maximum=15), "limit would be 16, above the maximum of 15"),
        (Increment(BOB, "r1", COUNTER_MAX), f"limit would be {COUNTER_MAX + 10}; a count stays within 2**53 of 0"),
    ],
)
def test_a_count_out_of_bounds_is_not_done_and_told(request_: Increment, reason: str) -> None:
    assert events(LIMIT, request_) == []
    result = told(LIMIT, request_)
    assert (result.swapped, result.value, result.reason) == (False, 10, reason)


@pytest.mark.parametrize("request_", [Increment(BOB, "r", -10, minimum=0), Increment(BOB, "r", 5, maximum=15)])
def test_a_count_may_reach_its_bounds(request_: Increment) -> None:
    assert told(LIMIT, request_).swapped


@pytest.mark.parametrize("value", ["ten", True, None, [1], 10**400, 2.0**60])
def test_what_is_no_number_is_not_counted(value: Any) -> None:
    state = after(None, Create("x", ANN, value=value))
    result = told(state, Increment(BOB, "r"))
    assert (result.swapped, result.reason) == (False, "x is no number to count with; put one there first")


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), True, "1", COUNTER_MAX * 2])
def test_only_numbers_are_added(amount: Any) -> None:
    with pytest.raises(Invalid, match="is no number to count with"):
        decide(LIMIT, Increment(BOB, "r", amount), 1.0)


# repeats


CHANGES = (
    Put(BOB, 11, "r1"),
    CompareAndSwap(BOB, 11, "r1", expected_version=1),
    Increment(BOB, "r1", 3),
    Delete(BOB, "r1"),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_a_repeated_change_counts_once_and_is_answered_as_the_first_time(change: Any) -> None:
    state = after(LIMIT, change)
    first = answer(state, change, 2.0)
    later = after(state, Put(CY, "other", "c1"), Delete(CY, "c2"))
    assert events(later, change) == []
    assert answer(later, change, 9.0) == first


def test_a_swap_that_failed_may_succeed_when_it_is_asked_again() -> None:
    swap = CompareAndSwap(BOB, 12, "r1", expected_value=11)
    assert not told(LIMIT, swap).swapped
    assert told(after(LIMIT, Put(CY, 11, "c1")), swap).swapped


def test_two_agents_may_use_the_same_request_id() -> None:
    state = after(LIMIT, Increment(BOB, "1"), Increment(CY, "1"))
    assert state.value == 12


@pytest.mark.parametrize("other", [Put(BOB, 12, "r1"), Delete(BOB, "r1"), Increment(BOB, "r1")])
def test_a_request_id_stands_for_one_change(other: Any) -> None:
    with pytest.raises(Conflict, match="request r1 of bob asked for something else when it changed limit to version 2"):
        decide(after(LIMIT, Put(BOB, 11, "r1")), other, 2.0)


@pytest.mark.parametrize("id", ["", " ", "a\nb", "x" * 201])
def test_a_change_needs_a_request_id(id: str) -> None:
    with pytest.raises(Invalid, match="a change needs a request id"):
        decide(LIMIT, Put(BOB, 1, id), 1.0)


def test_the_newest_change_of_an_agent_is_remembered_however_many_others_come() -> None:
    state = after(LIMIT, Increment(BOB, "mine"), *(Increment(CY, f"c{n}") for n in range(3 * REQUESTS_KEPT)))
    assert events(state, Increment(BOB, "mine")) == []
    assert answer(state, Increment(BOB, "mine"), 9.0).value == 11


def test_an_agents_earlier_changes_are_remembered_too_but_not_for_ever() -> None:
    state = after(LIMIT, *(Increment(BOB, f"b{n}") for n in range(REQUESTS_KEPT)))
    assert events(state, Increment(BOB, "b0")) == []
    state = after(state, *(Increment(BOB, f"later{n}") for n in range(REQUESTS_KEPT + 1)))
    assert len(events(state, Increment(BOB, "b0"))) == 1


def test_what_is_remembered_is_bounded() -> None:
    state = LIMIT
    for n in range(2 * REQUESTERS_KEPT + 10):
        state = after(state, Increment(AgentId(f"a{n}"), "1"))
    for answers, limit in ((state.by_id, REQUESTS_KEPT), (state.by_agent, REQUESTERS_KEPT)):
        assert limit <= len(answers.newer) + len(answers.older) <= 2 * limit


# who may write


MINE = after(None, Create("mine", ANN, value=1, writers=(BOB,)))


@pytest.mark.parametrize("change", [Put(CY, 2, "r"), Increment(CY, "r"), Delete(CY, "r")])
def test_a_stranger_may_not_change_a_restricted_value(change: Any) -> None:
    with pytest.raises(NotAllowed, match="cy may not change mine; its creator ann can let it"):
        decide(MINE, change, 2.0)


@pytest.mark.parametrize("change", [Put(ANN, 2, "r"), Put(BOB, 2, "r"), Delete(CY, "r", is_admin=True)])
def test_the_creator_the_writers_and_for_deleting_an_admin_may(change: Any) -> None:
    assert told(MINE, change).swapped


def test_everybody_may_look_and_wait() -> None:
    assert told(MINE, Look()).writers == (BOB,)
    assert told(MINE, Await(1)).pending


@pytest.mark.parametrize("by", [Restrict(ANN, (CY,)), Restrict(BOB, (CY,), is_admin=True)])
def test_the_creator_or_an_admin_says_who_writes(by: Restrict) -> None:
    state = after(MINE, by)
    assert told(state, Put(CY, 2, "r")).swapped
    with pytest.raises(NotAllowed):
        decide(state, Put(BOB, 2, "r"), 2.0)
    assert events(state, by) == []


def test_writers_stand_in_their_order_and_each_once() -> None:
    many = tuple(AgentId(f"a{n}") for n in (5, 1, 9, 3, 1, 7, 2))
    (restricted,) = events(MINE, Restrict(ANN, many))
    assert restricted.data == {"writers": ["a1", "a2", "a3", "a5", "a7", "a9"]}


def test_with_no_writers_named_everybody_may_write() -> None:
    assert told(after(MINE, Restrict(ANN, ())), Put(CY, 2, "r")).swapped


def test_a_writer_may_not_say_who_writes() -> None:
    with pytest.raises(NotAllowed, match="bob may not say who writes mine; its creator ann can"):
        decide(MINE, Restrict(BOB, ()), 2.0)


def test_a_repeat_is_answered_even_to_one_who_may_no_longer_write() -> None:
    state = after(MINE, Put(BOB, 2, "r"), Restrict(ANN, (CY,)))
    assert answer(state, Put(BOB, 2, "r"), 9.0).swapped
    assert events(state, Put(BOB, 2, "r")) == []


def test_there_are_at_most_so_many_writers() -> None:
    many = tuple(AgentId(f"a{n}") for n in range(WRITERS_MAX + 1))
    with pytest.raises(Invalid, match=f"mine has {WRITERS_MAX + 1} writers, at most {WRITERS_MAX}"):
        decide(MINE, Restrict(ANN, many), 2.0)


# what a value may be


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a": {object()}}])
def test_a_value_has_a_json_form(value: Any) -> None:
    with pytest.raises(Invalid, match="the value has no JSON form"):
        decide(LIMIT, Put(BOB, value, "r"), 1.0)


def test_a_value_has_a_greatest_length() -> None:
    assert told(LIMIT, Put(BOB, "x" * (VALUE_BYTES - 2), "r")).swapped
    with pytest.raises(Invalid, match=f"the value of limit has {VALUE_BYTES + 1} bytes, at most {VALUE_BYTES}"):
        decide(LIMIT, Put(BOB, "x" * (VALUE_BYTES - 1), "r"), 1.0)


def test_a_value_is_kept_as_it_will_come_back_from_the_log() -> None:
    assert after(LIMIT, Put(BOB, (1, (2,)), "r")).value == [1, [2]]


# waiting


def test_whoever_awaits_a_change_waits_until_the_version_is_higher() -> None:
    assert told(LIMIT, Await(1)).pending
    assert not told(LIMIT, Await(0)).pending
    assert not answer(after(LIMIT, Put(BOB, 11, "r1")), Await(1), 9.0).pending
    assert not answer(after(LIMIT, Delete(BOB, "r1")), Await(1), 9.0).pending


def test_a_change_wakes_all_who_wait_and_nothing_else_does() -> None:
    assert list(wakes(events(LIMIT, Put(BOB, 1, "r"))[0])) == [topic(Await(1))]
    assert list(wakes(events(LIMIT, Delete(BOB, "r"))[0])) == [topic(Await(1))]
    assert list(wakes(events(LIMIT, Restrict(ANN, (BOB,)))[0])) == []


def test_who_waits_is_told_for_what_and_it_is_nobodys_turn() -> None:
    wait = waits(LIMIT, Await(1), 9.0)
    assert wait is not None
    assert (wait.waiting_for, wait.since, wait.unblocked_by) == ("limit to change; it is at version 1", 1.0, ())
    created_empty = waits(after(None, Create("x", ANN)), Await(0), 9.0)
    assert created_empty is not None
    assert (created_empty.since, created_empty.deadline) == (1.0, None)
    assert waits(LIMIT, Await(0), 9.0) is None
    assert waits(LIMIT, Look(), 9.0) is None


@pytest.mark.parametrize("request_", [Wake(), Lost(ANN, "killed"), Found(ANN)])
@pytest.mark.parametrize("state", [None, LIMIT])
def test_time_and_losses_change_nothing(state: Register | None, request_: Any) -> None:
    assert decide(state, request_, 5.0) == decide(None, Wake(), 0.0)


# as the log keeps it


def test_a_state_comes_back_from_its_folded_form() -> None:
    state = after(MINE, Put(BOB, [1, {"a": None}], "r1"), Delete(ANN, "r3"), Increment(BOB, "r4", 2))
    plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=dict)))
    assert msgspec.convert(plain, Register, dec_hook=typed) == state


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


def test_unset_is_not_null() -> None:
    assert Create("x", ANN).value is UNSET
