"""The list of problems: its order, its bound, its suggestions."""

import pytest

from concerted.config.problems import MAX_SHOWN, Place, Problems, similar, suggest
from concerted.errors import Invalid


def test_problems_come_in_the_order_of_the_file_and_the_environment_last() -> None:
    problems = Problems()
    problems.add(Place("env A"), "c", "third")
    problems.add(Place("f", 10, 1), "b", "second")
    problems.add(Place("f", 9, 5), "", "first")
    assert problems.lines() == ["f:9:5: first", "f:10:1: b: second", "env A: c: third"]


def test_problems_at_one_place_stay_in_the_order_in_which_they_were_found() -> None:
    problems = Problems()
    for what in ("z", "a", "m"):
        problems.add(Place("f", 1, 1), "k", what)
    assert problems.lines() == ["f:1:1: k: z", "f:1:1: k: a", "f:1:1: k: m"]


def test_the_error_has_every_line_and_the_list() -> None:
    problems = Problems()
    problems.stop_if_any()
    problems.add(Place("f", 1, 2), "a", "wrong")
    problems.add(Place("f", 3, 4), "b", "wrong too")
    with pytest.raises(Invalid) as caught:
        problems.stop_if_any()
    assert str(caught.value) == "f:1:2: a: wrong\nf:3:4: b: wrong too"
    assert caught.value.facts["problems"] == ["f:1:2: a: wrong", "f:3:4: b: wrong too"]


def test_a_flood_is_counted_rather_than_shown() -> None:
    problems = Problems()
    for line in range(1, MAX_SHOWN + 8):
        problems.add(Place("f", line, 1), "", "wrong")
    assert len(problems.lines()) == MAX_SHOWN + 1
    assert problems.lines()[-1] == "... and 7 more"


def test_a_similar_name_is_suggested_and_otherwise_a_few_known_ones_are_listed() -> None:
    assert suggest("auktion", ["auction", "swarm"]) == "; did you mean auction?"
    assert suggest("xyz", ["auction", "swarm"], "there are") == "; there are: auction, swarm"
    assert suggest("xyz", [f"name {i}" for i in range(13)]) == ""
    assert suggest("xyz", []) == ""


def test_among_very_many_names_none_is_looked_for() -> None:
    assert similar("task-77", [f"task-{i}" for i in range(2_000)]) == "task-77"
    assert similar("task-77", [f"task-{i}" for i in range(2_001)]) is None
