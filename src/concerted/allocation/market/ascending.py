"""The simultaneous ascending auction: all things are for sale at once, and prices rise until nobody raises one.

In each round every agent that has room bids one increment above the price for those things that would then profit it
most; of equal bids for a thing that of the first agent wins, and holds it until somebody bids more.  An agent never
drops what it holds.  When a round brings no bid, holders get what they hold at the price.  Agents bid straight: what
profits them most, and nothing else.  Then the whole is worth at most an increment per thing less than the best
assignment, and nobody would rather have something else at an increment above its price.

Source: Demange, Gale & Sotomayor, "Multi-item auctions", Journal of Political Economy 94, 1986, section 4; Milgrom,
"Putting auction theory to work: the simultaneous ascending auction", Journal of Political Economy 108, 2000.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concerted.errors import Invalid

__all__ = ["Ascent", "ascend"]

MOST_ROUNDS = 100_000


@dataclass(frozen=True, slots=True)
class Ascent:
    """holder_of: thing -> who gets it.  price_of: thing -> for how much.  rounds: how many there were."""

    holder_of: Mapping[int, int]
    price_of: Mapping[int, int]
    rounds: int


def ascend(values: Sequence[Mapping[int, int]], room: Sequence[int], increment: int) -> Ascent:
    """Auction things off.  values: for each agent, thing -> what it is worth to it; things not named are worth nothing.

    room: how many things each agent may hold.  Prices begin at 0 and rise by `increment`.  Of agents that bid for one
    thing in one round the first in order wins; of things that profit an agent the same it bids for the first.  What
    nobody contends for is sold at 0.  O(rounds x bids); a price rises at most its highest value / increment times.
    Raises: Invalid, if the increment is below 1 or so small that more than 100,000 rounds would be needed.
    """
    if increment < 1:
        raise Invalid(f"the increment is {increment}; it must be at least 1")
    holder_of: dict[int, int] = {}
    price_of: dict[int, int] = {}
    held = [0] * len(values)
    rounds = 0
    while True:
        bids: dict[int, int] = {}
        for agent, worth in enumerate(values):
            for thing in _wanted(agent, worth, room[agent] - held[agent], holder_of, price_of, increment):
                bids.setdefault(thing, agent)
        if not bids:
            return Ascent(holder_of, price_of, rounds)
        rounds += 1
        if rounds > MOST_ROUNDS:
            raise Invalid(f"more than {MOST_ROUNDS} rounds; take an increment above {increment}")
        for thing, agent in sorted(bids.items()):
            if thing in holder_of:
                held[holder_of[thing]] -= 1
                price_of[thing] += increment
            else:
                price_of[thing] = 0
            holder_of[thing] = agent
            held[agent] += 1


def _wanted(
    agent: int,
    worth: Mapping[int, int],
    room: int,
    holder_of: Mapping[int, int],
    price_of: Mapping[int, int],
    increment: int,
) -> list[int]:
    """Return the things for which an agent bids now: those that profit it most, as many as it has room for."""
    if room <= 0:
        return []
    profits = []
    for thing, value in worth.items():
        holder = holder_of.get(thing)
        if holder == agent:
            continue
        profit = value if holder is None else value - price_of[thing] - increment
        if profit > 0 or (profit == 0 and holder is None):
            profits.append((-profit, thing))
    return [thing for _, thing in sorted(profits)[:room]]
