"""A contract from the acceptance of a proposal to its settlement: agreed to, carried out under a lease, booked.

accept-proposal --agree--> active --inform--> completed | --failure, expire, lost--> failed
                                 | --the contractor refuses--> decommitted | --the manager calls it off--> cancelled
accept-proposal --refuse, silence--> declined: no contract, no price
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from concerted.allocation.contracts.contract import ContractEnd, breach, draw_up, read_acceptance, settle
from concerted.allocation.contracts.conversation import Act
from concerted.allocation.contracts.negotiation import Ranked
from concerted.messages import ContractAcceptance, ContractEnded, ContractTerms, Reply
from concerted.strategies.contracts.call_for_proposals import Call
from concerted.values import Objective

__all__ = ["award", "end_of"]

STRATEGY = "contract_net"  # by which contractors subcontract
_ACTS: Mapping[str, Act] = {"refused": "refuse", "failed": "failure", "timeout": "expire", "lost": "lost"}


async def award(call: Call, chosen: Ranked) -> bool:
    """Accept one proposal and, if that is agreed to, have the task done; return whether there was a contract."""
    office, agent = call.office, chosen.agent
    office.shop.staff.take(agent)
    try:
        terms = await _conclude(call, chosen)
        if terms is None:
            return False
        contract = Contracted(call, terms, f"{call.id}/{agent}")
        office.book.open(contract.id, terms, chosen.score, office.run.now())
        office.run.record(
            "contract.formed", agent=agent, ref=call.task.id, contract=contract.id, value=terms.cost,
            score=chosen.score, terms=msgspec.to_builtins(terms),
        )  # fmt: skip
        await contract.carry_out(chosen)
        return True
    finally:
        office.shop.staff.put_back(agent)


async def _conclude(call: Call, chosen: Ranked) -> ContractTerms | None:
    """Send the terms; return them if the contractor agrees in time."""
    office, agent = call.office, chosen.agent
    assert office.manager is not None, "a contract without a manager"
    terms = draw_up(call.sent, agent, office.manager, chosen.proposal, office.run.now())
    call.turn(agent, "accept-proposal")
    try:
        asked = ContractAcceptance(contract=f"{call.id}/{agent}", cfp=call.id, terms=terms)
        reply = await office.run.ask(agent, asked)
    except asyncio.CancelledError:
        call.turn(agent, "cancel")
        call.reject([agent], "the task was called off")
        raise
    heard = read_acceptance(reply)
    call.hear(agent, heard, f"{call.id}/{agent}", "reply-by")
    if call.talks[agent].state == "active":
        if not call.is_over:
            return terms
        call.turn(agent, "cancel")  # decided meanwhile, before anything was begun: nothing is owed
        call.reject([agent], "the task is over")
        return None
    reason = heard.reason or ("it did not answer in time" if heard.act == "reply-by" else "it gave no reason")
    office.shop.declined.setdefault(call.task.id, set()).add(agent)
    office.run.record("contract.declined", agent=agent, ref=call.task.id, cfp=call.id, reason=reason)
    call.reasons[agent] = f"declined: {reason}"
    return None


class Contracted:
    """One contract that stands."""

    def __init__(self, call: Call, terms: ContractTerms, id: str) -> None:
        self.call = call
        self.office = call.office
        self.terms = terms
        self.id = id

    async def carry_out(self, chosen: Ranked) -> None:
        """Have the task done under the contract, then settle it; whoever calls the task off pays for it."""
        try:
            results = await self._subcontract(chosen)
            if results is None:
                return
            if self.call.is_over:  # while others were at work for it
                self._end("expire", "the task was over before its subcontracts were")
                return
            if not await self._may_begin():
                return
            now = self.office.run.now()
            reply = await self.office.shop.attempt(
                self.terms.task,
                self.terms.contractor,
                within_s=max(0.0, self.terms.binds_until - now),
                results=results,
                check=lambda result: breach(self.terms, result),
            )
        except asyncio.CancelledError:
            state = self.office.shop.states[self.terms.task]
            self._end("cancel", f"called off: {state.reason}" if state.is_over else "the run ended first")
            raise
        self._end(_act(reply), reply.error or ("" if reply.ok else reply.status))

    async def _may_begin(self) -> bool:
        """Wait for the start that was agreed on; return whether the contract still stands then."""
        shop, terms = self.office.shop, self.terms
        while self.office.run.now() < terms.start_at:
            seen = shop.changes
            if terms.contractor not in self.office.run.agents:
                shop.staff.rest(terms.contractor, self.office.run.config.manager.heartbeat_interval)
                self._end("lost", "lost before it was to begin")
                return False
            if self.call.is_over:
                self._end("expire", "the task was over before it was to begin")
                return False
            await shop.changed_or(seen, terms.start_at)
        return True

    async def _subcontract(self, chosen: Ranked) -> dict[str, Any] | None:
        """Have the contractor's subtasks done by others under its management; None: they are not, nor is the task."""
        office, contractor = self.office, self.terms.contractor
        if not chosen.proposal.subtasks:
            return {}
        outcome = await office.run.child(
            STRATEGY,
            Objective(description=f"{self.terms.task}, for {contractor}", tasks=chosen.proposal.subtasks),
            agents=[agent for agent in sorted(office.run.agents) if agent != office.manager or agent == contractor],
            options={**office.run.options, "manager": contractor, "level": office.level + 1},
        )
        if outcome.success:
            return {task.id: task.result for task in outcome.tasks if task.status == "done"}
        office.shop.declined.setdefault(self.terms.task, set()).add(contractor)
        self._end("failure", f"its subcontracts failed: {outcome.reason}")
        return None

    def _end(self, act: Act, reason: str) -> None:
        """Book the contract's end and tell the contractor."""
        office, agent, now = self.office, self.terms.contractor, self.office.run.now()
        self.call.turn(agent, act)
        settlement = settle(self.terms, end_of(act), now)
        office.book.close(self.id, settlement, now, reason)
        office.run.record(
            "contract.settled", agent=agent, ref=self.terms.task, contract=self.id, status=settlement.status,
            paid=settlement.paid, penalties=settlement.penalties, balance=settlement.balance,
            overdue_s=settlement.overdue_s, reason=reason,
        )  # fmt: skip
        office.run.inform(
            [agent],
            ContractEnded(
                contract=self.id,
                task=self.terms.task,
                status=settlement.status,
                balance=settlement.balance,
                penalties=settlement.penalties,
                reason=reason,
            ),
        )


def end_of(act: Act) -> ContractEnd:
    """Return how a contract ends by what is said, or happens, while it stands."""
    match act:
        case "inform-done" | "inform-result":
            return "completed"
        case "refuse":
            return "decommitted"
        case "cancel":
            return "cancelled"
        case _:
            return "failed"


def _act(reply: Reply) -> Act:
    """Return what the answer to the order to do the task comes to."""
    if reply.ok:
        return "inform-done" if reply.value is None else "inform-result"
    return _ACTS.get(reply.status, "failure")
