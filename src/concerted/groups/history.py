"""What earlier coalitions came to: who delivers, who walks away, and who works well with whom.

Later formations use it: `reliability` is what can be expected of a member, `rapports` the synergy of a pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import msgspec

from concerted.groups.coalition import Coalition, CoalitionStatus
from concerted.values import AgentId, Instant

__all__ = ["Ending", "History", "Record", "ending_of", "recalled", "remember"]

PRIOR = 0.9  # the reliability of somebody of whom nothing is known ...
PRIOR_WEIGHT = 2.0  # ... which counts as much as so many coalitions
MOST_REMEMBERED = 1_000  # agents and pairs each; those heard of longest ago are forgotten


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """How often an agent, or two together, were in a coalition that ended so.  left: walked away or was lost."""

    completed: int = 0
    failed: int = 0
    refused: int = 0
    left: int = 0
    at: Instant = 0.0


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What earlier coalitions came to, by agent and by pair; at most MOST_REMEMBERED of each."""

    agents: dict[AgentId, Record] = {}
    pairs: dict[AgentId, dict[AgentId, Record]] = {}

    def reliability(self, agent: AgentId, prior: float = PRIOR) -> float:
        """Return the probability that an agent delivers, by its record; `prior` if it has none."""
        record = self.agents.get(agent, Record())
        tried = record.completed + record.failed + record.left
        return (prior * PRIOR_WEIGHT + record.completed) / (PRIOR_WEIGHT + tried)

    def rapports(self, worth: float) -> dict[tuple[AgentId, AgentId], float]:
        """Return the synergy of each pair that has worked together: -worth..worth, by how that ended."""
        return {
            (first, second): worth
            * (record.completed - record.failed)
            / (PRIOR_WEIGHT + record.completed + record.failed)
            for first, others in sorted(self.pairs.items())
            for second, record in sorted(others.items())
        }


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of one coalition: how it ended, with whom; lost, refused_by: who has left or refused."""

    status: CoalitionStatus
    agents: tuple[AgentId, ...] = ()
    lost: tuple[AgentId, ...] = ()
    refused_by: tuple[AgentId, ...] = ()


def ending_of(coalition: Coalition) -> Ending:
    """Return what is to be remembered of a coalition."""
    return Ending(
        status=coalition.status, agents=coalition.agents, lost=coalition.lost, refused_by=coalition.refused_by
    )


def remember(history: History, coalition: Coalition) -> History:
    """Return the history with how a coalition has ended; one that is not over changes nothing.

    A dissolved one counts for those alone who were lost; a refused one for who refused.
    """
    return recalled([(coalition.ended_at or coalition.created_at, ending_of(coalition))], history)


def recalled(endings: Iterable[tuple[Instant, Ending]], history: History | None = None) -> History:
    """Return the history, by default an empty one, with these endings, each with when it was; the oldest first."""
    history = history or History()
    over = [(at, ending) for at, ending in endings if ending.status not in {"proposed", "active"}]
    if not over:
        return history
    agents = dict(history.agents)
    pairs = {first: dict(others) for first, others in history.pairs.items()}
    for at, ending in over:
        _count(agents, pairs, ending, at)
    return History(agents=_newest(agents), pairs=_newest_pairs(pairs))


def _count(
    agents: dict[AgentId, Record], pairs: dict[AgentId, dict[AgentId, Record]], ending: Ending, at: Instant
) -> None:  # fmt: skip
    marked: list[tuple[str, Sequence[AgentId]]] = [("left", ending.lost)]
    if ending.status == "refused":
        marked.append(("refused", ending.refused_by))
    elif ending.status in {"completed", "failed"}:
        marked.append((ending.status, ending.agents))
        for first, second in combinations(sorted(ending.agents), 2):
            others = pairs.setdefault(first, {})
            others[second] = _counted(others.get(second, Record()), ending.status, at)
    for what, names in marked:
        for agent in names:
            agents[agent] = _counted(agents.get(agent, Record()), what, at)


def _counted(record: Record, what: str, at: Instant) -> Record:
    return msgspec.structs.replace(record, **{what: getattr(record, what) + 1, "at": at})


def _newest(records: Mapping[AgentId, Record]) -> dict[AgentId, Record]:
    kept = sorted(records, key=lambda agent: (-records[agent].at, agent))[:MOST_REMEMBERED]
    return {agent: records[agent] for agent in sorted(kept)}


def _newest_pairs(pairs: Mapping[AgentId, Mapping[AgentId, Record]]) -> dict[AgentId, dict[AgentId, Record]]:
    every = [(-record.at, first, second) for first, others in pairs.items() for second, record in others.items()]
    kept: dict[AgentId, dict[AgentId, Record]] = {}
    for _, first, second in sorted(sorted(every)[:MOST_REMEMBERED], key=lambda each: each[1:]):
        kept.setdefault(first, {})[second] = pairs[first][second]
    return kept
