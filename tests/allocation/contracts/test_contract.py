"""Answers to calls, terms, breaches, penalties, and what a record says of an agent."""

from typing import Any

import msgspec
import pytest

from concerted.allocation.contracts.contract import (
    MAX_SUBTASKS,
    Record,
    breach,
    draw_up,
    malformed,
    read_acceptance,
    read_proposal,
    settle,
)
from concerted.messages import CallForProposals, PenaltyClauses, Proposal, Reply
from concerted.values import AgentId, Task, TaskId

ANN, BOSS = AgentId("ann"), AgentId("boss")
CALL = CallForProposals(
    cfp="r#1", issuer=BOSS, task=Task(id=TaskId("t")), reply_by=60.0, contract_duration_s=1000.0,
    penalty_clauses=PenaltyClauses(late=0.1, failure=0.5, decommitment=0.2, cap=0.6),
)  # fmt: skip


def answer(value: Any, status: str = "ok", error: str | None = None) -> Reply:
    return Reply(agent=ANN, status=status, value=value, error=error)


# Answers


@pytest.mark.parametrize(
    "value",
    [
        {"cost": 2},
        {"cost": 2.0, "performative": "propose"},
        {"proposal": {"cost": 2.0}},
        {"cost": 2.0, "cfp": "r#1"},
        {"cost": 2.0, "more": "than asked for"},
    ],
)
def test_a_proposal_is_read_in_each_of_its_forms(value: Any) -> None:
    heard = read_proposal(answer(value), CALL)
    assert (heard.act, heard.proposal and heard.proposal.cost) == ("propose", 2.0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "it gave no reason"),
        ({"proposal": None, "reason": "too far"}, "too far"),
        ({"performative": "refuse", "reason": "no time"}, "no time"),
    ],
)
def test_no_proposal_is_a_refusal(value: Any, reason: str) -> None:
    heard = read_proposal(answer(value), CALL)
    assert (heard.act, heard.reason) == ("refuse", reason)


@pytest.mark.parametrize(
    ("status", "act"),
    [
        ("refused", "refuse"),
        ("failed", "failure"),
        ("timeout", "reply-by"),
        ("cancelled", "reply-by"),
        ("lost", "lost"),
    ],
)
def test_an_answer_without_a_value_is_what_its_status_says(status: str, act: str) -> None:
    for heard in (
        read_proposal(answer(None, status, "so it is"), CALL),
        read_acceptance(answer(None, status, "so it is")),
    ):
        assert (heard.act, heard.reason) == (act, "so it is")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("for nothing", "its answer is no proposal: Expected `object`, got `str`"),
        ({"price": 2.0}, "its answer is no proposal: Object missing required field `cost`"),
        ({"cost": None}, "its answer is no proposal: Expected `float`, got `null`"),
        ({"cost": -3.0}, "its cost is -3; it must be at least 0 and finite"),
        ({"cost": float("nan")}, "its cost is nan; it must be at least 0 and finite"),
        ({"cost": float("inf")}, "its cost is inf; it must be at least 0 and finite"),
        (
            {"cost": 1.0, "estimated_duration_s": -1.0},
            "its estimated_duration_s is -1; it must be at least 0 and finite",
        ),
        ({"cost": 1.0, "quality_guarantee": 80.0}, "its quality_guarantee is 80; levels are 0..1"),
        ({"cost": 1.0, "quality_metrics": {"recall": 1.5}}, "its recall is 1.5; levels are 0..1"),
        ({"cost": 1.0, "valid_until": float("inf")}, "its valid_until is inf; leave it out if it has no end"),
        ({"cost": 1.0, "start_at": float("inf")}, "its start_at is inf; it must be an instant"),
        ({"cost": 1.0, "end_at": float("nan")}, "its end_at is nan; it must be an instant"),
        ({"cost": 1.0, "start_at": 9.0, "end_at": 8.0}, "its end_at is 8, before its start_at, 9"),
        (
            {"cost": 1.0, "start_at": 1.0, "end_at": 8.0, "estimated_duration_s": 8.0},
            "it takes 8 s, and there are 7 s from its start_at to its end_at",
        ),
        ({"cost": 1.0, "cfp": "r#2"}, "it answers call r#2, and this one is r#1"),
        ({"cost": 1.0, "subtasks": [{"id": "a"}, {"id": "a"}]}, "two of its subtasks have the same id"),
        ({"performative": "shout"}, "there is no performative 'shout'"),
        ({"performative": ["inform"]}, "there is no performative ['inform']"),
    ],
)
def test_what_makes_no_sense_is_not_understood_and_says_why(value: Any, reason: str) -> None:
    heard = read_proposal(answer(value), CALL)
    assert heard.act is None
    assert heard.proposal is None
    assert reason in heard.reason


