"""Places in groups of limited size, given to points by auction: the dearer a group, the fewer want to be in it.

    every point wants the group that is cheapest for it, distance and price together
    too many want a group --its price rises by what the last of them would pay to stay--> those leave for their next
    too few want a group --its price falls until enough do--> they come

A point bids what it would lose by its second best group, and a step more, so that two alike do not outbid each
other for ever.  The larger the step, the sooner it is over and the worse the places are: after all rounds the sum of
costs is at most a step for each point above the least.  Prices are kept from one auction to the next, so when costs
have changed little, little is left to do.

Sources: Bertsekas & Castanon 1989, "The auction algorithm for the transportation problem".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from concerted.groups.games import Array

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

    Labels = NDArray[int64]

__all__ = ["auction_places"]


def auction_places(costs: Array, prices: Array, bounds: tuple[int, int], step: float, rounds: int) -> Labels:
    """Return a group for each point.  costs: float64[n, k], k >= 2.  bounds: least and most points of a group.

    prices: float64[k], those of before; they are changed.  Sizes come near their bounds and need not keep to them:
    that would take more than so many rounds.  O(n k), and then O(k) for each bid.
    """
    import numpy as np

    k = len(prices)
    priced = costs + prices
    labels: Labels = priced.argmin(axis=1)
    sizes = np.bincount(labels, minlength=k)
    if _lower(priced, labels, sizes, prices, bounds):
        np.add(costs, prices, out=priced)
        labels = priced.argmin(axis=1)
        sizes = np.bincount(labels, minlength=k)
    offers = _offers(priced, labels, prices, step)
    most = bounds[1]
    for _ in range(rounds):
        full = np.flatnonzero(sizes > most)
        if not len(full):
            break
        out, last = _outbid(labels, offers, sizes, full, most)
        prices[full] = offers[last]
        priced = costs[out] + prices
        labels[out] = priced.argmin(axis=1)
        offers[out] = _offers(priced, labels[out], prices, step)
        sizes = np.bincount(labels, minlength=k)
    return labels


def _offers(priced: Array, labels: Labels, prices: Array, step: float) -> Array:
    """Return up to which price each point stays: that at which its second best is as cheap, and a step more.

    priced: overwritten.
    """
    import numpy as np

    rows = np.arange(len(labels))
    best = priced[rows, labels]
    priced[rows, labels] = np.inf
    offers: Array = prices[labels] + (priced.min(axis=1) - best) + step
    return offers


def _outbid(labels: Labels, offers: Array, sizes: Labels, full: Labels, most: int) -> tuple[Labels, Labels]:
    """Return the points that leave groups of more than `most`, and of each such group the last to leave."""
    import numpy as np

    is_full = np.zeros(len(sizes), dtype=np.bool_)
    is_full[full] = True
    inside = np.flatnonzero(is_full[labels])
    inside = inside[np.lexsort((offers[inside], labels[inside]))]
    counts = sizes[full]
    begin = np.cumsum(counts) - counts
    place = np.arange(len(inside)) - np.repeat(begin, counts)
    out = inside[place < np.repeat(counts - most, counts)]
    return out, inside[begin + counts - most - 1]


def _lower(priced: Array, labels: Labels, sizes: Labels, prices: Array, bounds: tuple[int, int]) -> bool:
    """Lower the prices of groups that too few want, until enough would want each by itself; say if any has fallen.

    A group with room that has a price from before falls to none at most: nobody must be kept out of it.
    """
    import numpy as np

    least, most = bounds
    wanted = np.where(sizes < least, least, np.where((sizes < most) & (prices > 0.0), most, 0))
    groups = np.flatnonzero(wanted)
    if len(groups):
        dearer = priced[:, groups].T - priced[np.arange(len(labels)), labels]
        for each, group in zip(dearer, groups.tolist(), strict=True):
            place = int(wanted[group]) - 1
            fall = float(np.partition(each, place)[place])
            prices[group] -= fall if sizes[group] < least else min(fall, float(prices[group]))
    return len(groups) > 0
