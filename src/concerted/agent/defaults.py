"""How an agent answers what it has no function of its own for: from its profile and its load, nothing else.

What is repeated is simply answered again: no answer has an effect, but for those about the replicas beside the
agent, which are then as they were to be already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from concerted.agent.abilities import ANY, Abilities
from concerted.agent.work import Refused
from concerted.allocation.market.gossip import take_turn
from concerted.messages import (
    AgreeToContract,
    AssumeLeadership,
    Average,
    Bid,
    Bids,
    CallForProposals,
    CheckProgress,
    ContractAcceptance,
    DecomposeObjective,
    DismissReplica,
    FindTrip,
    FollowLeader,
    GetCapabilities,
    GetStatus,
    HostReplica,
    PrepareReplica,
    Proposal,
    ProposeDivision,
    Request,
    RequestBid,
    RequestDivision,
    RequestVote,
    ShareOut,
    request_type,
)
from concerted.swarm.averaging import average
from concerted.swarm.pheromones import explore
from concerted.values import AgentId, Profile, Task, TaskId

__all__ = ["NOMINAL_S", "assign", "bids", "default_answer", "propose"]

NOMINAL_S = 60.0  # how long a task without a time limit is taken to last, in bids


def default_answer(agent: Abilities, request: Request, now: float) -> Any:
    """Answer a request as any agent with this profile and load would.

    now: for the timestamp of a status and for how long a bid binds, seconds since the epoch.

    Raises:
        Refused: there is no default for a request of this type.
    """
    answer = _ANSWERS.get(type(request))
    if answer is None:
        raise Refused(f"agent {agent.id} has no function for {request_type(request)}")
    return answer(agent, request, now)


def bids(agent: Abilities, request: RequestBid, now: float = 0.0) -> Bids:
    """Bid on the tasks that the agent is able and allowed to do, the urgent ones first, at most `max_bids`.

    A task is left out if a required capability is missing or too low, the agent has no function for its
    kind, it is meant for somebody else, or it would cost more than its budget.  cost = profile.cost (1 +
    load); duration = nominal / speed (1 + load); quality = mean level over the required capabilities.
    Where there are more tasks of one priority than bids, each agent begins at a place of its own, given by
    its id, so that a fleet does not bid on the same few.  They bind for `profile.bid_validity_s` from now.
    Cost: O(max_bids) when it is able to do all.
    """
    profile = agent.profile
    able, cost = profile.capabilities, profile.cost * (1.0 + agent.load)
    stretch = (1.0 + agent.load) / profile.speed
    does_any, kinds = ANY in agent.tasks, agent.tasks
    found: list[Bid] = []
    for task in _from_own_place(profile.id, _by_priority.of(request)):
        if len(found) >= request.max_bids:
            break
        if not (does_any or task.kind in kinds) or (task.agent is not None and task.agent != profile.id):
            continue
        if task.max_budget is not None and cost > task.max_budget:
            continue
        quality = 1.0
        if task.required_capabilities:
            if not _meets(able, task.required_capabilities):
                continue
            quality = sum(able[name] for name in task.required_capabilities) / len(task.required_capabilities)
        nominal_s = NOMINAL_S if task.max_duration_s is None else task.max_duration_s
        found.append(
            Bid(
                task=task.id, cost=cost, estimated_duration_s=nominal_s * stretch, quality_score=quality,
                valid_until=None if profile.bid_validity_s is None else now + profile.bid_validity_s,
            )
        )  # fmt: skip
    return Bids(
        bids=tuple(found),
        capabilities=able,
        reliability=able.get("reliability", 1.0),
        load=float(agent.held),
        reason="" if found else _why_none(agent, request),
    )


def propose(agent: Abilities, request: CallForProposals, now: float = 0.0) -> Proposal:
    """Propose what would be bid on this task alone; a bid is at cost, so there is nothing to come down from.

    Raises:
        Refused: it would not bid, or a counter-offer is below its cost.
    """
    offered = RequestBid(auction=request.cfp, tasks=(request.task,), closes_at=request.reply_by)
    answer = bids(agent, offered, now)
    if not answer.bids:
        raise Refused(answer.reason)
    (bid,) = answer.bids
    wanted = None if request.counter is None else request.counter.cost
    if wanted is not None and bid.cost > wanted:
        raise Refused(f"it does this for {bid.cost:g} and not for less")
    return Proposal(
        cost=bid.cost,
        estimated_duration_s=bid.estimated_duration_s,
        quality_guarantee=bid.quality_score,
        valid_until=bid.valid_until,
        cfp=request.cfp,
    )


def assign(request: CheckProgress) -> dict[TaskId, AgentId]:
    """Give each ready task to who fits it best: highest mean level of what it requires, then least load, then id.

    An agent gets at most `free` tasks.  A task that nobody free is able to do is left out.  Tasks are taken
    by priority, then in the order given.  Cost: O(ready x free).
    """
    free = {agent: count for agent, count in sorted(request.free.items()) if count > 0}
    loads = dict(request.loads)
    assigned: dict[TaskId, AgentId] = {}
    for task in sorted(request.ready, key=lambda task: -task.priority):
        best: tuple[float, int, AgentId] | None = None
        for agent in free:
            levels = request.capabilities.get(agent)
            if task.agent not in (None, agent) or (
                levels is not None and not _meets(levels, task.required_capabilities)
            ):
                continue
            needed = [] if levels is None else [levels.get(name, 0.0) for name in task.required_capabilities]
            fit = sum(needed) / len(needed) if needed else 1.0
            rank = (-fit, loads.get(agent, 0), agent)
            if best is None or rank < best:
                best = rank
        if best is None:
            continue
        agent = assigned[task.id] = best[2]
        loads[agent] = loads.get(agent, 0) + 1
        free[agent] -= 1
        if free[agent] == 0:
            del free[agent]
    return assigned


def _meets(levels: Mapping[str, float], required: Mapping[str, float]) -> bool:
    """Say whether every requirement is met; a capability required at level 0 must still be there."""
    return all(levels.get(name, -1.0) >= level for name, level in required.items())


def _why_none(agent: Abilities, request: RequestBid) -> str:
    if not request.tasks:
        return "no tasks were offered"
    if not agent.tasks:
        return "it has no task functions"
    return "no offered task fits its kinds, capabilities and price"


class _ByPriority:
    """The tasks of one request, grouped by priority, highest first; kept for the next agent with the same request."""

    def __init__(self) -> None:
        self._request: RequestBid | None = None
        self._groups: list[Sequence[Task]] = []

    def of(self, request: RequestBid) -> list[Sequence[Task]]:
        """Group the tasks; O(1) for the request of the last call."""
        if request is not self._request:
            groups: dict[int, list[Task]] = {}
            for task in request.tasks:
                groups.setdefault(task.priority, []).append(task)
            self._request, self._groups = request, [groups[level] for level in sorted(groups, reverse=True)]
        return self._groups


_by_priority = _ByPriority()


def _from_own_place(agent: AgentId, groups: list[Sequence[Task]]) -> Iterator[Task]:
    """Yield all tasks, each group from a place that the agent's id gives, the same in every process."""
    place = int.from_bytes(hashlib.blake2b(agent.encode(), digest_size=8).digest(), "big")
    for tasks in groups:
        start = place % len(tasks)
        for index in range(start, start + len(tasks)):
            yield tasks[index - len(tasks)]


