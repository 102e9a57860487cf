"""Columns, clipped values, lengths of time."""

import pytest

from concerted.cli.output import ago, clip, columns


def test_columns_are_aligned_and_numbers_stand_right() -> None:
    assert columns(("task", "n"), [("a", 1), ("longer", 10)]) == ["task     n", "a        1", "longer  10"]


def test_nothing_is_shown_for_no_rows_and_for_none() -> None:
    assert columns(("a",), []) == []
    assert columns(("a", "b"), [("x", None)]) == ["a  b", "x"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("two\nlines", "two lines"),
        ({"a": 1}, '{"a":1}'),
        (0, "0"),
        (False, "false"),
        ("x" * 99, "x" * 57 + "..."),
    ],
)
def test_a_value_is_one_short_line(value: object, shown: str) -> None:
    assert clip(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0.0s"), (0.44, "0.4s"), (59.9, "59s"), (185, "3m05s"), (7800, "2h10m"), (273600, "3d04h")],
)
def test_a_length_of_time_has_two_units_at_most(seconds: float, shown: str) -> None:
    assert ago(seconds) == shown
