"""Contracts: what answers to a call mean, what terms a proposal comes to, when they are broken, what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

import msgspec

from concerted.allocation.contracts.conversation import CONTRACTOR_ACTS, Act
from concerted.messages import CallForProposals, ContractTerms, Proposal, Reply
from concerted.values import AgentId, Instant

__all__ = [
    "MAX_SUBTASKS",
    "ContractEnd",
    "ContractStatus",
    "Heard",
    "Record",
    "Settlement",
    "breach",
    "draw_up",
    "malformed",
    "read_acceptance",
    "read_proposal",
    "settle",
    "times_of",
]

ContractEnd = Literal["completed", "failed", "cancelled", "decommitted"]
ContractStatus = Literal["active"] | ContractEnd

MAX_SUBTASKS = 100  # of one proposal
SLACK_S = 1e-3  # by how much a duration may be over the time there is, for instants are rounded

# How the answer to a command ends it, where it is not `ok`.
_ENDS: Mapping[str, Act] = {"refused": "refuse", "failed": "failure", "timeout": "reply-by", "cancelled": "reply-by"}


@dataclass(frozen=True, slots=True)
class Heard:
    """What an answer comes to.  act: None if it is none that anybody could understand; then `reason` says why."""

    act: Act | None
    proposal: Proposal | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """How an agent has kept its contracts: how many in time, how many late, how many not at all."""

    kept: int = 0
    late: int = 0
    broken: int = 0

    @property
    def reliability(self) -> float:
        """Return the expected share of contracts kept, 0..1; 0.5 of whom nothing is known.  A late one is half kept.

        Source: Josang & Ismail 2002, "The Beta Reputation System", section 2.2.
        """
        return (self.kept + 0.5 * self.late + 1.0) / (self.kept + self.late + self.broken + 2.0)

    def after(self, status: ContractEnd, overdue_s: float) -> Record:
        """Return the record with one more contract; one that the manager has cancelled does not count."""
        match status:
            case "completed" if overdue_s <= 0.0:
                return replace(self, kept=self.kept + 1)
            case "completed":
                return replace(self, late=self.late + 1)
            case "failed" | "decommitted":
                return replace(self, broken=self.broken + 1)
            case "cancelled":
                return self


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a contract is settled.

    paid: the price, if it was done.  penalties: clause -> amount.  balance: what the contractor has come to: what it
    is paid, less its penalties; a penalty of the manager's (`cancelled`) is added.  overdue_s: by how long it was done
    too late.
    """

    status: ContractEnd
    paid: float
    penalties: dict[str, float]
    balance: float
    overdue_s: float = 0.0


# What is heard


def read_proposal(reply: Reply, call: CallForProposals) -> Heard:
    """Read an answer to a call: a Proposal, `{"proposal": Proposal}`, null or `{"proposal": null}` for a refusal, or
    anything with a `performative`.

    A proposal that makes no sense (another call's, a negative cost) is not understood.  O(subtasks).
    """
    heard = _ended(reply)
    if heard is not None:
        return heard
    named, value = _performative(reply.value, "propose")
    if isinstance(value, dict) and "proposal" in value:
        value, reason = value["proposal"], str(value.get("reason") or "")
    else:
        reason = str(value.get("reason") or "") if isinstance(value, dict) else ""
    if named is None:
        return Heard(None, reason=f"there is no performative {reply.value['performative']!r}")
    if named != "propose":
        return Heard(named, reason=reason)
    if value is None:
        return Heard("refuse", reason=reason or "it gave no reason")
    try:
        proposal = msgspec.convert(value, Proposal)
    except msgspec.ValidationError as error:
        return Heard(None, reason=f"its answer is no proposal: {error}")
    wrong = malformed(proposal, call)
    return Heard("propose", proposal) if wrong is None else Heard(None, reason=wrong)


def read_acceptance(reply: Reply) -> Heard:
    """Read an answer to CONTRACT_ACCEPTANCE: true, false, `{"accepted": bool, "reason": str}`, or a `performative`."""
    heard = _ended(reply)
    if heard is not None:
        return heard
    named, value = _performative(reply.value, "agree")
    if named is None:
        return Heard(None, reason=f"there is no performative {reply.value['performative']!r}")
    accepted = value.get("accepted", None if named == "agree" else False) if isinstance(value, dict) else value
    reason = str(value.get("reason") or "") if isinstance(value, dict) else ""
    if named == "agree" and not isinstance(accepted, bool):
        if isinstance(value, dict) and value.get("performative") == "agree":
            return Heard("agree")
        return Heard(
            None, reason="its answer to CONTRACT_ACCEPTANCE does not say whether it is accepted: true or false"
        )
    if named == "agree" and not accepted:
        return Heard("refuse", reason=reason or "it gave no reason")
    return Heard(named, reason=reason)


def malformed(proposal: Proposal, call: CallForProposals) -> str | None:
    """Say why a proposal makes no sense, whatever the task: `its cost is -3; it must be at least 0 and finite`."""
    if proposal.cfp not in ("", call.cfp):
        return f"it answers call {proposal.cfp}, and this one is {call.cfp}"
    amounts = [("cost", proposal.cost), ("estimated_duration_s", proposal.estimated_duration_s or 0.0)]
    for name, number in amounts:
        if not (isfinite(number) and number >= 0.0):
            return f"its {name} is {number:g}; it must be at least 0 and finite"
    levels = [("quality_guarantee", proposal.quality_guarantee), *sorted(proposal.quality_metrics.items())]
    for name, level in levels:
        if not 0.0 <= level <= 1.0:
            return f"its {name} is {level:g}; levels are 0..1"
    if proposal.valid_until is not None and not isfinite(proposal.valid_until):
        return f"its valid_until is {proposal.valid_until:g}; leave it out if it has no end"
    wrong = _no_time(proposal)
    if wrong is not None:
        return wrong
    if len(proposal.subtasks) > MAX_SUBTASKS:
        return f"it has {len(proposal.subtasks)} subtasks; the bound is {MAX_SUBTASKS}"
    ids = [task.id for task in proposal.subtasks]
    if len(set(ids)) < len(ids):
        return "two of its subtasks have the same id"
    return None


