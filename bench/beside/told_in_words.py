"""Published games and auctions that are told in words, read into tables and bids."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from concerted.allocation.market.bids import Bid
from concerted.values import AgentId, TaskId

__all__ = ["bundle_bids", "game"]

Table = Any


def game(name: str) -> Table | None:
    """Return the worth of every coalition, by bit mask; None if the words are of a kind that we do not know."""
    numbers = [float(each) for each in re.findall(r"\d+(?:\.\d+)?", name.partition(":")[2] or name)]
    if name.startswith("glove"):
        left, right = ([int(each) - 1 for each in re.findall(r"\d", part)] for part in re.findall(r"\{(.*?)\}", name))
        return _table(len(left) + len(right), lambda team: min(len(team & {*left}), len(team & {*right})))
    if found := re.search(r"\[\s*(\d+)\s*;(.*?)\]", name):
        weights = _weights(found[2])
        return _table(len(weights), lambda team: sum(weights[each] for each in team) >= float(found[1]))
    if name.startswith("Talmud"):
        estate, *claims = numbers
        # what is left when all others have got what they claim
        return _table(
            len(claims), lambda team: max(0.0, estate - sum(c for at, c in enumerate(claims) if at not in team))
        )
    if name.startswith("airport"):
        # costs: who shares a runway pays for the longest that one of them needs
        return _table(len(numbers), lambda team: max((numbers[each] for each in team), default=0.0))
    return None


def bundle_bids(words: str) -> list[Bid]:
    """Read `Alice: 1 for 5 or 2 for 7; Bob: 1 for 4` as bids on any so many of equal things; of each one's one wins."""
    offers = [
        (who.strip(), int(count), float(price))
        for who, _, rest in (part.partition(":") for part in words.split(";"))
        for count, price in re.findall(r"(\d+) for (\d+)", rest)
    ]
    things = [TaskId(f"thing-{at}") for at in range(max(count for _, count, _ in offers))]
    return [
        Bid(agent=AgentId(who), tasks=tuple(things[at : at + count]), price=price, xor="one")
        for who, count, price in offers
        for at in range(len(things) - count + 1)
    ]


def _weights(words: str) -> list[float]:
    """Read `50,49,1`, or `7x5, 1x10`: five of 7 and ten of 1."""
    weights: list[float] = []
    for part in words.split(","):
        weight, _, count = part.partition("x")
        weights += [float(weight)] * int(count or 1)
    return weights


def _table(count: int, worth: Callable[[set[int]], float]) -> Table:
    teams = ({at for at in range(count) if mask >> at & 1} for mask in range(1 << count))
    return np.array([float(worth(team)) for team in teams])
