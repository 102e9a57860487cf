"""The mechanism of an auction in which more counts than single bids and what they ask: the rules of the market.

    award           payment                                what is made large
    sequential      second_price, second_score             each task's score, one after the other
    optimal         second_price, second_score             tasks, then scores
    optimal         vcg                                    money: the budgets less what is bid
    generalised     as_bid                                 tasks, then scores; each bid takes its share of an agent
    generalised     vcg                                    money
    combinatorial   as_bid                                 tasks, then scores
    combinatorial   vcg                                    money
    ascending       as_bid, where prices have come to      money
    cbba            as_bid                                 each agent's own scores

What is not in this table is refused, with what to take instead.  With other scores than `reserve`, `sequential` and
`optimal` also go by it when paid as bid.  `allocation.market` does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.allocation.criteria import INADMISSIBLE, Offer
from concerted.allocation.market.bids import SLACK, Bid, Terms, Weights, problems_of
from concerted.allocation.market.gossip import Stake, Talk
from concerted.allocation.market.market import Clearing, clear, clear_as_shared, stakes_of
from concerted.allocation.market.rules import Rule
from concerted.allocation.optimum.effort import Effort
from concerted.config.settings import Auction
from concerted.errors import Invalid
from concerted.strategies.auctions.sales import Found, Owed, Told
from concerted.values import AgentId, Instant, Task, TaskId

__all__ = ["Cleared", "Mechanism", "is_plain"]

RULES: Mapping[str, Rule] = {
    "sequential": "sequential",
    "optimal": "capacities",
    "generalised": "generalised",
    "combinatorial": "combinatorial",
    "ascending": "ascending",
    "cbba": "cbba",
}
PAYMENTS: Mapping[str, Sequence[str]] = {
    "sequential": ("as_bid", "second_price", "second_score"),
    "optimal": ("as_bid", "second_price", "second_score", "vcg"),
    "generalised": ("as_bid", "vcg"),
    "combinatorial": ("as_bid", "vcg"),
    "ascending": ("as_bid",),
    "cbba": ("as_bid",),
}
SIZED = ("generalised", "combinatorial")  # awards under which a bid may take more than one place for each task
SEARCHED = ("generalised", "combinatorial", "cbba")  # awards that may take seconds to find
MOST_BUNDLES = 2_000  # bids on bundles of one round; of more the cheapest for each task are taken


def is_plain(rules: Auction) -> bool:
    """Say whether single bids are scored by each task's limits and paid as bid: then no market is needed."""
    return not rules.gossip and (rules.award, rules.payment, rules.scoring) in (
        ("optimal", "as_bid", "reserve"),
        ("sequential", "as_bid", "reserve"),
    )


@dataclass(frozen=True, slots=True)
class Cleared:
    """A round that is cleared.  offers: one for each task of each bid; scores and told go with them.

    awards: task -> which offer has won it.  owed: to each winner, for all that it has won by one bid.  shares: task
    -> how much of the winner's capacity it takes, where that is not 1.  found: what the whole is worth, what it cannot
    be more than, and whether that is proved to be the most.
    """

    offers: list[Offer]
    scores: list[float]
    told: list[Told]
    awards: dict[TaskId, int]
    owed: tuple[Owed, ...]
    unsold: dict[TaskId, str]
    shares: dict[TaskId, float] = field(default_factory=dict)
    found: Found | None = None


