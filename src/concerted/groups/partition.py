"""Partitions of points into groups of near ones: k-means++, Lloyd's rounds, and sizes that are kept to.

    seeds --k-means++--> centres --Lloyd, relieve--> groups of sizes allowed --exchange--> no swap is better

`balance` says how large a group may be: `none` as it comes; `max` at most a quarter more than the mean; `exact`
the sizes differ by one at most.  Too large groups hand on, along the cheapest chain of groups to one with
room, those who lose least by it, and too small ones are filled in the same way; where nearly all groups are full,
places are auctioned first.  Then points change places, alone or in pairs, as long as that makes the sum of squared
distances smaller.

Sources: Lloyd 1982, "Least squares quantization in PCM"; Arthur & Vassilvitskii 2007, "k-means++"; Grunau et al.
2023, "A nearly tight analysis of greedy k-means++", for several candidates for each seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from typing import TYPE_CHECKING, Literal

from concerted.errors import Invalid
from concerted.groups.games import Array
from concerted.groups.places import auction_places

if TYPE_CHECKING:
    from numpy import bool_, int64
    from numpy.typing import NDArray

    Labels = NDArray[int64]

__all__ = ["Balance", "Partition", "partition", "settle", "sizes_allowed"]

SLACK = 1.25  # a group under `max`, in means
MOST_ROUNDS = 300
MOST_EXCHANGES = 60  # rounds of centres and exchanges
STILL = 1e-4  # of the mean variance: centres that move less, squared, have stopped
MOST_RELIEVED = 20  # rounds of nearest centres and sizes put right
WORTH_A_ROUND = 1e-2  # of the inertia: a round of those that gains less is the last
MOST_AUCTIONS = 40  # rounds of nearest centres and places auctioned
BIDS, LAST_BIDS = 4, 20  # rounds of bids in one auction, and in the last
FINER = 0.7  # of the step of one auction: that of the next
FINE = 0.2  # of the mean squared distance: with a finer step the auction is the last
GAIN = 1e-4  # of the inertia: a round of exchanges that gains less is the last
ROUNDING = 1e-9  # of the mean squared distance: a smaller gain is none

Balance = Literal["none", "max", "exact"]


@dataclass(frozen=True, slots=True)
class Partition:
    """labels: point -> group, int64[n].  centres: float64[k, d].  inertia: the sum of squared distances."""

    labels: Labels
    centres: Array
    inertia: float
    rounds: int


def sizes_allowed(n: int, k: int, balance: Balance) -> tuple[int, int]:
    """Return the least and the most points of a group of k, for n points."""
    if balance == "none":
        return 0, n
    if balance == "exact":
        return n // k, ceil(n / k)
    return 1, min(n, ceil(SLACK * n / k))


def partition(points: Array, k: int, balance: Balance = "max", seed: int = 0) -> Partition:
    """Part points into k groups.  points: float64[n, d].  O(n k d) a round; n x k numbers in memory.

    The same points, k, balance and seed give the same groups on the same machine; where rounding differs, ties
    may fall differently, so whoever must come to the same again keeps the result.

    Raises:
        Invalid: there are not 1 to n groups, or a coordinate is no finite number.
    """
    import numpy as np

    points = _checked(points, k)
    dice = np.random.Generator(np.random.PCG64(seed))
    labels, centres, rounds = _lloyd(points, points[_seeds(points, k, dice)])
    if balance != "none":
        labels, centres, more = _balanced(points, centres, sizes_allowed(len(points), k, balance))
        rounds += more
    return Partition(labels, centres, _inertia(points, labels, centres), rounds)


def settle(points: Array, labels: Labels, k: int, balance: Balance, margin: float) -> Partition:
    """Improve a partition that there is, moving as few points as is worth while.

    A point leaves its group only for a centre that is nearer by the margin (0.2: by a fifth), and only as sizes
    allow; then sizes that are not allowed are put right.  labels: of points in no group yet, -1.

    Raises:
        Invalid: there are more groups than points, no point is in a group, or a coordinate is no finite number.
    """
    import numpy as np

    points, labels = _checked(points, k), np.array(labels, dtype=np.int64)
    placed = labels >= 0
    if not placed.any():
        raise Invalid("no point is in a group yet; part them first")
    bounds = sizes_allowed(len(points), k, balance)
    wide = np.column_stack((points, np.ones(len(points))))
    far = points[np.flatnonzero(placed)[:1]].repeat(k, axis=0)
    centres = _centres(points[placed], labels[placed], far)
    labels[~placed] = _nearest(wide[~placed], centres) if not placed.all() else []
    rounds, moved = 0, True
    while moved and rounds < MOST_EXCHANGES:
        rounds += 1
        centres = _centres(points, labels, centres)
        moved = _better_off(points, centres, labels, bounds, (1.0 - margin) ** 2)
    costs = _by_group(_costs(wide, centres))
    _relieve(costs, labels, bounds[1], bounds[1])
    _relieve(costs, labels, bounds[0], bounds[0])
    centres = _centres(points, labels, centres)
    return Partition(labels, centres, _inertia(points, labels, centres), rounds)


def _better_off(points: Array, centres: Array, labels: Labels, bounds: tuple[int, int], nearer: float) -> bool:
    """Move the points for which another centre is so much nearer, those who gain most first; say if any has moved."""
    import numpy as np

    squares = np.einsum("ij,ij->i", points, points)
    wide = np.column_stack((points, np.ones(len(points))))
    far = np.maximum(_costs(wide, centres) + squares[:, None], 0.0)
    rows, best = np.arange(len(points)), far.argmin(axis=1)
    here, there = far[rows, labels], far[rows, best]
    wanting = np.flatnonzero(there < nearer * here - ROUNDING * (1.0 + squares))
    sizes, moved = np.bincount(labels, minlength=len(centres)), False
    for row in wanting[np.argsort((there - here)[wanting], kind="stable")].tolist():
        own, to = int(labels[row]), int(best[row])
        if sizes[own] > bounds[0] and sizes[to] < bounds[1]:
            labels[row], moved = to, True
            sizes[own] -= 1
            sizes[to] += 1
    return moved


def _checked(points: Array, k: int) -> Array:
    import numpy as np

    points = np.ascontiguousarray(points, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise Invalid("the points to part must be rows of finite numbers")
    if not 1 <= k <= len(points):
        raise Invalid(f"{len(points)} points cannot be parted into {k} groups; 1 to {len(points)}")
    return points


# k-means


def _seeds(points: Array, k: int, dice: object) -> Labels:
    """Draw k points, each with a probability in proportion to its squared distance from those drawn before.

    Of several candidates the one stays that brings all points nearest.  O(n k d log k).
    """
    import numpy as np

    assert isinstance(dice, np.random.Generator)
    n = len(points)
    squares = np.einsum("ij,ij->i", points, points)
    chosen = np.empty(k, dtype=np.int64)
    chosen[0] = int(dice.random() * n)
    nearest = _distances(points, squares, chosen[:1])[0]
    for place in range(1, k):
        total = np.cumsum(nearest)
        if total[-1] <= 0.0:  # as many different points as this there are not
            chosen[place:] = np.arange(place, k) * n // k
            break
        marks = dice.random(2 + int(log(k))) * total[-1]
        candidates = np.minimum(np.searchsorted(total, marks), n - 1)
        found = np.minimum(_distances(points, squares, candidates), nearest)
        best = int(found.sum(axis=1).argmin())
        chosen[place], nearest = candidates[best], found[best]
    return chosen


def _distances(points: Array, squares: Array, chosen: Labels) -> Array:
    """Return the squared distances of all points from the chosen ones, float64[chosen, n]."""
    import numpy as np

    found: Array = points[chosen] @ points.T
    found *= -2.0
    found += squares
    found += squares[chosen][:, None]
    return np.maximum(found, 0.0, out=found)


def _lloyd(points: Array, centres: Array) -> tuple[Labels, Array, int]:
    """Go from centres to nearest points and back until the centres have stopped."""
    import numpy as np

    still = STILL * float(points.var(axis=0).mean()) if points.size else 0.0
    wide = np.column_stack((points, np.ones(len(points))))
    labels = _nearest(wide, centres)
    rounds = 0
    while rounds < MOST_ROUNDS:
        rounds += 1
        moved = _centres(points, labels, centres)
        shift = float(((moved - centres) ** 2).sum())
        centres = moved
        before, labels = labels, _nearest(wide, centres)
        if shift <= still or np.array_equal(before, labels):
            break
    return labels, _centres(points, labels, centres), rounds


def _costs(wide: Array, centres: Array) -> Array:
    """Return squared distances less the squares of the points, float64[n, k].  wide: points with a column of ones."""
    import numpy as np

    squares = np.einsum("ij,ij->i", centres, centres)
    found: Array = wide @ np.column_stack((-2.0 * centres, squares)).T
    return found


def _nearest(wide: Array, centres: Array) -> Labels:
    import numpy as np

    rows = max(1, 200_000 // max(1, len(centres)))  # as many at once as a cache holds
    parts = [_costs(wide[at : at + rows], centres).argmin(axis=1) for at in range(0, len(wide), rows)]
    return np.concatenate(parts)


def _centres(points: Array, labels: Labels, before: Array) -> Array:
    """Return the mean of each group; an empty one goes to the point that is farthest from its own centre."""
    import numpy as np

    k = len(before)
    sizes = np.bincount(labels, minlength=k)
    centres = np.empty_like(before)
    for place in range(points.shape[1]):
        centres[:, place] = np.bincount(labels, weights=points[:, place], minlength=k)
    centres /= np.maximum(sizes, 1)[:, None]
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        far = ((points - centres[labels]) ** 2).sum(axis=1)
        centres[empty] = points[np.argsort(-far, kind="stable")[: len(empty)]]
    return centres


def _inertia(points: Array, labels: Labels, centres: Array) -> float:
    return float(((points - centres[labels]) ** 2).sum())


# Sizes that are kept to


def _balanced(
    points: Array, centres: Array, bounds: tuple[int, int]
) -> tuple[Labels, Array, int]:  # fmt: skip
    """Lloyd's rounds in which sizes are kept to; then points are exchanged as it pays."""
    import numpy as np

    wide = np.column_stack((points, np.ones(len(points))))
    eps = ROUNDING * (1.0 + float((points**2).sum(axis=1).mean()) if points.size else 1.0)
    exact = bounds[1] - bounds[0] <= 1 < len(centres)  # else hardly a group is full, and few points have to move
    labels = _auctioned(points, wide, centres, bounds) if exact else _relieved(points, wide, centres, bounds)
    last, rounds = float("inf"), 0
    while rounds < MOST_EXCHANGES:
        rounds += 1
        centres = _centres(points, labels, centres)
        now = _inertia(points, labels, centres)
        if not _exchange(_by_group(_costs(wide, centres)), labels, bounds, eps) or now > last * (1.0 - GAIN):
            break
        last = now
    return labels, _centres(points, labels, centres), rounds