def test_another_performative_is_heard_as_what_it_is() -> None:
    assert read_proposal(answer({"performative": "inform-done"}), CALL).act == "inform-done"
    assert read_proposal(answer({"performative": "not-understood", "reason": "t?"}), CALL).act == "not-understood"
    assert read_acceptance(answer({"performative": "propose"})).act == "propose"


def test_a_proposal_has_a_bound_on_its_subtasks() -> None:
    many = Proposal(cost=1.0, subtasks=tuple(Task(id=TaskId(f"s{n}")) for n in range(MAX_SUBTASKS + 1)))
    assert malformed(many, CALL) == f"it has {MAX_SUBTASKS + 1} subtasks; the bound is {MAX_SUBTASKS}"


@pytest.mark.parametrize(
    ("value", "act"),
    [
        (True, "agree"),
        (False, "refuse"),
        ({"accepted": True}, "agree"),
        ({"accepted": False, "reason": "changed my mind"}, "refuse"),
        ({"performative": "agree"}, "agree"),
        ({"performative": "refuse"}, "refuse"),
        ({"performative": "inform-result"}, "inform-result"),
        ({"performative": "shout"}, None),
        (None, None),
        ("yes", None),
        ({}, None),
        ({"accepted": "yes"}, None),
    ],
)
def test_an_acceptance_says_true_or_false(value: Any, act: str | None) -> None:
    heard = read_acceptance(answer(value))
    assert heard.act == act
    assert bool(heard.reason) or act not in (None, "refuse") or value == {"performative": "refuse"}


# Terms


def test_terms_are_those_of_call_and_proposal() -> None:
    proposal = Proposal(cost=10.0, estimated_duration_s=50.0, deliverables=("page",), quality_metrics={"recall": 0.8})
    terms = draw_up(CALL, ANN, BOSS, proposal, 100.0)
    assert (terms.start_at, terms.end_at, terms.binds_until, terms.cost) == (100.0, 150.0, 1100.0, 10.0)
    assert (terms.contractor, terms.manager, terms.task) == ("ann", "boss", "t")
    assert (terms.deliverables, terms.quality_metrics) == (("page",), {"recall": 0.8})
    assert terms.penalty_clauses == CALL.penalty_clauses


def test_without_a_duration_of_its_own_a_contract_has_the_calls_and_binds_at_least_as_long_as_promised() -> None:
    assert draw_up(CALL, ANN, BOSS, Proposal(cost=1.0), 0.0).end_at == 1000.0
    long = draw_up(CALL, ANN, BOSS, Proposal(cost=1.0, estimated_duration_s=5000.0), 0.0)
    assert (long.end_at, long.binds_until) == (5000.0, 5000.0)


@pytest.mark.parametrize(
    ("proposal", "times"),
    [
        ({"start_at": 130.0, "estimated_duration_s": 50.0}, (130.0, 180.0, 50.0)),
        ({"start_at": 130.0, "end_at": 200.0}, (130.0, 200.0, 70.0)),
        ({"start_at": 130.0, "end_at": 200.0, "estimated_duration_s": 50.0}, (130.0, 200.0, 50.0)),
        ({"start_at": 90.0, "estimated_duration_s": 50.0}, (100.0, 150.0, 50.0)),  # its start is past: it begins now
        ({"end_at": 160.0}, (100.0, 160.0, 60.0)),
        ({"start_at": 130.0}, (130.0, 1130.0, 1000.0)),
    ],
)
def test_the_terms_have_the_start_and_the_end_that_a_proposal_names(
    proposal: dict[str, float], times: tuple[float, float, float]
) -> None:
    terms = draw_up(CALL, ANN, BOSS, Proposal(cost=1.0, **proposal), 100.0)
    assert (terms.start_at, terms.end_at, terms.duration_s) == times
    assert terms.binds_until == max(terms.end_at, terms.start_at + 1000.0)


def test_lateness_counts_from_the_end_agreed_on_and_is_measured_by_the_promised_duration() -> None:
    terms = draw_up(CALL, ANN, BOSS, Proposal(cost=10.0, start_at=100.0, end_at=200.0, estimated_duration_s=50.0), 0.0)
    assert settle(terms, "completed", 200.0).penalties == {}
    assert settle(terms, "completed", 225.0).penalties == {"late": pytest.approx(0.1 * 10.0 * 25.0 / 50.0)}


