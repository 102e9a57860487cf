"""Fair shares of what a coalition is worth: the values of Shapley, Banzhaf, Owen and Myerson, all exact.

    shapley   what an agent adds, on average over all orders in which the agents could come
    banzhaf   what an agent adds, on average over all coalitions of the others; shares need not sum to the whole
    owen      shapley, where agents of one union always come together
    myerson   shapley, where only those who are linked, directly or by others in the coalition, work together

All take the table of a game and return one share per agent.  Beyond 22 agents see `sampling`.

Sources: Shapley 1953, "A value for n-person games"; Banzhaf 1965; Owen 1977, "Values of games with a priori
unions"; Myerson 1977, "Graphs and cooperation in games".
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import TYPE_CHECKING

from concerted.errors import Invalid
from concerted.groups.games import Array, Table, as_table, check_finite, check_monotone, coalition_sizes

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

__all__ = ["banzhaf", "banzhaf_index", "linked_game", "myerson", "owen", "shapley", "shapley_shubik"]

ROW_BITS = 13  # coalitions that differ in their first 13 agents are summed together: they fit into a core's cache
TOLERANCE = 1e-9


def shapley(values: Table) -> Array:
    """Return each agent's Shapley value.  They sum to the worth of all.  O(2^n): 3 ms at n = 20.

    Raises:
        Invalid: the values are no game, or one of them is NaN or infinite; it names the coalition.
    """
    table, n = as_table(values)
    return _averages(table, [1.0 / (n * comb(n - 1, before)) for before in range(n)])


def banzhaf(values: Table) -> Array:
    """Return each agent's Banzhaf value: what it adds to a random coalition of the others.  O(2^n).

    Raises:
        Invalid: the values are no game, or one of them is NaN or infinite; it names the coalition.
    """
    table, n = as_table(values)
    return _averages(table, [0.5 ** (n - 1)] * n)


def shapley_shubik(values: Table) -> Array:
    """Return each voter's power: the Shapley value of a game in which a coalition wins, 1, or does not, 0.

    Raises:
        Invalid: the game is not one of 0 and 1, or it is not monotone, so that joining could lose a vote.
    """
    return shapley(_voting(values))


def banzhaf_index(values: Table) -> Array:
    """Return each voter's power by Banzhaf, scaled so that all sum to 1; all 0 if no vote ever matters.

    Raises:
        Invalid: the game is not one of 0 and 1, or it is not monotone.
    """
    swings = banzhaf(_voting(values))
    total = float(swings.sum())
    return swings / total if total > 0 else swings


def owen(values: Table, unions: Sequence[Sequence[int]]) -> Array:
    """Return each agent's Owen value, given who belongs together.  unions: each agent in exactly one.

    A union's shares sum to the Shapley value of the union in the game between unions.
    O(sum over unions of 2^(unions + its members)).

    Raises:
        Invalid: an agent is in no union or in several, or the values are no finite game.
    """
    import numpy as np

    table, n = as_table(values)
    check_finite(table)
    if sorted(agent for union in unions for agent in union) != list(range(n)):
        raise Invalid(
            f"each of the agents 0 to {n - 1} must be in exactly one union; given are {list(map(list, unions))}"
        )
    masks = [sum(1 << agent for agent in union) for union in unions]
    shares = np.zeros(n)
    for number, union in enumerate(unions):
        others = _all_sums(masks[:number] + masks[number + 1 :])
        inside = _all_sums([1 << agent for agent in union])
        count = len(unions)
        weights = np.array([1.0 / (count * comb(count - 1, before)) for before in range(count)])
        weight = weights[coalition_sizes(count - 1)] if count > 1 else weights
        # what a part of this union is worth, on average over the unions that came before it
        part = (weight[:, None] * table[others[:, None] | inside[None, :]]).sum(axis=0)
        if len(union):
            shares[list(union)] = shapley(part - part[0])
    return shares


def myerson(values: Table, links: Sequence[tuple[int, int]]) -> Array:
    """Return each agent's Myerson value, given who can talk to whom.  links: pairs of agents, undirected.

    Raises:
        Invalid: a link names no agent of the game, or the values are no finite game.
    """
    return shapley(linked_game(values, links))


def linked_game(values: Table, links: Sequence[tuple[int, int]]) -> Array:
    """Return the game in which a coalition is worth the sum of its linked parts.  O(n 2^n).

    Raises:
        Invalid: a link names no agent of the game, or the values are no finite game.
    """
    import numpy as np

    table, n = as_table(values)
    check_finite(table)
    beside = [0] * n
    for a, b in links:
        if not (0 <= a < n and 0 <= b < n):
            raise Invalid(f"the link ({a}, {b}) names no agent of this game; it has the agents 0 to {n - 1}")
        beside[a] |= 1 << b
        beside[b] |= 1 << a
    near = np.zeros(1 << n, dtype=np.int64)
    for place in range(n):
        np.bitwise_or(near[: 1 << place], beside[place], out=near[1 << place : 2 << place])
    split = np.zeros(1 << n)
    for place in range(n):  # the highest member is `place`: its part, and the rest, which has a lower highest
        masks = np.arange(1 << place, 2 << place)
        part = np.full(masks.size, 1 << place)
        while True:
            grown = part | (near[part] & masks)
            if (grown == part).all():
                break
            part = grown
        split[masks] = table[part] + split[masks ^ part]
    return split


def _averages(table: Array, weights: Sequence[float]) -> Array:
    """Return each agent's weighted sum of what it adds; weights[s]: to coalitions of s others."""
    import numpy as np

    with np.errstate(all="ignore"):
        shares = _weighed(table, weights)
    if not np.isfinite(shares).all():  # to look through the table first would take as long again
        check_finite(table)
        raise Invalid("the worths are too large to be added up; divide them all by a constant")
    return shares


