"""Shares that nobody has a reason to leave: the core, the least core, the nucleolus, and how far off others are.

The excess of a coalition is what it would gain by leaving: its worth less what its members get.

    core          shares at which no coalition has an excess; there may be none
    least core    shares at which the largest excess, epsilon, is as small as it can be; the core is empty if it
                  is above 0
    nucleolus     of these the one at which the second largest excess is smallest too, then the third, and so
                  on.  There is exactly one, and it is in the core whenever that is not empty

Each is a linear program with a row for each coalition.  Only rows that the solution breaks are put in: all
2^n excesses are looked at at once, the worst come in, and the program is solved again, from where it stood.

Sources: Maschler, Peleg & Shapley 1979, "Geometric properties of the kernel, nucleolus, and related solution
concepts"; Schmeidler 1969, "The nucleolus of a characteristic function game".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from concerted.errors import Invalid
from concerted.groups.games import Array, Table, as_table, check_finite, sums
from concerted.groups.linear import Program, independent

if TYPE_CHECKING:
    from numpy import bool_, int64
    from numpy.typing import NDArray

__all__ = [
    "Domain",
    "Excess",
    "LeastCore",
    "in_core",
    "largest_excess",
    "least_core",
    "nucleolus",
    "say_core",
    "stability",
]

TOLERANCE = 1e-10  # of the largest worth: how far a row may be broken
SPANNED = 1e-9  # below it, what is left of a coalition beside those that are settled is 0
ROWS_AT_ONCE = 4  # per agent: the worst rows that come in together

Domain = Literal["imputations", "preimputations"]


@dataclass(frozen=True, slots=True)
class Excess:
    """What one coalition gains by leaving; below 0: what it loses.  mask: the coalition that gains most."""

    gain: float
    mask: int


@dataclass(frozen=True, slots=True)
class LeastCore:
    """Shares at which the largest gain from leaving is the least that it can be: epsilon."""

    epsilon: float
    shares: Array


def largest_excess(values: Table, shares: Table) -> Excess:
    """Return which coalition, neither nobody nor all, gains most by leaving.  O(2^n).

    Raises:
        Invalid: the values are no finite game, or there is not one share for each agent.
    """
    table, n = _game(values)
    if len(shares) != n:
        raise Invalid(f"{len(shares)} shares for {n} agents; each agent needs one")
    if n == 1:
        return Excess(0.0, 0)
    excess = table - sums(shares)
    mask = 1 + int(excess[1:-1].argmax())
    return Excess(float(excess[mask]), mask)


def in_core(values: Table, shares: Table, tolerance: float = 1e-9) -> bool:
    """Say whether the shares hand out exactly what all are worth, and no coalition gains by leaving.

    tolerance: relative to the largest worth.  O(2^n).

    Raises:
        Invalid: the values are no finite game, or there is not one share for each agent.
    """
    table, _ = _game(values)
    slack = tolerance * _scale(table)
    whole = abs(float(sum(shares)) - float(table[-1])) <= slack
    return whole and largest_excess(table, shares).gain <= slack


def least_core(values: Table, domain: Domain = "preimputations") -> LeastCore:
    """Return the least epsilon at which shares exist that no coalition gains more than it by leaving.

    domain: `imputations` give each agent at least what it is worth alone; `preimputations` need not.  Of many
    such shares it returns one; the nucleolus is the one in their middle.  20 agents take about a tenth of a second.

    Raises:
        Invalid: the values are no finite game, or there are no imputations.
    """
    table, n = _game(values)
    if n == 1:
        return LeastCore(0.0, table[1:].copy())
    search = _Search(table, domain)
    search.settle()
    return LeastCore(search.epsilon * search.scale, search.shares * search.scale + 0.0)  # no share of -0.0


def nucleolus(values: Table, domain: Domain = "imputations") -> Array:
    """Return the shares at which the excesses, largest first, are smallest: the nucleolus.

    domain: see `least_core`; under `preimputations` it is the prenucleolus, the same whenever no agent would
    rather be alone there.  20 agents take about a third of a second.

    Raises:
        Invalid: the values are no finite game, or there are no imputations.
    """
    table, n = _game(values)
    if n == 1:
        return table[1:].copy()
    search = _Search(table, domain)
    search.settle()
    while search.fix():
        search.settle()
    return search.shares * search.scale + 0.0


def say_core(epsilon: float, tolerance: float = 1e-9) -> str:
    """Say in words what the epsilon of the least core means."""
    if epsilon > tolerance:
        return f"the core is empty, epsilon = {epsilon:.6g}"
    return f"the core is not empty, epsilon = {epsilon:.6g}"


def stability(values: Table, shares: Table | None = None) -> float:
    """Return how stable the coalition of all is, 0 to 1: 1 less the largest gain from leaving over its worth.

    At 0.7 no part of it can gain more than 30 % of what all are worth by leaving.  shares: how it is
    divided; None: as in the least core, the best there is.  A coalition that is worth nothing is stable if
    nobody gains by leaving, else not at all.

    Raises:
        Invalid: the values are no finite game, or there is not one share for each agent.
    """
    table, _ = _game(values)
    gain = least_core(table).epsilon if shares is None else largest_excess(table, shares).gain
    if gain <= TOLERANCE * _scale(table):
        return 1.0
    return max(0.0, 1.0 - gain / float(table[-1])) if table[-1] > 0 else 0.0


class _Search:
    """The programs of the nucleolus, one after the other.  Variables: one share per agent, and epsilon.

    A row is a coalition: its members' shares plus epsilon are at least its worth (`kind` 1); or a bound that
    holds whatever epsilon is (`kind` 0): what an agent has alone, or a coalition whose excess is settled.
    """

    def __init__(self, table: Array, domain: Domain) -> None:
        import numpy as np

        self.n = n = _bits(table)
        self.scale = _scale(table)
        self._table = table / self.scale
        self._open = self._table.copy()  # the worths of coalitions whose excess can still change
        self._open[0] = self._open[-1] = -np.inf
        alone = self._table[1 << np.arange(n)]
        if domain == "imputations" and alone.sum() > self._table[-1] + TOLERANCE * n:
            raise Invalid(
                f"no shares give each agent what it is worth alone: {alone.sum() * self.scale:g} together, and all are "
                f"worth {table[-1]:g}. Ask for `preimputations`"
            )
        each, one = np.eye(n), np.ones((n, 1))
        rows = [np.append(np.ones(n), 0.0)[None, :], np.hstack([each, one])]
        bounds = [self._table[-1:], alone]
        if domain == "imputations":
            rows.append(np.hstack([each, 0.0 * one]))
            bounds.append(alone)
        cost = np.append(np.zeros(n), 1.0)
        self._program = Program(cost, np.concatenate(rows), np.concatenate(bounds), range(n + 1), fixed=[0])

    @property
    def shares(self) -> Array:
        """The shares of the current program."""
        return self._program.y[: self.n]

    @property
    def epsilon(self) -> float:
        """The largest excess that can still change, as small as it can be."""
        return float(self._program.y[self.n])

    def settle(self) -> None:
        """Solve the program: bring the worst coalitions in until none is broken."""
        import numpy as np

        while True:
            solved = self._program.solve(TOLERANCE)
            assert solved, "shares that meet all rows exist: those of the program before"
            masks = self._broken()
            if not len(masks):
                return
            rows = (masks[:, None] >> np.arange(self.n) & 1).astype(np.float64)
            self._program.add(np.hstack([rows, np.ones((len(masks), 1))]), self._table[masks])

    def fix(self) -> bool:
        """Settle the excesses that no solution can lower, and set up the next program; False: none is left.

        What has a price is at its bound in every solution.
        """
        import numpy as np

        program, n = self._program, self.n
        held = program.fixed[program.basis] | (program.prices > SPANNED)
        rows, bounds = program.rows.copy(), program.bounds.copy()
        now = program.basis[held & ~program.fixed[program.basis]]
        bounds[now] -= rows[now, n] * self.epsilon
        rows[now, n] = 0.0
        fixed = independent(rows[:, :n], [int(row) for row in program.basis[held]], n)
        if len(fixed) == n:
            program.y[:n] = np.linalg.solve(rows[fixed, :n], bounds[fixed])
            return False
        free = np.linalg.svd(rows[fixed, :n])[2][len(fixed) :]
        self._open[self._spanned(free)] = -np.inf
        keep = np.flatnonzero(np.abs(rows[:, :n] @ free.T).max(axis=1) > SPANNED)
        loose = [int(row) for row in program.basis if row in set(keep.tolist())]
        keep = np.concatenate([fixed, loose, [row for row in keep.tolist() if row not in set(loose)]]).astype(np.int64)
        # epsilon cannot fall below -2: the excesses of a coalition and of all others sum to a constant
        rows = np.concatenate([rows[keep], np.eye(n + 1)[n:]])
        bounds = np.append(bounds[keep], -4.0)
        count = len(fixed)
        order = [*range(count), len(rows) - 1, *range(count, len(rows) - 1)]
        basis = independent(rows, order, n + 1)
        assert len(basis) == n + 1, "every agent alone is a row, or settled"
        pivots = program.pivots
        self._program = Program(program.cost, rows, bounds, basis, fixed=range(count))
        self._program.pivots = pivots
        return True

    def _broken(self) -> NDArray[int64]:
        """Return the coalitions that gain most, among those that gain more than epsilon; one of each block."""
        import numpy as np

        width = 1 << (self.n // 2)
        excess = (self._open - sums(self.shares)).reshape(-1, width)
        at = excess.argmax(axis=1)
        worst = excess[np.arange(len(at)), at]
        blocks = np.flatnonzero(worst > self.epsilon + TOLERANCE)
        most = ROWS_AT_ONCE * self.n
        if len(blocks) > most:
            blocks = blocks[np.argsort(-worst[blocks], kind="stable")[:most]]
        masks: NDArray[int64] = blocks * width + at[blocks]
        return masks

    def _spanned(self, free: Array) -> NDArray[bool_]:
        """Say of which coalitions the members' shares are settled: what is free in the shares cannot move them.

        free: the directions in which shares can still move.  Two random mixes of them stand for all.
        """
        import numpy as np

        place = np.arange(1, len(free) + 1)
        mixes = (np.sqrt(place + 1.0) % 1.0 + 0.1, np.sqrt(3.0 * place + 2.0) % 1.0 + 0.1)
        first, second = (np.abs(sums(mix @ free)) < SPANNED for mix in mixes)
        return first & second


def _game(values: Table) -> tuple[Array, int]:
    table, n = as_table(values)
    check_finite(table)
    return table, n


def _scale(table: Array) -> float:
    largest = float(max(table.max(), -table.min()))
    return largest if largest > 0 else 1.0


def _bits(table: Array) -> int:
    return int(table.size).bit_length() - 1
