"""What each member of a coalition is given to begin with: one idea of fairness out of five, always summing to all.

| | what counts |
| `shapley` | what each adds, over all orders in which they could come |
| `banzhaf` | what each adds, over all coalitions of the others |
| `nucleolus` | that nobody gains by leaving, or as little as can be |
| `owen` | as `shapley`; those of one union come together |
| `myerson` | as `shapley`; only those who are linked work together |

The values of Banzhaf need not sum to what all are worth, nor those of Myerson where links do not reach all: what is
missing, or too much, is divided equally.

Sources: as in `shapley` and `stability`; Ruiz, Valenciano & Zarzuelo 1996, "The least square prenucleolus and the
least square nucleolus" (the equal division of what is missing).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import msgspec

from concerted.errors import Invalid
from concerted.groups.games import Array, Table, as_table
from concerted.groups.shapley import banzhaf, myerson, owen, shapley
from concerted.groups.stability import nucleolus
from concerted.values import AgentId

__all__ = ["Relations", "Sharing", "fair_shares"]

Sharing = Literal["shapley", "banzhaf", "nucleolus", "owen", "myerson"]


class Relations(msgspec.Struct, frozen=True):
    """Who belongs together, and who can talk to whom.

    unions: groups of agents; who is in none is one by itself.  links: pairs of agents, undirected.
    """

    unions: tuple[tuple[AgentId, ...], ...] = ()
    links: tuple[tuple[AgentId, AgentId], ...] = ()

    def __post_init__(self) -> None:
        listed = sorted(agent for union in self.unions for agent in union)
        twice = sorted({agent for agent, after in pairwise(listed) if agent == after})
        if twice:
            raise ValueError(f"{', '.join(twice)} is in unions twice; an agent belongs to one at most")
        loops = sorted(first for first, second in self.links if first == second)
        if loops:
            raise ValueError(f"a link of {loops[0]} with itself is none; name two agents")


def fair_shares(
    values: Table, agents: Sequence[AgentId], sharing: Sharing, relations: Relations | None = None
) -> dict[AgentId, float]:
    """Return agent -> its share; they sum to what all are worth.  O(2^n); for `nucleolus` linear programs as well.

    relations: of any agents; those of others than these are passed over.

    Raises:
        Invalid: the values are no finite game of these agents, or `owen` has no unions, or `myerson` no links.
    """
    table, n = as_table(values)
    if n != len(agents):
        raise Invalid(f"a game of {n} agents is not one of these {len(agents)}: {', '.join(agents)}")
    found = _shares(table, agents, sharing, relations or Relations())
    missing = (float(table[-1]) - float(found.sum())) / n
    return {agent: float(share) + missing for agent, share in zip(agents, found, strict=True)}


def _shares(table: Array, agents: Sequence[AgentId], sharing: Sharing, relations: Relations) -> Array:
    place = {agent: number for number, agent in enumerate(agents)}
    if sharing == "shapley":
        return shapley(table)
    if sharing == "banzhaf":
        return banzhaf(table)
    if sharing == "nucleolus":
        alone = sum(float(table[1 << number]) for number in range(len(agents)))
        return nucleolus(table, "imputations" if alone <= float(table[-1]) else "preimputations")
    if sharing == "owen":
        if not relations.unions:
            raise Invalid("shares by owen need unions: lists of the agents that belong together")
        unions = [[place[agent] for agent in union if agent in place] for union in relations.unions]
        listed = {number for union in unions for number in union}
        alone_too = [[number] for number in range(len(agents)) if number not in listed]
        return owen(table, [union for union in unions if union] + alone_too)
    if not relations.links:
        raise Invalid("shares by myerson need links: pairs of the agents that can talk to each other")
    return myerson(table, [(place[a], place[b]) for a, b in relations.links if a in place and b in place])
