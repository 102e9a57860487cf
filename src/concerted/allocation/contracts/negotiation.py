"""Which proposal for a task is best, which cannot be accepted and why, and what to offer in return.

A proposal is admissible if it is above the hard floors (capability, budget, the quality that the task demands), keeps
within the task's time limit, can still be done by when it says, and in time, and still binds.
The admissible ones are scored by `criteria` (cost, time until it is done, quality, reliability) with the reliability of
the agent's own record, and ranked by score, lower cost, lower load, id; whoever has failed at this task before comes
last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from concerted.allocation.contracts.contract import SLACK_S, times_of
from concerted.allocation.criteria import Offer, floor_reason, score_offers
from concerted.config.settings import Criteria
from concerted.messages import CounterOffer, Proposal
from concerted.values import AgentId, Instant, Task

__all__ = ["Bidder", "Ranked", "Ranking", "Times", "counter_offer", "rank"]

MENDABLE = ("over budget", "too slow", "too late")  # what a proposal is unfit for and another one need not be


@dataclass(frozen=True, slots=True)
class Times:
    """When proposals are judged.  duration_s: of one that names none.  due_at: by when the task must be done."""

    now: Instant
    duration_s: float
    due_at: Instant | None = None


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
    times: Times,
) -> Ranking:  # fmt: skip
    """Judge the proposals for one task.  O(n log n) in the proposals."""
    offers: dict[AgentId, Offer] = {}
    unfit: dict[AgentId, str] = {}
    mendable: list[AgentId] = []
    for agent in sorted(proposals):
        proposal = proposals[agent]
        offer = _offer(task, agent, proposal, bidders[agent], times)
        why = floor_reason(task, offer) or _why_unfit(task, proposal, times)
        if proposal.valid_until is not None and proposal.valid_until < times.now:
            unfit[agent] = "it no longer binds"
        elif why is None:
            offers[agent] = offer
        else:
            unfit[agent] = why
            if why.startswith(MENDABLE):
                mendable.append(agent)
    scores = dict(zip(offers, score_offers({task.id: task}, list(offers.values()), weights), strict=True))
    order = sorted(
        offers, key=lambda one: (bidders[one].has_failed, -scores[one], offers[one].cost, bidders[one].load, one)
    )
    best = [Ranked(one, proposals[one], scores[one]) for one in order]
    return Ranking(tuple(best), unfit, tuple(mendable))


def _why_unfit(task: Task, proposal: Proposal, times: Times) -> str | None:
    """Say why a proposal that is above the floors cannot be accepted: its times, or the quality that it promises."""
    start, end, takes_s = times_of(proposal, times.duration_s, times.now)
    limit, due = task.max_duration_s, times.due_at
    if limit is not None and takes_s > limit:
        return f"too slow: {takes_s:g} s > {limit:g} s"
    if proposal.end_at is not None and start + (proposal.estimated_duration_s or 0.0) > end + SLACK_S:
        return f"too late: it cannot be done by its own end_at any more, {end:g}"
    if due is not None and end > due and (proposal.start_at is not None or proposal.end_at is not None):
        return f"too late: done at {end:g}, and due at {due:g}"
    for name, least in sorted(task.quality_metrics.items()):
        level = proposal.quality_metrics.get(name, least)
        if level < least:
            return f"quality metric {name} {level:g} < {least:g}"
    return None


def counter_offer(
    task: Task, ranking: Ranking, improvement: float, lowest: float | None, due_at: Instant | None = None
) -> tuple[CounterOffer, Sequence[AgentId]] | None:
    """Return what to offer in return and to whom, None if it is time to decide.

    Where nothing is admissible, those who only ask too much or take too long are offered the task's limits.
    Else everybody is asked to undercut the best proposal by the share `improvement`, as long as each round has
    brought the price below `lowest`, the best of the rounds before (None: there were none).  due_at: by when the task
    must be done.
    """
    if not ranking.best:
        if not ranking.mendable:
            return None
        limits = CounterOffer(cost=task.max_budget, estimated_duration_s=task.max_duration_s, end_at=due_at)
        return limits, ranking.mendable
    price = min(one.proposal.cost for one in ranking.best)
    if not improvement or not price or (lowest is not None and price >= lowest):
        return None
    asked = sorted([*(one.agent for one in ranking.best), *ranking.mendable])
    wanted = price * (1.0 - improvement)
    return CounterOffer(cost=wanted, estimated_duration_s=task.max_duration_s, end_at=due_at), asked


def _offer(task: Task, agent: AgentId, proposal: Proposal, bidder: Bidder, times: Times) -> Offer:
    """Return a proposal as `criteria` reads it: its time is that until it is done; load decides between equals only."""
    _, end, takes_s = times_of(proposal, times.duration_s, times.now)
    is_at_once = proposal.start_at is None and proposal.end_at is None
    return Offer(
        agent=agent,
        task=task.id,
        cost=proposal.cost,
        duration_s=takes_s if is_at_once else max(0.0, end - times.now),
        quality=proposal.quality_guarantee,
        reliability=bidder.reliability,
        capabilities=dict(bidder.capabilities),
    )
