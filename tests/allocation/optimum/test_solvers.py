"""Programs in variables that are 0 or 1, given to HiGHS."""

import sys

import numpy as np
import pytest

from concerted.allocation.optimum.solvers import Program, solve

# Of three things that weigh 2, 3 and 4 and are worth 3, 4 and 6, take what a bag that holds 6 can hold.
KNAPSACK = Program(
    costs=np.array([-3.0, -4.0, -6.0]),
    rows=[(np.array([0, 1, 2]), np.array([2.0, 3.0, 4.0]))],
    lowest=np.array([-np.inf]),
    highest=np.array([6.0]),
    start=np.zeros(3),
)


@pytest.mark.parametrize("package", ["highspy", "scipy"])
def test_the_answer_and_its_bound(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(package)
    if package == "scipy":
        monkeypatch.setitem(sys.modules, "highspy", None)
    solved = solve(KNAPSACK, 10.0)
    assert solved is not None
    assert solved.answer is not None
    assert solved.answer.tolist() == [True, False, True]
    assert solved.bound == pytest.approx(-9.0)


def test_a_program_that_cannot_be_met_has_no_answer(solver_installed: bool) -> None:
    if not solver_installed:
        pytest.skip("neither scipy nor highspy is installed")
    rows = [(np.array([0]), np.array([1.0]))]
    solved = solve(Program(np.array([1.0]), rows, np.array([2.0]), np.array([3.0]), np.zeros(1)), 10.0)
    assert solved is not None
    assert solved.answer is None


def test_where_no_solver_is_installed_none_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("highspy", "scipy", "scipy.optimize", "scipy.sparse"):
        monkeypatch.setitem(sys.modules, package, None)
    assert solve(KNAPSACK, 10.0) is None
