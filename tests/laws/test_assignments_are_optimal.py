"""Laws of the assignment: equal in value to trying everything and to scipy, with and without the guess at prices."""

from itertools import product
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from concerted.allocation.optimum import assignment
from concerted.allocation.optimum.assignment import UNASSIGNED, assign

Edges = list[list[tuple[int, int]]]


@st.composite
def problems(draw: st.DrawFn, rows: int = 8, columns: int = 6) -> tuple[Edges, list[int]]:
    """Draw edges and room; values often repeat and are often the sum of a row's and a column's share."""
    room = draw(st.lists(st.integers(0, 3), min_size=1, max_size=columns))
    high = draw(st.sampled_from([2, 6, 100]))
    shares = draw(st.lists(st.integers(0, high), min_size=len(room), max_size=len(room)))
    edges: Edges = []
    for _ in range(draw(st.integers(0, rows))):
        own = draw(st.integers(-2, high))
        near = draw(st.permutations(range(len(room))))[: draw(st.integers(0, len(room)))]
        edges.append([(column, own + shares[column] + draw(st.integers(0, 1))) for column in near])
    return edges, room


def total(edges: Edges, room: list[int], found: list[int]) -> int:
    """Return what an assignment is worth, having seen that it is one."""
    taken = [found.count(column) for column in range(len(room))]
    assert all(count <= free for count, free in zip(taken, room, strict=True)), "a column has more rows than room"
    return sum(dict(edges[row])[column] for row, column in enumerate(found) if column != UNASSIGNED)


def by_trying_everything(edges: Edges, room: list[int]) -> int:
    best = 0
    for choice in product(*([(UNASSIGNED, 0), *row] for row in edges)):
        columns = [column for column, _ in choice]
        if all(columns.count(column) <= free for column, free in enumerate(room)):
            best = max(best, sum(value for _, value in choice))
    return best


def by_scipy(edges: Edges, room: list[int]) -> int:
    places = [column for column, free in enumerate(room) for _ in range(free)]
    values = np.zeros((len(edges), len(places) + len(edges)))
    of_column: dict[int, list[int]] = {}
    for place, column in enumerate(places):
        of_column.setdefault(column, []).append(place)
    for row, row_edges in enumerate(edges):
        for column, value in row_edges:
            values[row, of_column.get(column, [])] = max(0, value)
    return int(values[linear_sum_assignment(values, maximize=True)].sum())


@given(problems(rows=4, columns=4))
def test_nothing_that_could_be_tried_is_better(problem: tuple[Edges, list[int]]) -> None:
    edges, room = problem
    assert total(edges, room, assign(edges, room)) == by_trying_everything(edges, room)


@given(problems(), st.sampled_from([0, 1000]))
def test_scipy_finds_the_same_value(problem: tuple[Edges, list[int]], small: int) -> None:
    edges, room = problem
    with patch.object(assignment, "SMALL", small):
        assert total(edges, room, assign(edges, room)) == by_scipy(edges, room)


@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_scipy_finds_the_same_value_of_a_large_one(random, free: int) -> None:  # type: ignore[no-untyped-def]
    edges = [
        [(column, random.randrange(-100, 1000)) for column in random.sample(range(40), random.randrange(12))]
        for _ in range(80)
    ]
    assert total(edges, [free] * 40, assign(edges, [free] * 40)) == by_scipy(edges, [free] * 40)


@given(problems())
def test_a_row_more_never_makes_it_worse_and_a_place_more_neither(problem: tuple[Edges, list[int]]) -> None:
    edges, room = problem
    worth = total(edges, room, assign(edges, room))
    assert total(edges[:-1], room, assign(edges[:-1], room)) <= worth
    more = [free + 1 for free in room]
    assert total(edges, more, assign(edges, more)) >= worth


@given(problems())
def test_the_same_problem_has_the_same_answer(problem: tuple[Edges, list[int]]) -> None:
    edges, room = problem
    assert assign(edges, room) == assign([list(row) for row in edges], list(room))