class Mechanism:
    """One auction's way to choose winners and prices.

    Raises:
        Invalid: the award, the payment, the scoring and the mode do not go together, or the weights do not allow the
            payment.
    """

    def __init__(self, rules: Auction, started_at: Instant) -> None:
        if rules.payment not in PAYMENTS[rules.award]:
            raise Invalid(
                f"award {rules.award} does not go with payment {rules.payment}: "
                f"take payment {' or '.join(PAYMENTS[rules.award])}, or another award"
            )
        weights, is_specified = rules.evaluation_criteria, rules.mode == "specification"
        self._money = rules.payment == "vcg" or rules.award == "ascending"
        if rules.scoring != "reserve" and self._money:
            raise Invalid(
                f"scoring {rules.scoring} does not go with award {rules.award} and payment {rules.payment}: money "
                "decides, and no scores; leave the scoring out"
            )
        if rules.gossip and rules.award != "cbba":
            raise Invalid(f"gossip does not go with award {rules.award}: take award cbba, or leave gossip out")
        if rules.scoring == "minmax" and is_specified:
            raise Invalid("scoring minmax does not go with mode specification, which has limits of its own")
        if rules.payment == "second_score" and not is_specified and not weights.cost:
            raise Invalid("payment second_score needs scores that depend on the price; give cost a weight")
        self._rules = rules
        self._started_at = started_at
        self._with_bundles = rules.award == "combinatorial"
        self._weights = None
        if not is_specified:
            self._weights = Weights(
                cost=weights.cost, time=weights.time, quality=weights.quality, reliability=weights.reliability
            )

    @property
    def searches(self) -> bool:
        """Whether the best bids are searched for, so that what is found need not be the best."""
        return self._rules.award in ("generalised", "combinatorial")

    @property
    def is_heavy(self) -> bool:
        """Whether clearing a round may take seconds: the search is long, or repeated without each winner."""
        return self._rules.award in SEARCHED or self._rules.payment == "vcg"

    def check_tasks(self, tasks: Sequence[Task]) -> None:
        """Raise Invalid if money decides and a task has no budget to measure it by."""
        without = [task.id for task in tasks if task.max_budget is None]
        if self._money and without:
            raise Invalid(
                f"{', '.join(without)}: give each task a budget; with award {self._rules.award} and payment "
                f"{self._rules.payment} money decides, and without a budget nobody knows what a task is worth"
            )

    def takes(self, bid: Bid) -> bool:
        """Say whether a bid counts: bundles and exclusions do under `combinatorial` alone, sizes where they differ."""
        is_single = len(bid.tasks) == 1 and not bid.xor
        return self._with_bundles or (is_single and (self._rules.award in SIZED or bid.size in (None, 1.0)))

    @staticmethod
    def problem_of(bid: Bid) -> str:
        """Say what is malformed in a bid, '' if nothing is."""
        problems = problems_of(bid)
        if not problems and bid.room < len(bid.tasks):
            problems = [f"size is {bid.room:g}; it must be at least 1 for each task"]
        return problems[0] if problems else ""

    def clear(
        self, tasks: Mapping[TaskId, Task], bids: Sequence[Bid], free: Mapping[AgentId, float], now: Instant
    ) -> Cleared:
        """Choose the winners of a round.

        bids: such as it takes, without a problem, for these tasks.  free: agent -> how much of it is free.
        """
        terms = self._terms(bids, free, now)
        if self._with_bundles and len(bids) > MOST_BUNDLES:
            bids = sorted(bids, key=lambda bid: (bid.price / len(bid.tasks), bid.agent, bid.tasks))[:MOST_BUNDLES]
        rule = RULES[self._rules.award]
        if rule == "generalised":
            bids = _cheapest(bids)
            if all(abs(bid.room - 1.0) <= SLACK for bid in bids):
                rule = "capacities"  # the same, and the best is found at once
        effort = Effort(self._rules.search_steps, solver_s=self._rules.solver_timeout)
        return self._told(clear(list(tasks.values()), bids, rule, self._rules.payment, terms, effort), now)

    def stakes(
        self, tasks: Mapping[TaskId, Task], bids: Sequence[Bid], free: Mapping[AgentId, float], now: Instant
    ) -> dict[AgentId, Stake]:
        """Return what each agent has to win if they share the tasks out by talk."""
        return stakes_of(list(tasks.values()), bids, self._terms(bids, free, now))

    def shared(
        self, tasks: Mapping[TaskId, Task], bids: Sequence[Bid], free: Mapping[AgentId, float], now: Instant,
        talk: Talk,
    ) -> Cleared:  # fmt: skip
        """Say what came of their talk.  free, now: those of the stakes.  What two have taken nobody has."""
        bundles, disputed = talk.bundles()
        terms = self._terms(bids, free, now)
        cleared = self._told(clear_as_shared(list(tasks.values()), bids, terms, bundles, talk.rounds), now)
        still = f"each take it after {talk.rounds} rounds of talk"
        cleared.unsold.update({task: f"{' and '.join(agents)} {still}" for task, agents in disputed.items()})
        return cleared

    def _terms(self, bids: Sequence[Bid], free: Mapping[AgentId, float], now: Instant) -> Terms:
        return Terms(
            capacity={bid.agent: float(free.get(bid.agent, 0)) for bid in bids},
            scoring="fixed" if self._weights is None else self._rules.scoring,
            weights=self._weights,
            floors=self._weights is not None,
            surplus=self._money,
            now=now,
            started_at=self._started_at,
        )

    def clear_aside(
        self, tasks: Mapping[TaskId, Task], bids: Sequence[Bid], free: Mapping[AgentId, float], now: Instant
    ) -> Any:
        """Do as `clear`, and return what came of it in JSON's types, for `run.compute`; `told_aside` reads it."""
        return msgspec.to_builtins(self.clear(tasks, bids, free, now))

    @staticmethod
    def told_aside(found: Any) -> Cleared:
        """Read what `clear_aside` has returned."""
        return msgspec.convert(found, Cleared)

    def _told(self, clearing: Clearing, now: Instant) -> Cleared:
        """Put what came of it into the words of an auction: an offer for each task of a bid."""
        winners = {id(award.bid) for award in clearing.awards}
        scores = {task: award.score for award in clearing.awards for task in award.bid.tasks}
        cleared = Cleared(
            offers=[],
            scores=[],
            told=[],
            awards={},
            owed=tuple(Owed(one.bid.agent, one.bid.tasks, one.paid, one.why) for one in clearing.awards),
            unsold=dict(clearing.unsold),
            found=Found(clearing.status, clearing.value, clearing.bound) if self.searches else None,
        )
        for judged in clearing.judged:
            bid, has_won = judged.bid, id(judged.bid) in winners
            for task in bid.tasks:
                offer = Offer(
                    agent=bid.agent,
                    task=task,
                    cost=bid.price,
                    duration_s=bid.duration_s,
                    quality=bid.quality,
                    reliability=bid.reliability,
                    load=bid.load,
                    capabilities=bid.capabilities,
                    valid_until=bid.valid_until,
                    judged_at=now,
                )
                reason = "" if has_won else judged.refused or self._why_lost(judged.score, scores.get(task))
                if has_won:
                    cleared.awards[task] = len(cleared.offers)
                    if bid.room > len(bid.tasks):
                        cleared.shares[task] = bid.room / len(bid.tasks)
                cleared.offers.append(offer)
                cleared.scores.append(INADMISSIBLE if judged.refused else judged.score)
                cleared.told.append(Told(bid.tasks, judged.parts, reason))
        return cleared

    def _why_lost(self, score: float, best: float | None) -> str:
        if self._rules.award == "ascending":
            return "others went on to bid when it had stopped, or it had no room left"
        if self._rules.award == "sequential" and best is not None and score < best:
            return f"score {score:.3f} < {best:.3f} of the winner"
        return f"score {score:.3f}: other bids, or none on this task, are worth more together"


def _cheapest(bids: Sequence[Bid]) -> list[Bid]:
    """Return one bid of each agent for each task: the cheapest, of equally cheap ones the smallest."""
    best: dict[tuple[AgentId, TaskId], Bid] = {}
    for bid in sorted(bids, key=lambda bid: (bid.price, bid.room, bid.duration_s)):
        best.setdefault((bid.agent, bid.tasks[0]), bid)
    return list(best.values())
