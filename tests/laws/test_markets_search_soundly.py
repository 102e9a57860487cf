"""Laws of the searches: what they say is allowed is allowed, what they call the optimum is the optimum."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from concerted.allocation.optimum.conflicts import Limit
from concerted.allocation.optimum.effort import Effort
from concerted.allocation.optimum.generalised import FORBIDDEN, assign_generalised
from concerted.allocation.optimum.packing import pack

STEPS = st.sampled_from([1, 500, 20_000])
COSTS = st.sampled_from([0, 1, 2, 3, 7, 10**9, FORBIDDEN])


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    shape = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    costs = np.array([[draw(COSTS) for _ in range(shape[1])] for _ in range(shape[0])])
    sizes = np.array([[draw(st.sampled_from([0, 1, 2, 5, 4_000])) for _ in range(shape[1])] for _ in range(shape[0])])
    room = np.array([draw(st.sampled_from([0, 1, 3, 6, 9_000])) for _ in range(shape[1])])
    skip = np.array([draw(st.sampled_from([0, 2, 5, 10**12])) for _ in range(shape[0])])
    return costs, sizes, room, skip


def cost_of(problem: tuple[np.ndarray, ...], columns: tuple[int, ...]) -> int | None:
    """Return what an answer costs, None if it is not allowed; -1 stands for leaving a task out."""
    costs, sizes, room, skip = problem
    cost, load = 0, [0] * len(room)
    for task, column in enumerate(columns):
        if column == -1:
            cost += int(skip[task])
        elif costs[task, column] == FORBIDDEN:
            return None
        else:
            cost += int(costs[task, column])
            load[column] += int(sizes[task, column])
    return cost if all(one <= free for one, free in zip(load, room, strict=True)) else None


@given(problems(), STEPS, st.integers(0, 3))
def test_a_generalised_assignment_is_allowed_and_its_bound_holds(
    problem: tuple[np.ndarray, ...], steps: int, seed: int
) -> None:
    costs, sizes, room, skip = problem
    found = assign_generalised(costs, sizes, room, skip, Effort(steps, seed))
    every = (cost_of(problem, way) for way in product(range(-1, len(room)), repeat=len(skip)))
    best = min(cost for cost in every if cost is not None)
    assert cost_of(problem, found.column_of) == found.cost
    assert found.bound <= best * (1 + 1e-9) <= found.cost * (1 + 1e-9)
    if found.status == "optimal":
        assert found.cost == best


@st.composite
def packings(draw: st.DrawFn) -> tuple[np.ndarray, list[list[int]], list[Limit]]:
    values = np.array(draw(st.lists(st.sampled_from([0, 1, 2, 3, 10**9]), min_size=1, max_size=8)))
    numbers = st.lists(st.integers(0, len(values) - 1), unique=True, max_size=5)
    groups = draw(st.lists(numbers, max_size=5))
    limited = draw(numbers)
    sizes = [draw(st.integers(0, 3)) for _ in limited]
    limits = [Limit(tuple(limited), tuple(sizes), draw(st.integers(3, 6)))] if limited else []
    return values, groups, limits


def fits(problem: tuple[np.ndarray, list[list[int]], list[Limit]], chosen: set[int]) -> bool:
    _, groups, limits = problem
    return all(len(chosen.intersection(group)) <= 1 for group in groups) and all(
        sum(size for bid, size in zip(limit.bids, limit.sizes, strict=True) if bid in chosen) <= limit.room
        for limit in limits
    )


@given(packings(), STEPS, st.integers(0, 3))
def test_a_packing_is_allowed_and_its_bound_holds(
    problem: tuple[np.ndarray, list[list[int]], list[Limit]], steps: int, seed: int
) -> None:
    values, groups, limits = problem
    found = pack(values, groups, limits, Effort(steps, seed))
    ways = ({bid for bid, wanted in enumerate(way) if wanted} for way in product([False, True], repeat=len(values)))
    best = max(int(values[list(way)].sum()) for way in ways if fits(problem, way))
    assert fits(problem, set(found.chosen))
    assert found.value == values[list(found.chosen)].sum()
    assert found.value <= best <= found.bound * (1 + 1e-9)
    if found.status == "optimal":
        assert found.value == best
