"""Which coalition to form for a task: who may join, what each coalition promises, and which is the best.

    applicants --eligible--> agents --skills_of, or a value function--> table --ranked--> choice

`sound` asks what can be relied on: the expected worth if each member delivers with its own probability and the
rest go on without it, less what the members cost; stable is a coalition of which no part can gain more than
30 % of its worth by leaving.  `specification` keeps the specification's order of things: the worth times the
mean reliability, times the share of members who get at least what they have alone.

Source: the specification, CoalitionFormationManager; Owen 1972, "Multilinear extensions of games".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

from concerted.errors import Invalid
from concerted.groups.games import (
    Array,
    Skills,
    Table,
    as_table,
    check_finite,
    coalition_sizes,
    coverage_table,
    members,
    shortfalls,
    subgame,
    sums,
)
from concerted.groups.shapley import shapley
from concerted.groups.stability import least_core, stability
from concerted.values import AgentId, Profile, Task

if TYPE_CHECKING:
    from numpy import bool_
    from numpy.typing import NDArray

__all__ = [
    "Applicant",
    "CoalitionConstraints",
    "CoalitionValue",
    "Eligibility",
    "Terms",
    "ValuedCoalition",
    "assess",
    "assess_game",
    "choose",
    "eligible",
    "expected_worths",
    "ranked",
    "skills_of",
    "why_not_feasible",
]

MOST_TO_CHOOSE_FROM = 20  # agents: a million coalitions
MOST_ASSESSED = 64  # coalitions whose stability is looked at
RELIABLE = 1.0  # what is not known to be unreliable

Mode = Literal["sound", "specification"]


class CoalitionConstraints(msgspec.Struct, frozen=True, kw_only=True):
    """What a coalition must keep to.

    min_size, max_size: members.  incompatible: pairs who may not both be in.  max_cost: of all members
    together.  min_stability, min_reliability: 0..1.
    """

    min_size: int = 1
    max_size: int = 10
    min_stability: float = 0.7
    min_reliability: float = 0.0
    max_cost: float | None = None
    must_include: tuple[AgentId, ...] = ()
    must_exclude: tuple[AgentId, ...] = ()
    incompatible: tuple[tuple[AgentId, AgentId], ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.min_size <= self.max_size:
            raise ValueError(f"sizes from {self.min_size} to {self.max_size} are none; 1 <= min_size <= max_size")
        if not (0 <= self.min_stability <= 1 and 0 <= self.min_reliability <= 1):
            raise ValueError("min_stability and min_reliability must be 0..1")


class CoalitionValue(msgspec.Struct, frozen=True, kw_only=True):
    """What a coalition is worth.

    total: as the game says.  individual_contributions: the members' Shapley values, which sum to it.
    synergy: what it is worth beyond its members alone.  risk_adjusted: what can be expected of it.
    intervals: agent -> within which its Shapley value lies with 95 % confidence, where these were sampled.
    """

    total: float
    individual_contributions: dict[AgentId, float]
    synergy: float
    risk_adjusted: float
    intervals: dict[AgentId, tuple[float, float]] = {}


class ValuedCoalition(msgspec.Struct, frozen=True, kw_only=True):
    """A coalition that could be formed.  reasons: why it is not feasible, if it is not.  epsilon: of its core.

    divided: the shares at which its members begin to bargain, if these are not their individual contributions.
    """

    agents: tuple[AgentId, ...]
    value: CoalitionValue
    stability: float
    feasible: bool
    expected_utility: float
    epsilon: float
    reasons: tuple[str, ...] = ()
    divided: dict[AgentId, float] = {}

    @property
    def first_shares(self) -> dict[AgentId, float]:
        """The shares at which its members begin to bargain."""
        return self.divided or self.value.individual_contributions


# Who may join


@dataclass(frozen=True, slots=True)
class Applicant:
    """One who may join.  load and health are 0..1; reliability: None takes the profile's capability of that name."""

    profile: Profile
    load: float = 0.0
    health: float = 1.0
    reliability: float | None = None

    @property
    def likely(self) -> float:
        """The probability that it delivers."""
        if self.reliability is not None:
            return self.reliability
        return self.profile.capabilities.get("reliability", RELIABLE)


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Who may join, by id, and why each other may not."""

    agents: tuple[AgentId, ...]
    refused: Mapping[AgentId, str]


def eligible(
    applicants: Iterable[Applicant], task: Task, constraints: CoalitionConstraints, most: int = MOST_TO_CHOOSE_FROM
) -> Eligibility:
    """Say who may join a coalition for a task: who is free, well, reliable, allowed, and has something to give.

    A task's required capabilities are for the coalition as a whole; a member must have some of one of them.
    Of more than `most`, those stay who bring most of what is required for their cost; then by id.
    """
    refused: dict[AgentId, str] = {}
    fit: list[tuple[bool, float, AgentId]] = []
    for applicant in sorted(applicants, key=lambda each: each.profile.id):
        agent = applicant.profile.id
        why = _why_not(applicant, task, constraints)
        if why:
            refused[agent] = why
        else:
            fit.append((agent not in constraints.must_include, -_usefulness(applicant, task), agent))
    fit.sort()
    for _, _, agent in fit[most:]:
        refused[agent] = f"{most} others bring more of what the task requires for what they cost"
    return Eligibility(tuple(sorted(agent for _, _, agent in fit[:most])), refused)


def _why_not(applicant: Applicant, task: Task, constraints: CoalitionConstraints) -> str:
    profile = applicant.profile
    if profile.id in constraints.must_exclude:
        return "excluded by the constraints"
    if not applicant.load < 1.0:
        return "has no room for another task"
    if not applicant.health > 0.0:
        return "is not well"
    if applicant.likely < constraints.min_reliability:
        return f"its reliability is {applicant.likely:.2f}, below {constraints.min_reliability:.2f}"
    wanted = sorted(task.required_capabilities)
    if wanted and not any(profile.capabilities.get(name, 0.0) > 0 for name in wanted):
        return f"has none of {', '.join(wanted)}"
    return ""


def _usefulness(applicant: Applicant, task: Task) -> float:
    have = applicant.profile.capabilities
    parts = [
        min(1.0, have.get(name, 0.0) / level) for name, level in sorted(task.required_capabilities.items()) if level
    ]
    return applicant.likely * (sum(parts) / len(parts) if parts else 1.0) / (1.0 + applicant.profile.cost)


def skills_of(
    applicants: Iterable[Applicant],
    task: Task,
    synergy: Mapping[tuple[AgentId, AgentId], float] | None = None,
    combine: Literal["sum", "max"] = "sum",
) -> Skills:
    """Return the game of capabilities that a task makes: its budget as reward, the members' prices as costs.

    A coalition earns nothing unless it covers every required capability, and then does nothing; without a budget
    the reward is as much as all applicants together cost, or 1.  synergy: such as `History.rapports` gives.
    """
    everybody = sorted(applicants, key=lambda each: each.profile.id)
    costs = {each.profile.id: each.profile.cost for each in everybody}
    reward = task.max_budget if task.max_budget is not None else sum(costs.values()) or 1.0
    return Skills(
        levels={each.profile.id: each.profile.capabilities for each in everybody},
        thresholds={name: level for name, level in task.required_capabilities.items() if level > 0},
        reward=reward,
        coverage="all",
        combine=combine,
        costs=costs,
        synergy=synergy or {},
        may_idle=True,
    )


# What each coalition promises


@dataclass(frozen=True, slots=True)
class Terms:
    """By what coalitions are judged.

    reliability: agent -> the probability that it delivers; 1 for who is not named.  costs: agent -> what its
    joining costs beyond what the game counts.  skills: whose thresholds a coalition must cover.  refused: masks
    that have been refused.  withdrawn: agents who will not join any.
    """

    constraints: CoalitionConstraints = field(default_factory=CoalitionConstraints)
    reliability: Mapping[AgentId, float] = field(default_factory=dict)
    costs: Mapping[AgentId, float] = field(default_factory=dict)
    skills: Skills | None = None
    refused: frozenset[int] = frozenset()
    withdrawn: frozenset[AgentId] = frozenset()
    mode: Mode = "sound"


def ranked(values: Table, agents: Sequence[AgentId], terms: Terms, most: int = MOST_ASSESSED) -> list[ValuedCoalition]:
    """Return the most promising feasible coalitions, those of the highest expected utility first.

    All coalitions are looked at for what can be expected of them; the best `most` are assessed in full.
    Equals are in the order of fewer members, then of agents.  O(n 2^n), and 2^members for each assessed.

    Raises:
        Invalid: the values are no finite game of these agents.
    """
    import numpy as np

    table, n = as_table(values)
    check_finite(table)
    if n != len(agents):
        raise Invalid(f"a game of {n} agents is not one of these {len(agents)}: {', '.join(agents)}")
    promise = _promises(table, agents, terms)
    masks = np.flatnonzero(_feasible(n, agents, terms))
    size = coalition_sizes(n)[masks]
    best = masks[np.lexsort((masks, size, -np.round(promise[masks], 9)))][:most]
    found = [(assess(table, agents, int(mask), terms), int(mask)) for mask in best]
    found.sort(key=lambda each: (-round(each[0].expected_utility, 9), len(each[0].agents), each[1]))
    return [valued for valued, _ in found]


def choose(candidates: Iterable[ValuedCoalition], min_stability: float) -> ValuedCoalition | None:
    """Return the first of ranked coalitions that is feasible and stable enough; None if none is."""
    for valued in candidates:
        if valued.feasible and valued.stability >= min_stability:
            return valued
    return None


def assess(values: Table, agents: Sequence[AgentId], mask: int, terms: Terms) -> ValuedCoalition:
    """Return all that is to be known of one coalition.  O(2^members), and a linear program."""
    table, _ = as_table(values)
    return assess_game(subgame(table, mask), members(mask, agents), mask, terms)


def assess_game(game: Array, inside: Sequence[AgentId], mask: int, terms: Terms) -> ValuedCoalition:
    """Return all that is to be known of one coalition.  game: among its members; mask: by which it may be refused."""
    total = float(game[-1])
    alone = [float(game[1 << place]) for place in range(len(inside))]
    fair = [float(share) for share in shapley(game)]
    odds = [terms.reliability.get(agent, RELIABLE) for agent in inside]
    best = least_core(game)
    if terms.mode == "sound":
        risk_adjusted = float(expected_worths(game, odds)[-1])
        steady = stability(game, best.shares)
        utility = risk_adjusted - sum(terms.costs.get(agent, 0.0) for agent in inside)
    else:
        risk_adjusted = total * sum(odds) / len(odds)
        steady = sum(share >= own - 1e-9 for share, own in zip(fair, alone, strict=True)) / len(inside)
        utility = risk_adjusted * steady
    reasons = why_not_feasible(inside, mask, terms)
    return ValuedCoalition(
        agents=tuple(inside),
        value=CoalitionValue(
            total=total,
            individual_contributions=dict(zip(inside, fair, strict=True)),
            synergy=total - sum(alone),
            risk_adjusted=risk_adjusted,
        ),
        stability=steady,
        feasible=not reasons,
        expected_utility=utility,
        epsilon=best.epsilon,
        reasons=reasons,
    )


def expected_worths(values: Table, reliability: Sequence[float]) -> Array:
    """Return what can be expected of each coalition if each member delivers with its own probability.

    The multilinear extension: the mean worth of those members who deliver, who do so independently.  O(n 2^n).

    Raises:
        Invalid: the values are no game, or a probability is not 0..1.
    """
    table, n = as_table(values)
    if len(reliability) != n or not all(0.0 <= each <= 1.0 for each in reliability):
        raise Invalid(f"{list(reliability)} are not {n} probabilities, one for each agent and each 0..1")
    expected = table.copy()
    for place, odds in enumerate(reliability):
        pairs = expected.reshape(-1, 2, 1 << place)
        pairs[:, 1] = odds * pairs[:, 1] + (1.0 - odds) * pairs[:, 0]
    return expected


def _promises(table: Array, agents: Sequence[AgentId], terms: Terms) -> Array:
    """Return for each coalition what its utility is at most: exactly that in `sound`."""
    import numpy as np

    odds = [terms.reliability.get(agent, RELIABLE) for agent in agents]
    if terms.mode == "sound":
        return expected_worths(table, odds) - sums([terms.costs.get(agent, 0.0) for agent in agents])
    return np.asarray(table * sums(odds) / np.maximum(coalition_sizes(len(agents)), 1))


def _feasible(n: int, agents: Sequence[AgentId], terms: Terms) -> NDArray[bool_]:
    """Say of each coalition whether the constraints allow it; the same as `why_not_feasible` of each."""
    import numpy as np

    constraints, place = terms.constraints, {agent: number for number, agent in enumerate(agents)}
    size, masks = coalition_sizes(n), np.arange(1 << n)
    allowed: NDArray[bool_] = (size >= constraints.min_size) & (size <= constraints.max_size)
    for agent in constraints.must_include:
        allowed &= (masks >> place[agent] & 1 == 1) if agent in place else False
    for agent in sorted({*constraints.must_exclude, *terms.withdrawn}):
        if agent in place:
            allowed &= masks >> place[agent] & 1 == 0
    for first, second in constraints.incompatible:
        if first in place and second in place:
            both = 1 << place[first] | 1 << place[second]
            allowed &= masks & both != both
    if constraints.max_cost is not None:
        allowed &= sums([terms.costs.get(agent, 0.0) for agent in agents]) <= constraints.max_cost + 1e-9
    if terms.skills is not None:
        allowed &= coverage_table(terms.skills, agents, "all") > 0
    allowed[sorted(mask for mask in terms.refused if mask < 1 << n)] = False
    return allowed


def why_not_feasible(inside: Sequence[AgentId], mask: int, terms: Terms) -> tuple[str, ...]:
    """Say why the constraints do not allow a coalition; nothing if they do.  mask: by which it may be refused."""
    constraints, together = terms.constraints, frozenset(inside)
    reasons = []
    if not constraints.min_size <= len(inside) <= constraints.max_size:
        reasons.append(f"{len(inside)} members; {constraints.min_size} to {constraints.max_size} are allowed")
    reasons += [f"{agent} must be in" for agent in constraints.must_include if agent not in together]
    out = sorted({*constraints.must_exclude, *terms.withdrawn})
    reasons += [f"{agent} must not be in" for agent in out if agent in together]
    apart = [pair for pair in constraints.incompatible if together.issuperset(pair)]
    reasons += [f"{first} and {second} may not both be in" for first, second in apart]
    cost = sum(terms.costs.get(agent, 0.0) for agent in inside)
    if constraints.max_cost is not None and cost > constraints.max_cost + 1e-9:
        reasons.append(f"it costs {cost:g}, more than {constraints.max_cost:g}")
    if terms.skills is not None:
        reasons += shortfalls(terms.skills, inside)
    if mask in terms.refused:
        reasons.append("it has been refused")
    return tuple(reasons)
