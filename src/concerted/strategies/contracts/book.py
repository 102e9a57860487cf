"""The book of a contract net: every contract with its end, what each agent has earned and owes, and its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from concerted.allocation.contracts.contract import ContractStatus, Record, Settlement
from concerted.board.task import TaskState
from concerted.errors import Invalid
from concerted.messages import ContractTerms
from concerted.run import Fact
from concerted.values import AgentId, Instant, TaskId

__all__ = ["Account", "Contract", "ContractBook", "ContractNetResult", "Ending", "ExecutionResult", "past_history"]

CONTRACTS_SHOWN = 2_000  # contracts of one run that its result repeats; the others are in the log

Ending = Literal["done", "failed", "no_proposal", "cancelled"]


class Contract(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One contract.  value: its price.  balance: what the contractor has come to, penalties deducted.

    score: that of its proposal, 0..1.  ended_at, balance: None while it is active.
    """

    id: str
    terms: ContractTerms
    status: ContractStatus
    created_at: Instant
    value: float
    score: float
    ended_at: Instant | None = None
    balance: float | None = None
    penalties: dict[str, float] = {}
    reason: str = ""


class ExecutionResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one contract was carried out; the result itself is in the outcome's `tasks`."""

    contract_id: str
    task_id: TaskId
    contractor_id: AgentId
    success: bool
    duration_s: float
    reason: str = ""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent has been paid for contracts, what it owes in penalties, and what it was owed by the manager."""

    earned: float = 0.0
    penalties: float = 0.0
    compensation: float = 0.0


class ContractNetResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run.  manager: the last one.  endings: how each task ended.  total_value: of all contracts.

    contracts, execution_results: the first 2,000.  history: agent -> how many contracts it has kept, was late with and
    has broken, in earlier runs too.
    """

    manager: AgentId | None
    calls: int
    rounds: int
    contracts_negotiated: int
    contracts_completed: int
    total_value: float
    endings: dict[TaskId, Ending]
    contracts: tuple[Contract, ...]
    execution_results: tuple[ExecutionResult, ...]
    accounts: dict[AgentId, Account]
    history: dict[AgentId, dict[str, int]]


class ContractBook:
    """The contracts of one run.  records: agent -> how it has kept its contracts so far."""

    def __init__(self) -> None:
        self.records: dict[AgentId, Record] = {}
        self.unproposed: set[TaskId] = set()  # given up because nobody proposed
        self.contracted: set[TaskId] = set()  # for which there was a contract at least once
        self.calls = 0
        self.rounds = 0
        self._contracts: dict[str, Contract] = {}
        self._accounts: dict[AgentId, Account] = {}

    def remember(self, records: Any) -> None:
        """Begin with these records: agent -> {kept, late, broken}.

        Raises:
            Invalid: they have another form.
        """
        self.records = _records(records)

    def reliability(self, agent: AgentId) -> float:
        """Return how reliable an agent is by its record, 0..1."""
        return self.records.get(agent, Record()).reliability

    def open(self, contract: str, terms: ContractTerms, score: float, at: Instant) -> None:
        """Enter a contract that has been agreed to."""
        self.contracted.add(terms.task)
        self._contracts[contract] = Contract(
            id=contract, terms=terms, status="active", created_at=at, value=terms.cost, score=score
        )

    def close(self, contract: str, settlement: Settlement, at: Instant, reason: str) -> None:
        """Enter how a contract has ended: the payments, the penalties, and what it does to its contractor's record."""
        entry = self._contracts[contract]
        agent = entry.terms.contractor
        self._contracts[contract] = msgspec.structs.replace(
            entry, status=settlement.status, ended_at=at, balance=settlement.balance, penalties=settlement.penalties,
            reason=reason,
        )  # fmt: skip
        owed, account = sum(settlement.penalties.values()), self._accounts.get(agent, Account())
        by_manager = settlement.status == "cancelled"
        self._accounts[agent] = Account(
            earned=account.earned + settlement.paid,
            penalties=account.penalties + (0.0 if by_manager else owed),
            compensation=account.compensation + (owed if by_manager else 0.0),
        )
        record = self.records.get(agent, Record())
        self.records[agent] = record.after(settlement.status, settlement.overdue_s)

    def result(self, manager: AgentId | None, states: Mapping[TaskId, TaskState]) -> ContractNetResult:
        """Return what it all came to.  states: of all tasks of the run, each decided."""
        contracts = tuple(self._contracts.values())
        shown = contracts[:CONTRACTS_SHOWN]
        return ContractNetResult(
            manager=manager,
            calls=self.calls,
            rounds=self.rounds,
            contracts_negotiated=len(contracts),
            contracts_completed=sum(one.status == "completed" for one in contracts),
            total_value=sum(one.value for one in contracts),
            endings={task: self._ending(state) for task, state in states.items()},
            contracts=shown,
            execution_results=tuple(_execution(one) for one in shown if one.ended_at is not None),
            accounts=dict(sorted(self._accounts.items())),
            history=_counts(self.records),
        )

    def _ending(self, state: TaskState) -> Ending:
        match state.status:
            case "done" | "cancelled":
                return state.status
            case "failed":
                return "no_proposal" if state.id in self.unproposed else "failed"
            case _:
                raise AssertionError(f"task {state.id} is {state.status}: it has not ended")


def _execution(contract: Contract) -> ExecutionResult:
    return ExecutionResult(
        contract_id=contract.id,
        task_id=contract.terms.task,
        contractor_id=contract.terms.contractor,
        success=contract.status == "completed",
        duration_s=(contract.ended_at or 0.0) - contract.created_at,
        reason=contract.reason,
    )


def past_history(facts: Sequence[Fact]) -> dict[AgentId, dict[str, int]]:
    """Count what `contract.settled` of other runs says: agent -> {kept, late, broken}."""
    records: dict[AgentId, Record] = {}
    for fact in facts:
        if fact.agent is not None:
            record = records.get(fact.agent, Record())
            records[fact.agent] = record.after(fact.data["status"], fact.data["overdue_s"])
    return _counts(records)


def _counts(records: Mapping[AgentId, Record]) -> dict[AgentId, dict[str, int]]:
    return {agent: {"kept": one.kept, "late": one.late, "broken": one.broken} for agent, one in sorted(records.items())}


def _records(given: Any) -> dict[AgentId, Record]:
    """Read the option `history`."""
    try:
        counts = msgspec.convert(given, dict[AgentId, dict[Literal["kept", "late", "broken"], int]])
    except msgspec.ValidationError as error:
        wanted = "agent -> {kept, late, broken}, the `history` of an earlier result"
        raise Invalid(f"the option history must be {wanted}: {error}") from error
    for agent, record in counts.items():
        for name, count in record.items():
            if count < 0:
                raise Invalid(
                    f"the option history says that {agent} has {name} {count} contracts; it cannot be below 0"
                )
    return {agent: Record(**record) for agent, record in sorted(counts.items())}
