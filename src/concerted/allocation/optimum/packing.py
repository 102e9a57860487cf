"""The packing of bids: of bids that exclude each other, those that are worth the most together.

No polynomial algorithm is known.  What is done here, in this order, until nothing better can be there or the budget
of steps is used up:

1. Prices on what the bids contend for: an upper bound, and what each bid is worth above its prices.
2. A beam search, bid by bid, in an order in which what is dearest is decided first, or neighbours one after the other:
   of all partial answers those are kept whose own bound is the highest.  A beam that never had to throw one away has
   looked at everything: then the best answer is the optimum, and that is proved.
3. A local search from many answers: force a bid in, let those that it excludes go, put in what pays, and go back if
   the whole has not become better.

Source: Ow & Morton, "Filtered beam search in scheduling", 1988; Andrade, Resende & Werneck, "Fast local search for the
maximum independent set problem", Journal of Heuristics 18, 2012.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from concerted.allocation.optimum.conflicts import Conflicts, Limit
from concerted.allocation.optimum.effort import DEFAULT, Draws, Effort
from concerted.allocation.optimum.solvers import Program, solve
from concerted.errors import Invalid

__all__ = ["Packing", "pack"]

MOST_BIDS = 5_000  # two of them for each pair are kept in memory
LARGEST = 2**58  # what bids that win together may be worth

WIDTHS = (300, 2_000, 10_000, 50_000)  # partial answers kept
SHRINKING = (0.5, 1.0, 0.0, 0.75, 0.25)  # a greedy answer takes bids by value / size ** this
SHAKEN = 4  # bids forced into the best answer, to begin again from there
IDLE = 20, 200  # starts in a row that have led to nothing better, before and after the wide beams
WORSE = 0.01  # how often the local search goes on from a worse answer

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_AWAY = 2**60  # added to what a bid gains while it is in, or must not come in


@dataclass(frozen=True, slots=True)
class Packing:
    """chosen: the bids that win, in order.  value: of all together.  bound: no choice is worth more.

    status: `optimal` if that is proved, else `feasible`.
    """

    chosen: tuple[int, ...]
    value: int
    bound: float
    status: Literal["optimal", "feasible"]


def pack(
    values: Ints, groups: Sequence[Sequence[int]], limits: Sequence[Limit] = (), effort: Effort = DEFAULT
) -> Packing:
    """Choose bids, at most one of each group and within all limits, so that the sum of values is high.

    values: int64[bids], at least 0.  Each bid is in one limit at most.  The answer depends on the arguments alone.  A
    step is one partial answer looked at; one move of the local search counts as about twenty.
    Raises: Invalid, if a value is negative, a bid is too large for its limit, or there are too many bids.
    """
    if len(values) > MOST_BIDS:
        raise Invalid(f"{len(values)} bids on bundles; at most {MOST_BIDS} are cleared at once")
    if (values < 0).any():
        bid = int(values.argmin())
        raise Invalid(f"bid {bid}: the value is {values[bid]}; it must be at least 0")
    for limit in limits:
        for bid, size in zip(limit.bids, limit.sizes, strict=True):
            if size > limit.room:
                raise Invalid(f"bid {bid}: its size is {size}, and its limit has room for {limit.room}; leave it out")
    if not len(values):
        return Packing((), 0, 0.0, "optimal")
    conflicts = Conflicts(values, groups, limits)
    if conflicts.bound > LARGEST:
        raise Invalid(f"together the values may be more than {LARGEST}; measure them in a larger unit")
    search = _Search(conflicts, effort)
    search.run()
    if effort.solver_s and not search.proved:
        search.ask_solver(effort.solver_s)
    bound = float(search.value) if search.proved else max(search.bound, float(search.value))
    return Packing(tuple(_bits(search.chosen)), search.value, bound, "optimal" if search.proved else "feasible")


def _bits(mask: int) -> list[int]:
    """Return which bits of a number are set."""
    found = []
    while mask:
        lowest = mask & -mask
        found.append(lowest.bit_length() - 1)
        mask ^= lowest
    return found


class _Search:
    """The best choice so far, as a number with a bit for each bid, and the steps that are left."""

    def __init__(self, field: Conflicts, effort: Effort) -> None:
        self._field = field
        self._draws = Draws(effort.seed)
        self._left = effort.steps
        self._truncated = False
        self._starts = 0
        self.chosen, self.value = 0, 0
        self.bound = float(np.floor(field.bound * (1 + 1e-9) / field.unit + 1e-6)) * field.unit
        self.proved = self.bound <= 0

    def run(self) -> None:
        """Search by beam, then by moves, then by wider beams, until the best is proved or the budget is used up."""
        if self.proved:
            return
        field = self._field
        orders = self._by_nearness(), self._by_price(field.prices)
        moves = _Moves(field, self._draws)
        for shrinking in SHRINKING:
            self._keep(*moves.start(field.values / field.size**shrinking))
        for order in orders:
            self._prove(order, WIDTHS[0])
        self._move_on(moves, IDLE[0], self._left // 2)
        for width in WIDTHS[1:]:
            for order in orders:
                self._prove(order, width)
        self._move_on(moves, IDLE[1], 0)

    def ask_solver(self, seconds: float) -> None:
        """Let HiGHS look as well, if it is there; what it finds counts only if it is allowed and better."""
        field = self._field
        rows = [(np.flatnonzero(members), np.ones(int(members.sum()))) for members in field.in_clique]
        rows += [(np.array(limit.bids), np.array(limit.sizes, float)) for limit in field.limits]
        room = np.array([1.0] * len(field.in_clique) + [float(limit.room) for limit in field.limits])
        program = Program(
            -field.values.astype(float), rows, np.full(len(rows), -np.inf), room, self._flags(self.chosen)
        )
        solved = solve(program, seconds)
        if solved is None:
            return
        if solved.answer is not None and field.allows(solved.answer):
            chosen = np.flatnonzero(solved.answer)
            self._keep(sum(1 << bid for bid in chosen.tolist()), int(field.values[chosen].sum()))
        self.bound = min(self.bound, float(np.floor(-solved.bound * (1 + 1e-9) / field.unit + 1e-6)) * field.unit)
        self.proved = self.value >= self.bound

    def _keep(self, chosen: int, value: int) -> None:
        if value > self.value:
            self.chosen, self.value = chosen, value
            self.proved = self.proved or value >= self.bound

    def _move_on(self, moves: _Moves, idle: int, reserve: int) -> None:
        """Search from one answer after the other, until so many in a row have led to nothing better.

        In turn they are a greedy one, the best so far, shaken, and what a narrow beam finds; with dice, so that no
        two are alike.
        """
        field, waited = self._field, 0
        while not self.proved and self._left > reserve and waited < idle:
            kind, turn = self._starts % 3, self._starts // 3
            self._starts += 1
            if kind == 0:
                keys = field.values / field.size ** SHRINKING[turn % len(SHRINKING)]
                moves.start(keys if turn < len(SHRINKING) else keys * (1 + self._draws.unit(field.count)))
            elif kind == 1:
                moves.start(self._flags(self.chosen))
                moves.shake()
            else:
                prices = field.prices * (1 + self._draws.unit(len(field.prices)))
                moves.start(self._flags(self._beam(self._by_price(prices), WIDTHS[0], 0)[0]))
            chosen, value, cost = moves.improve(field.count // 2 + 200, self._left)
            self._left -= cost + 20 * field.count
            waited = 0 if value > self.value else waited + 1
            self._keep(chosen, value)

    def _flags(self, chosen: int) -> Floats:
        return np.array([chosen >> bid & 1 for bid in range(self._field.count)], float)

    def _prove(self, order: NDArray[np.intp], width: int) -> None:
        """Look for anything better; having looked at everything, we know that there is nothing."""
        while not self.proved and self._left > 0:
            before = self.value
            hopeful = order[self.bound + np.minimum(self._field.above[order], 0.0) > before * (1 - 1e-9)]
            self._keep(*self._beam(hopeful, width, before))
            if self.value == before:
                if not self._truncated:
                    self.proved = True
                return

    def _by_price(self, prices: Floats) -> NDArray[np.intp]:
        """Order the bids by their dearest clique: what matters most is decided first."""
        field = self._field
        rank = np.empty(len(prices), np.int64)
        rank[np.argsort(-prices, kind="stable")] = np.arange(len(prices))
        first = np.where(field.in_clique, rank[:, None], len(prices)).min(axis=0, initial=len(prices))
        return np.lexsort((-field.above, first))

    def _by_nearness(self) -> NDArray[np.intp]:
        """Order the bids so that rivals stand near each other, beginning where there are few."""
        field = self._field
        rival_count = field.rivals.sum(axis=1)
        waiting = np.ones(field.count, bool)
        order: list[int] = []
        while waiting.any():
            first = int(np.where(waiting, rival_count, field.count).argmin())
            front = [first]
            waiting[first] = False
            for bid in front:  # grows while we go through it
                near = np.flatnonzero(field.rivals[bid] & waiting)
                waiting[near] = False
                front += near[np.argsort(rival_count[near], kind="stable")].tolist()
            order += front
        return np.array(order, np.intp)

    def _beam(self, order: NDArray[np.intp], width: int, floor: int) -> tuple[int, int]:
        """Decide on the bids one after the other, with at most `width` partial answers kept.

        Return the best choice found and its value, if that is above `floor`, else nothing and 0.
        """
        field = self._field
        self._truncated = False
        reserve = self._left // 2
        last = _last_places(field, order)
        ahead = np.append(np.cumsum(np.maximum(field.above[order], 0.0)[::-1])[::-1], 0.0)
        beam = _Beam(field, float(field.prices[[clique for cliques in last for clique in cliques]].sum()))
        for place, bid in enumerate(order.tolist(), 1):
            self._left -= beam.branch(bid, last[place - 1])
            hopes = beam.hopes + ahead[place]
            keep = np.flatnonzero(hopes * (1 + 1e-9) >= floor + field.unit)
            if len(keep) > width:
                self._truncated = True
                keep = keep[np.argsort(-hopes[keep], kind="stable")[:width]]
            if self._left < reserve:
                self._truncated = True
                return 0, 0
            if not len(keep):
                return 0, 0
            beam.keep(keep)
        chosen, value = beam.best(order)
        return (chosen, value) if value > floor else (0, 0)


def _last_places(field: Conflicts, order: NDArray[np.intp]) -> list[list[int]]:
    """Return for each place of an order the cliques of which the last bid stands there."""
    last: dict[int, int] = {}
    for place, bid in enumerate(order.tolist()):
        for clique in field.cliques_of[bid].tolist():
            last[clique] = place
    closing: list[list[int]] = [[] for _ in order]
    for clique, place in last.items():
        closing[place].append(clique)
    return closing


class _Beam:
    """Partial answers: which bids are excluded, which cliques have a winner, and what can still come of each.

    hopes: the value so far and the prices of all cliques that may still find a winner.
    """

    def __init__(self, field: Conflicts, hope: float) -> None:
        self._field = field
        self._excluded = np.zeros((1, field.words.shape[1]), np.uint64)
        self._taken = np.zeros((1, field.clique_words.shape[1]), np.uint64)
        self._values = np.zeros(1, np.int64)
        self._room = np.array([[limit.room for limit in field.limits]], np.int64)
        self.hopes: Floats = np.array([hope])
        self._trail: list[tuple[NDArray[np.intp], Bools]] = []
        self._bid = -1

    def branch(self, bid: int, closing: list[int]) -> int:
        """Let each answer be followed by itself without the bid and, where it can be, with it.  Return the steps."""
        field = self._field
        free = (self._excluded[:, bid // 64] >> np.uint64(bid % 64)) & np.uint64(1) == 0
        limited = field.limit_of[bid]
        if limited is not None:
            free &= self._room[:, limited[0]] >= limited[1]
        without, with_it = len(self._values), np.flatnonzero(free)
        self._bid = bid
        self._parents = np.concatenate([np.arange(without), with_it])
        self._taken = np.concatenate([self._taken, self._taken[with_it] | field.clique_words[bid]])
        self._values = np.concatenate([self._values, self._values[with_it] + field.values[bid]])
        self.hopes = np.concatenate([self.hopes, self.hopes[with_it] + field.above[bid]])
        self._with_it = np.arange(len(self._parents)) >= without
        for clique in closing:
            lost = (self._taken[:, clique // 64] >> np.uint64(clique % 64)) & np.uint64(1) == 0
            self.hopes[lost] -= field.prices[clique]
        return len(self._parents) + 100

    def keep(self, kept: NDArray[np.intp]) -> None:
        """Go on with these answers alone."""
        parents, with_it = self._parents[kept], self._with_it[kept]
        self._trail.append((parents, with_it))
        self._taken, self._values, self.hopes = self._taken[kept], self._values[kept], self.hopes[kept]
        self._excluded = self._excluded[parents]
        self._excluded[with_it] |= self._field.words[self._bid]
        self._room = self._room[parents]
        limited = self._field.limit_of[self._bid]
        if limited is not None:
            self._room[with_it, limited[0]] -= limited[1]

    def best(self, order: NDArray[np.intp]) -> tuple[int, int]:
        """Return the bids chosen in the best of all, and its value."""
        end = int(self._values.argmax())
        value, chosen = int(self._values[end]), 0
        for bid, (parents, with_it) in zip(order[::-1].tolist(), reversed(self._trail), strict=True):
            if with_it[end]:
                chosen |= 1 << bid
            end = int(parents[end])
        return chosen, value


class _Moves:
    """A choice of bids that is changed bid by bid.

    _gains: for each bid, what the whole gains if it comes in and its rivals go; far below 0 for one that is in.
    """

    def __init__(self, field: Conflicts, draws: Draws) -> None:
        self._field = field
        self._draws = draws
        self._values: list[int] = field.values.tolist()
        self._losses = np.where(field.rivals, field.values[:, None], 0)  # row: what its rivals miss while it is in
        self._members = [sum(1 << bid for bid in limit.bids) for limit in field.limits]
        self._gains = field.values.copy()
        self._chosen, self._value = 0, 0

    def start(self, keys: Floats) -> tuple[int, int]:
        """Take what can be taken, the highest keys first."""
        self._gains = self._field.values.copy()
        self._chosen, self._value = 0, 0
        for bid in np.argsort(-keys, kind="stable").tolist():
            if not self._field.masks[bid] & self._chosen and not self._too_much(bid, 0):
                self._put_in(bid)
        return self._chosen, self._value

    def improve(self, patience: int, budget: int) -> tuple[int, int, int]:
        """Force bids in until so many in a row have led to nothing better; return the best and the steps it took."""
        count, gains = self._field.count, self._gains
        cost = self._climb()
        best, best_value, waited = self._chosen, self._value, 0
        here, value, known = self._chosen, self._value, gains.copy()
        while waited < patience and cost < budget:
            forced = self._draws.below(count, patience).tolist()
            for bid, luck in zip(forced, self._draws.unit(patience).tolist(), strict=True):
                waited += 1
                if self._chosen >> bid & 1:
                    continue
                gone = _bits(self._put_in(bid))
                gains[gone] -= _AWAY  # or the first move would be to take it back
                cost += self._climb()
                gains[gone] += _AWAY
                cost += self._climb() + (len(gone) + 1) * (14 + count // 80)
                if self._value >= value or luck < WORSE:
                    here, value = self._chosen, self._value
                    np.copyto(known, gains)
                    if value > best_value:
                        best, best_value, waited = here, value, 0
                else:
                    self._chosen, self._value = here, value
                    np.copyto(gains, known)
                if waited >= patience or cost >= budget:
                    break
        return best, best_value, cost

    def shake(self) -> None:
        """Force some bids in, whatever it costs."""
        for bid in self._draws.below(self._field.count, SHAKEN).tolist():
            if not self._chosen >> bid & 1:
                self._put_in(bid)

    def _climb(self) -> int:
        """Put in what pays most until nothing pays; return the steps."""
        gains, moves = self._gains, 0
        useless: list[int] = []
        while True:
            bid = int(gains.argmax())
            moves += 1
            if gains[bid] <= 0:
                break
            if self._field.limits and gains[bid] <= sum(self._values[one] for one in self._too_much(bid, None)):
                gains[bid] -= _AWAY
                useless.append(bid)
                continue
            self._put_in(bid)
        gains[useless] += _AWAY
        return moves * (14 + self._field.count // 80)

    def _put_in(self, bid: int) -> int:
        """Put a bid in and let its rivals go, and those for which there is no room with it; return who has gone."""
        gone = self._field.masks[bid] & self._chosen
        for one in self._too_much(bid, gone):
            gone |= 1 << one
        for one in _bits(gone):
            self._gains += self._losses[one]
            self._gains[one] += _AWAY
            self._value -= self._values[one]
        self._gains -= self._losses[bid]
        self._gains[bid] -= _AWAY
        self._value += self._values[bid]
        self._chosen = self._chosen ^ gone | 1 << bid
        return gone

    def _too_much(self, bid: int, gone: int | None) -> list[int]:
        """Return which others must go for a bid, beside its rivals, so that its limit is kept: the least valuable."""
        limited = self._field.limit_of[bid]
        if limited is None:
            return []
        at, size = limited
        if gone is None:
            gone = self._field.masks[bid] & self._chosen
        inside = _bits(self._members[at] & self._chosen & ~gone)
        sizes = {one: (self._field.limit_of[one] or (at, 0))[1] for one in inside}
        over = sum(sizes.values()) + size - self._field.limits[at].room
        out: list[int] = []
        for one in sorted(inside, key=lambda one: (self._values[one], one)):
            if over <= 0:
                break
            if sizes[one]:
                over -= sizes[one]
                out.append(one)
        return out
