"""Searches: found answers, any order of telling, remembering, and wrong input."""

import json
import math
from typing import Any

import numpy as np
import pytest

from concerted.errors import Invalid, NotFound
from concerted.swarm.search import RULES, Search, rule_for
from concerted.swarm.space import Space

CUBE = Space.of({f"x{place}": {"float": [-5, 5]} for place in range(5)})
MIXED = Space.of({"x": {"float": [0, 4]}, "n": {"int": [1, 40]}, "colour": {"choice": ["red", "green", "blue"]}})


def bowl(point: dict[str, Any]) -> float:
    return sum((value - place) ** 2 for place, value in enumerate(point.values()))


def cost(point: dict[str, Any]) -> float:
    return abs(point["x"] - 1.5) + abs(point["n"] - 17) + {"red": 2.0, "green": 0.0, "blue": 1.0}[point["colour"]]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_finds_the_bottom_of_a_bowl(rule: Any) -> None:
    search = Search(CUBE, rule=rule, seed=1, population=20)
    while search.told < 8000:
        batch = search.ask_all(20)
        search.tell_all(batch, ((search.numbers(batch) - np.arange(5)) ** 2).sum(axis=1))
    assert search.best is not None
    assert search.best.value < 1e-6
    assert search.diversity < 0.05
    assert search.gap < 0.1


@pytest.mark.parametrize("rule", ["pso", "ring", "shade"])
def test_whole_numbers_and_choices_are_found_too(rule: Any) -> None:
    search = Search(MIXED, rule=rule, seed=3, population=20)
    for _ in range(1500):
        candidate = search.ask()
        search.tell(candidate.id, cost(candidate.point))
    assert search.best is not None
    assert (search.best.point["n"], search.best.point["colour"]) == (17, "green")
    assert search.best.value < 0.1


def test_a_hilly_function_is_searched_to_the_bottom() -> None:
    """Rastrigin's function, whose least value is 0; SHADE's paper solves it, as a separable one."""
    space = Space.of({f"x{place}": {"float": [-5.12, 5.12]} for place in range(10)})
    search = Search(space, seed=1)
    while search.told < 25_000:
        batch = search.ask_all(search.population)
        rows = search.numbers(batch)
        search.tell_all(batch, 100.0 + (rows**2 - 10.0 * np.cos(2.0 * np.pi * rows)).sum(axis=1))
    assert search.best is not None
    assert search.best.value < 1e-8


@pytest.mark.parametrize("rule", ["pso", "shade"])
def test_lost_late_and_doubled_answers_do_no_harm(rule: Any) -> None:
    search, dice, out = Search(CUBE, rule=rule, seed=2, population=20), np.random.default_rng(5), []
    for _ in range(1_500):
        out.append(search.ask())
        if len(out) == 40:
            candidate = out.pop(int(dice.integers(40)))
            if dice.random() < 0.1:
                search.forget(candidate.id)
            else:
                search.tell(candidate.id, bowl(candidate.point))
                assert not search.tell(candidate.id, -1.0), "the second time it is not taken"
    assert search.best is not None
    assert search.best.value == pytest.approx(bowl(search.best.point))
    assert search.best.value < 0.5
    assert search.open_count == 39


@pytest.mark.parametrize("rule", ["pso", "ring", "shade"])
def test_a_restored_search_goes_on_as_the_other_does(rule: Any) -> None:
    search = Search(MIXED, rule=rule, seed=4, population=10)
    for _ in range(137):
        candidate = search.ask()
        search.tell(candidate.id, math.inf if candidate.id % 9 == 0 else cost(candidate.point))
    again = Search.restored(MIXED, json.loads(json.dumps(search.state())))
    assert again.best == search.best
    for _ in range(60):
        one, other = search.ask(), again.ask()
        assert one == other
        assert search.tell(one.id, cost(one.point)) == again.tell(other.id, cost(other.point))
    assert again.state() == search.state()


def test_one_by_one_and_as_batches_it_is_the_same_search() -> None:
    single, batched = Search(CUBE, rule="ring", seed=9, population=8), Search(CUBE, rule="ring", seed=9, population=8)
    batch = batched.ask_all(100)
    assert len(batch.slots) == 8
    points = [single.ask().point for _ in range(8)]
    assert points == [CUBE.point(row) for row in batch.points]


def test_auto_goes_by_the_evaluations_there_are() -> None:
    assert [rule_for("auto", 10, budget) for budget in (None, 599, 600)] == ["shade", "pso", "shade"]
    assert rule_for("ring", 10, 1) == "ring"
    assert Search(CUBE, budget=100).population == 8


def test_what_is_not_allowed_is_never_the_best() -> None:
    search = Search(CUBE, seed=1)
    assert not search.tell(search.ask().id, math.inf)
    assert search.best is None
    assert search.gap == math.inf
    assert search.tell(search.ask().id, 5.0)
    batch = search.ask_all(3)
    assert not search.tell_all(batch, [math.nan, 7.0, math.inf])
    assert search.best is not None
    assert search.best.value == 5.0


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_value_that_is_no_number_is_refused_by_the_candidates_name(value: float) -> None:
    search = Search(CUBE)
    with pytest.raises(Invalid, match="candidate 1 is worth"):
        search.tell(search.ask().id, value)
    assert search.open_count == 1


def test_what_was_never_asked_for_cannot_be_told() -> None:
    search = Search(CUBE)
    with pytest.raises(NotFound, match="candidate 1 was never given out"):
        search.tell(1, 0.0)
    with pytest.raises(Invalid, match="3 candidates were given out, and 2 values came"):
        search.tell_all(search.ask_all(3), [1.0, 2.0])


def test_rules_and_sizes_that_do_not_exist_are_refused() -> None:
    with pytest.raises(Invalid, match="take one of auto, pso, ring, shade"):
        Search(CUBE, rule="ants")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="4 to 10000"):
        Search(CUBE, population=3)
