"""Why each bidder did or did not get a task: computed from the log when somebody asks, and stored nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.allocation.criteria import Offer, floor_reason, why_lost
from concerted.config.settings import Auction
from concerted.errors import Invalid
from concerted.messages import Bids
from concerted.strategies.workshop.options import overlay
from concerted.values import AgentId, Instant, Task, TaskId

__all__ = ["Sale", "rules_of"]

TOLD = 20  # bidders of whom a verdict speaks; the rest are counted


@dataclass(slots=True)
class Sale:
    """One auction round as the log has it.  answers: bidder -> its reply; loads: bidder -> 0..1.

    payments: what winners are owed, as `[agent, tasks, amount, reason]`; None if it is what they bid.  closed_at: when
    bids were judged.
    """

    bidders: list[str] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    awards: dict[str, str] = field(default_factory=dict)
    unsold: dict[str, str] = field(default_factory=dict)
    loads: dict[str, float] = field(default_factory=dict)
    payments: list[Any] | None = None
    closed_at: Instant = 0.0

    def close(self, value: dict[str, Any], at: Instant) -> None:
        """Take what `auction.closed` says."""
        self.closed_at = at
        self.awards, self.unsold = value["awards"], value.get("unsold") or {}
        self.payments = value.get("payments")
        self.loads = {agent: float(lines[0][5]) for agent, lines in (value.get("bids") or {}).items() if lines}

    def verdict(self, task: str, described: dict[str, Any], rules: Auction) -> str:
        """Say who got a task, and of everybody else why not, one line each."""
        winner = self.awards.get(task)
        head = f"awarded to {winner}" if winner else f"unsold: {self.unsold.get(task, '')}"
        offers = [offer for agent in self.bidders for offer in self._offers(agent, task)]
        wanted = msgspec.convert(described, Task)
        won = None if winner is None else AgentId(winner)
        lines = []
        for agent in self.bidders[:TOLD]:
            own = next((offer for offer in offers if offer.agent == agent), None)
            if own is None:
                lines.append(f"{agent} did not bid: {self._silence(agent)}")
                continue
            if self.payments is None:
                why = why_lost(wanted, own.agent, offers, won, rules.evaluation_criteria, rules.mode)
            else:
                why = "it has won" if own.agent == won else floor_reason(wanted, own, rules.mode) or "others have won"
            lines.append(f"{agent} bid {own.cost:g} for {own.duration_s:g} s at quality {own.quality:g}: {why}")
        if len(self.bidders) > TOLD:
            lines.append(f"and {len(self.bidders) - TOLD} more")
        for owner, tasks, amount, reason in self.payments or ():
            if task in tasks:
                lines.append(f"{owner} is owed {amount:g} for {', '.join(tasks)}: {reason}")
        return "\n            ".join([head, *lines])

    def _offers(self, agent: str, task: str) -> list[Offer]:
        bids = self._bids(agent)
        return [
            Offer(
                agent=AgentId(agent),
                task=TaskId(task),
                cost=bid.cost,
                duration_s=bid.estimated_duration_s,
                quality=bid.quality_score,
                reliability=bids.reliability,
                load=self.loads.get(agent, 0.0),
                capabilities=bids.capabilities,
                valid_until=bid.valid_until,
                judged_at=self.closed_at,
            )
            for bid in bids.bids
            if task in (bid.task, *bid.also)
        ]

    def _bids(self, agent: str) -> Bids:
        try:
            return msgspec.convert(self.answers.get(agent, {}).get("value") or {}, Bids)
        except msgspec.ValidationError:
            return Bids(reason="its answer was no list of bids")

    def _silence(self, agent: str) -> str:
        answer = self.answers.get(agent)
        if answer is None:
            return "no answer came in time"
        if answer["status"] != "ok":
            return f"{answer['status']}: {answer.get('error') or ''}"
        bids = self._bids(agent)
        return bids.reason or "it bid on other tasks"


def rules_of(charter: dict[str, Any]) -> Auction:
    """Return the rules of the auctions of a run, from the data of its `run.created`: its options over its settings.

    Options that do not fit are those of a strategy that holds no auctions, or of one that failed by them.
    """
    settings = msgspec.convert(charter.get("config", {}).get("strategies", {}).get("auction", {}), Auction)
    try:
        return overlay(settings, charter.get("options") or {})
    except Invalid:
        return settings
