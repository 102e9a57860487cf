"""The conflicts between bids: who excludes whom, and prices on what they contend for.

Bids that want the same thing exclude each other, and so do those of one agent that wants one of them at most.  Each
such group is a clique, of which one bid can win.  Under prices on cliques, what all cliques cost and what bids are
worth above the prices of theirs is an upper bound on what any bids that win together are worth.

Source: de Vries & Vohra, "Combinatorial auctions: a survey", INFORMS Journal on Computing 15, 2003, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Conflicts", "Limit"]

PRICE_ROUNDS = 1_500
PATIENCE = 20  # rounds without a better bound before the step is made smaller

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Limit:
    """Bids that may win together only as far as there is room: each with its size."""

    bids: tuple[int, ...]
    sizes: tuple[int, ...]
    room: int


class Conflicts:
    """The bids, who excludes whom, and prices on cliques under which no choice is worth more than `bound`."""

    def __init__(self, values: Ints, groups: Sequence[Sequence[int]], limits: Sequence[Limit]) -> None:
        self.values = values
        self.count = len(values)
        self.rivals: Bools = np.zeros((self.count, self.count), bool)
        self.size = np.ones(self.count)
        for group in groups:
            self.rivals[np.ix_(group, group)] = True
            self.size[list(group)] += 1
        np.fill_diagonal(self.rivals, False)
        packed = np.packbits(self.rivals, axis=1, bitorder="little")
        self.masks = [int.from_bytes(row.tobytes(), "little") for row in packed]
        self.words = _words(self.rivals)
        self.unit = max(1, int(np.gcd.reduce(values)))  # two sums differ by this at least
        self.limits = limits
        self.limit_of: list[tuple[int, int] | None] = [None] * self.count  # bid -> (which limit, its size)
        for at, limit in enumerate(limits):
            for bid, size in zip(limit.bids, limit.sizes, strict=True):
                self.limit_of[bid] = (at, size)
        self._find_cliques(groups)
        self.bound, self.prices = self._find_prices()
        self.above: Floats = values - self._priced(self.prices)

    def allows(self, chosen: Bools) -> bool:
        """Say whether these bids can win together."""
        loads = (
            sum(size for bid, size in zip(limit.bids, limit.sizes, strict=True) if chosen[bid]) for limit in self.limits
        )
        within = all(load <= limit.room for load, limit in zip(loads, self.limits, strict=True))
        return within and not self.rivals[np.ix_(chosen, chosen)].any()

    def _find_cliques(self, groups: Sequence[Sequence[int]]) -> None:
        """Take into each group all bids that exclude all of it, the most valuable first; bids alone are a clique."""
        found: dict[bytes, Bools] = {}
        alone = [[bid] for bid in np.flatnonzero(~self.rivals.any(axis=1)).tolist()]
        for group in (*groups, *alone):
            if not len(group):
                continue
            members = np.zeros(self.count, bool)
            members[list(group)] = True
            open_to = self.rivals[list(group)].all(axis=0)
            while open_to.any():
                bid = int(np.where(open_to, self.values, -1).argmax())
                members[bid] = True
                open_to &= self.rivals[bid]
            found.setdefault(members.tobytes(), members)
        self.in_clique: Bools = np.array(list(found.values()), bool).reshape(-1, self.count)
        bids, cliques = np.nonzero(self.in_clique.T)
        self._cliques = cliques
        self._bids = bids
        self.cliques_of = np.split(cliques, np.searchsorted(bids, np.arange(1, self.count)))
        self.clique_words = _words(self.in_clique.T)

    def _priced(self, prices: Floats) -> Floats:
        """Return for each bid what its cliques cost together."""
        priced: Floats = np.bincount(self._bids, prices[self._cliques], self.count).astype(np.float64)
        return priced

    def _find_prices(self) -> tuple[float, Floats]:
        """Lower the price of cliques that nobody wants, raise it where several bids pay it."""
        share = self.values / np.maximum(1, np.bincount(self._bids, minlength=self.count))
        prices = np.zeros(len(self.in_clique))
        np.maximum.at(prices, self._cliques, share[self._bids])
        best, best_prices, step, waited = np.inf, prices, 1.0, 0
        for _ in range(PRICE_ROUNDS):
            above = self.values - self._priced(prices)
            wanted = above > 0
            bound = float(prices.sum() + above[wanted].sum())
            waited += 1
            if bound < best * (1 - 1e-7):
                best, best_prices, waited = bound, prices, 0
            elif waited >= PATIENCE:
                step, waited = step / 1.6, 0
            spare = 1.0 - np.bincount(self._cliques, wanted[self._bids], len(prices))
            spare[(spare > 0) & (prices <= 0)] = 0.0
            norm = float(spare @ spare)
            if not norm or step < 1e-4:
                break
            prices = np.maximum(0.0, prices - step * 0.05 * best / norm * spare)
        return best, best_prices


def _words(rows: Bools) -> Words:
    """Return each row as 64-bit words, the first bit the lowest."""
    count = -(-max(1, rows.shape[1]) // 64)
    padded = np.zeros((len(rows), count * 64), bool)
    padded[:, : rows.shape[1]] = rows
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
