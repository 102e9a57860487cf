from typing import Any

import pytest

from concerted.consensus.decisions.answers import FEW
from concerted.consensus.decisions.certificate import verify
from concerted.consensus.decisions.decision import (
    Await,
    Create,
    Decision,
    Request,
    Vote,
    answer,
    decide,
    evolve,
    waits,
    wakes,
)
from concerted.consensus.decisions.rule import rule_of
from concerted.consensus.decisions.state import SHOWN
from concerted.machine import EVERYBODY, Event, Look, Lost
from concerted.values import AgentId

ANN, BOB, CY = (AgentId(name) for name in ("ann", "bob", "cy"))


def after(*requests: Request) -> Decision:
    state: Decision | None = None
    for now, request in enumerate(requests, 1):
        for event in decide(state, request, float(now)).events:
            state = evolve(state, event, float(now))
    assert state is not None
    return state


def create(**changes: Any) -> Create:
    usual: dict[str, Any] = {
        "id": "d1", "by": ANN, "question": "ship it?", "electorate": {ANN: 1, BOB: 2, CY: 1}, "deadline_at": 60.0
    }  # fmt: skip
    return Create(**{**usual, **changes})


def test_who_votes_or_waits_is_answered_when_it_is_closed() -> None:
    state = after(create(), Vote(ANN, "accept"))
    assert answer(state, Vote(ANN, "accept"), 3.0).pending
    assert answer(state, Await(BOB), 3.0).pending
    assert not answer(state, Look(), 3.0).pending
    assert not answer(after(create(), Vote(BOB, "accept"), Vote(ANN, "accept")), Await(CY), 3.0).pending


def test_it_says_who_thinks_what_and_what_keeps_the_log() -> None:
    told = answer(after(create(), Vote(BOB, "accept"), Vote(ANN, "reject"), Vote(CY, "abstain")), Look(), 9.0)
    assert (told.approved_by, told.rejected_by, told.abstained, told.missing) == ((BOB,), (ANN,), (CY,), ())
    assert told.weights == {"accept": 2, "reject": 1, "abstain": 1, "missing": 0}
    assert (told.voted, told.voters, told.outcome, told.cause) == (3, 3, "rejected", "complete")
    assert told.stored_by == ("the embedded store: one file, one fault domain",)


def test_the_certificate_comes_with_the_end_and_is_valid() -> None:
    assert answer(after(create()), Look(), 2.0).certificate is None
    told = answer(after(create(), Vote(BOB, "accept", "green"), Vote(CY, "accept")), Await(), 4.0)
    assert told.certificate is not None
    assert verify(told.certificate).valid
    assert told.certificate.ballots[0].reason == "green"
    assert told.certificate.position.closed == 4


@pytest.mark.parametrize(("count", "missing"), [(FEW, FEW - 1), (FEW + 1, 0)])
def test_who_votes_is_told_who_of_few_voters_is_missing(count: int, missing: int) -> None:
    voters = {AgentId(f"v{i:02}"): 1 for i in range(count)}
    vote = Vote(AgentId("v00"), "accept")
    told = answer(after(create(electorate=voters, deadline_at=None), vote), vote, 5.0)
    assert (len(told.missing), len(told.approved_by)) == (missing, 1 if missing else 0)


def test_of_many_voters_lists_are_only_for_who_looks() -> None:
    many = {AgentId(f"v{i:05}"): 1 for i in range(SHOWN + 1)}
    votes = [Vote(voter, "accept") for voter in many]
    state = after(create(electorate=many, deadline_at=None), *votes[: SHOWN // 2 + 1])
    told, looked = answer(state, Await(), 5.0), answer(state, Look(), 5.0)
    assert (told.approved_by, told.certificate, told.voted) == ((), None, SHOWN // 2 + 1)
    assert len(looked.approved_by) == SHOWN // 2 + 1
    assert looked.certificate is not None
    assert verify(looked.certificate).valid


def test_a_wait_names_who_is_missing_who_of_them_is_gone_and_what_is_demanded() -> None:
    state = after(create(rule=rule_of("2/3")), Vote(ANN, "accept"), Lost(CY, "no heartbeat for 20 s"))
    wait = waits(state, Vote(ANN, "accept"), 5.0)
    assert wait is not None
    assert wait.waiting_for == (
        "decision d1: 1 of 3 have voted; missing: cy, who is gone: no heartbeat for 20 s; bob; "
        "at least 2/3 of the electorate must accept"
    )
    assert (wait.unblocked_by, wait.since, wait.deadline) == ((BOB, CY), 2.0, 60.0)


def test_of_many_missing_voters_only_some_are_named() -> None:
    many = {AgentId(f"v{i:05}"): 1 for i in range(300)}
    wait = waits(after(create(electorate=many)), Await(), 5.0)
    assert wait is not None
    assert "missing: 300 more" in wait.waiting_for
    assert wait.unblocked_by == ()
    twenty = {AgentId(f"v{i:05}"): 1 for i in range(20)}
    wait = waits(after(create(electorate=twenty)), Await(), 5.0)
    assert wait is not None
    assert "v00009; and 10 more" in wait.waiting_for


def test_nobody_waits_who_only_looks_or_when_it_is_closed() -> None:
    assert waits(after(create()), Look(), 3.0) is None
    assert waits(after(create(), Vote(BOB, "reject")), Await(), 3.0) is None


@pytest.mark.parametrize(("kind", "topics"), [("closed", (EVERYBODY,)), ("ballot_cast", ()), ("ballot_ignored", ())])
def test_waiters_wake_at_the_end(kind: str, topics: tuple[str, ...]) -> None:
    assert tuple(wakes(Event(f"decision.{kind}"))) == topics