def _auctioned(points: Array, wide: Array, centres: Array, bounds: tuple[int, int]) -> Labels:
    """Lloyd's rounds in each of which places are auctioned, from coarse steps to fine; what is left is relieved."""
    import numpy as np

    prices = np.zeros(len(centres))
    costs = _costs(wide, centres)
    nearest = np.partition(costs, 1, axis=1)[:, :2]
    fine = FINE * float((nearest[:, 0] + np.einsum("ij,ij->i", points, points)).mean())
    step, last = float((nearest[:, 1] - nearest[:, 0]).mean()), False
    for number in range(MOST_AUCTIONS):
        last = last or step <= fine or number == MOST_AUCTIONS - 1
        labels = auction_places(costs, prices, bounds, step, LAST_BIDS if last else BIDS)
        centres = _centres(points, labels, centres)
        costs = _costs(wide, centres)
        if last:
            break
        step *= FINER
    by_group = _by_group(costs + prices)
    _relieve(by_group, labels, bounds[1], bounds[1])
    _relieve(by_group, labels, bounds[0], bounds[0])
    return labels


def _relieved(points: Array, wide: Array, centres: Array, bounds: tuple[int, int]) -> Labels:
    """Lloyd's rounds in each of which groups that are too large are relieved; those too small are filled at the end.

    What is too much is found anew in each round, and what is too little hardly changes.
    """
    import numpy as np

    low, high = bounds
    best, labels = float("inf"), np.zeros(len(points), dtype=np.int64)
    for _ in range(MOST_RELIEVED):
        far = _costs(wide, centres)
        tried, costs = far.argmin(axis=1), _by_group(far)
        _relieve(costs, tried, high, high)
        centres = _centres(points, tried, centres)
        now = _inertia(points, tried, centres)
        if now >= best * (1.0 - WORTH_A_ROUND):
            break
        best, labels = now, tried
    _relieve(_by_group(_costs(wide, _centres(points, labels, centres))), labels, low, low)
    return labels


