"""Nodes into types: each type takes what fits, and says what it wanted where something does not fit."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
from msgspec import Meta

from concerted.config.conversion import BAD, Conversion
from concerted.config.document import compose
from concerted.config.durations import Duration
from concerted.config.problems import Problems

QUOTE = "quote a text that begins with { or ["


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    shorthand: ClassVar[str] = "text"

    text: str = ""
    low: int = 0
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low must not be above high")


class Strict(msgspec.Struct, frozen=True, kw_only=True):
    text: str


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    count: Annotated[int, Meta(ge=1, le=9)] = 1
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    flag: bool = False
    wait: Duration | None = None
    mode: Literal["fast", "safe"] = "fast"
    words: list[str] = []
    levels: dict[str, Annotated[float, Meta(ge=0, le=1)]] = {}
    either: str | tuple[str, ...] = ()
    anything: Any = None
    inner: Inner = Inner()
    many: tuple[Strict, ...] = ()


def convert(text: str, *, lenient: bool = False) -> tuple[Any, list[str]]:
    problems = Problems()
    value = Conversion(problems, lenient=lenient).struct(compose(text, "f", problems), Outer, "")
    return value, problems.lines()


def test_everything_that_fits_is_taken() -> None:
    value, problems = convert(
        "name: n\ncount: 3\nshare: 0.25\nflag: true\nwait: 1m\nmode: safe\nwords: [a, b]\nlevels: {x: 1, y: 0.5}\n"
        "either: [a, b]\nanything: {a: [1, null, yes, 2.5]}\ninner: {low: 1, high: 2}\nmany: [{text: t}]\n"
    )
    assert problems == []
    assert value == Outer(
        name="n", count=3, share=0.25, flag=True, wait=60.0, mode="safe", words=["a", "b"], levels={"x": 1.0, "y": 0.5},
        either=("a", "b"), anything={"a": [1, None, "yes", 2.5]}, inner=Inner(low=1, high=2), many=(Strict(text="t"),),
    )  # fmt: skip


def test_nothing_is_a_struct_of_defaults_and_an_empty_mapping() -> None:
    assert convert("") == (Outer(), [])
    assert convert("inner:\nlevels:\nwait: null\n") == (Outer(), [])


def test_where_a_text_is_expected_a_number_is_taken_as_it_is_written() -> None:
    value, problems = convert("name: 1.10\nwords: [1, true]\neither: 5\n")
    assert problems == []
    assert (value.name, value.words, value.either) == ("1.10", ["1", "true"], "5")


def test_a_text_may_stand_for_a_struct_that_has_a_shorthand() -> None:
    assert convert("inner: hello")[0].inner == Inner(text="hello")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name:", "f:1:6: name: expected a text, got nothing"),
        ("name: [a]", f"f:1:7: name: expected a text, got a list; {QUOTE}"),
        ("count: 1.5", "f:1:8: count: expected a whole number, got 1.5"),
        ("count: true", "f:1:8: count: expected a whole number, got true"),
        ("count: '3'", "f:1:8: count: expected a whole number, got '3'"),
        ("count: 0", "f:1:8: count: must be at least 1, got 0"),
        ("count: 10", "f:1:8: count: must be at most 9, got 10"),
        ("count: 9223372036854775808", "f:1:8: count: 9223372036854775808 does not fit into 64 bits"),
        ("share: 0", "f:1:8: share: must be above 0, got 0"),
        ("share: 1.0", "f:1:8: share: must be below 1, got 1.0"),
        ("share: .nan", "f:1:8: share: .nan is not a finite number"),
        ("share: 1e400", "f:1:8: share: 1e400 is not a finite number"),
        ("share: half", "f:1:8: share: expected a number, got 'half'"),
        ("flag: yes", "f:1:7: flag: expected true or false, got 'yes'"),
        ("wait: 5", "f:1:7: wait: expected a duration such as 300s, 24h or 100ms, got 5; add a unit: 5s"),
        ("wait: [5s]", "f:1:7: wait: expected a duration such as 300s, 24h or 100ms, got a list"),
        ("wait: 0s", "f:1:7: wait: must be above 0s, got '0s'"),
        ("mode: sage", "f:1:7: mode: expected one of fast, safe, got 'sage'; did you mean safe?"),
        ("mode: 7", "f:1:7: mode: expected one of fast, safe, got 7"),
        ("words: a", "f:1:8: words: expected a list, got 'a'"),
        ("words: [a, {}]", "f:1:12: words[1]: expected a text, got a mapping; " + QUOTE),
        ("levels: [x]", "f:1:9: levels: expected a mapping (name: value), got a list"),
        ("levels: {x: 2}", "f:1:13: levels.x: must be at most 1, got 2"),
        ("either: {a: 1}", f"f:1:9: either: expected a text or a list, got a mapping; {QUOTE}"),
        ("anything: {a: [.inf]}", "f:1:16: anything.a[0]: .inf has no JSON form; use a finite number or quotes"),
        (f"anything: {1 << 64}", f"f:1:11: anything: {1 << 64} does not fit into 64 bits; put it in quotes"),
        ("inner: [a]", f"f:1:8: inner: expected a text or a mapping (key: value), got a list; {QUOTE}"),
        ("inner: {low: 10}", "f:1:8: inner: low must not be above high"),
        ("many: [{}]", "f:1:8: many[0].text: missing; it is required"),
        ("nmae: x", "f:1:1: nmae: unknown key; did you mean name?"),
        ("inner: {x: 1}", "f:1:9: inner.x: unknown key; known keys: text, low, high"),
        ("- a", "f:1:1: expected a mapping (key: value), got a list"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(text: str, problem: str) -> None:
    value, problems = convert(text)
    assert problems == [problem]
    assert value is BAD


def test_every_misfit_of_a_text_is_found_in_one_pass() -> None:
    _, problems = convert("count: a\nshare: b\ninner: {low: c, hgih: 1}\nmany: [{text: []}, {txt: x}]\n")
    places = [line.partition(": ")[0] for line in problems]
    assert places == ["f:1:8", "f:2:8", "f:3:14", "f:3:17", "f:4:15", "f:4:20", "f:4:21"]


def test_long_values_are_shown_in_part() -> None:
    _, problems = convert(f"count: {'x' * 1000}")
    assert problems == [f"f:1:8: count: expected a whole number, got '{'x' * 57}...'"]


def test_a_lenient_conversion_makes_what_it_can() -> None:
    value, problems = convert("name: n\ncount: many\nmany: [{text: t, x: 1}, {text: []}]\n", lenient=True)
    assert len(problems) == 3
    assert (value.name, value.count) == ("n", 1)
    assert value.many == (Strict(text="t"), BAD)


def test_a_lenient_conversion_does_not_complain_of_what_it_left_out_itself() -> None:
    value, problems = convert("inner: {low: 5, high: x}", lenient=True)
    assert problems == ["f:1:23: inner.high: expected a whole number, got 'x'"]
    assert value.inner == Inner(low=5, high=9)
