"""k-means-constrained, which keeps to sizes by minimum-cost flow: `BALANCE KIND N K`, one start as we have."""

from __future__ import annotations

import math
import sys

import clustering
from k_means_constrained import KMeansConstrained

if __name__ == "__main__":
    balance, kind, n, k = clustering.asked(sys.argv[1:])
    assert balance in {"max", "exact"}
    rows = clustering.points(kind, n)
    sizes = (n // k, math.ceil(n / k)) if balance == "exact" else (1, math.ceil(1.25 * n / k))
    what = f"{balance} {kind} {n} {k}"

    def part(seed: int) -> object:
        """Part the points once."""
        search = KMeansConstrained(k, size_min=sizes[0], size_max=sizes[1], n_init=1, random_state=seed)
        return search.fit(rows).labels_

    clustering.repeated(what, rows, part, seeds=2)
