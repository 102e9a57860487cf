"""The best way to split agents into coalitions: every agent in exactly one, the sum of worths the highest.

Two exact methods.  *Splits*: dynamic programming over all coalitions, 3^n / 6 additions, whatever the worths
are.  *Prices*: a linear program gives each agent a price such that no coalition is worth more than its members'
prices; a coalition whose prices exceed its worth by more than the gap to the best structure known cannot be
part of a better one, and few are left to be combined.  Prices come first where there are many agents; where
they leave too many coalitions, which is counted and not timed, splits take over.

Sources: Yeh 1986, "A dynamic programming approach to the complete set partitioning problem"; Rahwan, Michalak,
Wooldridge & Jennings 2015, "Coalition structure generation: a survey"; Barnhart et al. 1998, "Branch-and-price".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from concerted.errors import Invalid, Overloaded
from concerted.groups.games import FORBIDDEN, Array, Table, as_table, coalition_sizes, named, parts_of, sums
from concerted.groups.linear import Program

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

    Masks = NDArray[int64]

__all__ = ["Structure", "best_of_listed", "best_structure"]

ALWAYS_SPLITS = 16  # agents up to which splits take no more than 30 ms
MOST_SPLITS = 22  # agents up to which splits are possible: 12 s, 0.5 GB
MOST_PRICED = 24  # agents up to which all coalitions can be priced: 1 GB
MOST_LISTED = 62  # agents whose masks fit into an integer
LOW_BITS = 8  # agents within one row of the splits: a row of 3^8 sums fits into a core's cache
TOLERANCE = 1e-9  # of the largest worth
BEAM = (256, 4096)  # states kept at each agent by the first, quick search; and by the last, if no other ends
POOL = (40, 160)  # coalitions per agent in them
MOST_STEPS = 400_000_000  # of the exact search: a pair of a state and a coalition is one; about 2 s
NEW_STATE = 40  # steps that a new state costs
AT_ONCE = 4_000_000  # pairs looked at in one step
ROWS_AT_ONCE = 4  # per agent: coalitions above their price that come into the program together

Status = Literal["optimal", "feasible"]


@dataclass(frozen=True, slots=True)
class Structure:
    """Who works with whom.

    coalitions: their masks, ascending.  idle: the mask of those in none.  bound: no structure is worth more;
    at `optimal`, worth and bound are equal.
    """

    coalitions: tuple[int, ...]
    worth: float
    status: Status
    bound: float
    idle: int = 0


def best_structure(values: Table, min_size: int = 1, max_size: int | None = None, leave_out: bool = False) -> Structure:
    """Return the best structure of the agents of a game; up to MOST_SPLITS agents always an optimal one.

    min_size, max_size: of a coalition.  leave_out: agents may be in none, which is worth 0.  FORBIDDEN worths
    keep coalitions from forming.  Of equally good structures the one found is decided by the table alone.
    20 agents take a tenth of a second, at worst two.  Above MOST_SPLITS it may say `feasible`, and a bound.

    Raises:
        Invalid: a worth is NaN or infinite, or the limits leave no way to place everybody.
        Overloaded: there are more than MOST_PRICED agents; list the coalitions that matter instead.
    """
    import numpy as np

    table, n = as_table(values)
    if n > MOST_PRICED:
        raise Overloaded(
            f"{n} agents have 2**{n} coalitions; at most {MOST_PRICED} agents. List those that matter: best_of_listed",
            most=MOST_PRICED,
        )
    wrong = np.isnan(table) | (table == np.inf)
    if wrong.any():
        mask = int(wrong.argmax())
        raise Invalid(f"{named(mask)} is worth {table[mask]:g}; every coalition needs a finite worth", mask=mask)
    size = coalition_sizes(n)
    most = n if max_size is None else max_size
    allowed = np.where((size < min_size) | (size > most), FORBIDDEN, table)
    worths, penalty = _with_singles(allowed[1 << np.arange(n)], _scale(allowed[1:]), leave_out)
    allowed[0], allowed[1 << np.arange(n)] = 0.0, worths
    if n <= ALWAYS_SPLITS:
        chosen, bound = _by_splits(allowed, n), None
    else:
        chosen, bound = _Prices(n, np.arange(1 << n), allowed, penalty).best(_budget(n))
        if bound is not None and n <= MOST_SPLITS:
            chosen, bound = _by_splits(allowed, n), None
    return _structure(chosen, {mask: float(table[mask]) for mask in chosen}, bound, (min_size, most), leave_out)


def best_of_listed(n: int, worths: Mapping[int, float], leave_out: bool = False) -> Structure:
    """Return the best structure of n agents out of the coalitions that are listed: mask -> worth.

    For many agents and few coalitions that can form, such as all of at most three of forty.  It says
    `feasible`, and a bound, where the search ends before it is sure.

    Raises:
        Invalid: a worth is NaN or infinite, a mask names no agent, or the list leaves no way to place everybody.
        Overloaded: there are more than MOST_LISTED agents.
    """
    import numpy as np

    if not 1 <= n <= MOST_LISTED:
        raise Overloaded(f"{n} agents; a list of coalitions can have 1 to {MOST_LISTED}", most=MOST_LISTED)
    for mask in sorted(worths):
        if not 0 < mask < 1 << n:
            raise Invalid(f"mask {mask} is no coalition of {n} agents; it must be 1 to {(1 << n) - 1}", mask=mask)
        if not FORBIDDEN < worths[mask] < float("inf"):
            raise Invalid(f"{named(mask)} is worth {worths[mask]}; every coalition needs a finite worth", mask=mask)
    singles = [1 << place for place in range(n)]
    others = [mask for mask in sorted(worths) if mask.bit_count() > 1]
    listed = np.array([worths.get(mask, FORBIDDEN) for mask in (*singles, *others)])
    listed[:n], penalty = _with_singles(listed[:n], _scale(listed), leave_out)
    chosen, bound = _Prices(n, np.array([*singles, *others], dtype=np.int64), listed, penalty).best(MOST_STEPS)
    return _structure(chosen, worths, bound, (1, n), leave_out)


def _structure(
    chosen: Sequence[int], worths: Mapping[int, float], bound: float | None, sizes: tuple[int, int], leave_out: bool
) -> Structure:
    """Tell coalitions from agents who stay alone because nothing better is allowed.  bound: None at the optimum."""
    coalitions, idle = [], 0
    for mask in sorted(chosen):
        allowed = sizes[0] <= mask.bit_count() <= sizes[1] and worths.get(mask, FORBIDDEN) > FORBIDDEN
        if leave_out and mask.bit_count() == 1 and not (allowed and worths[mask] >= 0):
            idle |= mask
        elif allowed:
            coalitions.append(mask)
        else:
            raise Invalid(
                f"there is no way to place everybody: agent {mask.bit_length() - 1} stays alone, which is not allowed. "
                "Change the limits of size, or let agents be left out"
            )
    worth = float(sum(worths[mask] for mask in coalitions))
    if bound is None:
        return Structure(tuple(coalitions), worth, "optimal", worth, idle)
    return Structure(tuple(coalitions), worth, "feasible", max(worth, bound), idle)


def _with_singles(alone: Array, scale: float, leave_out: bool) -> tuple[Array, float]:
    """Let everybody be alone: at 0 who may be left out, else at a penalty that no structure would choose to pay."""
    import numpy as np

    penalty = scale * (2.0 * len(alone) + 2.0)
    floor = 0.0 if leave_out else -penalty
    return np.where(np.isfinite(alone), np.maximum(alone, floor) if leave_out else alone, floor), penalty


def _scale(worths: Array) -> float:
    import numpy as np

    finite = worths[np.isfinite(worths)]
    largest = float(np.abs(finite).max()) if len(finite) else 0.0
    return largest if largest > 0 else 1.0


def _budget(n: int) -> int:
    """Return how many steps the search may take before splits would have been quicker."""
    return int(min(MOST_STEPS, 3 ** (n - 2) // 4))


# Splits


def _by_splits(worths: Array, n: int) -> list[int]:
    """Return the best structure by looking at all ways to split off the coalition of the highest agent.

    best[S] of the agents below `place` is known; with `place`, it is the maximum over the others T in its
    coalition of worths[place and T] + best[S - T].  Nothing within one such step depends on another.
    """
    import numpy as np

    best = np.zeros(1)
    for place in range(n - 1):
        best = np.concatenate([best, _joined(worths[1 << place : 2 << place], best, place)])
    chosen, left = [], (1 << n) - 1
    while left:
        place = left.bit_length() - 1
        rest = left ^ (1 << place)
        others = parts_of(rest)
        at = int((worths[others + (1 << place)] + best[rest ^ others]).argmax())
        chosen.append(int(others[at]) + (1 << place))
        left ^= chosen[-1]
    return chosen


def _joined(first: Array, second: Array, bits: int) -> Array:
    """Return for each S the maximum of first[T] + second[S - T] over its parts T.  O(3^bits)

    The low bits of T and S - T are laid out as digits of base 3 (neither has it, the first, the second), so
    that each pair of high parts is one addition of rows; the rows that meet in one S are folded at the end.
    """
    import numpy as np

    low = min(bits, LOW_BITS)
    in_first, in_second = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for place in range(low):
        in_first = np.concatenate([in_first, in_first + (1 << place), in_first])
        in_second = np.concatenate([in_second, in_second, in_second + (1 << place)])
    rows = 1 << (bits - low)
    left = np.take(first.reshape(rows, -1), in_first, axis=1)
    right = np.take(second.reshape(rows, -1), in_second, axis=1)
    possible: list[bool] = np.any(first.reshape(rows, -1) > FORBIDDEN, axis=1).tolist()
    joined = np.empty((rows, 1 << low))
    pair = np.empty(3**low)
    for whole in range(rows):
        total = np.full(3**low, FORBIDDEN)
        part = whole
        while True:
            if possible[part]:
                np.add(left[part], right[whole ^ part], out=pair)
                np.maximum(total, pair, out=total)
            if part == 0:
                break
            part = (part - 1) & whole
        joined[whole] = _folded(total, low)
    return joined.reshape(-1)


def _folded(total: Array, bits: int) -> Array:
    """Turn digits of base 3 into bits: 0 stays 0, the better of 1 and 2 is 1."""
    import numpy as np

    folded = total.reshape(1, -1)
    for _ in range(bits):
        digits = folded.reshape(folded.shape[0], 3, -1)
        folded = np.stack([digits[:, 0], np.maximum(digits[:, 1], digits[:, 2])], axis=1)
        folded = folded.reshape(-1, digits.shape[2])
    return folded.reshape(-1)


# Prices


class _Prices:
    """Prices of agents that no coalition's worth exceeds, their sum the least; and the search that they allow.

    masks: the coalitions, of which those of one agent alone are all there; ascending and complete, or listed
    with the agents alone first.  loss: by how much a coalition falls short of its members' prices.  The best
    structure is the one with the least total loss.
    """

    def __init__(self, n: int, masks: Masks, worths: Array, penalty: float) -> None:
        import numpy as np

        self.n, self.masks = n, masks
        self.whole = len(masks) == 1 << n and int(masks[0]) == 0
        self.worths = worths
        self.scale = max(_scale(worths[worths > -penalty]), 1e-300)
        self.slack = TOLERANCE * self.scale
        if self.whole:
            self._alone = 1 << np.arange(n)
        else:
            self._alone = np.arange(n)
            self._inside = (masks[:, None] >> np.arange(n) & 1).astype(np.float64)
        self.price = self._priced()
        self.loss = np.maximum(self._cost_of(self.price) - worths, 0.0)
        if self.whole:
            self.loss[0] = np.inf

    def best(self, budget: int) -> tuple[list[int], float | None]:
        """Return the best structure and None; if the budget ends first, the best found, and what none can exceed."""
        import numpy as np

        first = self._quick(POOL[0], BEAM[0])
        gap = first.loss
        limit = gap / 8.0
        while gap > self.slack:
            limit = min(2.0 * limit, gap)
            found = self._search(np.flatnonzero(self.loss < limit), limit, 0, budget)
            if found is None:
                last = self._quick(POOL[1], BEAM[1])
                return min(first, last, key=lambda each: each.loss).chosen, float(self.price.sum())
            if found.chosen:
                return found.chosen, None
            if limit == gap:
                break
            budget -= found.steps
        return first.chosen, None

    def _quick(self, pool: int, beam: int) -> _Found:
        """Search among the coalitions of least loss, so many for each agent, keeping so many states."""
        import numpy as np

        few = np.argpartition(self.loss, min(pool * self.n, len(self.loss) - 1))[: pool * self.n]
        found = self._search(np.union1d(few, self._alone), np.inf, beam, 1 << 60)
        assert found is not None, "the budget of this search is without end"
        return found

    def _priced(self) -> Array:
        """Solve: the least sum of prices at which no coalition is worth more than its members' prices."""
        import numpy as np

        n = self.n
        program = Program(np.ones(n), np.eye(n), self.worths[self._alone] / self.scale, range(n))
        while True:
            solved = program.solve(TOLERANCE / 10)
            assert solved, "prices can always be raised"
            over = self.worths / self.scale - self._cost_of(program.y)
            if self.whole:
                over[0] = 0.0
            width = max(1, len(over) >> (n // 2))
            blocks = np.array_split(over, np.arange(width, len(over), width))
            at = np.array([int(block.argmax()) + number * width for number, block in enumerate(blocks)])
            at = at[over[at] > TOLERANCE]
            if not len(at):
                return program.y * self.scale
            at = at[np.argsort(-over[at], kind="stable")[: ROWS_AT_ONCE * n]]
            rows = (self.masks[at][:, None] >> np.arange(n) & 1).astype(np.float64)
            program.add(rows, self.worths[at] / self.scale)

    def _cost_of(self, price: Array) -> Array:
        return sums(price) if self.whole else self._inside @ price

    def _search(self, pool: Masks, limit: float, beam: int, budget: int) -> _Found | None:
        """Combine the pool's coalitions to a structure of the least loss below `limit`; None if the budget ends.

        A state is who is placed, with the loss so far.  It goes on with each coalition of the lowest agent
        that is not placed yet, so each structure comes up once.  beam: how many states are kept at each
        agent, 0 for all.
        """
        import numpy as np

        masks, loss = self.masks[pool], self.loss[pool]
        lowest = masks & -masks
        waiting: list[list[_States]] = [[] for _ in range(self.n + 1)]
        waiting[0].append(_States(np.zeros(1, dtype=np.int64), np.zeros(1), np.full(1, -1), np.full(1, -1)))
        seen: list[_States] = []
        steps, base = 0, 0
        for place in range(self.n):
            if not waiting[place]:
                continue
            states = _distinct(waiting[place], beam)
            seen.append(states)
            mine = np.flatnonzero(lowest == 1 << place)
            steps += len(states.placed) * (len(mine) + NEW_STATE)
            if steps > budget:
                return None
            step = max(1, AT_ONCE // max(1, len(mine)))
            for start in range(0, len(states.placed), step):
                part = slice(start, start + step)
                total = states.loss[part, None] + loss[mine]
                fits = (states.placed[part, None] & masks[mine] == 0) & (total < limit)
                at, used = np.nonzero(fits)
                after = _States(
                    states.placed[part][at] | masks[mine][used], total[at, used], base + start + at, mine[used]
                )
                _deal(after, waiting, self.n)
            base += len(states.placed)
        if not waiting[self.n]:
            return _Found([], limit, steps)
        end = _distinct(waiting[self.n], 0)
        chosen, came, used_last = [], int(end.came[0]), int(end.used[0])
        every = _joined_states(seen)
        while used_last >= 0:
            chosen.append(int(masks[used_last]))
            came, used_last = int(every.came[came]), int(every.used[came])
        return _Found(chosen, float(end.loss[0]), steps)


@dataclass(frozen=True, slots=True)
class _Found:
    """The best structure of a search; chosen is empty if there is none below the limit."""

    chosen: list[int]
    loss: float
    steps: int


@dataclass(frozen=True, slots=True)
class _States:
    """States of the search: who is placed, the loss so far, the state before, and the coalition that was added."""

    placed: Masks
    loss: Array
    came: Masks
    used: Masks


def _distinct(parts: list[_States], beam: int) -> _States:
    """Keep of the states that have placed the same agents the one of least loss, and of all the best."""
    import numpy as np

    states = _joined_states(parts)
    order = np.lexsort((states.loss, states.placed))
    placed = states.placed[order]
    first = order[np.append(True, placed[1:] != placed[:-1])]
    if beam and len(first) > beam:
        first = first[np.argsort(states.loss[first], kind="stable")[:beam]]
    return _States(states.placed[first], states.loss[first], states.came[first], states.used[first])


def _joined_states(parts: list[_States]) -> _States:
    import numpy as np

    return _States(
        np.concatenate([part.placed for part in parts]),
        np.concatenate([part.loss for part in parts]),
        np.concatenate([part.came for part in parts]),
        np.concatenate([part.used for part in parts]),
    )


def _deal(states: _States, waiting: list[list[_States]], n: int) -> None:
    """Sort states by the lowest agent that is not placed yet; with all placed, by n."""
    import numpy as np

    if not len(states.placed):
        return
    free = ~states.placed & (states.placed + 1)
    lowest = np.log2(free.astype(np.float64)).astype(np.int64)
    order = np.argsort(lowest, kind="stable")
    cuts = np.searchsorted(lowest[order], np.arange(n + 2))
    for place in range(n + 1):
        some = order[cuts[place] : cuts[place + 1]]
        if len(some):
            waiting[place].append(_States(states.placed[some], states.loss[some], states.came[some], states.used[some]))
