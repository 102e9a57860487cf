"""Laws of structures: the best is what a plain walk through all partitions finds, by every method."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from concerted.errors import Invalid
from concerted.groups import structures
from concerted.groups.games import FORBIDDEN, Array
from concerted.groups.overlapping import Work, split_capacity
from concerted.groups.structures import Structure, best_of_listed, best_structure
from concerted.values import AgentId, TaskId

few = settings(max_examples=settings().max_examples * 2 // 5)
worths = st.integers(-6, 9).map(float) | st.integers(-5000, 5000).map(lambda each: each / 100)


@st.composite
def games(draw: st.DrawFn, most: int = 6) -> Array:
    """Draw the worths of up to three agents one by one, and those of more from a seed; some are forbidden."""
    n = draw(st.integers(1, most))
    forbids = draw(st.booleans())
    if n <= 3:
        each = worths | st.just(FORBIDDEN) if forbids else worths
        return np.array([0.0, *draw(st.lists(each, min_size=(1 << n) - 1, max_size=(1 << n) - 1))])
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    drawn = dice.integers(-6, 10, 1 << n) * 1.0 if draw(st.booleans()) else dice.uniform(-50, 50, 1 << n)
    drawn[dice.random(1 << n) < 0.2 * forbids] = FORBIDDEN
    drawn[0] = 0.0
    return drawn


def partitions(mask: int) -> Iterator[list[int]]:
    """Walk through all ways to split a coalition, one by one."""
    if mask == 0:
        yield []
        return
    lowest = mask & -mask
    others = mask ^ lowest
    part = others
    while True:
        for rest in partitions(others ^ part):
            yield [lowest | part, *rest]
        if part == 0:
            break
        part = (part - 1) & others


def best_worth(game: Array, sizes: range, leave_out: bool) -> float:
    """Return the most that a partition within the limits is worth; FORBIDDEN if there is none."""

    def of_one(mask: int) -> float:
        own = float(game[mask]) if mask.bit_count() in sizes else FORBIDDEN
        return max(own, 0.0) if leave_out and mask.bit_count() == 1 else own

    return max(sum(of_one(mask) for mask in parts) for parts in partitions(len(game) - 1))


def by(method: str, game: Array, sizes: range, leave_out: bool) -> Structure:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structures, "ALWAYS_SPLITS", 22 if method == "splits" else 0)
        patch.setattr(structures, "LOW_BITS", 2)
        if method == "list":
            masks = [mask for mask in range(1, len(game)) if mask.bit_count() in sizes and game[mask] > FORBIDDEN]
            listed = {mask: float(game[mask]) for mask in masks}
            return best_of_listed(len(game).bit_length() - 1, listed, leave_out)
        return best_structure(game, sizes.start, sizes.stop - 1, leave_out)


@few
@given(games(), st.sampled_from(["splits", "prices", "list"]), st.data(), st.booleans())
def test_no_partition_is_worth_more(game: Array, method: str, data: st.DataObject, leave_out: bool) -> None:
    n = len(game).bit_length() - 1
    low = data.draw(st.integers(1, n))
    sizes = range(low, data.draw(st.integers(low, n)) + 1)
    best = best_worth(game, sizes, leave_out)
    if best == FORBIDDEN:
        with pytest.raises(Invalid, match="no way to place everybody"):
            by(method, game, sizes, leave_out)
        return
    found = by(method, game, sizes, leave_out)
    assert found.worth == pytest.approx(best, abs=1e-7)
    assert found.status == "optimal"
    assert sum(found.coalitions) + found.idle == len(game) - 1
    assert all(mask.bit_count() in sizes for mask in found.coalitions)
    assert found.worth == pytest.approx(sum(game[mask] for mask in found.coalitions), abs=1e-9)


# Overlapping

levels = st.integers(0, 4).map(lambda each: each / 2)


@few
@given(
    st.lists(st.tuples(levels, levels), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6), st.integers(1, 9)), max_size=4),
)
def test_no_choice_of_work_that_can_be_done_pays_more(
    agents: list[tuple[float, float]], pieces: list[tuple[int, int, int]]
) -> None:
    team = {AgentId(f"a{place}"): {"x": x, "y": y} for place, (x, y) in enumerate(agents)}
    work = {
        TaskId(f"t{place}"): Work({"x": x / 2, **({"y": y / 2} if y else {})}, float(pays))
        for place, (x, y, pays) in enumerate(pieces)
    }
    found = split_capacity(team, work)
    choices = [chosen for size in range(len(work) + 1) for chosen in combinations(sorted(work), size)]
    best = max(sum(work[task].reward for task in chosen) for chosen in choices if can_be_done(team, work, chosen))
    assert found.worth == pytest.approx(best)
    assert sum(found.payoffs.values()) == pytest.approx(best)
    for agent in team:
        assert sum(parts.get(agent, 0.0) for parts in found.parts.values()) <= 1 + 1e-6


def can_be_done(team: dict[AgentId, dict[str, float]], work: dict[TaskId, Work], chosen: tuple[TaskId, ...]) -> bool:
    """Ask another solver whether capacities can be split so that all of this is done."""
    agents, size = sorted(team), len(team) * len(chosen)
    if not chosen:
        return True
    rows, bounds = [], []
    for place, task in enumerate(chosen):
        for name, need in work[task].needs.items():
            row = np.zeros(size)
            row[place * len(agents) : (place + 1) * len(agents)] = [-team[agent][name] for agent in agents]
            rows.append(row)
            bounds.append(-need)
    for place in range(len(agents)):
        row = np.zeros(size)
        row[place :: len(agents)] = 1.0
        rows.append(row)
        bounds.append(1.0)
    return bool(linprog(np.zeros(size), A_ub=np.array(rows), b_ub=bounds).status == 0)
