"""The optimal assignment: known answers, and what is done with ties, gaps and scarce room."""

from pathlib import Path
from typing import Any, Protocol

from concerted.allocation.optimum import assignment
from concerted.allocation.optimum.assignment import UNASSIGNED, assign


class Data(Protocol):
    def __call__(self, name: str) -> Path: ...


def full(*rows: list[int]) -> list[list[tuple[int, int]]]:
    """Turn a matrix of values into edges."""
    return [list(enumerate(row)) for row in rows]


def total(edges: list[list[tuple[int, int]]], found: list[int]) -> int:
    return sum(dict(edges[row])[column] for row, column in enumerate(found) if column != UNASSIGNED)


def test_the_best_of_each_row_is_not_the_best_of_all() -> None:
    edges = full([10, 9], [9, 1])
    assert assign(edges, [1, 1]) == [1, 0]


def test_a_textbook_example() -> None:
    """Kuhn 1955, "The Hungarian method for the assignment problem", section 1: who is qualified for which job."""
    qualified = full([1, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1])
    found = assign(qualified, [1, 1, 1, 1])
    assert total(qualified, found) == 3


def test_the_score_matrix_of_the_same_paper() -> None:
    """Kuhn 1955, section 2: the ratings of four men for four jobs; the best assignment is worth 27."""
    edges = full([8, 7, 9, 9], [5, 2, 7, 8], [6, 1, 4, 9], [2, 3, 2, 6])
    found = assign(edges, [1, 1, 1, 1])
    assert (total(edges, found), sorted(found)) == (27, [0, 1, 2, 3])


def test_a_column_takes_as_many_as_it_has_room_for() -> None:
    assert assign(full([5, 1], [4, 1], [3, 2]), [2, 1]) == [0, 0, 1]


def test_a_column_without_room_takes_nobody() -> None:
    assert assign(full([5, 1], [5, 1]), [0, 1]) == [1, UNASSIGNED]


def test_with_too_few_columns_the_best_rows_get_them() -> None:
    assert assign(full([1], [3], [2]), [1]) == [UNASSIGNED, 0, UNASSIGNED]


def test_what_is_worth_nothing_is_not_taken() -> None:
    assert assign(full([0, -1], [-5, 2]), [1, 1]) == [UNASSIGNED, 1]


def test_rows_without_edges_and_columns_without_rows_are_left_alone() -> None:
    assert assign([[], [(2, 5)], []], [1, 1, 1]) == [UNASSIGNED, 2, UNASSIGNED]
    assert assign([], [3]) == []
    assert assign([[], []], []) == [UNASSIGNED, UNASSIGNED]


def test_of_equals_the_first_row_gets_its_first_edge() -> None:
    assert assign([[(1, 5), (0, 5)], [(1, 5), (0, 5)], [(0, 5)]], [1, 1]) == [1, 0, UNASSIGNED]


def test_numbers_may_be_of_any_size() -> None:
    huge = 10**40
    assert assign(full([huge + 1, huge], [huge, huge + 1]), [1, 1]) == [0, 1]


def test_the_guess_at_prices_changes_no_sum(monkeypatch: Any) -> None:
    edges = [
        [(column % 40, 1000 + (row * 37 + column * 91) % 50) for column in range(row, row + 9)] for row in range(60)
    ]
    plain = total(edges, assign(edges, [1] * 40))
    monkeypatch.setattr(assignment, "SMALL", 0)
    assert total(edges, assign(edges, [1] * 40)) == plain


def test_a_published_problem(data: Data) -> None:
    """Beasley's OR-library, gap1-0: without the resource limits its optimum is the sum of each job's best agent."""
    numbers = [int(word) for word in data("allocation/gap/gap1-0.txt").read_text("utf-8").split()]
    agents, jobs = numbers[0], numbers[1]
    profit = [numbers[2 + agent * jobs : 2 + (agent + 1) * jobs] for agent in range(agents)]
    edges = [[(agent, profit[agent][job]) for agent in range(agents)] for job in range(jobs)]
    assert total(edges, assign(edges, [jobs] * agents)) == sum(max(column) for column in zip(*profit, strict=True))
