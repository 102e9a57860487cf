"""Laws of fair shares: all there is, whatever the idea; like agents alike; slow oracles beside Myerson's and Owen's."""

from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.groups.sharing import Relations, fair_shares
from concerted.values import AgentId

TEAM = tuple(AgentId(name) for name in ("ann", "bob", "cy", "dan"))
worths = st.lists(st.integers(0, 20).map(float), min_size=15, max_size=15).map(lambda rest: [0.0, *rest])
links = st.lists(st.sampled_from(list(combinations(TEAM, 2))), min_size=1, unique=True)
unions = st.permutations(TEAM).flatmap(
    lambda order: st.integers(1, 3).map(lambda at: (tuple(order[:at]), tuple(order[at:])))
)


def by_orders(table: list[float], orders: list[tuple[int, ...]]) -> list[float]:
    """What each adds, on average over these orders."""
    shares = [0.0] * 4
    for order in orders:
        mask = 0
        for agent in order:
            shares[agent] += (table[mask | 1 << agent] - table[mask]) / len(orders)
            mask |= 1 << agent
    return shares


def linked_worth(table: list[float], mask: int, pairs: list[tuple[str, str]]) -> float:
    left, total = {agent for agent in range(4) if mask >> agent & 1}, 0.0
    while left:
        part = {left.pop()}
        while grown := {
            other for other in left if any({TEAM[other], TEAM[one]} == set(pair) for one in part for pair in pairs)
        }:
            part |= grown
            left -= grown
        total += table[sum(1 << agent for agent in part)]
    return total


@given(worths, links, unions, st.sampled_from(["shapley", "banzhaf", "nucleolus", "owen", "myerson"]))
def test_shares_sum_to_what_all_are_worth(
    table: list[float], pairs: list[tuple[AgentId, AgentId]], parts: tuple[tuple[AgentId, ...], ...], sharing: str
) -> None:
    relations = Relations(parts, tuple(pairs))
    shares = fair_shares(table, TEAM, sharing, relations)  # type: ignore[arg-type]
    assert sum(shares.values()) == pytest.approx(table[-1], abs=1e-6)


@given(worths, links)
def test_shares_by_links_are_those_over_all_orders_of_the_linked_game(
    table: list[float], pairs: list[tuple[AgentId, AgentId]]
) -> None:
    linked = [linked_worth(table, mask, pairs) for mask in range(16)]
    slow = by_orders(linked, list(permutations(range(4))))
    missing = (table[-1] - sum(slow)) / 4
    shares = fair_shares(table, TEAM, "myerson", Relations(links=tuple(pairs)))
    assert list(shares.values()) == pytest.approx([share + missing for share in slow], abs=1e-9)


@given(worths, unions)
def test_shares_by_unions_are_those_over_the_orders_in_which_unions_stay_together(
    table: list[float], parts: tuple[tuple[AgentId, ...], ...]
) -> None:
    first = {TEAM.index(agent) for agent in parts[0]}
    together = [
        order
        for order in permutations(range(4))
        if {*order[: len(first)]} == first or {*order[4 - len(first) :]} == first
    ]
    shares = fair_shares(table, TEAM, "owen", Relations(unions=parts))
    assert list(shares.values()) == pytest.approx(by_orders(table, together), abs=1e-9)
