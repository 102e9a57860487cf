"""scikit-learn's k-means, with its defaults: `BALANCE KIND N K`; it knows the balance `none`."""

from __future__ import annotations

import sys

import clustering
from sklearn.cluster import KMeans

if __name__ == "__main__":
    balance, kind, n, k = clustering.asked(sys.argv[1:])
    assert balance == "none"
    rows = clustering.points(kind, n)
    what = f"{balance} {kind} {n} {k}"
    clustering.repeated(what, rows, lambda seed: KMeans(k, n_init=1, random_state=seed).fit(rows).labels_)
