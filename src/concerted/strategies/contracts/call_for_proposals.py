"""One call for proposals of `contract_net` about one task: who is asked, what comes of it, and who is bound by what.

    cfp --until all have answered, or reply-by--> judged --nothing to offer in return--> decided
    judged --counter-offer, at most `negotiation_rounds`--> revised cfp to those who have proposed --> judged

A proposal binds whoever made it until it is replaced, rejected or no longer valid, also while another one is
under contract: that is who is next if the contract comes to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from concerted.allocation.contracts.contract import Heard, read_proposal
from concerted.allocation.contracts.conversation import Act, Conversation, State
from concerted.allocation.contracts.negotiation import Bidder, Ranked, Ranking, Times, counter_offer, rank
from concerted.config.settings import ContractNet
from concerted.messages import (
    CallForProposals,
    CounterOffer,
    NotUnderstood,
    PenaltyClauses,
    Proposal,
    RejectProposal,
    Reply,
)
from concerted.run import Run
from concerted.strategies.contracts.book import ContractBook
from concerted.strategies.contracts.shop import ContractShop
from concerted.values import AgentId, Instant, Task

__all__ = ["Call", "Office"]

_OPEN: Mapping[State, Act] = {"called": "cancel", "recalled": "cancel", "proposed": "reject-proposal"}
LATE = "late: the call was closed at its reply-by"


@dataclass(slots=True)
class Office:
    """What every call and contract of a run shares.  level: how deep this run subcontracts, 1 at the top."""

    run: Run
    shop: ContractShop
    rules: ContractNet
    book: ContractBook
    level: int
    manager: AgentId | None = None

    def not_understood(self, about: str, task: str | None, agent: AgentId | None, reason: str) -> None:
        """Write down that somebody has said what could not come then, and tell them; nothing else changes."""
        self.run.record("contract.not_understood", agent=agent, ref=task, about=about, reason=reason)
        if agent is not None:
            self.run.inform([agent], NotUnderstood(about=about, reason=reason))


class Call:
    """One call.  silent: who has not answered in time.  reasons: agent -> why it has made no proposal."""

    def __init__(self, office: Office, task: Task, contractors: Sequence[AgentId]) -> None:
        office.book.calls += 1
        self.office = office
        self.task = task
        self.id = f"{office.run.id}#{office.book.calls}"
        self.talks = {agent: Conversation(agent) for agent in contractors}
        self.silent: set[AgentId] = set()
        self.reasons: dict[AgentId, str] = {}
        self.sent: CallForProposals = self._cfp(0, None)

    async def negotiate(self) -> None:
        """Ask, and go on asking as long as a better answer can be hoped for."""
        asked: Sequence[AgentId] = list(self.talks)
        counter: CounterOffer | None = None
        lowest: float | None = None
        for number in range(self.office.rules.negotiation_rounds + 1):
            has_moved = await self._ask(number, asked, counter)
            ranking = self.ranking()
            self._note(number, ranking)
            if self.is_over or number == self.office.rules.negotiation_rounds or not has_moved:
                return
            offered = counter_offer(self.task, ranking, self.office.rules.improvement, lowest, self._due_at)
            if offered is None:
                return
            counter, wanted = offered
            lowest = min((one.proposal.cost for one in ranking.best), default=lowest)
            asked = [agent for agent in wanted if agent in self.office.run.agents]
            if not asked:
                return

    @property
    def is_over(self) -> bool:
        """Whether it has been decided meanwhile how the task ends."""
        return self.office.shop.states[self.task.id].is_over

    def ranking(self) -> Ranking:
        """Judge the proposals that bind somebody now."""
        bound = {
            agent: talk.proposal
            for agent, talk in self.talks.items()
            if talk.state == "proposed" and talk.proposal is not None
        }
        bidders = {agent: self._bidder(agent) for agent in bound}
        rules, now = self.office.rules, self.office.run.now()
        times = Times(now, rules.contract_duration, self._due_at)
        return rank(self.task, bound, bidders, rules.evaluation_criteria, times)

    @property
    def _due_at(self) -> Instant | None:
        return self.office.shop.due_at(self.task.id)

    def next_best(self) -> Ranked | None:
        """Return the best proposal that binds somebody who has room now."""
        free = self.office.shop.staff.free(self.talks)
        return next((one for one in self.ranking().best if one.agent in free), None)

    def hear(self, agent: AgentId, heard: Heard, about: str, otherwise: Act) -> None:
        """Take an answer up.  One that cannot come now is answered not-understood, and it is as if none had come."""
        talk = self.talks[agent]
        if heard.act is not None and talk.allows(heard.act):
            self.talks[agent] = talk.after(heard.act, heard.proposal)
            return
        reason = heard.reason
        if heard.act is not None:
            reason = f"{heard.act} cannot come from you now" + (f": {reason}" if reason else "")
        self.office.not_understood(about, self.task.id, agent, reason)
        self.reasons[agent] = f"was not understood: {reason}"
        self.talks[agent] = talk.after(otherwise)

    def turn(self, agent: AgentId, act: Act) -> None:
        """Take note of what the manager says, or of what happens."""
        self.talks[agent] = self.talks[agent].after(act)

    def close(self, reason: str) -> None:
        """Reject whatever still binds somebody, and what may still come."""
        open_talks = sorted(agent for agent, talk in self.talks.items() if talk.state in _OPEN)
        for agent in open_talks:
            self.turn(agent, _OPEN[self.talks[agent].state])
        self.reject(open_talks, reason)

    def reject(self, agents: Sequence[AgentId], reason: str) -> None:
        """Tell agents that no contract will come of this call."""
        if agents:
            self.office.run.inform(agents, RejectProposal(cfp=self.id, task=self.task.id, reason=reason))

    # one round

    async def _ask(self, number: int, asked: Sequence[AgentId], counter: CounterOffer | None) -> bool:
        """Send the call, or the revised one, and take the answers; return whether there was a proposal among them."""
        run = self.office.run
        self.office.book.rounds += 1
        self.sent = self._cfp(number, counter)
        for agent in asked:
            self.turn(agent, "cfp")
        shown = {} if counter is None else {"counter": msgspec.to_builtins(counter)}
        run.record(
            "cfp.issued", agent=self.office.manager, ref=self.task.id, cfp=self.id, round=number,
            contractors=list(asked), reply_by=self.sent.reply_by, **shown,
        )  # fmt: skip
        replies = await run.gather(asked, self.sent, deadline=self.office.rules.proposal_timeout)
        proposals = [self._take(reply) for reply in replies]
        late = [reply.agent for reply in replies if reply.status == "timeout"]
        self.reject([agent for agent in late if self.talks[agent].state == "closed"], LATE)
        self.silent = set(late)
        return any(proposals)

    def _take(self, reply: Reply) -> bool:
        """Take one answer; return whether it was a proposal that could be made."""
        heard = read_proposal(reply, self.sent)
        if heard.act == "propose" and heard.proposal is not None:
            wrong = self._too_deep(heard.proposal)
            heard = heard if wrong is None else Heard(None, reason=wrong)
        if heard.act in ("refuse", "not-understood", "lost", "failure"):
            self.reasons[reply.agent] = f"{heard.act}: {heard.reason}" if heard.reason else heard.act
        elif heard.act == "reply-by":
            self.reasons[reply.agent] = "no answer came in time"
        self.hear(reply.agent, heard, self.id, "reply-by")
        return heard.act == "propose"

    def _too_deep(self, proposal: Proposal) -> str | None:
        most = self.office.rules.max_levels
        if proposal.subtasks and self.office.level >= most:
            return f"it has subtasks, and subcontracting ends at level {most}"
        return None

    def _note(self, number: int, ranking: Ranking) -> None:
        """Write down how a round was judged."""
        self.office.run.record(
            "proposals.evaluated", ref=self.task.id, cfp=self.id, round=number,
            scores={one.agent: [one.score, one.proposal.cost] for one in ranking.best},
            unfit=dict(ranking.unfit),
            without=dict(sorted(self.reasons.items())),
        )  # fmt: skip

    def _cfp(self, number: int, counter: CounterOffer | None) -> CallForProposals:
        rules, manager = self.office.rules, self.office.manager
        assert manager is not None, "a call without a manager"
        return CallForProposals(
            cfp=self.id,
            issuer=manager,
            task=self.task,
            reply_by=self.office.run.now() + rules.proposal_timeout,
            contract_duration_s=rules.contract_duration,
            round=number,
            budget=self.task.max_budget,
            evaluation_criteria=_weights(rules),
            penalty_clauses=_clauses(rules, self.task),
            counter=counter,
            due_at=self._due_at,
        )

    def _bidder(self, agent: AgentId) -> Bidder:
        office = self.office
        profile = office.run.agents.get(agent)
        return Bidder(
            reliability=office.book.reliability(agent),
            load=office.shop.staff.load(agent),
            capabilities={} if profile is None else profile.capabilities,
            has_failed=agent in office.shop.failed_at.get(self.task.id, ()),
        )


def _clauses(rules: ContractNet, task: Task) -> PenaltyClauses:
    """Return what a breach costs: what the task says of it, and else what the settings say."""
    usual = PenaltyClauses(
        late=rules.late_penalty,
        failure=rules.failure_penalty,
        decommitment=rules.decommitment_penalty,
        cap=rules.penalty_cap,
    )
    return msgspec.structs.replace(usual, **task.penalties)


def _weights(rules: ContractNet) -> dict[str, float]:
    weights: Mapping[str, Any] = msgspec.to_builtins(rules.evaluation_criteria)
    return dict(weights)
