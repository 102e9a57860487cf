"""Conditions: how many are needed, what is refused when a point is made, and what counts as no."""

from typing import Any

import msgspec
import pytest

from concerted.errors import Conflict, Invalid, NotAllowed, NotFound
from concerted.sync.points.predicate import (
    ALL,
    MAJORITY,
    PARTICIPANTS_SEEN,
    Condition,
    Verdict,
    View,
    check,
    evaluate,
    needed,
    problem,
    reads_now,
    register,
)
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
TWO_OF_THREE = View((ANN, BOB), (CY,), {ANN: {"ok": True}}, 100.0)


def cel(text: str) -> Condition:
    return Condition("predicate", text=text)


def function(name: str, version: int = 1) -> Condition:
    return Condition("function", name=name, version=version)


@register("test.two", 1)
def two(view: View) -> bool:
    return len(view.arrived) >= 2 and view.missing == (CY,) and view.data == {ANN: {"ok": True}}


@register("test.two", 2)
def three(view: View) -> bool:
    return len(view.arrived) >= 3


@register("test.after noon", reads_now=True)
def after_noon(view: View) -> bool:
    return view.now > 50.0


@register("test.broken")
def broken(view: View) -> bool:
    return bool(view.data[CY])


@register("test.refuses")
def refuses(view: View) -> bool:
    raise NotAllowed("not on Sundays")


@register("test.vague")
def vague(view: View) -> Any:
    return len(view.arrived)


# how many


@pytest.mark.parametrize(("total", "majority"), [(2, 2), (3, 2), (4, 3), (5, 3), (100_000, 50_001)])
def test_a_majority_is_more_than_half(total: int, majority: int) -> None:
    assert needed(MAJORITY, total) == majority


def test_all_count_and_predicate_need_what_they_say() -> None:
    assert needed(ALL, 7) == 7
    assert needed(Condition("count", count=3), 7) == 3
    assert needed(cel("true"), 7) is None


@pytest.mark.parametrize("condition", [ALL, Condition("count", count=3)], ids=str)
def test_numbers_alone_tell_where_they_can(condition: Condition) -> None:
    assert evaluate(condition, TWO_OF_THREE) == Verdict(False)
    assert evaluate(condition, View((ANN, BOB, CY), (), {}, 0.0)) == Verdict(True)


def test_a_condition_reads_as_it_is_said() -> None:
    shown = [str(c) for c in (ALL, Condition("count", count=3), cel("true"), function("test.two", 2))]
    assert shown == ["all", "count: 3", "predicate: true", "function: test.two, version 2"]


def test_a_condition_on_the_wire_has_only_what_it_needs() -> None:
    assert msgspec.to_builtins(MAJORITY) == {"type": "majority"}
    assert msgspec.convert({"type": "count", "count": 2}, Condition) == Condition("count", count=2)


# CEL


def test_a_predicate_holds_when_its_value_is_true() -> None:
    assert evaluate(cel("data.ann.ok"), TWO_OF_THREE) == Verdict(True)
    assert evaluate(cel("'cy' in arrived"), TWO_OF_THREE) == Verdict(False)


def test_a_predicate_that_fails_does_not_hold_and_says_why() -> None:
    assert evaluate(cel("data.bob.ok"), TWO_OF_THREE) == Verdict(False, "no such member in mapping: 'bob' (column 1)")


def test_a_value_that_is_no_truth_value_does_not_hold() -> None:
    verdict = evaluate(cel("size(arrived)"), TWO_OF_THREE)
    assert verdict == Verdict(False, "its value is of type IntType, neither true nor false", True)


def test_a_predicate_that_reads_the_time_is_known() -> None:
    assert reads_now(cel("now > 3.0"))
    assert not reads_now(cel("size(arrived) > 3"))
    assert not reads_now(cel("now >"))
    assert not reads_now(MAJORITY)


# named functions


def test_a_named_function_holds_when_it_returns_true() -> None:
    assert evaluate(function("test.two"), TWO_OF_THREE) == Verdict(True)


def test_each_version_is_a_function_of_its_own() -> None:
    assert evaluate(function("test.two", 2), TWO_OF_THREE) == Verdict(False)


def test_a_function_that_fails_does_not_hold_and_says_why() -> None:
    assert evaluate(function("test.broken"), TWO_OF_THREE) == Verdict(False, "KeyError: 'cy'")
    assert evaluate(function("test.refuses"), TWO_OF_THREE) == Verdict(False, "not on Sundays")


def test_a_function_must_return_true_or_false() -> None:
    verdict = evaluate(function("test.vague"), TWO_OF_THREE)
    assert verdict == Verdict(False, "its value is of type int, neither true nor false", True)


def test_a_function_that_reads_the_time_says_so() -> None:
    assert reads_now(function("test.after noon"))
    assert not reads_now(function("test.two"))
    assert not reads_now(function("test.unknown"))


def test_an_unknown_function_is_not_found_when_a_point_is_made_and_does_not_hold_later() -> None:
    unknown = function("test.unknown", 4)
    with pytest.raises(NotFound, match=r"test.unknown, version 4 is registered.*write @register\('test.unknown', 4\)"):
        check(unknown, 3)
    verdict = evaluate(unknown, TWO_OF_THREE)
    assert not verdict.holds
    assert verdict.error == problem(unknown)


def test_a_version_stands_for_one_function() -> None:
    with pytest.raises(Conflict, match=r"test.two, version 1 is .*\.two already; register .*\.broken as version 2"):
        register("test.two", 1)(broken)
    assert evaluate(function("test.two"), TWO_OF_THREE).holds


def test_the_same_function_may_be_registered_again() -> None:
    assert register("test.two", 1)(two) is two


@pytest.mark.parametrize(("name", "version"), [("", 1), (" x", 1), ("x", 0)])
def test_a_name_must_be_a_name_and_versions_begin_at_one(name: str, version: int) -> None:
    with pytest.raises(Invalid, match="cannot name a condition"):
        register(name, version)


# checked when a point is made


@pytest.mark.parametrize("count", [0, -1, 4])
def test_a_count_that_can_never_be_reached_is_refused(count: int) -> None:
    with pytest.raises(Invalid, match="of 3 participants between 1 and 3 can be waited for"):
        check(Condition("count", count=count), 3)


@pytest.mark.parametrize(
    "condition", [ALL, MAJORITY, Condition("count", count=1), cel("true"), function("test.two")], ids=str
)
def test_a_sound_condition_passes(condition: Condition) -> None:
    check(condition, 3)
    assert problem(condition) is None


def test_a_predicate_that_does_not_compile_is_refused() -> None:
    with pytest.raises(Invalid, match="does not parse"):
        check(cel("size(arrived"), 3)
    assert "does not parse" in str(problem(cel("size(arrived")))


@pytest.mark.parametrize("condition", [cel("true"), function("test.two")], ids=str)
def test_a_predicate_is_for_no_more_participants_than_it_can_look_at(condition: Condition) -> None:
    check(condition, PARTICIPANTS_SEEN)
    with pytest.raises(Invalid, match=f"at most {PARTICIPANTS_SEEN}; wait for all, majority or a count"):
        check(condition, PARTICIPANTS_SEEN + 1)
    check(ALL, 100_000)


def test_a_predicate_that_looks_at_each_pair_is_for_few_participants() -> None:
    pairs = cel("arrived.all(a, missing.all(b, a != b))")
    check(pairs, 100)
    with pytest.raises(Invalid, match="looks at each pair of 200 participants"):
        check(pairs, 200)
