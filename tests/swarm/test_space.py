"""Spaces: what stands for which level, and descriptions that are none."""

import math
from typing import Any

import pytest

from concerted.errors import Invalid
from concerted.swarm.space import Space

SPACE = Space.of({
    "x": {"float": [-5, 5]}, "n": {"int": [1, 3]}, "rate": {"log": [1e-4, 1]}, "colour": {"choice": ["red", "blue"]},
})  # fmt: skip


def test_both_ends_of_every_dimension_are_reached() -> None:
    assert SPACE.point([0.0] * 4) == {"x": -5.0, "n": 1, "rate": 1e-4, "colour": "red"}
    assert SPACE.point([1.0] * 4) == {"x": 5.0, "n": 3, "rate": 1.0, "colour": "blue"}


def test_whole_numbers_and_choices_have_equal_shares_and_a_rate_its_geometric_middle() -> None:
    assert [SPACE.dimensions[1].value(level / 9 + 0.01) for level in range(9)] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    middle = SPACE.point([0.5] * 4)
    assert (middle["x"], middle["rate"], middle["colour"]) == (0.0, 0.01, "blue")


def test_floats_have_bounds_as_rows_and_others_have_not() -> None:
    low, width = Space.of({"x": {"float": [-5, 5]}, "y": {"float": [0, 2]}}).bounds()
    assert (low.tolist(), width.tolist()) == ([-5.0, 0.0], [10.0, 2.0])
    with pytest.raises(Invalid, match="dimension n is int"):
        SPACE.bounds()


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ([0, 1], "write one of float, int, log, choice"),
        ({"real": [0, 1]}, "write one of"),
        ({"float": [0, 1], "int": [0, 1]}, "write one of"),
        ({"float": [1, 0]}, "the lower first"),
        ({"float": [0, math.inf]}, "the lower first"),
        ({"float": [0, math.nan]}, "the lower first"),
        ({"float": [False, True]}, "the lower first"),
        ({"float": [0, 1, 2]}, "two numbers"),
        ({"float": "01"}, "takes a list"),
        ({"int": [0, 1.5]}, "whole numbers"),
        ({"log": [0, 1]}, "above 0"),
        ({"choice": []}, "takes a list"),
    ],
)
def test_what_is_no_dimension_is_named(what: Any, told: str) -> None:
    with pytest.raises(Invalid, match=told) as caught:
        Space.of({"depth": what})
    assert "dimension depth" in str(caught.value)


@pytest.mark.parametrize("described", [{}, [1], {str(n): {"float": [0, 1]} for n in range(1001)}])
def test_a_space_has_one_to_a_thousand_dimensions(described: Any) -> None:
    with pytest.raises(Invalid, match="1 to 1000"):
        Space.of(described)
