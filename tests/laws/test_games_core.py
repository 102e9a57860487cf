"""Laws of stable shares: the same as linear programs with every coalition in them, solved by another solver."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from concerted.groups.games import Array
from concerted.groups.linear import Program
from concerted.groups.stability import in_core, largest_excess, least_core, nucleolus, stability

few = settings(max_examples=settings().max_examples * 2 // 5)
worths = st.integers(-6, 12).map(float) | st.integers(-5000, 5000).map(lambda each: each / 100)


@st.composite
def games(draw: st.DrawFn, most: int = 4) -> Array:
    """Draw the worths of up to three agents one by one, and those of more from a seed."""
    n = draw(st.integers(1, most))
    if n <= 3:
        return np.array([0.0, *draw(st.lists(worths, min_size=(1 << n) - 1, max_size=(1 << n) - 1))])
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    drawn = dice.integers(-6, 13, 1 << n) * 1.0 if draw(st.booleans()) else dice.uniform(-10, 50, 1 << n)
    drawn[0] = 0.0
    return drawn


def count(game: Array) -> int:
    return len(game).bit_length() - 1


def inside(n: int) -> Array:
    """Return for each proper coalition who is in it."""
    return np.array([[float(mask >> agent & 1) for agent in range(n)] for mask in range(1, (1 << n) - 1)])


def with_imputations(game: Array) -> Array:
    """Raise what all are worth, so that everybody can have what it has alone."""
    alone = sum(game[1 << agent] for agent in range(count(game)))
    raised = game.copy()
    raised[-1] = max(raised[-1], alone)
    return raised


def by_scipy(game: Array) -> float:
    """Minimise epsilon with a row for every coalition."""
    n = count(game)
    rows = np.hstack([-inside(n), -np.ones(((1 << n) - 2, 1))])
    found = linprog(
        [0.0] * n + [1.0], A_ub=rows, b_ub=-game[1:-1], A_eq=[[1.0] * n + [0.0]], b_eq=[game[-1]], bounds=(None, None)
    )
    assert found.status == 0
    return float(found.fun)


@few
@given(games())
def test_the_least_core_is_what_another_solver_finds_with_every_row(game: Array) -> None:
    if count(game) > 1:
        found = least_core(game)
        assert found.epsilon == pytest.approx(by_scipy(game), abs=1e-7)
        assert largest_excess(game, found.shares).gain == pytest.approx(found.epsilon, abs=1e-7)
        assert found.shares.sum() == pytest.approx(game[-1], abs=1e-7)


@few
@given(games())
def test_the_core_is_empty_exactly_where_epsilon_is_above_0(game: Array) -> None:
    n = count(game)
    if n > 1:
        epsilon = least_core(game).epsilon
        found = linprog(
            [0.0] * n, A_ub=-inside(n), b_ub=-game[1:-1], A_eq=[[1.0] * n], b_eq=[game[-1]], bounds=(None, None)
        )
        if abs(epsilon) > 1e-6:
            assert (found.status == 0) == (epsilon < 0)
        assert in_core(game, least_core(game).shares, 1e-7) or epsilon > 0


@few
@given(games(), st.lists(st.floats(-20, 20), min_size=4, max_size=4))
def test_shares_are_in_the_core_exactly_if_every_coalition_has_its_worth(game: Array, drawn: list[float]) -> None:
    n = count(game)
    shares = drawn[:n]
    shares[0] += float(game[-1]) - sum(shares)
    gains = [
        float(game[mask]) - sum(shares[agent] for agent in range(n) if mask >> agent & 1) for mask in range(1, 1 << n)
    ]
    if min(abs(gain) for gain in [1.0, *gains[:-1]]) > 1e-6:
        assert in_core(game, shares) == (max([0.0, *gains[:-1]]) <= 0.0)


@settings(max_examples=6)  # each solves some fifty programs; tests/seeds/ tries many
@given(games(most=3))
def test_the_nucleolus_is_what_one_program_after_the_other_finds(game: Array) -> None:
    game = with_imputations(game)
    assert nucleolus(game).tolist() == pytest.approx(plain_nucleolus(game), abs=1e-6)


def plain_nucleolus(game: Array) -> list[float]:
    """Fix, in each program, every coalition whose excess cannot be lower: one more program for each to see that."""
    n = count(game)
    alone = [(float(game[1 << agent]), None) for agent in range(n)]
    if n == 1:
        return [float(game[-1])]
    fixed, still = [(np.ones(n), float(game[-1]))], list(range(1, (1 << n) - 1))
    shares = np.zeros(n)
    while still:
        epsilon, shares = solved(game, fixed, still, alone, None)
        held = [mask for mask in still if solved(game, fixed, still, alone, (mask, epsilon))[0] < 1e-7]
        fixed += [(inside(n)[mask - 1], float(game[mask]) - epsilon) for mask in held]
        still = [mask for mask in still if mask not in held]
    return [float(share) for share in shares]


def solved(
    game: Array, fixed: list, still: list[int], alone: list, most: tuple[int, float] | None
) -> tuple[float, Array]:  # type: ignore[type-arg]
    """Minimise epsilon; or, with `most`, see by how much this coalition's excess can be below that epsilon."""
    n = count(game)
    rows = np.array([[*-inside(n)[mask - 1], -1.0] for mask in still])
    equal, bounds = [[*row, 0.0] for row, _ in fixed], [worth for _, worth in fixed]
    aim = [0.0] * n + [1.0]
    if most is not None:
        aim = [*-inside(n)[most[0] - 1], 0.0]
        equal, bounds = [*equal, [0.0] * n + [1.0]], [*bounds, most[1] + 1e-9]
    found = linprog(aim, A_ub=rows, b_ub=-game[still], A_eq=equal, b_eq=bounds, bounds=[*alone, (None, None)])
    assert found.status == 0
    if most is None:
        return float(found.x[n]), found.x[:n]
    return most[1] - (float(game[most[0]]) + float(found.fun)), found.x[:n]


