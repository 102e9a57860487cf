"""The mechanism of an auction whose prices follow from all bids, or whose bids are on bundles: the rules of the market.

    award           payment                                what is made large
    sequential      second_price, second_score             each task's score, one after the other
    optimal         second_price, second_score             tasks, then scores
    optimal         vcg                                    money: the budgets less what is bid
    combinatorial   as_bid                                 tasks, then scores
    combinatorial   vcg                                    money
    ascending       as_bid, where prices have come to      money

What is not in this table is refused, with what to take instead.  `allocation.market` does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from concerted.allocation.criteria import INADMISSIBLE, Offer
from concerted.allocation.market.bids import Bid, Terms, Weights
from concerted.allocation.market.market import Clearing, clear
from concerted.allocation.market.rules import Rule
from concerted.config.settings import Auction
from concerted.errors import Invalid
from concerted.strategies.auctions.sales import Owed, Told
from concerted.values import AgentId, Instant, Task, TaskId

__all__ = ["Cleared", "Mechanism", "is_plain"]

RULES: Mapping[str, Rule] = {
    "sequential": "sequential",
    "optimal": "capacities",
    "combinatorial": "combinatorial",
    "ascending": "ascending",
}
PAYMENTS: Mapping[str, Sequence[str]] = {
    "sequential": ("as_bid", "second_price", "second_score"),
    "optimal": ("as_bid", "second_price", "second_score", "vcg"),
    "combinatorial": ("as_bid", "vcg"),
    "ascending": ("as_bid",),
}
MOST_BUNDLES = 2_000  # bids on bundles of one round; of more the cheapest for each task are taken


def is_plain(rules: Auction) -> bool:
    """Say whether bids are on single tasks and winners are owed what they bid: then no market is needed."""
    return rules.award in ("optimal", "sequential") and rules.payment == "as_bid"


@dataclass(frozen=True, slots=True)
class Cleared:
    """A round that is cleared.  offers: one for each task of each bid; scores and told go with them.

    awards: task -> which offer has won it.  owed: to each winner, for all that it has won by one bid.
    """

    offers: list[Offer]
    scores: list[float]
    told: list[Told]
    awards: dict[TaskId, int]
    owed: tuple[Owed, ...]
    unsold: dict[TaskId, str]


class Mechanism:
    """One auction's way to choose winners and prices.

    Raises:
        Invalid: the award and the payment do not go together, or the weights do not allow the payment.
    """

    def __init__(self, rules: Auction, started_at: Instant) -> None:
        if rules.payment not in PAYMENTS[rules.award]:
            raise Invalid(
                f"award {rules.award} does not go with payment {rules.payment}: "
                f"take payment {' or '.join(PAYMENTS[rules.award])}, or another award"
            )
        weights, is_specified = rules.evaluation_criteria, rules.mode == "specification"
        if rules.payment == "second_score" and not is_specified and not weights.cost:
            raise Invalid("payment second_score needs scores that depend on the price; give cost a weight")
        self._rules = rules
        self._started_at = started_at
        self._with_bundles = rules.award == "combinatorial"
        self._money = rules.payment == "vcg" or rules.award == "ascending"
        self._weights = None
        if not is_specified:
            self._weights = Weights(
                cost=weights.cost, time=weights.time, quality=weights.quality, reliability=weights.reliability
            )

    @property
    def is_heavy(self) -> bool:
        """Whether clearing a round may take seconds: the search is long, or repeated without each winner."""
        return self._with_bundles or self._rules.payment == "vcg"

    def check_tasks(self, tasks: Sequence[Task]) -> None:
        """Raise Invalid if money decides and a task has no budget to measure it by."""
        without = [task.id for task in tasks if task.max_budget is None]
        if self._money and without:
            raise Invalid(
                f"{', '.join(without)}: give each task a budget; with award {self._rules.award} and payment "
                f"{self._rules.payment} money decides, and without a budget nobody knows what a task is worth"
            )

    def takes(self, bid: Bid) -> bool:
        """Say whether a bid counts: bundles and exclusions do under `combinatorial` alone."""
        return self._with_bundles or (len(bid.tasks) == 1 and not bid.xor)

    def clear(
        self, tasks: Mapping[TaskId, Task], bids: Sequence[Bid], free: Mapping[AgentId, int], now: Instant
    ) -> Cleared:
        """Choose the winners of a round.

        bids: such as it takes, well formed, for these tasks.  free: agent -> how many tasks it may get.
        """
        terms = Terms(
            capacity={bid.agent: float(free.get(bid.agent, 0)) for bid in bids},
            scoring="fixed" if self._weights is None else "reserve",
            weights=self._weights,
            floors=self._weights is not None,
            surplus=self._money,
            now=now,
            started_at=self._started_at,
        )
        if self._with_bundles and len(bids) > MOST_BUNDLES:
            bids = sorted(bids, key=lambda bid: (bid.price / len(bid.tasks), bid.agent, bid.tasks))[:MOST_BUNDLES]
        clearing = clear(list(tasks.values()), bids, RULES[self._rules.award], self._rules.payment, terms)
        return self._told(clearing)

    def clear_aside(
        self, tasks: Mapping[TaskId, Task], bids: Sequence[Bid], free: Mapping[AgentId, int], now: Instant
    ) -> Any:
        """Do as `clear`, and return what came of it in JSON's types, for `run.compute`; `told_aside` reads it."""
        return msgspec.to_builtins(self.clear(tasks, bids, free, now))

    @staticmethod
    def told_aside(found: Any) -> Cleared:
        """Read what `clear_aside` has returned."""
        return msgspec.convert(found, Cleared)

    def _told(self, clearing: Clearing) -> Cleared:
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
                )
                reason = "" if has_won else judged.refused or self._why_lost(judged.score, scores.get(task))
                if has_won:
                    cleared.awards[task] = len(cleared.offers)
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
