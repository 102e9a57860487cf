"""The auction: sealed bids for all ready tasks at once, one round of messages after the other.

    announce -> request bids -> score -> award -> execute -> (free room, new tasks) -> next round

    open --bids--> awarded --done--> done
    awarded --refused, lost, out of time--> next best bidder of the round --nobody left--> open
    awarded --failed--> open (an attempt less) | failed
    open --nobody bids, `retries` + 1 times--> failed

Everybody with room is asked once a round for bids on all tasks offered; the round closes when all have
answered or at `bidding_timeout`.  By default the awards are the best assignment of the round (most
tasks, then highest score); `award: sequential` gives the tasks one by one to their best bid.  Ties break
by score, lower cost, lower load, agent id.  Whoever refuses a task is passed over for it while anybody
else may take it; whoever failed at it, while anybody else bids.

Source: first-price sealed-bid auction; McAfee & McMillan 1987, "Auctions and Bidding", section II.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from concerted.allocation.criteria import Offer, score_offers
from concerted.allocation.market import bids as allocation
from concerted.allocation.mechanisms import Rule, clear, ranking
from concerted.errors import TimedOut
from concerted.messages import AnnounceAuction, AuctionClosed, Bid, Bids, Reply, RequestBid
from concerted.run import Replies, Run
from concerted.strategies.auctions.gossip import share_out
from concerted.strategies.auctions.mechanism import SIZED, Cleared, Mechanism, is_plain
from concerted.strategies.auctions.sales import Round, Sales
from concerted.strategies.auctions.shares import Shares
from concerted.strategies.workshop.objective import find_tasks
from concerted.strategies.workshop.options import overlay
from concerted.strategies.workshop.tasks import Workshop, open_workshop
from concerted.values import AgentId, Instant, Outcome, Task, TaskId, encode

__all__ = ["coordinate"]

BIDS_LOGGED = 2_000  # bids of one round that `auction.closed` repeats; the replies are in the log anyway
OFFERED_PER_ROOM = 4  # tasks offered for each place that is free, so that every bidder has a choice


async def coordinate(run: Run) -> Outcome:
    """Auction the tasks of the objective until each is done or given up."""
    timed_out = False
    async with open_workshop(run) as shop:
        market = Market(run, shop)
        try:
            async with run.deadline():
                tasks = await find_tasks(run)
                if market.mechanism is not None:
                    market.mechanism.check_tasks(tasks)
                shop.add(tasks)
                await market.clear_all()
        except TimedOut:
            timed_out = True
    return shop.outcome(market.sales.result(shop.states), timed_out=timed_out)


class Market:
    """The auctioneer of one run."""

    def __init__(self, run: Run, shop: Workshop) -> None:
        self.run = run
        self.shop = shop
        self.rules = overlay(run.config.strategies.auction, run.options)
        self.mechanism = None if is_plain(self.rules) else Mechanism(self.rules, run.now())
        self.sales = Sales(self.rules, with_reasons=self.rules.scores)
        self.shares = Shares(shop)
        self._unwanted: set[TaskId] = set()  # on which nobody bid when they were offered last
        self._without_bid: dict[TaskId, int] = {}  # in how many rounds so far
        self._unpunctual: dict[AgentId, int] = {}

    async def clear_all(self) -> None:
        """Hold auctions as long as something is sold, and again whenever something has changed."""
        while self.shop.unfinished:
            seen = self.shop.changes
            tasks = self.shop.waiting(1)
            room = self.shares.free(self.run.agents) if tasks else {}
            sold = await self.auction(self._offered(room), room) if room else 0
            if not sold:
                await self.shop.news(seen, within=self.rules.bidding_timeout if tasks else None)

    async def auction(self, tasks: Sequence[Task], room: Mapping[AgentId, float]) -> int:
        """Hold one round: everybody with room is asked about all of these tasks at once.  Return how many are sold."""
        name = f"{self.run.id}#{self.sales.rounds + 1}"
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
        self._rest_the_unpunctual(replies)
        offered = [task for task in tasks if task.id in self.shop.open]
        if self.mechanism is not None:
            return await self._sell(name, offered, replies, self.mechanism)
        return self._award(name, offered, replies)

    def _offered(self, room: Mapping[AgentId, float]) -> list[Task]:
        """Choose what to offer: the most urgent, enough for a choice, and not more than an envelope holds.

        Tasks on which nobody bid last time come last, so that they do not keep the others from being offered.
        """
        count = max(self.rules.max_bids, OFFERED_PER_ROOM * int(sum(room.values())))
        tasks = self.shop.waiting(count + len(self._unwanted))
        tasks.sort(key=lambda task: task.id in self._unwanted)
        left = self.run.config.manager.max_envelope_bytes // 2
        offered: list[Task] = []
        for task in islice(tasks, count):
            left -= len(encode(task))
            if left < 0 and offered:
                break
            offered.append(task)
        return offered

    def _rest_the_unpunctual(self, replies: Replies) -> None:
        """Do not wait in every round for somebody who does not answer: twice as long not, each time."""
        for reply in replies:
            if reply.status == "timeout":
                times = self._unpunctual[reply.agent] = self._unpunctual.get(reply.agent, 0) + 1
                self.shop.staff.rest(reply.agent, self.rules.bidding_timeout * 2 ** (times - 1))
            else:
                self._unpunctual.pop(reply.agent, None)

    def _award(self, name: str, tasks: Sequence[Task], replies: Replies) -> int:
        """Close the round: score, award, tell everybody, and put the winners to work."""
        by_id = {task.id: task for task in tasks}
        bidding = self._bidding(by_id, replies)
        now, silent = self.run.now(), bidding.silent
        offers = [made.as_offer(now) for made in bidding.bids]
        scores = score_offers(by_id, offers, self.rules.evaluation_criteria, self.rules.mode)
        rule: Rule = "sequential" if self.rules.award == "sequential" else "optimal"
        awards = clear(tasks, offers, scores, self.shop.staff.free(self.run.agents), rule)
        ranked = ranking(offers, scores)
        unsold = {task.id: self._why_unsold(task, bidding, ranked) for task in tasks if task.id not in awards}
        winners = {task: offer.agent for task, offer in awards.items()}
        bids = _compact(offers) if len(offers) <= BIDS_LOGGED else {}
        self.run.record(
            "auction.closed", ref=name, bids=bids, bid_count=len(offers), awards=winners, unsold=unsold, silent=silent
        )
        bidders = list(dict.fromkeys(offer.agent for offer in offers))
        self.run.inform(bidders, AuctionClosed(auction=name, awards=winners))
        self.sales.remember(Round(now, by_id, offers, scores, awards, unsold, silent))
        for task, offer in awards.items():
            self._unwanted.discard(task)
            then = {one.agent: one.valid_until for one in ranked[task] if one.agent != offer.agent}
            self.shop.award(task, offer.agent, then)
        if not bidding.exhausted:
            self._give_up({task: why for task, why in unsold.items() if task not in ranked})
        return len(awards)

    async def _sell(self, name: str, offered: Sequence[Task], replies: Replies, mechanism: Mechanism) -> int:
        """Close the round by a mechanism: what one has won by a bid, and for how much, holds for no one else."""
        tasks = {task.id: task for task in offered}
        bidding = self._bidding(tasks, replies)
        free = self.shares.free(self.run.agents)
        made = [(bid, mechanism.problem_of(bid)) for bid in (one.for_market() for one in bidding.bids)]
        made = [(bid, wrong) for bid, wrong in made if free.get(bid.agent)]
        problems = {bid.agent: f"its bid for {bid.tasks[0]}: {wrong}" for bid, wrong in made if wrong}
        silent = {**bidding.silent, **problems}
        bids = [bid for bid, wrong in made if mechanism.takes(bid) and not wrong]
        cleared = await self._cleared(name, tasks, bids, free, mechanism)
        now = self.run.now()
        lapsed = _lapsed(cleared, now)
        awards = {task: cleared.offers[at] for task, at in cleared.awards.items() if task in self.shop.open}
        awards = {task: offer for task, offer in awards.items() if task not in lapsed}
        winners = {task: offer.agent for task, offer in awards.items()}
        owed = tuple(one for one in cleared.owed if lapsed.keys().isdisjoint(one.tasks))
        seen = {task for bid in bids for task in bid.tasks}
        unsold = {
            task: why if task in seen else self._why_unsold(tasks[task], bidding, {})
            for task, why in cleared.unsold.items()
        } | lapsed
        self.run.record(
            "auction.closed",
            ref=name,
            bids=_compact(cleared.offers) if len(cleared.offers) <= BIDS_LOGGED else {},
            bid_count=len(bids),
            awards=winners,
            unsold=unsold,
            silent=silent,
            payments=[[one.agent, list(one.tasks), one.amount, one.why] for one in owed],
            **({} if cleared.found is None else {"search": msgspec.to_builtins(cleared.found)}),
        )
        self.run.inform(list(dict.fromkeys(bid.agent for bid in bids)), AuctionClosed(auction=name, awards=winners))
        self.sales.remember(
            Round(
                now,
                tasks,
                cleared.offers,
                cleared.scores,
                awards,
                unsold,
                silent,
                told=cleared.told,
                owed=owed,
                found=cleared.found,
            )
        )
        for task, agent in winners.items():
            self._unwanted.discard(task)
            self.shares.take(task, agent, cleared.shares.get(task, 1.0))
            self.shop.award(task, agent)
        admissible = {offer.task for offer, one in zip(cleared.offers, cleared.scores, strict=True) if one >= 0}
        if not bidding.exhausted:
            self._give_up({task: why for task, why in unsold.items() if task in lapsed or task not in admissible})
        return len(winners)

    async def _cleared(
        self, name: str, tasks: Mapping[TaskId, Task], bids: Sequence[allocation.Bid], free: Mapping[AgentId, float],
        mechanism: Mechanism,
    ) -> Cleared:  # fmt: skip
        """Have it found out who wins what: by the agents themselves, beside the loop, or at once."""
        now = self.run.now()
        if self.rules.gossip:
            stakes = mechanism.stakes(tasks, bids, free, now)
            talk = await share_out(self.run, self.rules, name, tuple(tasks), stakes)
            return mechanism.shared(tasks, bids, free, now, talk)
        if mechanism.is_heavy:
            return mechanism.told_aside(await self.run.compute(mechanism.clear_aside, tasks, bids, free, now))
        return mechanism.clear(tasks, bids, free, now)

    def _bidding(self, tasks: Mapping[TaskId, Task], replies: Replies) -> Bidding:
        """Read the replies.  What is no bid, or not for one of these tasks, does not count.

        Whoever has refused a task is passed over, and whoever has failed at it while others bid who have not.
        """
        bids: list[_Made] = []
        silent: dict[AgentId, str] = {}
        exhausted = False
        for reply in replies:
            answer = _bids(reply)
            load = self.shares.load(reply.agent, answer.load)
            if not answer.bids:
                silent[reply.agent] = answer.reason or "it gave no reason"
            exhausted = exhausted or len(answer.bids) >= self.rules.max_bids
            bids += [
                _Made(reply.agent, bid, answer, load)
                for bid in answer.bids[: self.rules.max_bids]
                if bid.task in tasks and self._takes(bid, tasks)
            ]
        if self.shop.failed_at or self.shop.declined:
            bids = self._without_the_unwilling(bids)
        wanted = {made.bid.task for made in bids}.union(*(made.bid.also for made in bids if made.bid.also))
        return Bidding(bids, wanted, silent, exhausted)

    def _without_the_unwilling(self, bids: Sequence[_Made]) -> list[_Made]:
        """Leave out bids of those who have refused a task of theirs, or failed at one that others bid on."""
        failed_at, declined, now = self.shop.failed_at, self.shop.declined, self.run.now()
        binding = [made for made in bids if _binds(made.bid.valid_until, now)]
        fresh = {task for made in binding for task in made.tasks if made.agent not in failed_at.get(task, ())}
        return [
            made
            for made in bids
            if all(
                made.agent not in declined.get(task, ())
                and (task not in fresh or made.agent not in failed_at.get(task, ()))
                for task in made.tasks
            )
        ]

    def _takes(self, bid: Bid, tasks: Mapping[TaskId, Task]) -> bool:
        """Say whether a bid is of a kind that counts under this award."""
        if bid.size not in (None, 1.0) and self.rules.award not in SIZED:
            return False
        return not (bid.also or bid.xor) or (
            self.rules.award == "combinatorial" and all(task in tasks for task in bid.also)
        )

    def _why_unsold(self, task: Task, bidding: Bidding, ranked: Mapping[TaskId, Sequence[Offer]]) -> str:
        if task.id in ranked:
            return "who bid on it got other tasks"
        if task.id in self.shop.declined:
            return f"{', '.join(sorted(self.shop.declined[task.id]))} refused it, and nobody else has bid"
        if task.id in bidding.wanted:
            return _why_none_fits(task.id, bidding, self.run.now())
        if bidding.exhausted:
            return "who can do it may have used up all its bids on others"
        if task.agent is not None:
            return f"{task.agent}, who must do it, has not bid"
        return "nobody who can do it has bid"

    def _give_up(self, unwanted: Mapping[TaskId, str]) -> None:
        """A task on which nobody bids waits for somebody who can do it, `retries` more rounds.

        Only rounds in which everybody was free to bid count.
        """
        for task, reason in unwanted.items():
            if task not in self.shop.open:  # decided while bids were compared
                continue
            self._unwanted.add(task)
            rounds = self._without_bid[task] = self._without_bid.get(task, 0) + (not self.shop.busy)
            if rounds > self.shop.states[task].task.retries:
                self._unwanted.discard(task)
                self.shop.fail(task, f"{reason}, in {rounds} auctions")
                continue
            self.shop.wait_for_agent(task, reason)
            if not self.shop.busy:
                self.shop.forgive(task)


class _Made(NamedTuple):
    """A bid that an agent has made, and what is known of the agent."""

    agent: AgentId
    bid: Bid
    answer: Bids
    load: float

    @property
    def tasks(self) -> tuple[TaskId, ...]:
        bid = self.bid
        return (bid.task, *bid.also) if bid.also else (bid.task,)

    def as_offer(self, now: Instant) -> Offer:
        """Return it as an offer for its one task, judged now."""
        agent, bid, answer, load = self
        return Offer(
            agent=agent,
            task=bid.task,
            cost=bid.cost,
            duration_s=bid.estimated_duration_s,
            quality=bid.quality_score,
            reliability=answer.reliability,
            load=load,
            capabilities=answer.capabilities,
            valid_until=bid.valid_until,
            judged_at=now,
        )

    def for_market(self) -> allocation.Bid:
        """Return it as a bid on a bundle."""
        return allocation.Bid(
            agent=self.agent,
            tasks=self.tasks,
            price=self.bid.cost,
            duration_s=self.bid.estimated_duration_s,
            quality=self.bid.quality_score,
            reliability=self.answer.reliability,
            load=self.load,
            capabilities=self.answer.capabilities,
            xor=self.bid.xor,
            size=self.bid.size,
            valid_until=self.bid.valid_until,
        )


@dataclass(frozen=True, slots=True)
class Bidding:
    """What came of asking.  bids: those that count.  wanted: the tasks bid on.  silent: who has not bid, and why.
    exhausted: somebody has made as many bids as allowed, and might have bid on more."""

    bids: list[_Made]
    wanted: set[TaskId]
    silent: dict[AgentId, str]
    exhausted: bool


def _lapsed(cleared: Cleared, now: Instant) -> dict[TaskId, str]:
    """Return task -> why its winning bid does not count: it has run out while the round was cleared."""
    won = {task: cleared.offers[at] for task, at in cleared.awards.items()}
    ran_out = "the winning bid, of {}, ran out while bids were compared"
    return {task: ran_out.format(one.agent) for task, one in won.items() if not _binds(one.valid_until, now)}


def _why_none_fits(task: TaskId, bidding: Bidding, now: Instant) -> str:
    """Say why no bid on a task can win: all have run out, or they are outside its limits."""
    bids = [made for made in bidding.bids if task in made.tasks]
    if any(_binds(made.bid.valid_until, now) for made in bids):
        return "no bid on it is within its limits"
    return f"{', '.join(sorted({made.agent for made in bids}))}: no longer valid when bidding closed"


def _binds(until: Instant | None, now: Instant) -> bool:
    return until is None or until >= now


def _bids(reply: Reply) -> Bids:
    """Read an answer to REQUEST_BID; one that is no list of bids counts as none."""
    if not reply.ok:
        return Bids(reason=f"{reply.status}: {reply.error}" if reply.error else reply.status)
    try:
        return msgspec.convert(reply.value, Bids)
    except msgspec.ValidationError as error:
        return Bids(reason=f"its answer is no list of bids: {error}")


def _compact(offers: Sequence[Offer]) -> dict[AgentId, list[list[Any]]]:
    """Return agent -> [[task, cost, duration_s, quality, reliability, load], ...] for the log."""
    bids: dict[AgentId, list[list[Any]]] = {}
    for offer in offers:
        line = [offer.task, offer.cost, offer.duration_s, offer.quality, offer.reliability, offer.load]
        bids.setdefault(offer.agent, []).append(line)
    return bids
