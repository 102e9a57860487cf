"""The auction: sealed bids for all ready tasks at once, one round of messages after the other.

    announce -> request bids -> score -> award -> execute -> (free room, new tasks) -> next round

    open --bids--> awarded --done--> done
    awarded --refused, lost, timed out--> next best bidder of the round --nobody--> open
    awarded --failed--> open (an attempt less) | failed
    open --nobody bids, `retries` + 1 times--> failed

Everybody with room is asked once a round for bids on all tasks offered; the round closes when all have
answered or at `bidding_timeout`.  By default the awards are the best assignment of the round (most
tasks, then highest score); `award: sequential` gives the tasks one by one to their best bid.  Ties break
by score, lower cost, lower load, agent id.

Source: first-price sealed-bid auction; McAfee & McMillan 1987, "Auctions and Bidding", section II.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from concerted.allocation.criteria import Offer, explain_score, score_offers
from concerted.allocation.mechanisms import clear, ranking
from concerted.config.settings import Auction
from concerted.errors import TimedOut
from concerted.messages import AnnounceAuction, AuctionClosed, Bids, Reply, RequestBid
from concerted.run import Replies, Run
from concerted.strategies.tasks import Workshop, find_tasks, open_workshop
from concerted.values import AgentId, Instant, Outcome, Task, TaskId, encode

__all__ = ["AuctionRecord", "AuctionResult", "BidRecord", "coordinate"]

BIDS_SHOWN = 2_000  # bids of one run that its result repeats; all of them are in the log
OFFERED_PER_ROOM = 4  # tasks offered for each place that is free, so that every bidder has a choice
LEAST_OFFERED = 64
RECORDS_KEPT = 10_000  # auction_results of one run; the older ones are in the log


class BidRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bid.  score 0..1, below 0 if a floor rules it out; parts: score by component, on request."""

    bidder: AgentId
    cost: float
    estimated_duration_s: float
    quality_score: float
    score: float
    parts: dict[str, float] | None = None


class AuctionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one task fared in one round.  bid_count: how many bids; all_bids: those bids, best first."""

    task_id: TaskId
    winner_id: AgentId | None
    auction_time: Instant
    success: bool
    winning_bid: BidRecord | None = None
    bid_count: int = 0
    all_bids: tuple[BidRecord, ...] = ()
    reason: str = ""


class AuctionResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run.  auction_results: one for each task and round in which it was offered."""

    tasks_completed: int
    total_tasks: int
    rounds: int
    auction_results: tuple[AuctionRecord, ...]


async def coordinate(run: Run) -> Outcome:
    """Auction the tasks of the objective until each is done or given up."""
    timed_out = False
    async with open_workshop(run) as shop:
        market = Market(run, shop)
        try:
            async with run.deadline():
                shop.add(await find_tasks(run))
                await market.clear_all()
        except TimedOut:
            timed_out = True
    return shop.outcome(market.result(), timed_out=timed_out)


