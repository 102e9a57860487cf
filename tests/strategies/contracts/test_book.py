"""The book of a contract net: payments, penalties, records, and what is shown of them."""

from typing import Any

import pytest

from concerted.allocation.contracts.contract import Record, settle
from concerted.board.task import TaskState
from concerted.errors import Invalid
from concerted.messages import ContractTerms, PenaltyClauses
from concerted.run import Fact
from concerted.strategies.contracts import book as contract_book
from concerted.strategies.contracts.book import ContractBook, past_history
from concerted.values import AgentId, RunId, Task, TaskId

ANN, BOSS = AgentId("ann"), AgentId("boss")


def terms(task: str = "a", cost: float = 10.0) -> ContractTerms:
    return ContractTerms(
        task=TaskId(task), contractor=ANN, manager=BOSS, cost=cost, duration_s=10.0, start_at=0.0, end_at=10.0,
        binds_until=100.0, penalty_clauses=PenaltyClauses(late=0.1, failure=0.5, decommitment=0.2, cap=0.5),
    )  # fmt: skip


def ended(book: ContractBook, *ends: tuple[Any, float]) -> None:
    for number, (status, at) in enumerate(ends):
        book.open(f"c{number}", terms(f"t{number}"), 0.5, 0.0)
        book.close(f"c{number}", settle(terms(), status, at), at, "")


@pytest.mark.parametrize(
    ("ends", "account", "record"),
    [
        ([("completed", 5.0)], (10.0, 0.0, 0.0), Record(kept=1)),
        ([("completed", 20.0)], (10.0, 1.0, 0.0), Record(late=1)),
        ([("failed", 5.0)], (0.0, 5.0, 0.0), Record(broken=1)),
        ([("decommitted", 5.0)], (0.0, 2.0, 0.0), Record(broken=1)),
        ([("cancelled", 5.0)], (0.0, 0.0, 2.0), Record()),
        ([("completed", 5.0), ("failed", 5.0), ("completed", 9.0)], (20.0, 5.0, 0.0), Record(kept=2, broken=1)),
    ],
)
def test_each_end_is_booked_for_its_contractor(ends: Any, account: tuple[float, float, float], record: Record) -> None:
    book = ContractBook()
    ended(book, *ends)
    result = book.result(BOSS, {})
    shown = result.accounts[ANN]
    assert (shown.earned, shown.penalties, shown.compensation) == pytest.approx(account)
    assert book.records.get(ANN, Record()) == record
    assert book.reliability(ANN) == record.reliability


def test_the_result_counts_contracts_and_their_value() -> None:
    book = ContractBook()
    ended(book, ("completed", 5.0), ("failed", 7.0))
    result = book.result(BOSS, {})
    assert (result.contracts_negotiated, result.contracts_completed, result.total_value) == (2, 1, 20.0)
    assert [(one.success, one.duration_s) for one in result.execution_results] == [(True, 5.0), (False, 7.0)]


def test_the_result_shows_a_bounded_number_of_contracts_and_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract_book, "CONTRACTS_SHOWN", 2)
    book = ContractBook()
    ended(book, *[("completed", 5.0)] * 3)
    result = book.result(BOSS, {})
    assert (len(result.contracts), len(result.execution_results), result.contracts_completed) == (2, 2, 3)
    assert result.total_value == 30.0


def test_each_task_has_exactly_one_ending() -> None:
    book = ContractBook()
    book.unproposed.add(TaskId("c"))
    states = {
        TaskId(name): TaskState(Task(id=TaskId(name)), status)
        for name, status in (("a", "done"), ("b", "failed"), ("c", "failed"), ("d", "cancelled"))
    }
    assert book.result(BOSS, states).endings == {"a": "done", "b": "failed", "c": "no_proposal", "d": "cancelled"}
    with pytest.raises(AssertionError, match="task e is running: it has not ended"):
        book.result(BOSS, {TaskId("e"): TaskState(Task(id=TaskId("e")), "running")})


def fact(agent: str | None, status: str, overdue_s: float = 0.0) -> Fact:
    return Fact(run=RunId("q"), at=1.0, agent=agent, ref="a", data={"status": status, "overdue_s": overdue_s})


def test_the_records_of_other_runs_are_counted_from_what_they_have_settled() -> None:
    facts = [
        fact("bob", "failed"), fact("ann", "completed"), fact("ann", "completed", 3.0), fact("ann", "cancelled"),
        fact("ann", "decommitted"), fact(None, "completed"),
    ]  # fmt: skip
    told = past_history(facts)
    assert told == {
        "ann": {"kept": 1, "late": 1, "broken": 1},
        "bob": {"kept": 0, "late": 0, "broken": 1},
    }
    book = ContractBook()
    book.remember(told)
    ended(book, ("completed", 5.0))
    assert book.result(BOSS, {}).history["ann"] == {"kept": 2, "late": 1, "broken": 1}
    assert past_history([]) == {}


@pytest.mark.parametrize("given", ["ann", {"ann": 1}, {"ann": {"kept": 0.5}}, {"ann": {"Kept": 1}}])
def test_records_of_another_form_are_an_error_that_says_which(given: Any) -> None:
    with pytest.raises(Invalid, match=r"the option history must be agent -> \{kept, late, broken\}"):
        ContractBook().remember(given)
