"""Durations: how they are written, how they are shown, and that nothing is lost between the two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.config.durations import LONGEST_S, parse_duration, show_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300s", 300.0),
        ("24h", 86400.0),
        ("100ms", 0.1),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("2d", 172800.0),
        ("250us", 0.00025),
        ("7ns", 7e-9),
        ("1m1s1ms", 61.001),
        ("0s", 0.0),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5 s", "5x", "-5s", "1h 30m", "5s!", "1e3s", "٣s", "inf", ".5s", "5S"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration such as 300s, 24h or 100ms, got "):
        parse_duration(text)


@pytest.mark.parametrize("text", ["300", "1.5", "-2", "1e3"])
def test_a_bare_number_is_told_to_take_a_unit(text: str) -> None:
    with pytest.raises(ValueError, match=f"got {text}; add a unit: {text}s$"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["101d" + "9" * 400 + "h", "36501d", "9" * 5000 + "s"])
def test_there_is_a_longest_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is longer than 100 years$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (300.0, "300s"),
        (86400.0, "24h"),
        (0.1, "100ms"),
        (5400.0, "5400s"),
        (0.0, "0s"),
        (1.5, "1.5s"),
        (1e-9, "0.000001ms"),
    ],
)
def test_durations_are_shown_as_the_specification_writes_them(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@given(st.floats(min_value=0, max_value=LONGEST_S, allow_nan=False))
def test_what_is_shown_reads_as_the_same_duration(seconds: float) -> None:
    assert parse_duration(show_duration(seconds)) == seconds


@given(st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(["ms", "s", "m", "h"])), min_size=1, max_size=5))
def test_the_order_of_parts_does_not_matter(parts: list[tuple[int, str]]) -> None:
    texts = [f"{number}{unit}" for number, unit in parts]
    assert parse_duration("".join(texts)) == parse_duration("".join(reversed(texts)))


@given(st.text(max_size=20))
def test_no_text_does_anything_but_parse_or_raise_value_error(text: str) -> None:
    try:
        assert 0 <= parse_duration(text) <= LONGEST_S
    except ValueError as error:
        assert str(error)  # noqa: PT017 (either outcome is right)