def _by_group(costs: Array) -> Array:
    """Return costs with a row for each group, float64[k, n]: what follows looks at one group after the other."""
    import numpy as np

    return np.ascontiguousarray(costs.T)


def _relieve(costs: Array, labels: Labels, most: int, least: int) -> None:
    """Move points from groups of more than `most` to groups of fewer than `least`, until one kind is gone.

    Each pass finds for every group the cheapest chain of groups to one with room, and moves what is too much along
    it, as far as there is room, at each step of the chain those who lose least.
    """
    import numpy as np

    k, points, room = len(costs), np.arange(len(labels)), np.empty_like(costs)
    while True:
        sizes = np.bincount(labels, minlength=k)
        sources, free = np.flatnonzero(sizes > most), np.maximum(least - sizes, 0)
        if not len(sources) or not free.any():
            return
        cheapest, members = _between(costs, costs[labels, points], labels, sizes, room)
        onward = _chains(np.maximum(cheapest, 0.0), free > 0, sizes).tolist()
        left = free.tolist()
        for source in sources[np.argsort(-sizes[sources], kind="stable")].tolist():
            chain = _chain(source, onward, left)
            if not chain:
                continue
            count = min(int(sizes[source]) - most, left[chain[-1][1]])
            moving = [members.leaving(a, b, count) for a, b in chain]
            count = min(len(each) for each in moving)
            for (a, to), each in zip(chain, moving, strict=True):
                labels[members.gone(a, each[:count])] = to
            left[chain[-1][1]] -= count