@few
@given(games(most=5), st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_no_other_division_has_smaller_excesses_in_order(game: Array, mix: list[float]) -> None:
    game = with_imputations(game)
    n = count(game)
    alone = game[1 << np.arange(n)]
    spare = float(game[-1] - alone.sum())
    weights = np.array(mix[:n]) + 0.01
    other = alone + spare * weights / weights.sum()
    best, any_other = excesses(game, nucleolus(game)), excesses(game, other)
    for ours, theirs in zip(best, any_other, strict=True):
        if abs(ours - theirs) > 1e-6:
            assert ours < theirs
            break


def excesses(game: Array, shares: Array) -> list[float]:
    """Return the excesses of all proper coalitions, largest first."""
    return sorted((game[1:-1] - inside(count(game)) @ shares).tolist(), reverse=True) if count(game) > 1 else []


@few
@given(games())
def test_the_nucleolus_is_in_the_core_where_there_is_one(game: Array) -> None:
    game = with_imputations(game)
    if least_core(game, "imputations").epsilon < -1e-7:
        assert in_core(game, nucleolus(game))


@few
@given(games())
def test_stability_is_0_to_1_and_1_exactly_in_the_core(game: Array) -> None:
    found = stability(game)
    assert 0.0 <= found <= 1.0
    if count(game) > 1 and abs(least_core(game).epsilon) > 1e-6:
        assert (found == 1.0) == (least_core(game).epsilon < 0)


coefficients = st.integers(-4, 4).map(float)


@few
@given(st.integers(1, 4).flatmap(lambda n: st.tuples(
    st.lists(st.integers(0, 5).map(float), min_size=n, max_size=n),
    st.lists(st.tuples(st.lists(coefficients, min_size=n, max_size=n), coefficients), max_size=8),
)))  # fmt: skip
def test_linear_programs_are_solved_as_another_solver_does(
    problem: tuple[list[float], list[tuple[list[float], float]]],
) -> None:
    cost, more = problem
    n = len(cost)
    rows = np.array([*np.eye(n), *(row for row, _ in more)])
    bounds = np.array([0.0] * n + [bound for _, bound in more])
    program = Program(np.array(cost), rows, bounds, range(n))
    found = linprog(cost, A_ub=-rows, b_ub=-bounds, bounds=(None, None))
    assert program.solve(1e-9) == (found.status == 0)
    if found.status == 0:
        assert program.cost @ program.y == pytest.approx(found.fun, abs=1e-6)
        assert (rows @ program.y >= bounds - 1e-6).all()
