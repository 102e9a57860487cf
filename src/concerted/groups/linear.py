"""A linear program whose rows are found one by one: the dual simplex method, warm from row to row.

    minimise cost . y   subject to   rows . y >= bounds,   y free

It starts from a basis: as many rows as there are variables, whose prices (the weights by which they add up to
the cost) are not negative.  A row that the solution breaks enters, and takes the place of the row whose price
falls to 0 first.  So a program of few variables and a million rows is solved with the few rows that matter:
solve, look for rows that are broken, `add` them, solve again.

It is ours and not a library's because the programs of games are that small: a solver's call costs more than
our solution.  Source: Lemke 1954, "The dual method of solving the linear programming problem".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from concerted.errors import Overloaded
from concerted.groups.games import Array

if TYPE_CHECKING:
    from numpy import bool_, int64
    from numpy.typing import NDArray

__all__ = ["Program", "independent"]

FRESH = 50  # pivots between two inversions of the basis from scratch
ROUNDED = 1e-10  # an inverse that is off by more, for the rounding of its updates, is computed anew
PATIENCE = 60  # pivots that raise nothing, before the rule that cannot go round in circles takes over
MOST_PIVOTS = 200_000
SMALL = 1e-9  # a pivot below this is taken for 0
EQUAL = 1e-12  # prices per pivot that differ by less are equal


class Program:
    """A linear program and its solution so far.

    y: the solution, after `solve` has returned True.  basis: the rows that hold it.  prices: of the basis.
    fixed: rows that hold with equality, all in the basis from the start; their prices may be negative.
    inverse: of the basis, where another program with the same basis has left it.
    """

    def __init__(
        self,
        cost: Array,
        rows: Array,
        bounds: Array,
        basis: Sequence[int] | NDArray[int64],
        fixed: Iterable[int] = (),
        inverse: Array | None = None,
    ) -> None:
        import numpy as np

        self.cost, self.rows, self.bounds = cost, rows, bounds
        self.basis: NDArray[int64] = np.array(basis, dtype=np.int64)
        self.fixed: NDArray[bool_] = np.zeros(len(rows), dtype=np.bool_)
        self.fixed[list(fixed)] = True
        self.pivots = 0
        self._still = 0
        self._since = 0
        self.y: Array = np.zeros(len(cost))
        self.prices: Array = np.zeros(len(cost))
        self.inverse: Array = np.zeros((len(cost), len(cost)))
        self._share: Array = np.zeros(len(cost))
        if inverse is None:
            self._invert()
        else:
            self.inverse = inverse.copy()
            self._follow()
        dear = np.where(self.fixed[self.basis], 0.0, self.prices)
        assert dear.min() > -SMALL * max(1.0, float(np.abs(cost).max())), "a basis to start from has no price below 0"

    def add(self, rows: Array, bounds: Array) -> None:
        """Add rows; the next `solve` goes on from here."""
        import numpy as np

        self.rows = np.concatenate([self.rows, rows])
        self.bounds = np.concatenate([self.bounds, bounds])
        self.fixed = np.concatenate([self.fixed, np.zeros(len(rows), dtype=np.bool_)])

    def solve(self, tolerance: float) -> bool:
        """Find the best y that breaks no row by more than `tolerance`; False if the rows contradict each other.

        Raises:
            Overloaded: it takes more than MOST_PIVOTS pivots.
        """
        while True:
            entering = self._broken(tolerance)
            if entering is not None:
                leaving = self._leaving(entering)
                if leaving is not None:
                    self._pivot(entering, leaving)
                    continue
            if self._since == 0 or self._is_sound():
                return entering is None
            self._invert()  # look again, with nothing but the rounding of one inversion

    def _broken(self, tolerance: float) -> int | None:
        """Return the row that is broken worst; the first one, when nothing has risen for long."""
        lack = self.bounds - self.rows @ self.y
        lack[self.basis] = 0.0
        row = int(lack.argmax() if self._still < PATIENCE else (lack > tolerance).argmax())
        return row if lack[row] > tolerance else None

    def _leaving(self, entering: int) -> int | None:
        """Return the place in the basis whose price falls to 0 first as the entering row's rises."""
        import numpy as np

        self._share = self.rows[entering] @ self.inverse
        places = np.flatnonzero((self._share > SMALL) & ~self.fixed[self.basis])
        if not len(places):
            return None
        ratio = np.maximum(self.prices[places], 0.0) / self._share[places]
        least = ratio.min()
        self._still = self._still + 1 if least < EQUAL else 0
        first = places[ratio <= least + EQUAL]
        if self._still < PATIENCE:
            return int(first[self._share[first].argmax()])
        return int(first[self.basis[first].argmin()])

    def _pivot(self, entering: int, leaving: int) -> None:
        import numpy as np

        self.pivots += 1
        if self.pivots > MOST_PIVOTS:
            raise Overloaded(f"a linear program is not solved after {MOST_PIVOTS} pivots", most=MOST_PIVOTS)
        pivot = self._share[leaving]
        price = max(0.0, float(self.prices[leaving])) / pivot
        self.prices -= price * self._share
        self.prices[leaving] = price
        change = self._share / pivot
        change[leaving] -= 1.0 / pivot
        self.inverse -= np.outer(self.inverse[:, leaving], change)
        self.basis[leaving] = entering
        self.y = self.inverse @ self.bounds[self.basis]
        self._since += 1
        if self._since >= FRESH:
            self._invert()

    def _invert(self) -> None:
        import numpy as np

        self.inverse = np.asarray(np.linalg.inv(self.rows[self.basis]), dtype=np.float64)
        self._follow()

    def _follow(self) -> None:
        """Compute the solution and the prices from the inverse of the basis."""
        self.prices = self.cost @ self.inverse
        self.y = self.inverse @ self.bounds[self.basis]
        self._since = 0

    def _is_sound(self) -> bool:
        """Say whether the inverse is still one, and take out of the solution what its rounding has put in."""
        import numpy as np

        basis = self.rows[self.basis]
        lack = self.bounds[self.basis] - basis @ self.y
        over = self.cost - self.prices @ basis
        self.y = self.y + self.inverse @ lack
        return bool(np.abs(lack).max() < ROUNDED and np.abs(over).max() < ROUNDED)


def independent(rows: Array, order: Iterable[int], most: int) -> list[int]:
    """Return the first rows, in this order, of which none is a combination of others; at most so many."""
    import numpy as np

    chosen: list[int] = []
    span = np.zeros((0, rows.shape[1]))
    for row in order:
        if len(chosen) == most:
            break
        rest = rows[row] - span.T @ (span @ rows[row])
        rest -= span.T @ (span @ rest)  # twice is enough, once is not: Kahan and Parlett
        length = float(np.sqrt(rest @ rest))
        if row not in chosen and length > 1e-7:
            chosen.append(row)
            span = np.concatenate([span, rest[None, :] / length])
    return chosen
