"""What a formation computes outside its loop, as `run.compute` calls it: each result has a JSON form and is recorded.

Of at most 16 agents the worths stand in a table; of more they are skills, or a mapping from mask to worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from concerted.groups.bargaining import Bargain, Offers, fall_back
from concerted.groups.crowd import Draw, assess_among, member_game, search
from concerted.groups.formation import Terms, assess_game, ranked
from concerted.groups.games import Array, Skills, as_table, mask_of, members, subgame, worth_table
from concerted.strategies.coalitions.worths import MOST_TABLED
from concerted.values import AgentId

__all__ = [
    "MOST_RANKED",
    "computed_alone",
    "computed_assessment",
    "computed_fall_back",
    "computed_game",
    "computed_ranking",
    "computed_search",
]

MOST_RANKED = 24  # coalitions assessed in full, the most promising ones

Worths: TypeAlias = Skills | list[float] | Mapping[int, float]


def computed_alone(worths: Worths, agents: Sequence[AgentId], together: Sequence[AgentId]) -> dict[AgentId, float]:
    """Return what each of some agents is worth alone."""
    assert not isinstance(worths, list)
    return {agent: float(member_game(worths, agents, mask_of([agent], agents))[1]) for agent in together}


def computed_ranking(worths: Skills | list[float], agents: Sequence[AgentId], terms: Terms) -> Any:
    """Return the ranked coalitions."""
    return msgspec.to_builtins(ranked(_table(worths, agents), agents, terms, MOST_RANKED))


def computed_search(
    worths: Skills | Mapping[int, float], agents: Sequence[AgentId], terms: Terms, budget: int, draw: Draw
) -> Any:  # fmt: skip
    """Return the best coalitions that were found among many agents."""
    return msgspec.to_builtins(search(worths, agents, terms, budget, MOST_RANKED, draw))


def computed_assessment(
    worths: Skills | list[float] | Mapping[int, float], agents: Sequence[AgentId], mask: int, terms: Terms, draw: Draw
) -> Any:  # fmt: skip
    """Return one coalition assessed."""
    if len(agents) > MOST_TABLED and not isinstance(worths, list):
        return msgspec.to_builtins(assess_among(worths, agents, mask, terms, draw))
    return msgspec.to_builtins(assess_game(_among(worths, agents, mask), members(mask, agents), mask, terms))


def computed_game(
    worths: Skills | list[float] | Mapping[int, float], agents: Sequence[AgentId], mask: int
) -> list[float]:  # fmt: skip
    """Return the game among the members of one coalition."""
    return [float(worth) for worth in _among(worths, agents, mask)]


def _among(worths: Skills | list[float] | Mapping[int, float], agents: Sequence[AgentId], mask: int) -> Array:
    if len(agents) > MOST_TABLED and not isinstance(worths, list):
        return member_game(worths, agents, mask)
    assert not isinstance(worths, Mapping)
    return subgame(_table(worths, agents), mask)


def _table(worths: Skills | list[float], agents: Sequence[AgentId]) -> Array:
    return worth_table(worths, agents) if isinstance(worths, Skills) else as_table(worths)[0]


def computed_fall_back(bargain: Bargain | Offers, game: list[float], now: float) -> Any:
    """Return the shares of the nucleolus."""
    return msgspec.to_builtins(fall_back(bargain, game, now))