class Market:
    """The auctioneer of one run."""

    def __init__(self, run: Run, shop: Workshop) -> None:
        self.run = run
        self.shop = shop
        self.rules: Auction = run.config.strategies.auction
        self.rounds = 0
        self.records: list[AuctionRecord] = []
        self._shown = 0
        self._without_bid: dict[TaskId, int] = {}

    async def clear_all(self) -> None:
        """Hold auctions as long as there is something to sell, whenever something has changed."""
        while self.shop.unfinished:
            tasks, room = self.shop.waiting(), self.shop.free(self.run.agents)
            if tasks and room:
                await self.auction(self._offered(tasks, room), room)
            if self.shop.unfinished:
                await self.shop.news(within=self.rules.bidding_timeout)

    async def auction(self, tasks: Sequence[Task], room: Mapping[AgentId, int]) -> None:
        """Hold one round: everybody with room is asked about all of these tasks at once."""
        self.rounds += 1
        name = f"{self.run.id}#{self.rounds}"
        ids = tuple(task.id for task in tasks)
        bidders = sorted(room)
        closes_at = self.run.now() + self.rules.bidding_timeout
        self.run.record("auction.announced", ref=name, tasks=ids, bidders=bidders, closes_at=closes_at)
        self.run.inform(bidders, AnnounceAuction(auction=name, tasks=ids, closes_at=closes_at))
        replies = await self.run.gather(
            bidders,
            RequestBid(auction=name, tasks=tuple(tasks), closes_at=closes_at, max_bids=self.rules.max_bids),
            deadline=self.rules.bidding_timeout,
        )
        self._award(name, tasks, self._offers(tasks, replies))

    def _offered(self, tasks: Sequence[Task], room: Mapping[AgentId, int]) -> list[Task]:
        """Choose what to offer: the most urgent, enough for a choice, and not more than an envelope holds."""
        count = max(LEAST_OFFERED, OFFERED_PER_ROOM * sum(room.values()))
        left = self.run.config.manager.max_envelope_bytes // 2
        offered: list[Task] = []
        for task in tasks[:count]:
            left -= len(encode(task))
            if left < 0 and offered:
                break
            offered.append(task)
        return offered

    def _offers(self, tasks: Sequence[Task], replies: Replies) -> list[Offer]:
        """Read the bids; what is no bid, or for a task that was not offered to this bidder, does not count."""
        offered = {task.id: task for task in tasks}
        offers: list[Offer] = []
        for reply in replies.ok:
            for bid in (found := _bids(reply)).bids[: self.rules.max_bids]:
                task = offered.get(bid.task)
                if task is not None and task.agent in (None, reply.agent):
                    offers.append(
                        Offer(
                            agent=reply.agent,
                            task=bid.task,
                            cost=bid.cost,
                            duration_s=bid.estimated_duration_s,
                            quality=bid.quality_score,
                            reliability=found.reliability,
                            load=self.shop.load(reply.agent),
                            capabilities=found.capabilities,
                        )
                    )
        return offers

    def _award(self, name: str, tasks: Sequence[Task], offers: list[Offer]) -> None:
        """Close the round: score, award, tell everybody, and put the winners to work."""
        by_id = {task.id: task for task in tasks}
        scores = score_offers(by_id, offers, self.rules.evaluation_criteria, self.rules.mode)
        room = self.shop.free(self.run.agents)
        awards = clear(tasks, offers, scores, room, self.rules.award)
        ranked = ranking(offers, scores)
        unsold = {task.id: self._why_unsold(task, ranked) for task in tasks if task.id not in awards}
        self.run.record(
            "auction.closed",
            ref=name,
            bids=_compact(offers) if len(offers) <= BIDS_SHOWN else {},
            bid_count=len(offers),
            awards={task: offer.agent for task, offer in awards.items()},
            unsold=unsold,
        )
        winners = {task: offer.agent for task, offer in awards.items()}
        self.run.inform(sorted({offer.agent for offer in offers}), AuctionClosed(auction=name, awards=winners))
        self._remember(by_id, offers, scores, awards, unsold)
        for task, offer in awards.items():
            others = [other.agent for other in ranked[task] if other.agent != offer.agent]
            self.shop.award(task, offer.agent, then=others)
        self._give_up(unsold, ranked)

    def _why_unsold(self, task: Task, ranked: Mapping[TaskId, Sequence[Offer]]) -> str:
        if task.id in ranked:
            return "who bid on it got other tasks"
        if task.agent is not None:
            return f"{task.agent}, who must do it, has not bid"
        return "nobody who can do it has bid"

    def _give_up(self, unsold: Mapping[TaskId, str], ranked: Mapping[TaskId, Sequence[Offer]]) -> None:
        """A task on which nobody bids waits for somebody who can do it, `retries` more rounds."""
        for task, reason in unsold.items():
            if task in ranked:
                self._without_bid.pop(task, None)
                continue
            rounds = self._without_bid[task] = self._without_bid.get(task, 0) + 1
            if rounds > self.shop.states[task].task.retries and not self.shop.busy:
                self.shop.fail(task, f"{reason}, in {rounds} auctions")
            else:
                self.shop.wait_for_agent(task, reason)

    # the result

    def _remember(
        self, tasks: Mapping[TaskId, Task], offers: Sequence[Offer], scores: Sequence[float],
        awards: Mapping[TaskId, Offer], unsold: Mapping[TaskId, str],
    ) -> None:  # fmt: skip
        by_task: dict[TaskId, list[tuple[float, Offer]]] = {task: [] for task in tasks}
        for offer, score in zip(offers, scores, strict=True):
            by_task[offer.task].append((score, offer))
        show = self._shown + len(offers) <= BIDS_SHOWN
        self._shown += len(offers)
        for task, bids in by_task.items():
            winner = awards.get(task)
            peers = [offer for _, offer in bids]
            bids.sort(key=lambda bid: (-bid[0], bid[1].cost, bid[1].load, bid[1].agent))
            self.records.append(
                AuctionRecord(
                    task_id=task,
                    winner_id=None if winner is None else winner.agent,
                    winning_bid=next(
                        (self._bid(tasks[task], o, s, peers) for s, o in bids if winner is not None and o is winner),
                        None,
                    ),
                    bid_count=len(bids),
                    all_bids=tuple(self._bid(tasks[task], o, s, peers) for s, o in bids) if show else (),
                    auction_time=self.run.now(),
                    success=winner is not None,
                    reason=unsold.get(task, ""),
                )
            )

    def _bid(self, task: Task, offer: Offer, score: float, peers: Sequence[Offer]) -> BidRecord:
        rules = self.rules
        explained = (
            explain_score(task, offer, peers, rules.evaluation_criteria, rules.mode)
            if self.run.options.get("scores")
            else None
        )
        return BidRecord(
            bidder=offer.agent,
            cost=offer.cost,
            estimated_duration_s=offer.duration_s,
            quality_score=offer.quality,
            score=score,
            parts=None if explained is None else explained.parts,
        )

    def result(self) -> AuctionResult:
        """Return what the auctions came to."""
        return AuctionResult(
            tasks_completed=len(self.shop.done()),
            total_tasks=len(self.shop.states),
            rounds=self.rounds,
            auction_results=tuple(self.records[-RECORDS_KEPT:]),
        )


def _bids(reply: Reply) -> Bids:
    """Read an answer to REQUEST_BID; one that is no list of bids counts as none."""
    try:
        return msgspec.convert(reply.value, Bids)
    except msgspec.ValidationError:
        return Bids(reason="its answer was no list of bids")


def _compact(offers: Sequence[Offer]) -> dict[AgentId, list[list[Any]]]:
    """Return agent -> [[task, cost, duration_s, quality, reliability, load], ...] for the log."""
    bids: dict[AgentId, list[list[Any]]] = {}
    for offer in offers:
        line = [offer.task, offer.cost, offer.duration_s, offer.quality, offer.reliability, offer.load]
        bids.setdefault(offer.agent, []).append(line)
    return bids