class _Members:
    """The members of each group.  loss: group -> what it costs each point to go there, points in this order."""

    def __init__(self, order: Labels, ends: list[int], sizes: list[int], loss: Array) -> None:
        self._order = order
        self._spans = [(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        self._loss = loss
        self._left = list(sizes)  # how many are still there

    def of(self, group: int) -> Labels:
        """Return the points of a group, those included that have left it."""
        start, end = self._spans[group]
        return self._order[start:end]

    def losses(self, group: int, to: int) -> Array:
        """Return what it costs each of these to go to another group."""
        start, end = self._spans[group]
        found: Array = self._loss[to, start:end]
        return found

    def leaving(self, group: int, to: int, count: int) -> Labels:
        """Return the places in a group of the `count` who lose least by going to another, of those still there."""
        return _least(self.losses(group, to), min(count, self._left[group]))

    def gone(self, group: int, places: Labels) -> Labels:
        """Take note that the points in these places have left; return the points."""
        self._left[group] -= len(places)
        members = self._spans[group][0] + places
        self._loss[:, members] = float("inf")
        found: Labels = self._order[members]
        return found


def _between(costs: Array, own: Array, labels: Labels, sizes: Labels, room: Array) -> tuple[Array, _Members]:
    """Return what the cheapest move from each group to each other costs, and the members of each group.

    own: what each point costs where it is.  room: float64[k, n], overwritten; the members are known by it.
    """
    import numpy as np

    k = len(costs)
    order = np.argsort(labels.astype(np.uint16) if k < 1 << 16 else labels, kind="stable")  # short numbers sort faster
    ends = np.cumsum(sizes)
    there = np.flatnonzero(sizes)
    loss = np.take(costs, order, axis=1, out=room, mode="clip")
    loss -= own[order]
    cheapest = np.full((k, k), np.inf)
    cheapest[there] = np.minimum.reduceat(loss, (ends - sizes)[there], axis=1).T
    np.fill_diagonal(cheapest, np.inf)
    return cheapest, _Members(order, ends.tolist(), sizes.tolist(), loss)


def _chains(steps: Array, is_end: NDArray[bool_], sizes: Labels) -> Labels:
    """Return for each group the next one on its cheapest chain to an end; itself where there is none.

    Of equally cheap ones the step to the smaller group is taken.  Bellman and Ford.
    """
    import numpy as np

    k = len(steps)
    finite = steps[np.isfinite(steps)]
    tie = (float(finite.max(initial=0.0)) + 1.0) * 1e-12
    steps = steps + tie * (1.0 + sizes[None, :] / (1.0 + sizes.max()))  # no chain goes round for nothing
    far = np.where(is_end, 0.0, np.inf)
    onward = np.arange(k)
    for _ in range(k):
        through = steps + far[None, :]
        found = through.min(axis=1)
        nearer = np.flatnonzero(found < far)
        if not len(nearer):
            break
        far[nearer] = found[nearer]
        onward[nearer] = through[nearer].argmin(axis=1)
    return onward


def _chain(source: int, onward: list[int], room: list[int]) -> list[tuple[int, int]]:
    """Return the steps from a group to one that still has room; none if that has filled up in this pass."""
    steps: list[tuple[int, int]] = []
    at = source
    while True:
        to = onward[at]
        if to == at or len(steps) > len(onward):
            return steps if room[at] > 0 and steps else []
        steps.append((at, to))
        at = to


def _least(loss: Array, count: int) -> Labels:
    """Return the places of the `count` smallest, at most; the first of equals."""
    import numpy as np

    if count == 1:
        return np.array([loss.argmin()])
    found: Labels = np.argsort(loss, kind="stable")[:count]
    return found


def _exchange(costs: Array, labels: Labels, bounds: tuple[int, int], eps: float) -> bool:
    """Let points change places between pairs of groups as long as all together come nearer; say if any has.

    Centres stay.  In each pass a group takes part in one pair, those pairs first that gain most.
    """
    import numpy as np

    changed, k, points, room = False, len(costs), np.arange(len(labels)), np.empty_like(costs)
    low, high = bounds
    for _ in range(MOST_ROUNDS):
        sizes = np.bincount(labels, minlength=k)
        own = costs[labels, points]
        cheapest, members = _between(costs, own, labels, sizes, room)
        may_move = (sizes[:, None] > low) & (sizes[None, :] < high)
        gain = np.minimum(cheapest + cheapest.T, np.where(may_move, cheapest, np.inf))
        gain = np.minimum(gain, gain.T)
        first, second = np.nonzero(np.triu(gain < -eps, 1))
        if not len(first):
            return changed
        used = np.zeros(k, dtype=bool)
        for pair in np.argsort(gain[first, second], kind="stable").tolist():
            a, b = int(first[pair]), int(second[pair])
            if used[a] or used[b]:
                continue
            used[a] = used[b] = True
            there = max(0, min(high - int(sizes[b]), int(sizes[a]) - low))
            back = max(0, min(high - int(sizes[a]), int(sizes[b]) - low))
            going, coming = _swapped(members.losses(a, b), members.losses(b, a), there, back, eps)
            labels[members.of(a)[going]] = b
            labels[members.of(b)[coming]] = a
            changed = True
    return changed


def _swapped(there: Array, back: Array, free: int, free_back: int, eps: float) -> tuple[Labels, Labels]:
    """Return who of two groups changes places.  free, free_back: how many may go without another in exchange."""
    import numpy as np

    going = np.concatenate((there, np.zeros(free_back)))
    coming = np.concatenate((back, np.zeros(free)))
    one, other = np.argsort(going, kind="stable"), np.argsort(coming, kind="stable")
    count = min(len(one), len(other))
    pays = going[one[:count]] + coming[other[:count]] < -eps
    one, other = one[:count][pays], other[:count][pays]
    return one[one < len(there)], other[other < len(back)]
