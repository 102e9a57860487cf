"""coopgame-py, which is Rust: `exact KIND N`, `core KIND N`, `nucleolus KIND N`."""

from __future__ import annotations

import json
import sys

import coopgame
import gaming
import numpy as np
from measuring import measured


def main(what: str, kind: str, n: int) -> None:
    """Measure one thing; the table is handed over before the clock starts."""
    table = gaming.game(kind, n)
    own = coopgame.Game(table[1:].tolist())
    domain = "imputation" if table[1 << np.arange(n)].sum() <= table[-1] else "preimputation"
    if what == "exact":
        with measured(f"exact {n}", 1):
            coopgame.shapley(own)
        return
    with measured(f"{what} {kind} {n}", 1):
        if what == "core":
            found = [coopgame.least_core(own, domain)["epsilon"]]
        else:
            found = coopgame.nucleolus(own, domain)["allocation"]
    print(json.dumps({"what": "answer", "answer": found}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