def _weighed(table: Array, weights: Sequence[float]) -> Array:
    """Sum up in one pass over the table.

    An agent's sum is (over coalitions with it) of (weights[s - 1] + weights[s]) x worth, less (over all) of
    weights[s] x worth.  The first agents' bits make a row, the others' number it; a row is weighed by how
    many others are in it, and added to those with as many.
    """
    import numpy as np

    n = len(weights)
    low = min(n, ROW_BITS, n // 2 + 3)
    high = n - low
    leave = np.array([*weights, 0.0])
    both = leave + np.array([0.0, *weights])
    sizes = coalition_sizes(low)[None, :] + np.arange(high + 1)[:, None]
    both_of, leave_of = both[sizes], leave[sizes]
    alike = np.zeros((high + 1, 1 << low))
    of_row = np.empty(1 << high)
    rows = table.reshape(1 << high, 1 << low)
    for number, more in enumerate(coalition_sizes(high).tolist()):
        row = rows[number]
        of_row[number] = row @ both_of[more]
        alike[more] += row
    base = float((leave_of * alike).sum())
    of_column = (both_of * alike).sum(axis=0)
    within = [_with(of_column, place) for place in range(low)] + [_with(of_row, place) for place in range(high)]
    return np.array(within) - base


def _with(weighed: Array, place: int) -> float:
    """Return the sum over all coalitions that have the agent at `place`."""
    return float(weighed.reshape(-1, 2, 1 << place)[:, 1].sum())


def _voting(values: Table) -> Array:
    table, _ = as_table(values)
    odd = (table != 0) & (table != 1)
    if odd.any():
        mask = int(odd.argmax())
        raise Invalid(f"coalition {mask} is worth {table[mask]:g}; in a game of votes all are worth 0 or 1", mask=mask)
    check_monotone(table, TOLERANCE)
    return table


def _all_sums(masks: Sequence[int]) -> NDArray[int64]:
    """Return the union of each subset of disjoint masks, indexed by the subset's own mask."""
    import numpy as np

    unions = np.zeros(1, dtype=np.int64)
    for mask in masks:
        unions = np.concatenate([unions, unions + mask])
    return unions
