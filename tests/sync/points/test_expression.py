"""CEL expressions over who has arrived: what they can say, what is refused, and that nothing is costly."""

import sys
from typing import Any

import pytest

from concerted.errors import Invalid
from concerted.sync.points.expression import DEPTH, ESCAPES, NODES, STEPS, TEXT_CHARS, compile_, run
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
DATA: dict[AgentId, Any] = {ANN: {"ok": True, "pages": 3, "score": 0.5, "tags": ["x", "y"], "note": None}, BOB: 7}


def value(text: str, data: dict[AgentId, Any] = DATA, now: float = 100.5) -> Any:
    return run(compile_(text), (ANN, BOB), (CY,), data, now)


@pytest.mark.parametrize(
    "text",
    [
        "size(arrived) == 2 && size(missing) == 1",
        "arrived == ['ann', 'bob'] && 'cy' in missing",
        "'ann' in data && !('cy' in data)",
        "data.ann.ok",
        "data['ann'].pages == 3",
        "data.bob == 7",
        "has(data.ann) && !has(data.cy)",
        "arrived.exists(a, a == 'bob') && arrived.all(a, a != 'cy')",
        "arrived.exists_one(a, a.startsWith('a'))",
        "arrived.filter(a, a.endsWith('b')) == ['bob']",
        "arrived.map(a, size(a)) == [3, 3]",
        "'x' in data.ann.tags && data.ann.tags[1] == 'y'",
        "data.ann.note == null && data.ann.ok != null",
        "now > 100.0 && now < 101.0",
        "'ann-7'.matches('^[a-z]+-[0-9]$')",
        "(size(arrived) > 5) ? false : true",
        "data.exists(a, a == 'bob')",
        "data.ann == {'ok': true, 'pages': 3, 'score': 0.5, 'tags': ['x', 'y'], 'note': null}",
        "arrived.exists(a, missing.all(m, m != a))",
        "double(size(arrived)) / 4.0 == 0.5 && int('3') == data.ann.pages && string(3) == '3'",
    ],
)
def test_an_expression_reads_who_has_arrived_who_is_missing_and_what_they_brought(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize("text", ["data.ann.pages > 2.5", "data.ann.score < 1", "data.ann.pages == 3.0", "now > 100"])
def test_numbers_compare_whether_they_are_whole_or_not(text: str) -> None:
    assert value(text) is True


def test_an_expression_says_which_variables_it_reads() -> None:
    assert compile_("now > 3.0 && size(arrived) > 1").reads == {"now", "arrived"}
    assert compile_("arrived.exists(now, now == 'ann')").reads == {"arrived"}


def test_what_is_not_read_costs_nothing() -> None:
    huge = {ANN: list(range(10 * STEPS))}
    assert value("size(arrived) == 2", huge) is True
    assert value("has(data.bob)", {**huge, BOB: 1}) is True


def test_one_side_that_is_true_is_enough_though_the_other_cannot_be_told() -> None:
    assert value("size(arrived) == 2 || data.nobody.ok") is True
    assert value("size(arrived) == 9 && data.nobody.ok") is False


# refused when it is given


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("size(arrived) >", "does not parse at line 1, column 15"),
        ("", "does not parse at line 1, column 1"),
        ("true\n&& ?", "does not parse at line 2, column 4"),
        ("participants == []", "participants is not known; there are arrived, data, missing, now"),
        ("arrived.all(a, b == 'ann')", "b is not known"),
        ("system('ls')", "there is no function system; there are all, exists"),
        ("arrived.reduce(a, b, 0, a + b)", "there is no function reduce"),
        ("timestamp('2020-01-01T00:00:00Z') == now", "there is no function timestamp"),
        ("arrived.all(a)", r"all takes a variable and an expression, as in arrived.all\(a, a != 'ann'\)"),
        ("arrived.map(1, true)", "map takes a variable and an expression"),
        ("arrived.filter()", "filter takes a variable and an expression"),
        ("Thing{size: 1} == null", "it makes a message, and there are none"),
        (".now > 1.0", "begins with a dot"),
    ],
)
def test_what_cannot_be_understood_is_refused_when_it_is_given(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as caught:
        compile_(text)
    assert caught.value.facts == {"predicate": text}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("'" + "a" * TEXT_CHARS + "' == ''", f"at most {TEXT_CHARS}"),
        ("'" + "\\a" * (ESCAPES + 1), f"{ESCAPES + 1} backslashes; at most {TEXT_CHARS} and {ESCAPES}"),
        ("!" * (DEPTH + 1) + "true", f"nested more than {DEPTH} deep"),
        ("size([" + ",".join(["1"] * NODES) + "]) == 1", f"more than {NODES} parts"),
        ("[1].all(a, [1].all(b, [1].all(c, true)))", "comprehensions are nested more than 2 deep"),
    ],
)
def test_what_is_too_large_is_refused_when_it_is_given(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        compile_(text)


def test_parentheses_do_not_count() -> None:
    assert value("(" * 300 + "size(arrived) == 2" + ")" * 300) is True


def test_without_the_library_the_error_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celpy", None)
    with pytest.raises(Invalid, match=r"pip install 'concerted\[cel\]'"):
        compile_("size(arrived) == 12345")


# without a value when it is looked at


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("data.cy.ok", r"no such member in mapping: 'cy' \(column 1\)"),
        ("data['cy'] == 1", "no such key: cy"),
        ("arrived[7] == 'ann'", "invalid_argument"),
        ("data.ann.pages / 0 == 1", "divide by zero"),
        ("'a' < 1", r"no matching overload for lt applied to '\(String, Int\)'"),
        ("!size(arrived)", "no matching overload for not"),
        ("data.ann.pages.x", "does not support field selection"),
        ("data.bob.all(a, true)", "not iterable"),
        ("9223372036854775807 + 1 == 0", "overflow"),
    ],
)
def test_what_has_no_value_says_why(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        value(text)


def test_a_number_beyond_64_bits_in_the_data_is_said_and_not_cut() -> None:
    with pytest.raises(Invalid, match="overflow"):
        value("data.ann == 1", {ANN: 2**70})


@pytest.mark.parametrize(
    "text", ["'%99999999d' % 3 == ''", "'a' * 99999999 == ''", "[1] * 99999999 == []", "true * 'a' == ''"]
)
def test_texts_and_lists_cannot_be_multiplied_or_formatted(text: str) -> None:
    with pytest.raises(Invalid, match="no matching overload"):
        value(text)


@pytest.mark.parametrize(
    "text",
    [
        "data.ann.all(a, data.ann.all(b, a == b))",
        "data.ann.all(a, data.ann.all(b, true))",
        "data.ann == data.ann",
        "9999999 in data.ann",
        "data.ann + data.ann == []",
        "[data.ann].map(x, x + x)[0] == []",
    ],
)
def test_no_look_takes_more_than_its_steps(text: str) -> None:
    with pytest.raises(Invalid, match=f"it takes more than {STEPS} steps"):
        value(text, {ANN: list(range(STEPS // 2 + 1))})


def test_doubling_again_and_again_ends_at_the_steps() -> None:
    text = "'abcdefgh' + 'abcdefgh'"
    for _ in range(2):
        text = f"[{text}].map(x, x + x + x + x + x + x + x + x)[0]"
    assert value(f"size({text}) == 1024") is True
    doubled = "[[data.ann].map(x, [x, x, x, x, x, x, x, x])].map(x, [x, x, x, x, x, x, x, x])"
    with pytest.raises(Invalid, match="steps"):
        value(f"{doubled} == {doubled}", {ANN: list(range(1000))})


def test_a_long_text_costs_by_its_length() -> None:
    with pytest.raises(Invalid, match="steps"):
        value("data.ann.contains('b')", {ANN: "a" * (64 * STEPS)})
