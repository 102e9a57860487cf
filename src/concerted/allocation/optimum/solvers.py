"""Programs in variables that are 0 or 1, solved by HiGHS where it is installed, by itself (`highspy`) or in scipy.

Its time limit is on the wall clock, so the answer may differ from call to call: whoever must be able to replay it
records it.  What it answers is not trusted: the callers check it, and keep their own where that is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Program", "Solved", "solve"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Program:
    """Minimise costs @ x, where each x is 0 or 1 and lowest <= rows @ x <= highest.

    rows: by row, the columns and their factors.  start: a known answer, to begin with.
    """

    costs: Floats
    rows: list[tuple[NDArray[np.int64], Floats]]
    lowest: Floats
    highest: Floats
    start: Floats


@dataclass(frozen=True, slots=True)
class Solved:
    """answer: which x are 1; None if none was found in time.  bound: no answer costs less, give or take a billionth."""

    answer: NDArray[np.bool_] | None
    bound: float


def solve(program: Program, seconds: float) -> Solved | None:
    """Let HiGHS look for the best answer for so long; None if it is not installed."""
    scale = float(np.abs(program.costs).max(initial=0)) or 1.0
    scaled = Program(program.costs * (1e3 / scale), program.rows, program.lowest, program.highest, program.start)
    try:
        import highspy
    except ImportError:
        found = _by_scipy(scaled, seconds)
    else:
        found = _by_highspy(highspy, scaled, seconds)
    return None if found is None else Solved(found.answer, found.bound * (scale / 1e3))


def _by_highspy(highspy: Any, program: Program, seconds: float) -> Solved:
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(program.costs), len(program.rows)
    model.col_cost_ = program.costs
    model.col_lower_, model.col_upper_ = np.zeros(len(program.costs)), np.ones(len(program.costs))
    model.row_lower_, model.row_upper_ = program.lowest, program.highest
    model.integrality_ = [highspy.HighsVarType.kInteger] * len(program.costs)
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.cumsum([0, *(len(columns) for columns, _ in program.rows)])
    model.a_matrix_.index_ = np.concatenate([columns for columns, _ in program.rows])
    model.a_matrix_.value_ = np.concatenate([factors for _, factors in program.rows])
    solver = highspy.Highs()
    options = {"output_flag": False, "time_limit": float(seconds), "mip_rel_gap": 0.0, "threads": 1, "random_seed": 0}
    for name, value in options.items():
        solver.setOptionValue(name, value)
    solver.passModel(model)
    start = highspy.HighsSolution()
    start.col_value = program.start.tolist()
    solver.setSolution(start)
    solver.run()
    info = solver.getInfo()
    known = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    answer = np.array(solver.getSolution().col_value) > 0.5 if known else None
    return Solved(answer, float(info.mip_dual_bound))


def _by_scipy(program: Program, seconds: float) -> Solved | None:
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array
    except ImportError:
        return None
    starts = np.cumsum([0, *(len(columns) for columns, _ in program.rows)])
    columns = np.concatenate([columns for columns, _ in program.rows])
    factors = np.concatenate([factors for _, factors in program.rows])
    matrix = csr_array((factors, columns, starts), shape=(len(program.rows), len(program.costs)))
    found = milp(
        program.costs,
        integrality=np.ones(len(program.costs)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix, program.lowest, program.highest),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    bound = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
    return Solved(None if found.x is None else np.asarray(found.x) > 0.5, bound)