def _no_time(proposal: Proposal) -> str | None:
    """Say why the instants that a proposal names make no sense together."""
    start, end, takes_s = proposal.start_at, proposal.end_at, proposal.estimated_duration_s
    for name, instant in (("start_at", start), ("end_at", end)):
        if instant is not None and not isfinite(instant):
            return f"its {name} is {instant:g}; it must be an instant"
    if start is not None and end is not None:
        if end < start:
            return f"its end_at is {end:g}, before its start_at, {start:g}"
        if takes_s is not None and start + takes_s > end + SLACK_S:
            return f"it takes {takes_s:g} s, and there are {end - start:g} s from its start_at to its end_at"
    return None


# Terms and their end


def times_of(proposal: Proposal, contract_duration_s: float, now: Instant) -> tuple[Instant, Instant, float]:
    """Return when the work begins and is done, and how long it takes, if a proposal is accepted now.

    It begins at its `start_at` if that is still to come, and else now.  What names neither end nor duration takes
    `contract_duration_s`.
    """
    start = now if proposal.start_at is None else max(now, proposal.start_at)
    takes_s = proposal.estimated_duration_s
    if proposal.end_at is None:
        takes_s = contract_duration_s if takes_s is None else takes_s
        return start, start + takes_s, takes_s
    return start, proposal.end_at, max(0.0, proposal.end_at - start) if takes_s is None else takes_s


def draw_up(
    call: CallForProposals, contractor: AgentId, manager: AgentId, proposal: Proposal, now: Instant
) -> ContractTerms:  # fmt: skip
    """Return the terms that an accepted proposal comes to, with what the task itself demands of every contract."""
    start, end, duration_s = times_of(proposal, call.contract_duration_s, now)
    demanded = call.task.quality_metrics
    return ContractTerms(
        task=call.task.id,
        contractor=contractor,
        manager=manager,
        cost=proposal.cost,
        duration_s=duration_s,
        start_at=start,
        end_at=end,
        binds_until=max(end, start + call.contract_duration_s),
        quality_guarantee=proposal.quality_guarantee,
        deliverables=tuple(dict.fromkeys((*call.task.deliverables, *proposal.deliverables))),
        quality_metrics={**demanded, **proposal.quality_metrics},
        penalty_clauses=call.penalty_clauses,
    )


def breach(terms: ContractTerms, result: Any) -> str | None:
    """Say in what a result falls short of the terms: a deliverable that is not in it, a metric that is too low."""
    given = result if isinstance(result, dict) else {}
    missing = [name for name in terms.deliverables if name not in given]
    if missing:
        return f"the result lacks what was to be delivered: {', '.join(missing)}"
    measured = given.get("quality_metrics")
    for name, promised in sorted(terms.quality_metrics.items()):
        level = measured.get(name) if isinstance(measured, dict) else None
        if not isinstance(level, int | float) or not level >= promised:
            shown = "not measured" if not isinstance(level, int | float) else f"{level:g}"
            return f"quality metric {name} is {shown}; {promised:g} was promised"
    return None


def settle(terms: ContractTerms, status: ContractEnd, at: Instant) -> Settlement:
    """Return what an ended contract comes to: who pays what, by its clauses.

    Done late, the price is paid and the late clause charged in proportion to the promised duration (a promise of
    0 s is late as a whole).  No contract costs more in penalties than `cap` x its price.
    """
    clauses, price = terms.penalty_clauses, terms.cost
    most = clauses.cap * price
    match status:
        case "completed":
            overdue_s = max(0.0, at - terms.end_at)
            share = overdue_s / terms.duration_s if terms.duration_s else float(overdue_s > 0.0)
            late = min(most, clauses.late * price * share)
            return Settlement(status, price, {"late": late} if late else {}, price - late, overdue_s)
        case "failed":
            owed = min(most, clauses.failure * price)
            return Settlement(status, 0.0, {"failure": owed} if owed else {}, -owed)
        case "decommitted":
            owed = min(most, clauses.decommitment * price)
            return Settlement(status, 0.0, {"decommitment": owed} if owed else {}, -owed)
        case "cancelled":
            owed = min(most, clauses.decommitment * price)
            return Settlement(status, 0.0, {"decommitment": owed} if owed else {}, owed)


def _ended(reply: Reply) -> Heard | None:
    """Read an answer that carries no value."""
    if reply.status == "ok":
        return None
    if reply.status == "lost":
        return Heard("lost", reason=reply.error or "it is gone")
    return Heard(_ENDS[reply.status], reason=reply.error or reply.status)


def _performative(value: Any, usual: Act) -> tuple[Act | None, Any]:
    """Return which act an answer is, None if it names one that no contractor has, and the answer."""
    named = value.get("performative") if isinstance(value, dict) else None
    if named is None:
        return usual, value
    return next((act for act in CONTRACTOR_ACTS if act == named), None), value
