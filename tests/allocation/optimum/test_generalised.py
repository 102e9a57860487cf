"""The generalised assignment: tasks of different sizes to agents with limited room."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from concerted.allocation.optimum.effort import Effort
from concerted.allocation.optimum.generalised import FORBIDDEN, Generalised, assign_generalised
from concerted.errors import Invalid

INT = np.int64
NEVER = 10**6  # to leave a task out


def solve(costs: list[list[int]], sizes: list[list[int]], room: list[int], skip: int = NEVER) -> Generalised:
    left_out = np.full(len(costs), skip, INT)
    return assign_generalised(np.array(costs, INT), np.array(sizes, INT), np.array(room, INT), left_out)


def test_the_cheapest_agent_does_not_get_more_than_it_has_room_for() -> None:
    # All on the first agent would cost 3 and take 9 of 6; the second costs one more for the first task, and so on.
    found = solve([[1, 2], [1, 4], [1, 3]], [[3, 1], [3, 1], [3, 1]], [6, 9])
    assert found == Generalised((1, 0, 0), 4, 4.0, "optimal")


def test_a_task_is_left_out_where_that_is_cheaper_or_nobody_has_room() -> None:
    assert solve([[5], [3]], [[1], [1]], [2], skip=4) == Generalised((-1, 0), 7, 7.0, "optimal")
    assert solve([[1], [2]], [[4], [4]], [4], skip=10).column_of == (0, -1)


def test_a_forbidden_pair_is_not_made() -> None:
    assert solve([[FORBIDDEN, 9], [1, 9]], [[1, 1], [1, 1]], [2, 2]).column_of == (1, 0)


def test_tasks_without_a_size_take_no_room() -> None:
    assert solve([[1], [1]], [[0], [0]], [0]).column_of == (0, 0)


def test_nothing_to_give_out_is_no_problem() -> None:
    empty = np.zeros((0, 2), INT)
    found = assign_generalised(empty, empty, np.array([1, 1]), np.zeros(0, INT))
    assert found == Generalised((), 0, 0.0, "optimal")


def test_with_little_effort_the_bound_says_how_far_off_it_may_be() -> None:
    dice = np.random.default_rng(2)
    costs, sizes = dice.integers(10, 50, (40, 5)), dice.integers(5, 25, (40, 5))
    room = np.full(5, int(sizes.sum() / 5 * 0.2))
    hasty = assign_generalised(costs, sizes, room, np.full(40, NEVER), Effort(steps=200))
    better = assign_generalised(costs, sizes, room, np.full(40, NEVER), Effort(steps=60_000))
    assert hasty.status == "feasible"
    assert hasty.bound <= better.bound <= better.cost <= hasty.cost


@pytest.mark.parametrize(
    ("costs", "sizes", "says"),
    [
        ([[1, 2]], [[1]], "costs and sizes must have a row for each task"),
        ([[-1]], [[1]], "task 0, agent 0: cost -1, size 1; both must be at least 0"),
        ([[1]], [[-2]], "task 0, agent 0: cost 1, size -2; both must be at least 0"),
        ([[2**61]], [[1]], "measure them in a larger unit"),
    ],
)
def test_what_is_no_problem_at_all_is_refused(costs: list[list[int]], sizes: list[list[int]], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        solve(costs, sizes, [1] * len(costs[0]))


def test_the_bound_and_the_answer_are_those_of_a_solver(solver_installed: bool) -> None:
    if not solver_installed:
        pytest.skip("neither scipy nor highspy is installed")
    dice = np.random.default_rng(4)
    costs, sizes = dice.integers(10, 50, (12, 3)), dice.integers(5, 25, (12, 3))
    room = np.full(3, int(sizes.sum() / 3 * 0.28))
    skip = np.full(12, NEVER)
    found = assign_generalised(costs, sizes, room, skip, Effort(steps=1, solver_s=30.0))
    assert found.status == "optimal"
    load = np.bincount(found.column_of, sizes[np.arange(12), found.column_of], 3)
    assert (load <= room).all()
    assert found.cost == costs[np.arange(12), found.column_of].sum()
    assert assign_generalised(costs, sizes, room, skip).cost == found.cost


@pytest.mark.parametrize(("name", "optimum"), [("gap1-0", 261), ("gap2-1", 269), ("gap1-2", 256)])
def test_published_problems_are_solved(data: Callable[[str], Path], name: str, optimum: int) -> None:
    """Cattrysse's gap1 to gap12 as minimisation; Cattrysse, Salomon & Van Wassenhove 1994."""
    numbers = np.array(data(f"allocation/gap/{name}.txt").read_text("utf-8").split(), INT)
    agents, tasks = numbers[:2].tolist()
    costs, sizes = numbers[2 : 2 + 2 * agents * tasks].reshape(2, agents, tasks)
    found = assign_generalised(costs.T, sizes.T, numbers[-agents:], np.full(tasks, NEVER))
    assert (found.cost, found.status) == (optimum, "optimal")
