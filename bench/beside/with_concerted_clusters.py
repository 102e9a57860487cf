"""Our clusters: `BALANCE KIND N K`."""

from __future__ import annotations

import sys

import clustering

from concerted.groups.partition import partition

if __name__ == "__main__":
    balance, kind, n, k = clustering.asked(sys.argv[1:])
    rows = clustering.points(kind, n)
    what = f"{balance} {kind} {n} {k}"
    clustering.repeated(what, rows, lambda seed: partition(rows, k, balance, seed).labels)  # type: ignore[arg-type]
