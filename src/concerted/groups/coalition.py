"""A coalition: its contract, who leads it, how it votes, who has agreed to it, and what is remembered of it.

    proposed --all members agree--> active --done--> completed
       |                              |--a member is lost, and the rest can go on--> active
       |                              |--the rest cannot, or it is called off--> dissolved
       |                              `--not done--> failed
       `--somebody refuses, or says nothing in time--> refused: the next best is proposed

Nobody is bound before all have agreed.  What it came to is kept in a `history`, which later formations use.

Source: the specification, CoalitionFormationManager, `establishCoalition`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Literal

import msgspec

from concerted.errors import Invalid, NotAllowed, NotFound, WrongPhase
from concerted.groups.bargaining import ProfitSharing
from concerted.groups.formation import CoalitionConstraints, CoalitionValue, Terms, ValuedCoalition
from concerted.groups.games import mask_of
from concerted.groups.leadership import Candidate, elect
from concerted.values import AgentId, Instant, Task, TaskId

__all__ = [
    "Coalition",
    "CoalitionStatus",
    "Consent",
    "Contract",
    "Exit",
    "Governance",
    "VotingRule",
    "after_refusal",
    "compensations",
    "complete",
    "consent_of",
    "dissolve",
    "establish",
    "fail",
    "govern",
    "lose_member",
    "penalize",
    "propose",
    "settle_payments",
    "vote",
]

EXIT_PENALTY = 0.1  # of its share: what a member owes the others who leaves without being lost

VotingRule = Literal["majority", "two_thirds", "unanimous", "shares", "leader"]
CoalitionStatus = Literal["proposed", "refused", "active", "completed", "failed", "dissolved"]


class Governance(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads, who does what, and how the members decide.

    roles: `leader`, else the required capability of which the member brings most, else `member`.  weights:
    each one's part of the vote under the rule `shares`; one each under the others.
    """

    leader: AgentId
    roles: dict[AgentId, str]
    voting_rule: VotingRule = "majority"
    weights: dict[AgentId, float] = {}


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What the members agree to: who does which part for which share, until when, and what leaving costs."""

    coalition_id: str
    task: TaskId
    parties: tuple[AgentId, ...]
    shares: dict[AgentId, float]
    obligations: dict[AgentId, str]
    created_at: Instant
    valid_until: Instant | None = None
    exit_penalty: float = EXIT_PENALTY


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """What a member owes who has walked away, and to whom; compensation: agent -> its part of the penalty."""

    agent: AgentId
    penalty: float
    compensation: dict[AgentId, float]
    at: Instant


class Coalition(msgspec.Struct, frozen=True, kw_only=True):
    """One coalition, from its proposal to its end.

    communication_channels: the names of the members' channels: one, which `session.channel` opens.  lost: who was a
    member.  exits: those of them who have walked away.  parts: where coalitions overlap, the part of its capacity that
    each has agreed to give.  reason: why it ended.  selection: `optimal` if all coalitions that could be formed were
    valued when it was chosen, else `feasible`; bound: what then could be expected of none more than.  stability,
    expected_utility: as it was assessed when it was chosen, and again after a loss.
    """

    id: str
    agents: tuple[AgentId, ...]
    task: Task
    value: CoalitionValue
    profit_sharing: ProfitSharing
    governance: Governance
    contract: Contract
    status: CoalitionStatus
    created_at: Instant
    communication_channels: tuple[str, ...] = ()
    lost: tuple[AgentId, ...] = ()
    exits: tuple[Exit, ...] = ()
    parts: dict[AgentId, float] = {}
    refused_by: tuple[AgentId, ...] = ()
    ended_at: Instant | None = None
    reason: str = ""
    selection: str = "optimal"
    bound: float | None = None
    stability: float | None = None
    expected_utility: float | None = None


# Governance


def govern(
    candidates: Sequence[Candidate],
    task: Task,
    shares: Mapping[AgentId, float],
    voting_rule: VotingRule = "majority",
) -> Governance:
    """Elect the leader, give each member the role of what it does best, and weigh the votes by the shares."""
    elected = elect(candidates)
    if elected is None:
        raise Invalid("a coalition of nobody has no leader; name its members")
    roles = {each.agent: _best_at(each, task) for each in candidates}
    roles[elected.winner] = "leader"
    total = fsum(max(0.0, shares.get(agent, 0.0)) for agent in roles)
    weights = {
        agent: max(0.0, shares.get(agent, 0.0)) / total if total else 1.0 / len(roles) for agent in sorted(roles)
    }
    return Governance(leader=elected.winner, roles=roles, voting_rule=voting_rule, weights=weights)


def vote(governance: Governance, votes: Mapping[AgentId, bool]) -> Literal["passed", "rejected", "open"]:
    """Say how a vote stands; `open` as long as those who have not voted could change it.

    `majority` is more than half of the members, `two_thirds` at least two thirds of them, `shares` more than
    half of all shares; under `leader` the leader's vote alone counts.

    Raises:
        NotAllowed: somebody votes who is not a member.
    """
    for agent in sorted(votes):
        if agent not in governance.roles:
            raise NotAllowed(f"{agent} is not a member and has no vote; the members are {', '.join(governance.roles)}")
    if governance.voting_rule == "leader":
        said = votes.get(governance.leader)
        return "open" if said is None else "passed" if said else "rejected"
    weighs = governance.weights if governance.voting_rule == "shares" else dict.fromkeys(governance.roles, 1.0)
    whole = fsum(weighs.values())
    yes = fsum(weighs[agent] for agent, said in votes.items() if said)
    no = fsum(weighs[agent] for agent, said in votes.items() if not said)
    if governance.voting_rule == "unanimous":
        return "rejected" if no > 0 else "passed" if len(votes) == len(weighs) else "open"
    if governance.voting_rule == "two_thirds":
        return "passed" if 3 * yes >= 2 * whole else "rejected" if 3 * no > whole else "open"
    return "passed" if 2 * yes > whole else "rejected" if 2 * no >= whole else "open"


def _best_at(candidate: Candidate, task: Task) -> str:
    have = [(-candidate.capabilities.get(name, 0.0), name) for name in sorted(task.required_capabilities)]
    best = min(have, default=(0.0, "member"))
    return best[1] if best[0] < 0 else "member"


# Agreement


@dataclass(frozen=True, slots=True)
class Consent:
    """Who has agreed to a contract, who has not, and who has said nothing."""

    agreed: tuple[AgentId, ...]
    refused: tuple[AgentId, ...]
    silent: tuple[AgentId, ...]

    @property
    def is_unanimous(self) -> bool:
        """Whether every party has agreed."""
        return not self.refused and not self.silent

    @property
    def acceptance_rate(self) -> float:
        """The part of the parties that has agreed, 0..1."""
        return len(self.agreed) / (len(self.agreed) + len(self.refused) + len(self.silent))


def propose(
    coalition_id: str,
    valued: ValuedCoalition,
    task: Task,
    sharing: ProfitSharing,
    governance: Governance,
    now: Instant,
) -> Coalition:
    """Return the coalition as it is proposed to its members, with the contract they are asked to agree to.

    Raises:
        Invalid: the shares or the roles are not those of its members.
    """
    for what, names in (("shares", sharing.shares), ("roles", governance.roles)):
        if sorted(names) != sorted(valued.agents):
            raise Invalid(f"the {what} name {', '.join(sorted(names))}, the coalition is {', '.join(valued.agents)}")
    contract = Contract(
        coalition_id=coalition_id,
        task=task.id,
        parties=valued.agents,
        shares=sharing.shares,
        obligations=governance.roles,
        created_at=now,
        valid_until=None if task.deadline_s is None else now + task.deadline_s,
    )
    return Coalition(
        id=coalition_id,
        agents=valued.agents,
        task=task,
        value=valued.value,
        profit_sharing=sharing,
        governance=governance,
        contract=contract,
        status="proposed",
        created_at=now,
        communication_channels=(f"coalition/{coalition_id}",),
        stability=valued.stability,
        expected_utility=valued.expected_utility,
    )


def consent_of(contract: Contract, answers: Mapping[AgentId, bool | None]) -> Consent:
    """Sort the parties by what they have answered; None, or nothing, is silence.

    Raises:
        NotAllowed: somebody answers who is not a party.
    """
    for agent in sorted(answers):
        if agent not in contract.parties:
            raise NotAllowed(f"{agent} is not a party of {contract.coalition_id}: {', '.join(contract.parties)} are")
    said = {agent: answers.get(agent) for agent in contract.parties}
    agreed, refused, silent = (
        tuple(agent for agent in contract.parties if said[agent] is answer) for answer in (True, False, None)
    )
    return Consent(agreed, refused, silent)


def establish(coalition: Coalition, consent: Consent, now: Instant) -> Coalition:
    """Return the coalition after its members' answers: active if all agree, else refused, and by whom.

    Raises:
        WrongPhase: it is not proposed any more.
    """
    _must_be(coalition, "proposed", "be agreed to")
    if consent.is_unanimous:
        return msgspec.structs.replace(coalition, status="active")
    against = [*consent.refused, *(f"{agent} (no answer)" for agent in consent.silent)]
    return msgspec.structs.replace(
        coalition,
        status="refused",
        refused_by=tuple(sorted((*consent.refused, *consent.silent))),
        ended_at=now,
        reason=f"not agreed to by {', '.join(against)}",
    )


def after_refusal(terms: Terms, agents: Sequence[AgentId], coalition: Coalition, withdraw: bool = False) -> Terms:
    """Return the terms under which the next best is looked for: `ranked` and `choose` then find it.

    agents: those of the game.  withdraw: who has refused is asked no more at all; else only this coalition is
    not proposed again.
    """
    refused = terms.refused | {mask_of(coalition.agents, agents)}
    withdrawn = terms.withdrawn | frozenset(coalition.refused_by) if withdraw else terms.withdrawn
    return replace(terms, refused=refused, withdrawn=withdrawn)


# Its life


def complete(coalition: Coalition, now: Instant) -> Coalition:
    """End a coalition that has done its task.

    Raises:
        WrongPhase: it is not active.
    """
    _must_be(coalition, "active", "be completed")
    return msgspec.structs.replace(coalition, status="completed", ended_at=now)


def fail(coalition: Coalition, reason: str, now: Instant) -> Coalition:
    """End a coalition that could not do its task.

    Raises:
        WrongPhase: it is not active.
    """
    _must_be(coalition, "active", "fail")
    return msgspec.structs.replace(coalition, status="failed", reason=reason, ended_at=now)


def dissolve(coalition: Coalition, reason: str, now: Instant) -> Coalition:
    """Call a coalition off, before or after it was agreed to.  One that is over stays as it is."""
    if coalition.status not in {"proposed", "active"}:
        return coalition
    return msgspec.structs.replace(coalition, status="dissolved", reason=reason, ended_at=now)


def lose_member(
    coalition: Coalition,
    agent: AgentId,
    rest: ValuedCoalition | None,
    governance: Governance | None,
    constraints: CoalitionConstraints,
    now: Instant,
) -> Coalition:
    """Return the coalition after it has lost a member: with the rest, if they can go on, else dissolved.

    rest: the others, assessed as a coalition of their own; they go on if that is feasible, stable enough and
    worth something, each with its share of what they begin with.  governance: theirs, with a leader.

    Raises:
        NotFound: the agent is not a member.
        WrongPhase: the coalition is not active.
    """
    _must_be(coalition, "active", f"lose {agent}")
    _must_be_member(coalition, agent)
    left = tuple(each for each in coalition.agents if each != agent)
    lost = (*coalition.lost, agent)
    why = _why_not_go_on(left, rest, governance, constraints)
    if why or rest is None or governance is None:
        ended = msgspec.structs.replace(coalition, agents=left, lost=lost)
        return dissolve(ended, f"{agent} is lost, and {why}", now)
    sharing = msgspec.structs.replace(
        coalition.profit_sharing,
        shares=rest.first_shares,
        first=rest.first_shares,
        is_fallback=True,
        epsilon=rest.epsilon,
        finalized_at=now,
        note=f"divided anew after {agent} was lost: {_fairly(coalition.profit_sharing.sharing)}",
    )
    contract = msgspec.structs.replace(
        coalition.contract, parties=left, shares=sharing.shares, obligations=governance.roles
    )
    return msgspec.structs.replace(
        coalition,
        agents=left,
        lost=lost,
        value=rest.value,
        stability=rest.stability,
        expected_utility=rest.expected_utility,
        profit_sharing=sharing,
        governance=governance,
        contract=contract,
    )


def _fairly(sharing: str) -> str:
    return "to each what it contributes" if sharing == "shapley" else f"to each its share by {sharing}"


def penalize(coalition: Coalition, left: Sequence[AgentId], gone: Sequence[AgentId], now: Instant) -> Coalition:
    """Return the coalition with what members owe who walk away: the contract's part of their shares.

    left: who walks away; they are still members, and are lost next.  gone: all who are lost at the same time.  The
    others get the penalties in proportion to their shares, all alike if these are 0; where nobody stays nobody is
    harmed, and nothing is owed.  A share below 0 counts as 0.

    Raises:
        NotFound: somebody is not a member.
        WrongPhase: the coalition is not active.
    """
    _must_be(coalition, "active", f"be left by {', '.join(left)}")
    for agent in left:
        _must_be_member(coalition, agent)
    shares = {agent: max(0.0, share) for agent, share in coalition.contract.shares.items()}
    away = frozenset((*left, *gone))
    staying = {agent: shares[agent] for agent in coalition.agents if agent not in away}
    whole = fsum(staying.values())
    exits = []
    for agent in left:
        penalty = coalition.contract.exit_penalty * shares[agent] if staying else 0.0
        parts = {each: penalty * (share / whole if whole else 1.0 / len(staying)) for each, share in staying.items()}
        exits.append(Exit(agent=agent, penalty=penalty, compensation=parts, at=now))
    return msgspec.structs.replace(coalition, exits=(*coalition.exits, *exits))


def compensations(coalition: Coalition) -> dict[AgentId, float]:
    """Return what each member is owed by those who have walked away."""
    owed: dict[AgentId, float] = {}
    for each in coalition.exits:
        for agent, amount in each.compensation.items():
            owed[agent] = owed.get(agent, 0.0) + amount
    return dict(sorted(owed.items()))


def settle_payments(coalition: Coalition, earned: float) -> dict[AgentId, float]:
    """Return what each member is paid of what was earned, in proportion to the contract's shares.

    If all shares are 0, all are paid alike.
    """
    shares = coalition.contract.shares
    whole = fsum(shares.values())
    return {agent: earned * (share / whole if whole else 1.0 / len(shares)) for agent, share in shares.items()}


def _why_not_go_on(
    left: Sequence[AgentId],
    rest: ValuedCoalition | None,
    governance: Governance | None,
    constraints: CoalitionConstraints,
) -> str:
    if rest is None or governance is None:
        return "nobody is left" if not left else "the rest has not been assessed"
    if sorted(rest.agents) != sorted(left) or sorted(governance.roles) != sorted(left):
        raise Invalid(f"the rest is {', '.join(left)}, and {', '.join(rest.agents)} were assessed")
    if not rest.feasible:
        return f"the rest cannot go on: {'; '.join(rest.reasons)}"
    if rest.value.total <= 0:
        return "what the rest can do is worth nothing"
    if rest.stability < constraints.min_stability:
        return f"the rest is too unstable: {rest.stability:.2f}, below {constraints.min_stability:.2f}"
    return ""


def _must_be(coalition: Coalition, status: CoalitionStatus, act: str) -> None:
    if coalition.status != status:
        raise WrongPhase(f"coalition {coalition.id} is {coalition.status}; to {act} it must be {status}")


def _must_be_member(coalition: Coalition, agent: AgentId) -> None:
    if agent not in coalition.agents:
        raise NotFound(f"{agent} is not a member of {coalition.id}: {', '.join(coalition.agents)} are")
