"""Our games: `exact KIND N`, `sampled KIND N CALLS SEEDS`, `structure KIND N`, `core KIND N`, `nucleolus KIND N`."""

from __future__ import annotations

import json
import sys
from typing import Any

import gaming
import numpy as np
from measuring import measured

from concerted.groups import structures
from concerted.groups.sampling import masks_of, sampled_shapley
from concerted.groups.shapley import shapley
from concerted.groups.stability import least_core, nucleolus
from concerted.groups.structures import best_structure

REPEATS = 3


def main(what: str, kind: str, n: int, *numbers: int) -> None:
    """Measure one thing."""
    table = gaming.game(kind, n)
    if what == "sampled":
        sampled(table, kind, n, *numbers)
    elif what == "exact":
        shapley(table)
        repeated(f"exact {n}", lambda: shapley(table))
    elif what in {"core", "nucleolus"}:
        domain = "imputations" if table[1 << np.arange(n)].sum() <= table[-1] else "preimputations"
        solve: Any = nucleolus if what == "nucleolus" else (lambda game, over: least_core(game, over).epsilon)
        found = repeated(f"{what} {kind} {n}", lambda: solve(table, domain))
        print(json.dumps({"what": "answer", "answer": np.atleast_1d(found).tolist()}))
    else:
        found = repeated(f"structure {kind} {n}", lambda: best_structure(table))
        structures.ALWAYS_SPLITS = n
        by_splits = repeated(f"splits {kind} {n}", lambda: best_structure(table))
        assert found.status == by_splits.status == "optimal"
        assert abs(found.worth - by_splits.worth) <= 1e-9 * abs(found.worth)


def repeated(what: str, act: Any) -> Any:
    """Measure an act several times; returns what it did."""
    with measured(what, REPEATS):
        for _ in range(REPEATS):
            found = act()
    return found


def sampled(table: Any, kind: str, n: int, calls: int, seeds: int) -> None:
    """Estimate with many seeds; error is the mean square error over seeds and agents."""
    fair, errors = gaming.plain_shapley(table), []
    two = 1 << np.arange(n)
    assert masks_of(np.eye(n, dtype=bool))[:3] == two[:3].tolist()
    with measured(f"sampled {kind} {n} {calls}", seeds) as facts:
        for seed in range(seeds):
            found = sampled_shapley(n, lambda rows: table[rows @ two], calls, seed)
            assert found.calls <= calls
            errors.append(float(((found.values - fair) ** 2).mean()))
        facts["error"] = float(np.mean(errors))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