def _capabilities(profile: Profile) -> dict[str, float]:
    return dict(profile.capabilities)


def _is_enough(agent: Abilities, request: ProposeDivision) -> bool:
    """Say whether an agent's share is at least what it has alone, but for rounding."""
    alone = request.alone.get(agent.id, 0.0)
    return request.shares.get(agent.id, 0.0) >= alone - 1e-9 * max(1.0, abs(alone))


def _accepted(_agent: Abilities, request: Any, _now: float) -> dict[str, Any]:
    return {"accepted": True, "term": request.term}


_ANSWERS: dict[type[Request], Callable[[Abilities, Any, float], Any]] = {
    GetStatus: lambda agent, _request, now: agent.status(now),
    PrepareReplica: lambda agent, request, _now: agent.hosted.prepare(request),
    HostReplica: lambda agent, request, _now: agent.hosted.host(request),
    DismissReplica: lambda agent, request, _now: agent.hosted.dismiss(request),
    GetCapabilities: lambda agent, _request, _now: _capabilities(agent.profile),
    RequestBid: bids,
    RequestVote: lambda _agent, _request, _now: {"granted": True, "reason": ""},
    AssumeLeadership: _accepted,
    FollowLeader: _accepted,
    DecomposeObjective: lambda _agent, request, _now: request.objective.tasks,
    CheckProgress: lambda _agent, request, _now: assign(request),
    FindTrip: lambda _agent, request, _now: explore(
        request.board, request.points, request.distances, request.seed, request.rounds
    ),
    ShareOut: lambda agent, request, _now: take_turn(agent.profile.id, request),
    Average: lambda _agent, request, _now: average(request.own, request.heard, request.weights),
    ProposeDivision: lambda agent, request, _now: {"accepted": _is_enough(agent, request)},
    RequestDivision: lambda _agent, request, _now: request.suggestion,
    AgreeToContract: lambda _agent, _request, _now: {"agreed": True},
    CallForProposals: propose,
    ContractAcceptance: lambda _agent, _request, _now: {"accepted": True, "reason": ""},
}
