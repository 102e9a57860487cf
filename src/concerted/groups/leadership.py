"""Leadership: who of the candidates leads, by capability (0..40 points), load and health (0..30 each).

Source: the specification's LeaderFollowerStrategy, `calculateLeadershipScore`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from concerted.values import AgentId

__all__ = ["SKILLS", "Candidate", "Election", "elect", "leadership_score", "reelect"]

SKILLS = ("leadership", "reliability", "communication", "decision_making")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One who may lead.  capabilities, load and health are 0..1; a skill not named is 0."""

    agent: AgentId
    capabilities: Mapping[str, float]
    load: float = 0.0
    health: float = 1.0


@dataclass(frozen=True, slots=True)
class Election:
    """Who leads, and what each candidate's score was (0..100), highest first."""

    winner: AgentId
    scores: Mapping[AgentId, float]


def leadership_score(candidate: Candidate, mode: Literal["sound", "specification"] = "sound") -> float:
    """Return how fit a candidate is to lead, 0..100.

    10 points for each skill, 30 x (1 - load), 30 x health.  In mode `specification` the load's part is
    max(0, 30 - load in percent): whoever is loaded to 30 % or more gets nothing for it.
    """
    skill = sum(10.0 * _level(candidate.capabilities.get(name, 0.0)) for name in SKILLS)
    load = _level(candidate.load)
    room = 30.0 * (1.0 - load) if mode == "sound" else max(0.0, 30.0 - 100.0 * load)
    return round(skill + room + 30.0 * _level(candidate.health), 9)


def elect(candidates: Iterable[Candidate], mode: Literal["sound", "specification"] = "sound") -> Election | None:
    """Elect the candidate with the highest score, of equals the one whose id sorts first; nobody: None."""
    scored = sorted((-leadership_score(candidate, mode), candidate.agent) for candidate in candidates)
    if not scored:
        return None
    return Election(scored[0][1], {agent: -score for score, agent in scored})


def reelect(
    candidates: Iterable[Candidate],
    leader: AgentId | None,
    margin: float,
    mode: Literal["sound", "specification"] = "sound",
) -> Election | None:
    """Elect, but keep the leader there is unless another's score is higher by more than `margin` points.

    So a leadership does not pass to and fro between two who are about as fit.
    """
    election = elect(candidates, mode)
    if election is None or leader is None or leader not in election.scores:
        return election
    if election.scores[election.winner] - election.scores[leader] <= margin:
        return Election(leader, election.scores)
    return election


def _level(value: float) -> float:
    """Keep what agents say of themselves within 0..1."""
    return min(1.0, max(0.0, value))
