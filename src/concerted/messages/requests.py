"""The requests: everything that a coordinator may say to an agent, and what is answered.

A *request* is a frozen struct whose class is its type (`RequestBid` travels as `REQUEST_BID`); whoever
needs a type of their own uses `Custom`.  A request that is a *notice* expects no reply.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from concerted.values import AgentId, Instant, Objective, Task, TaskId

__all__ = [
    "AgreeToContract", "AnnounceAuction", "AssumeLeadership", "AuctionClosed", "Average", "Bid", "Bids",
    "CallForProposals", "CancelTask", "CheckProgress", "Claims", "CoalitionChanged", "ContractAcceptance",
    "ContractEnded", "ContractTerms", "CounterOffer", "Custom", "DecomposeObjective", "ExecuteTask", "FindTrip",
    "FollowLeader", "GetCapabilities", "GetStatus", "Judge", "Judgement", "NotUnderstood", "PenaltyClauses",
    "Proposal", "ProposeDivision", "RejectProposal", "Request", "RequestBid", "RequestDivision", "RequestVote",
    "ShareOut", "ValueCoalitions",
]  # fmt: skip


def _screaming(name: str) -> str:
    """RequestBid -> REQUEST_BID, as the specification spells its message types."""
    return "".join("_" + c if c.isupper() and i else c for i, c in enumerate(name)).upper()


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=_screaming):
    """The root of everything a coordinator may say to an agent."""

    notice: ClassVar[bool] = False  # a notice expects no reply


class GetStatus(Request, frozen=True):
    """How are you?  Answer: AgentStatus."""


class GetCapabilities(Request, frozen=True):
    """What can you do?  Answer: {capability: level 0..1}; the engine caches it."""


class AnnounceAuction(Request, frozen=True):
    """Notice: an auction has opened (the specification's announcement); bids are asked for separately."""

    notice: ClassVar[bool] = True
    auction: str
    tasks: tuple[TaskId, ...]
    closes_at: Instant


class RequestBid(Request, frozen=True):
    """What would you do these tasks for?  Answer: Bids, at most `max_bids` of them; none is a refusal."""

    auction: str
    tasks: tuple[Task, ...]
    closes_at: Instant
    max_bids: int = 32


class AuctionClosed(Request, frozen=True):
    """Notice: who won what.  awards: task -> winner; a bidder not named has lost."""

    notice: ClassVar[bool] = True
    auction: str
    awards: dict[TaskId, AgentId]


class ExecuteTask(Request, frozen=True):
    """Do this task now.  Answer: the result, any JSON value.

    epoch: that of the claim, strictly growing per task; a resource that keeps the highest it has seen
    can refuse whoever held the task before.  lease_s: the claim is lost if no heartbeat renews it for
    so long.  results: task -> result, of the tasks this one comes after.
    """

    task: Task
    epoch: int
    lease_s: float
    results: dict[TaskId, Any] = {}


class CancelTask(Request, frozen=True):
    """Notice: stop working on this; a result would be refused."""

    notice: ClassVar[bool] = True
    task: TaskId
    epoch: int
    reason: str = ""


class AssumeLeadership(Request, frozen=True):
    """Lead these followers.  done: task -> result, finished under an earlier leader.  Answer: anything."""

    term: int
    followers: tuple[AgentId, ...]
    objective: Objective
    done: dict[TaskId, Any] = {}


class FollowLeader(Request, frozen=True):
    """Follow this leader; refuse whoever comes with a lower term.  Answer: anything."""

    term: int
    leader: AgentId
    objective: Objective


class DecomposeObjective(Request, frozen=True):
    """To a leader: which tasks does this objective come to?  Answer: [Task]."""

    term: int
    objective: Objective


class CheckProgress(Request, frozen=True):
    """To a leader: this is where the tasks stand.  Answer: {task: agent} to assign the ready ones.

    ready: tasks that may be assigned.  loads: agent -> tasks it holds now.  free: agent -> further
    tasks it may be given.  capabilities: agent -> its levels; one not named is taken to be able.  An
    agent without a say of its own assigns by capability and load.
    """

    term: int
    ready: tuple[Task, ...]
    loads: dict[AgentId, int]
    free: dict[AgentId, int]
    done: tuple[TaskId, ...] = ()
    capabilities: dict[AgentId, dict[str, float]] = {}


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent thinks of who wins what, in an auction without an auctioneer.

    step: of its turns.  claims: task -> who wins it, and for how much.  heard: agent -> how new it knows it to be.
    bundle: what it has taken itself, in this order.
    """

    agent: AgentId
    step: int = 0
    claims: dict[TaskId, tuple[AgentId, float]] = {}
    heard: dict[AgentId, int] = {}
    bundle: tuple[TaskId, ...] = ()


class ShareOut(Request, frozen=True):
    """It is your turn: who wins which of these tasks, now that you have heard of these?  Answer: Claims.

    worth: task -> what it is worth to you by your bid.  most: how many you may take.  own: what you said last.  told:
    what neighbours have said since.  gone: who takes part no more.
    """

    auction: str
    round: int
    tasks: tuple[TaskId, ...]
    worth: dict[TaskId, float]
    most: int
    own: Claims | None = None
    told: tuple[Claims, ...] = ()
    gone: tuple[AgentId, ...] = ()


class FindTrip(Request, frozen=True):
    """Look for a short round trip: let ants run so many rounds on this board.  Answer: the stops, by number, in order.

    One of points and distances is given.  board: the trails, and the best trip so far.  seed: of the ants' dice.
    """

    round: int
    board: dict[str, Any]
    points: list[list[float]] | None = None
    distances: list[list[float]] | None = None
    seed: int = 0
    rounds: int = 1


class Average(Request, frozen=True):
    """Your number is `own`; what is your next one, now that you have heard of these?  Answer: a list as long as own.

    weights: how far to move towards each; none: add up all that was heard, as push-sum does.
    """

    round: int
    own: list[float]
    heard: dict[str, list[float]]
    weights: dict[str, float] | None = None


class RequestVote(Request, frozen=True):
    """Would you accept this candidate?  Answer: {granted: bool, reason: str}."""

    term: int
    candidate: AgentId
    question: str = ""


class PenaltyClauses(msgspec.Struct, frozen=True, kw_only=True):
    """What a breach of contract costs, in shares of its price.

    late: for taking twice the promised time, and in proportion for less or more.  failure: for not delivering.
    decommitment: for whoever withdraws, contractor or manager.  cap: the most that one contract costs in penalties.
    """

    late: float = 0.1
    failure: float = 0.5
    decommitment: float = 0.2
    cap: float = 0.5


class CounterOffer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would be accepted: at most this cost and duration, at least this quality, done by then; None: as before."""

    cost: float | None = None
    estimated_duration_s: float | None = None
    quality_guarantee: float | None = None
    end_at: Instant | None = None


class Proposal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent's answer to CALL_FOR_PROPOSALS; it binds whoever makes it until `valid_until` (None: until rejected).

    cost: in the unit of budgets.  estimated_duration_s: how long the work takes; None is the time from `start_at` to
    `end_at`, or the call's contract_duration_s.  start_at: when it can begin, None: at once.  end_at: by when it will
    be done, None: `estimated_duration_s` after it begins.  deliverables: keys that the result will have.
    quality_guarantee: level 0..1.  quality_metrics: name -> level 0..1 that the result will show under
    `quality_metrics`.  subtasks: what others are to do first, under contracts of its own; it gets
    their results.  cfp: which call this answers, '' is the one it was an answer to.
    """

    cost: float
    estimated_duration_s: float | None = None
    quality_guarantee: float = 1.0
    deliverables: tuple[str, ...] = ()
    quality_metrics: dict[str, float] = {}
    valid_until: Instant | None = None
    start_at: Instant | None = None
    end_at: Instant | None = None
    subtasks: tuple[Task, ...] = ()
    cfp: str = ""


class ContractTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What manager and contractor have agreed on.

    start_at: the work is ordered then and not before.  end_at: by when it is promised; later is late.  duration_s: how
    long it takes, by which lateness is measured.  binds_until: when the contract has failed.
    """

    task: TaskId
    contractor: AgentId
    manager: AgentId
    cost: float
    duration_s: float
    start_at: Instant
    end_at: Instant
    binds_until: Instant
    quality_guarantee: float = 1.0
    deliverables: tuple[str, ...] = ()
    quality_metrics: dict[str, float] = {}
    penalty_clauses: PenaltyClauses = PenaltyClauses()


class CallForProposals(Request, frozen=True):
    """What would you do this task for, until `reply_by`?  Answer: Proposal, or a refusal.

    issuer: the manager.  round: 0 is the first call, a later one asks those again who have proposed; their earlier
    proposal stands if they refuse.  counter: what would be accepted.  evaluation_criteria: criterion -> weight.
    penalty_clauses: part of every contract that comes of it.  due_at: by when the task must be done.
    """

    cfp: str
    issuer: AgentId
    task: Task
    reply_by: Instant
    contract_duration_s: float
    round: int = 0
    budget: float | None = None
    evaluation_criteria: dict[str, float] = {}
    penalty_clauses: PenaltyClauses = PenaltyClauses()
    counter: CounterOffer | None = None
    due_at: Instant | None = None


class RejectProposal(Request, frozen=True):
    """Notice: no contract will come of this call, with this agent; its proposal no longer binds it."""

    notice: ClassVar[bool] = True
    cfp: str
    task: TaskId
    reason: str


class ContractAcceptance(Request, frozen=True):
    """Your proposal is accepted on these terms.  Answer: {accepted: bool, reason: str}; the work is ordered next."""

    contract: str
    cfp: str
    terms: ContractTerms


class ContractEnded(Request, frozen=True):
    """Notice: how a contract was settled.  balance: what the contractor has come to, penalties deducted."""

    notice: ClassVar[bool] = True
    contract: str
    task: TaskId
    status: Literal["completed", "failed", "cancelled", "decommitted"]
    balance: float
    penalties: dict[str, float] = {}
    reason: str = ""


class NotUnderstood(Request, frozen=True):
    """Notice: your answer about this call or contract was not one that could come then; it has changed nothing."""

    notice: ClassVar[bool] = True
    about: str
    reason: str


class Judge(Request, frozen=True):
    """What do you think of this proposal?  Answer: Judgement, or its choice alone; there is no default.

    rule: in words.  opening_digest: what a signature covers, besides the ballot.  group: the replicas that keep the
    decision, if any do, as `concerted.replicas.spec.Group`: the kit casts the ballot with them as well.
    """

    decision: str
    question: str
    proposal: Any = None
    options: tuple[str, ...] = ()
    rule: str = ""
    opening_digest: str = ""
    closes_at: Instant | None = None
    group: dict[str, Any] | None = None


class ValueCoalitions(Request, frozen=True):
    """What is each of these coalitions worth for this task?  Answer: a finite number for each, in their order."""

    task: Task
    coalitions: tuple[tuple[AgentId, ...], ...]


class ProposeDivision(Request, frozen=True):
    """Would you do the task for this share?  Answer: {accepted: bool, share: the least you would take}."""

    coalition: str
    task: Task
    shares: dict[AgentId, float]
    alone: dict[AgentId, float]  # what each has without the others: by default at least that is accepted
    round: int


class RequestDivision(Request, frozen=True):
    """It is your turn to propose: how is the total to be divided?  Answer: {agent: share}, which sum to it."""

    coalition: str
    task: Task
    total: float
    suggestion: dict[AgentId, float]  # what nobody has a reason to refuse; proposed by default
    alone: dict[AgentId, float]
    round: int


class AgreeToContract(Request, frozen=True):
    """Will you be in this coalition on these terms?  Answer: {agreed: bool}; all must agree."""

    coalition: str
    task: Task
    members: tuple[AgentId, ...]
    shares: dict[AgentId, float]
    roles: dict[AgentId, str]
    leader: AgentId
    channel: str  # the name of the members' channel, for `session.channel`
    valid_until: Instant | None = None
    exit_penalty: float = 0.0  # of its share: what a member owes the others who walks away
    parts: dict[AgentId, float] = {}  # of each one's capacity, where coalitions overlap


class CoalitionChanged(Request, frozen=True):
    """Notice to the members: how their coalition has ended, what each is paid, and what exits have cost whom."""

    notice: ClassVar[bool] = True
    coalition: str
    status: str
    reason: str = ""
    payments: dict[AgentId, float] = {}
    penalties: dict[AgentId, float] = {}  # of those who have walked away
    compensation: dict[AgentId, float] = {}  # what the others get of these


class Custom(Request, frozen=True):
    """A request of the user's own: `name` is its type on the wire."""

    name: str
    data: Any = None


class Bid(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One agent's offer for one task.  cost in the unit of budgets, quality_score 0..1.

    also: further tasks; then the offer is for all of them together or none.  xor: of an agent's offers with the same
    word at most one can win.  Both count under `award: combinatorial` alone.  size: how much of the agent's capacity
    it takes, at least 1 for each task; it counts there and under `award: generalised`.  valid_until: how long it
    binds; None: until the task is decided.
    """

    task: TaskId
    cost: float
    estimated_duration_s: float
    quality_score: float = 1.0
    also: tuple[TaskId, ...] = ()
    xor: str = ""
    size: float | None = None
    valid_until: Instant | None = None


class Bids(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's answer to REQUEST_BID: its offers, what it can do, how busy it is (tasks held)."""

    bids: tuple[Bid, ...] = ()
    capabilities: dict[str, float] = {}
    reliability: float = 1.0
    load: float = 0.0
    reason: str = ""


class Judgement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent's answer to JUDGE.  choice: one of the options, `reject` or `abstain`."""

    choice: str
    reason: str = ""
    signature: str | None = None
