"""What the rounds of an auction came to: the newest result of each task, with its bids and, on request, the reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from concerted.allocation.criteria import Offer, explain_score, floor_reason, why_lost
from concerted.board.task import TaskState
from concerted.config.settings import Auction
from concerted.values import AgentId, Instant, Task, TaskId

__all__ = [
    "AuctionRecord",
    "AuctionResult",
    "BidRecord",
    "Execution",
    "Found",
    "Owed",
    "PaymentRecord",
    "Round",
    "Sales",
    "Told",
]

BIDS_SHOWN = 2_000  # bids of one run that its result repeats; the others are in the log


class BidRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bid.  score: 0..1, below 0 if a floor rules it out; where money decides, what is gained by it.

    tasks: if it is for several together, and so is its cost.  valid_until: if it does not bind for ever.  parts: what
    each component adds to the score; reason: why it did not win.  Both on request, but for a bid that has run out.
    """

    bidder: AgentId
    cost: float
    estimated_duration_s: float
    quality_score: float
    score: float
    tasks: tuple[TaskId, ...] = ()
    valid_until: Instant | None = None
    parts: dict[str, float] | None = None
    reason: str = ""


class AuctionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one task fared in the last round in which it was sold, or else offered.

    bid_count: how many bids; all_bids: those bids, best first.  no_bids: who was asked and did not bid, and
    why; on request.  status: where the best bids of a round are searched for, whether what was found is proved to be
    the best.
    """

    task_id: TaskId
    winner_id: AgentId | None
    auction_time: Instant
    success: bool
    winning_bid: BidRecord | None = None
    bid_count: int = 0
    all_bids: tuple[BidRecord, ...] = ()
    no_bids: dict[AgentId, str] = {}
    reason: str = ""
    status: Literal["", "optimal", "feasible"] = ""


class Execution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the work on a task that was sold ended; the result itself is in the outcome's `tasks`."""

    task_id: TaskId
    agent_id: AgentId
    success: bool
    reason: str = ""


class PaymentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent was promised for tasks that it won together, and why so much.  due: it has done all of them."""

    agent_id: AgentId
    tasks: tuple[TaskId, ...]
    amount: float
    reason: str
    due: bool


class AuctionResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of a run.  auction_results, execution_results: one for each task that was offered, that was begun.

    payments: of auctions in which it is not simply what was bid for a single task, the newest for each task.
    """

    tasks_completed: int
    total_tasks: int
    rounds: int
    auction_results: tuple[AuctionRecord, ...]
    execution_results: tuple[Execution, ...]
    payments: tuple[PaymentRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Owed:
    """What a winner is owed if it does these tasks, and why so much."""

    agent: AgentId
    tasks: tuple[TaskId, ...]
    amount: float
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found: what its whole is worth, and what it cannot be more than.  optimal: that is the same."""

    status: Literal["optimal", "feasible"]
    value: float
    bound: float


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of an offer: the tasks of its bid, the parts of its score, and why it has lost, '' if it has won."""

    tasks: tuple[TaskId, ...]
    parts: dict[str, float]
    reason: str


@dataclass(frozen=True, slots=True)
class Round:
    """One round, closed.  scores: one for each offer.  silent: who was asked and has not bid at all, and why.

    told: one for each offer, where it does not follow from the offers for the same task.
    """

    at: Instant
    tasks: Mapping[TaskId, Task]
    offers: Sequence[Offer]
    scores: Sequence[float]
    awards: Mapping[TaskId, Offer]
    unsold: Mapping[TaskId, str]
    silent: Mapping[AgentId, str]
    told: Sequence[Told] = ()
    owed: Sequence[Owed] = ()
    found: Found | None = None


class _Entry(NamedTuple):
    """An offer with its score."""

    score: float
    offer: Offer
    told: Told | None


class Sales:
    """The results of one run's auctions.  with_reasons: also score parts, and why others did not win or bid."""

    def __init__(self, rules: Auction, with_reasons: bool) -> None:
        self._rules = rules
        self._with_reasons = with_reasons
        self._records: dict[TaskId, AuctionRecord] = {}
        self._owed: dict[TaskId, Owed] = {}
        self._bids_left = BIDS_SHOWN
        self.rounds = 0

    def remember(self, closed: Round) -> None:
        """Take what a round came to, in place of what earlier ones came to for the same tasks.

        Beyond the bound on bids, a round in which a task was not sold is not worth remembering.
        """
        self.rounds += 1
        by_task: dict[TaskId, list[_Entry]] = {task: [] for task in closed.tasks}
        told: Sequence[Told | None] = closed.told or [None] * len(closed.offers)
        for offer, score, one in zip(closed.offers, closed.scores, told, strict=True):
            by_task[offer.task].append(_Entry(score, offer, one))
        self._owed |= {task: one for one in closed.owed for task in one.tasks}
        show = len(closed.offers) <= self._bids_left
        if show:
            self._bids_left -= len(closed.offers)
        for task, bids in by_task.items():
            if show or task in closed.awards or task not in self._records:
                self._records[task] = self._record(closed, closed.tasks[task], bids, show)

    def result(self, states: Mapping[TaskId, TaskState]) -> AuctionResult:
        """Return what it all came to.  states: of all tasks of the run."""
        return AuctionResult(
            tasks_completed=sum(state.status == "done" for state in states.values()),
            total_tasks=len(states),
            rounds=self.rounds,
            auction_results=tuple(self._records[task] for task in states if task in self._records),
            execution_results=tuple(
                Execution(
                    task_id=state.id,
                    agent_id=state.agent,
                    success=state.status == "done",
                    reason=state.reason or "",
                )
                for state in states.values()
                if state.agent is not None
            ),
            payments=self._payments(states),
        )

    def _payments(self, states: Mapping[TaskId, TaskState]) -> tuple[PaymentRecord, ...]:
        """Return what was promised last for each task; it is due if all of it was done by whom it was promised to."""
        newest = list(dict.fromkeys(self._owed[task] for task in states if task in self._owed))
        return tuple(
            PaymentRecord(
                agent_id=one.agent,
                tasks=one.tasks,
                amount=one.amount,
                reason=one.why,
                due=all(
                    self._owed[task] is one and (states[task].status, states[task].agent) == ("done", one.agent)
                    for task in one.tasks
                ),
            )
            for one in newest
        )

    def _record(self, closed: Round, task: Task, bids: Sequence[_Entry], show: bool) -> AuctionRecord:
        winner = closed.awards.get(task.id)
        peers = [bid.offer for bid in bids]
        shown = sorted(bids, key=_best_first) if show else []
        return AuctionRecord(
            task_id=task.id,
            winner_id=None if winner is None else winner.agent,
            winning_bid=next((self._bid(task, bid, peers, winner) for bid in bids if bid.offer is winner), None),
            bid_count=len(bids),
            all_bids=tuple(self._bid(task, bid, peers, winner) for bid in shown),
            no_bids=self._no_bids(closed, peers) if show and self._with_reasons else {},
            auction_time=closed.at,
            success=winner is not None,
            reason=closed.unsold.get(task.id, ""),
            status="" if closed.found is None else closed.found.status,
        )

    def _bid(self, task: Task, bid: _Entry, peers: Sequence[Offer], winner: Offer | None) -> BidRecord:
        offer, told = bid.offer, bid.told
        parts, reason = self._reasons(task, bid, peers, winner) if self._with_reasons else (None, "")
        if offer.is_expired:
            reason = floor_reason(task, offer) or ""
        return BidRecord(
            bidder=offer.agent,
            cost=offer.cost,
            estimated_duration_s=offer.duration_s,
            quality_score=offer.quality,
            score=bid.score,
            tasks=told.tasks if told is not None and len(told.tasks) > 1 else (),
            valid_until=offer.valid_until,
            parts=parts,
            reason=reason,
        )

    def _reasons(
        self, task: Task, bid: _Entry, peers: Sequence[Offer], winner: Offer | None
    ) -> tuple[dict[str, float], str]:
        """Return what each component adds to a score, and why the bid did not win."""
        if bid.told is not None:
            return bid.told.parts, bid.told.reason
        offer, criteria, mode = bid.offer, self._rules.evaluation_criteria, self._rules.mode
        won_by = None if winner is None else winner.agent
        lost = offer.agent != won_by
        why = why_lost(task, offer.agent, peers, won_by, criteria, mode) if lost else ""
        return explain_score(task, offer, peers, criteria, mode).parts, why

    def _no_bids(self, closed: Round, peers: Sequence[Offer]) -> dict[AgentId, str]:
        bidders = {offer.agent for offer in peers}
        others = dict.fromkeys(sorted({offer.agent for offer in closed.offers} - bidders), "it bid on other tasks only")
        return {**closed.silent, **others}


def _best_first(bid: _Entry) -> tuple[float, float, float, AgentId]:
    return -bid.score, bid.offer.cost, bid.offer.load, bid.offer.agent