def test_what_a_task_demands_is_in_every_contract_on_it() -> None:
    demanding = Task(id=TaskId("t"), deliverables=("index", "page"), quality_metrics={"recall": 0.7, "style": 0.5})
    call = msgspec.structs.replace(CALL, task=demanding)
    proposal = Proposal(cost=1.0, deliverables=("page", "cover"), quality_metrics={"recall": 0.9})
    terms = draw_up(call, ANN, BOSS, proposal, 0.0)
    assert terms.deliverables == ("index", "page", "cover")
    assert terms.quality_metrics == {"recall": 0.9, "style": 0.5}


PROMISED = draw_up(
    CALL, ANN, BOSS, Proposal(cost=1.0, deliverables=("page", "index"), quality_metrics={"recall": 0.8}), 0.0
)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ({"page": 1, "index": 2, "quality_metrics": {"recall": 0.8}}, None),
        ({"page": 1, "quality_metrics": {"recall": 0.8}}, "the result lacks what was to be delivered: index"),
        ("a page", "the result lacks what was to be delivered: page, index"),
        ({"page": 1, "index": 2}, "quality metric recall is not measured; 0.8 was promised"),
        (
            {"page": 1, "index": 2, "quality_metrics": {"recall": 0.7}},
            "quality metric recall is 0.7; 0.8 was promised",
        ),
        (
            {"page": 1, "index": 2, "quality_metrics": {"recall": "high"}},
            "quality metric recall is not measured; 0.8 was promised",
        ),
    ],
)
def test_a_result_is_held_to_the_terms(result: Any, why: str | None) -> None:
    assert breach(PROMISED, result) == why


def test_who_has_promised_nothing_breaks_nothing() -> None:
    assert breach(draw_up(CALL, ANN, BOSS, Proposal(cost=1.0), 0.0), None) is None


# Penalties


TERMS = draw_up(CALL, ANN, BOSS, Proposal(cost=10.0, estimated_duration_s=100.0), 0.0)


@pytest.mark.parametrize(
    ("status", "at", "paid", "penalties", "balance"),
    [
        ("completed", 100.0, 10.0, {}, 10.0),
        ("completed", 150.0, 10.0, {"late": 0.5}, 9.5),
        ("completed", 200.0, 10.0, {"late": 1.0}, 9.0),
        ("completed", 1000.0, 10.0, {"late": 6.0}, 4.0),  # the cap
        ("failed", 50.0, 0.0, {"failure": 5.0}, -5.0),
        ("decommitted", 50.0, 0.0, {"decommitment": 2.0}, -2.0),
        ("cancelled", 50.0, 0.0, {"decommitment": 2.0}, 2.0),
    ],
)
def test_each_end_is_settled_by_its_clause(
    status: Any, at: float, paid: float, penalties: dict[str, float], balance: float
) -> None:
    done = settle(TERMS, status, at)
    assert (done.status, done.paid) == (status, paid)
    assert done.penalties == pytest.approx(penalties)
    assert done.balance == pytest.approx(balance)


@pytest.mark.parametrize("status", ["completed", "failed", "decommitted", "cancelled"])
def test_no_contract_costs_more_than_its_cap(status: Any) -> None:
    harsh = PenaltyClauses(late=9.0, failure=9.0, decommitment=9.0, cap=0.3)
    done = settle(msgspec.structs.replace(TERMS, penalty_clauses=harsh), status, 500.0)
    assert sum(done.penalties.values()) == pytest.approx(3.0)


def test_a_promise_of_no_time_at_all_is_late_as_a_whole() -> None:
    at_once = draw_up(CALL, ANN, BOSS, Proposal(cost=10.0, estimated_duration_s=0.0), 0.0)
    assert settle(at_once, "completed", 0.0).penalties == {}
    assert settle(at_once, "completed", 0.1).penalties == {"late": 1.0}


def test_a_record_is_worth_more_the_longer_it_is() -> None:
    assert Record().reliability == 0.5
    assert Record(kept=1).reliability < Record(kept=8).reliability < 1.0
    assert Record(broken=1).reliability == pytest.approx(1 / 3)
    assert Record(kept=2, late=2, broken=1).reliability == pytest.approx(4 / 7)
