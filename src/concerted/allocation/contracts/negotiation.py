"""Which proposal for a task is best, which cannot be accepted and why, and what to offer in return.

A proposal is admissible if it is above the hard floors (capability, budget), keeps within the task's time
limit and still binds.  The admissible ones are scored by `criteria` (cost, time, quality, reliability) with
the reliability of the agent's own record, and ranked by score, lower cost, lower load, id; whoever has
failed at this task before comes last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from concerted.allocation.criteria import Offer, floor_reason, score_offers
from concerted.config.settings import Criteria
from concerted.messages import CounterOffer, Proposal
from concerted.values import AgentId, Instant, Task

__all__ = ["Bidder", "Ranked", "Ranking", "counter_offer", "rank"]


@dataclass(frozen=True, slots=True)
class Bidder:
    """What is known of who proposes.  reliability: by its record, 0..1.  load: 0..1."""

    reliability: float = 0.5
    load: float = 0.0
    capabilities: Mapping[str, float] = field(default_factory=dict)
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class Ranked:
    """An admissible proposal with its score, 0..1."""

    agent: AgentId
    proposal: Proposal
    score: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """best: admissible proposals, best first.  unfit: agent -> why its proposal cannot be accepted.

    mendable: those of them who could propose something that can.
    """

    best: tuple[Ranked, ...] = ()
    unfit: Mapping[AgentId, str] = field(default_factory=dict)
    mendable: tuple[AgentId, ...] = ()


def rank(
    task: Task, proposals: Mapping[AgentId, Proposal], bidders: Mapping[AgentId, Bidder], weights: Criteria,
    duration_s: float, now: Instant,
) -> Ranking:  # fmt: skip
    """Judge the proposals for one task.  duration_s: of a proposal that names none.  O(n log n) in the proposals."""
    offers: dict[AgentId, Offer] = {}
    unfit: dict[AgentId, str] = {}
    mendable: list[AgentId] = []
    for agent in sorted(proposals):
        offer = _offer(task, agent, proposals[agent], bidders[agent], duration_s)
        why = floor_reason(task, offer)
        limit = task.max_duration_s
        if why is None and limit is not None and offer.duration_s > limit:
            why = f"too slow: {offer.duration_s:g} s > {limit:g} s"
        until = proposals[agent].valid_until
        if until is not None and until < now:
            unfit[agent] = "it no longer binds"
        elif why is None:
            offers[agent] = offer
        else:
            unfit[agent] = why
            if why.startswith(("over budget", "too slow")):
                mendable.append(agent)
    scores = dict(zip(offers, score_offers({task.id: task}, list(offers.values()), weights), strict=True))
    order = sorted(
        offers, key=lambda one: (bidders[one].has_failed, -scores[one], offers[one].cost, bidders[one].load, one)
    )
    best = [Ranked(one, proposals[one], scores[one]) for one in order]
    return Ranking(tuple(best), unfit, tuple(mendable))


def counter_offer(
    task: Task, ranking: Ranking, improvement: float, lowest: float | None
) -> tuple[CounterOffer, Sequence[AgentId]] | None:
    """Return what to offer in return and to whom, None if it is time to decide.

    Where nothing is admissible, those who only ask too much or take too long are offered the task's limits.
    Else everybody is asked to undercut the best proposal by the share `improvement`, as long as each round has
    brought the price below `lowest`, the best of the rounds before (None: there were none).
    """
    if not ranking.best:
        if not ranking.mendable:
            return None
        return CounterOffer(cost=task.max_budget, estimated_duration_s=task.max_duration_s), ranking.mendable
    price = min(one.proposal.cost for one in ranking.best)
    if not improvement or not price or (lowest is not None and price >= lowest):
        return None
    asked = sorted([*(one.agent for one in ranking.best), *ranking.mendable])
    return CounterOffer(cost=price * (1.0 - improvement), estimated_duration_s=task.max_duration_s), asked


def _offer(task: Task, agent: AgentId, proposal: Proposal, bidder: Bidder, duration_s: float) -> Offer:
    """Return a proposal as `criteria` reads it; the load decides between equals only."""
    return Offer(
        agent=agent,
        task=task.id,
        cost=proposal.cost,
        duration_s=duration_s if proposal.estimated_duration_s is None else proposal.estimated_duration_s,
        quality=proposal.quality_guarantee,
        reliability=bidder.reliability,
        capabilities=dict(bidder.capabilities),
    )
