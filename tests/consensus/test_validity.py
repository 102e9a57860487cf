"""Which values may be agreed on: rules as data, told from the value alone, and wrong rules refused at the opening."""

import fnmatch
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.validity import (
    ANYTHING,
    CHOICES,
    PATTERN_CHARS,
    RULE_BYTES,
    Validity,
    check,
    in_words,
    matches,
    problem,
    validity_of,
)
from concerted.errors import Invalid
from concerted.values import encode

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("rule", "valid", "invalid"),
    [
        ("text", ["", "x"], [1, None, ["x"]]),
        ("integer", [0, -3], [1.0, True, "1"]),
        ("number", [0, 1.5], [False, "1", None]),
        ("boolean", [True, False], [0, "true"]),
        ("list", [[], [1]], [{}, "x"]),
        ("object", [{}, {"a": 1}], [[], "x"]),
        ("red|blue", ["red", "blue"], ["green", "Red", ["red"]]),
        ("1..10", [1, 10], [0, 11, 1.5, "1", True]),
        ("0.5..", [0.5, 7], [0.25, "x"]),
        ("..-1", [-1, -9], [0]),
        ("v*.?", ["v1.2", "v.x"], ["v1", "1.2", 12]),
        ("[a-c][!0-9]*", ["ax", "c-1"], ["dx", "a1", "a"]),
        ('{"type": "list", "max_length": 2}', [[], [1, 2]], [[1, 2, 3], "ab"]),
        ({"one_of": [1, {"a": [True]}]}, [1, {"a": [True]}], [1.0, True, {"a": [1]}]),
        ({"max_length": 3}, ["abc", {}, [1]], ["abcd", 7]),
        ({"minimum": 2}, [2, 3.5], [1, "2", float("nan"), float("inf")]),
        (None, [None, 0, "x", [{}]], []),
    ],
)
def test_a_rule_says_of_each_value_whether_it_is_valid(rule: Any, valid: list[Any], invalid: list[Any]) -> None:
    read = validity_of(rule)
    assert check(read) == []
    assert [problem(read, value) for value in valid] == [None] * len(valid)
    assert all(problem(read, value) for value in invalid)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("colour", "write a type"),
        ("..", "write a type"),
        ('{"type": "colour"}', "Invalid enum value 'colour'"),
        ('{"kind": "text"}', "there is no part kind"),
        ("{", "no JSON"),
        (7, "write a type"),
        ({"max_length": "long"}, "the parts are type, one_of"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_to_write(rule: Any, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        validity_of(rule)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (Validity(minimum=3, maximum=2), "nothing is at least 3 and at most 2"),
        (Validity(minimum=float("inf")), "must be finite"),
        (Validity(type="text", minimum=1), "of numbers, and it takes type text"),
        (Validity(max_length=-1), "at least 0"),
        (Validity(type="boolean", max_length=1), "max_length is of texts"),
        (Validity(type="integer", pattern="1*"), "a pattern is of texts"),
        (Validity(pattern="*" * (PATTERN_CHARS + 1)), "has 201 characters"),
        (Validity(pattern="a[bc"), "opens a set at 2 and never closes it"),
        (Validity(pattern="[!]"), "never closes it"),
        (Validity(one_of=tuple(range(CHOICES + 1))), "257 values to choose from"),
        (Validity(one_of=("x" * RULE_BYTES,)), "longer than"),
        (Validity(type="text", one_of=("red", 7)), "7 can never be chosen: it is no text"),
    ],
)
def test_a_rule_that_nothing_could_pass_or_that_has_no_bound_is_refused(rule: Validity, why: str) -> None:
    (said,) = check(rule)
    assert why in said


def test_a_rule_is_told_in_words() -> None:
    assert in_words(ANYTHING) == "anything"
    assert in_words(validity_of("1..10")) == "type integer, at least 1, at most 10"
    assert in_words(validity_of("red|blue")) == 'type text, one of "red", "blue"'
    assert in_words(Validity(pattern="v*", max_length=5)) == "at most 5 long, like v*"
    assert in_words(Validity(one_of=tuple(range(12)))).endswith("8, 9 and 2 more")


def test_a_rule_that_is_given_as_such_is_that_rule() -> None:
    rule = Validity(type="text")
    assert validity_of(rule) is rule
    assert validity_of({"type": "text"}) == rule


@given(st.text("ab[]-!*?", max_size=8), st.text("ab-!]", max_size=10))
def test_globs_are_read_as_elsewhere(pattern: str, text: str) -> None:
    """The oracle is Python's, which takes a set that is never closed for its characters, and ranges that go down."""
    if any("pattern" in said for said in check(Validity(pattern=pattern))):
        with pytest.raises(Invalid):
            matches(pattern, text)
    else:
        assert matches(pattern, text) == fnmatch.fnmatchcase(text, pattern)


@given(st.text("a*", max_size=20))
def test_a_pattern_of_many_stars_does_not_take_for_ever_over_a_long_text(pattern: str) -> None:
    assert matches(pattern, "a" * 5_000 + "b") == pattern.endswith("*")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(values, min_size=1, max_size=4), values)
def test_one_of_is_equality_as_json(choices: list[Any], value: Any) -> None:
    rule = Validity(one_of=tuple(choices))
    assert (problem(rule, value) is None) == (encode(value) in [encode(choice) for choice in choices])
