"""A decision: one ballot each, everything frozen at its opening, and one end, by ballots or by an entry of the log."""

from typing import Any

import pytest

from concerted.consensus.decisions.certificate import verify
from concerted.consensus.decisions.decision import (
    KINDS,
    Await,
    Cancel,
    Create,
    Decision,
    Request,
    Vote,
    answer,
    decide,
    evolve,
)
from concerted.consensus.decisions.rule import Rule, rule_of
from concerted.consensus.decisions.signatures import ballot_bytes, new_key, public_key, sign
from concerted.consensus.decisions.state import LATER_BALLOTS
from concerted.errors import ConcertedError, Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import Found, Look, Lost, Step, Wake
from concerted.values import AgentId, Instant

ANN, BOB, CY, DEE = (AgentId(name) for name in ("ann", "bob", "cy", "dee"))
KEY = new_key(b"a" * 32)


def create(**changes: Any) -> Create:
    usual: dict[str, Any] = {
        "id": "d1", "by": DEE, "question": "ship it?", "electorate": {ANN: 1, BOB: 1, CY: 1}, "deadline_at": 60.0
    }  # fmt: skip
    return Create(**{**usual, **changes})


def yes(agent: AgentId, reason: str = "") -> Vote:
    return Vote(agent, "accept", reason)


def no(agent: AgentId, reason: str = "") -> Vote:
    return Vote(agent, "reject", reason)


def taken(state: Decision | None, request: Request, now: Instant) -> tuple[Decision, Step]:
    step = decide(state, request, now)
    for event in step.events:
        assert event.kind in KINDS
        state = evolve(state, event, now)
    assert state is not None
    return state, step


def after(*requests: Request | tuple[Request, Instant]) -> Decision:
    """Return the state after requests, at the instants 1, 2, 3 ... unless they have their own."""
    state: Decision | None = None
    for at, request in enumerate(requests, 1):
        asked, now = request if isinstance(request, tuple) else (request, float(at))
        state, _ = taken(state, asked, now)
    assert state is not None
    return state


def refused(state: Decision | None, request: Request, now: Instant, kind: type[ConcertedError]) -> str:
    with pytest.raises(kind) as refusal:
        decide(state, request, now)
    return refusal.value.message


# opening


def test_the_voters_are_told_when_it_opens() -> None:
    state, step = taken(None, create(proposal={"build": 7}), 1.0)
    (told,) = step.sends
    assert (told.to, told.type) == ((ANN, BOB, CY), "DECISION_OPENED")
    assert told.content["question"] == "ship it?"
    assert told.content["proposal"] == {"build": 7}
    assert told.content["opening_digest"] == state.digest
    assert step.wake_at == 60.0


def test_a_long_proposal_is_not_in_the_message() -> None:
    _, step = taken(None, create(proposal="x" * 20_000), 1.0)
    assert step.sends[0].content["proposal"] is None


@pytest.mark.parametrize("facts", [{"electorate": {}}, {"deadline_at": 0.5}, {"rule": Rule(threshold="2")}, {"id": ""}])
def test_what_makes_no_sense_is_not_opened(facts: dict[str, Any]) -> None:
    assert "cannot be opened" in refused(None, create(**facts), 1.0, Invalid)


def test_the_same_opening_again_changes_nothing() -> None:
    assert decide(after(create()), create(), 5.0).events == ()


def test_two_proposers_at_once_open_one_decision_and_the_other_is_told_whose() -> None:
    state = after(create())
    message = refused(state, create(by=ANN, question="ship nothing?"), 1.0, Conflict)
    assert "dee has opened decision d1 already, with other question, opened_by" in message


@pytest.mark.parametrize("request_", [yes(ANN), Await(ANN), Cancel(DEE), Look()])
def test_of_nothing_nothing_can_be_asked(request_: Request) -> None:
    assert "open it" in refused(None, request_, 1.0, NotFound)


def test_time_and_agents_pass_by_what_is_not_there() -> None:
    assert decide(None, Wake(), 1.0) == decide(None, Lost(ANN, "gone"), 1.0) == decide(None, Found(ANN), 1.0) == Step()


# ballots


def test_it_is_accepted_as_soon_as_no_missing_ballot_can_change_it() -> None:
    state = after(create(), yes(ANN), yes(BOB))
    assert state.status == "accepted"
    assert state.closing is not None
    assert (state.closing.cause, state.closing.position) == ("settled", 4)


def test_it_is_open_while_a_missing_ballot_can_change_it() -> None:
    assert after(create(), yes(ANN), no(BOB)).status == "voting"
    state = after(create(), yes(ANN), no(BOB), no(CY))
    assert state.status == "rejected"
    assert state.closing is not None
    assert state.closing.cause == "complete"


def test_everybody_is_told_the_outcome_once() -> None:
    state = after(create(), yes(ANN))
    _, step = taken(state, yes(BOB), 3.0)
    (told,) = step.sends
    assert (told.to, told.type) == ((ANN, BOB, CY), "DECISION_CLOSED")
    assert told.content["outcome"] == "accepted"
    assert told.content["why"] == "2 of 3 for accept, it takes 2"
    assert step.wake_at is None


def test_the_veto_arrives_last() -> None:
    rule = rule_of("majority", vetoes=[CY])
    state = after(create(rule=rule), yes(ANN), yes(BOB))
    assert state.status == "voting"  # two of three accept, and it is still open
    assert taken(state, no(CY, "unsafe"), 4.0)[0].status == "rejected"
    assert taken(state, Vote(CY, "abstain"), 4.0)[0].status == "accepted"


def test_a_veto_closes_it_at_once() -> None:
    state = after(create(rule=rule_of("majority", vetoes=[CY])), no(CY))
    assert state.closing is not None
    assert (state.status, state.closing.verdict.why) == ("rejected", "vetoed by cy")


def test_only_the_electorate_votes() -> None:
    assert "dee has no vote" in refused(after(create()), yes(DEE), 2.0, NotAllowed)


def test_what_is_no_ballot_is_refused() -> None:
    assert "the choices are" in refused(after(create()), Vote(ANN, "maybe"), 2.0, Invalid)


def test_the_first_ballot_counts_and_a_later_one_is_written_and_ignored() -> None:
    state, step = taken(after(create(), yes(ANN)), no(ANN, "on second thoughts"), 3.0)
    (event,) = step.events
    assert (event.kind, event.data["first"]) == ("decision.ballot_ignored", "accept")
    told = answer(state, no(ANN, "on second thoughts"), 3.0)
    assert (told.ballot, told.ignored) == ("accept", True)
    told = answer(state, Look(), 3.0)
    assert (told.approved_by, told.rejected_by) == ((ANN,), ())


def test_the_same_ballot_again_changes_nothing_also_after_the_end() -> None:
    assert decide(after(create(), yes(ANN)), yes(ANN), 3.0).events == ()
    state = after(create(), yes(ANN), yes(BOB))
    assert decide(state, yes(ANN), 9.0).events == ()
    assert not answer(state, yes(ANN), 9.0).pending


def test_what_is_written_of_ignored_ballots_has_a_bound() -> None:
    state = after(create(), yes(ANN), *(no(ANN, f"reason {i}") for i in range(10)))
    assert len(state.ignored["ann"]) == LATER_BALLOTS
    assert decide(state, no(ANN, "reason 0"), 20.0).events == ()


def test_a_ballot_after_the_end_is_refused() -> None:
    state = after(create(), yes(ANN), yes(BOB))
    assert "cy votes too late: decision d1 was closed 1.0 s ago, accepted" in refused(state, no(CY), 4.0, WrongPhase)


def test_two_different_signed_ballots_are_kept_as_evidence() -> None:
    pytest.importorskip("cryptography")
    state = after(create(keys={ANN: public_key(KEY)}))

    def signed(choice: str) -> Vote:
        return Vote(ANN, choice, "", sign(KEY, ballot_bytes(state.digest, ANN, choice, "")))

    assert "must sign" in refused(state, yes(ANN), 2.0, Invalid)
    state, _ = taken(state, signed("accept"), 2.0)
    state, step = taken(state, signed("reject"), 3.0)
    assert [event.kind for event in step.events] == ["decision.equivocated"]
    assert "not the signature" in refused(state, Vote(ANN, "abstain", "", signed("reject").signature), 3.0, Invalid)
    state, _ = taken(state, yes(BOB), 4.0)
    told = answer(state, Look(), 5.0)
    assert (told.equivocated, told.approved_by) == ((ANN,), (ANN, BOB))
    assert told.certificate is not None
    (evidence,) = told.certificate.equivocations
    assert (evidence.first.choice, evidence.second.choice) == ("accept", "reject")
    assert verify(told.certificate).problems == ()


# the end without enough ballots


def test_a_silent_voter_lets_it_lapse_at_the_deadline() -> None:
    state, step = taken(after(create(), yes(ANN), no(BOB)), Wake(), 60.0)
    assert [event.kind for event in step.events] == ["decision.closed"]
    told = answer(state, Look(), 61.0)
    assert (told.status, told.cause, told.missing, told.success) == ("lapsed", "deadline", (CY,), False)
    assert told.why == "1 of 3 for accept, it takes 2, and 1 did not vote"


def test_if_no_majority_answers_nothing_is_decided() -> None:
    voters = {AgentId(f"v{i}"): 1 for i in range(5)}
    for choice in ("accept", "reject", "abstain"):
        state = after(create(electorate=voters), *(Vote(AgentId(f"v{i}"), choice) for i in range(2)))
        assert taken(state, Wake(), 60.0)[0].status == "lapsed"


def test_silence_accepts_only_if_the_rule_says_so() -> None:
    voted = (yes(ANN),)
    assert taken(after(create(), *voted), Wake(), 60.0)[0].status == "lapsed"
    generous = create(rule=rule_of("majority", silence="accept"))
    assert taken(after(generous, *voted), Wake(), 60.0)[0].status == "accepted"


def test_the_deadline_is_an_entry_and_until_it_is_written_the_decision_is_open() -> None:
    state = after(create(), yes(ANN))
    step = decide(state, Look(), 99.0)
    assert (step.events, step.wake_at) == ((), 99.0)  # it asks to be woken at once
    assert answer(state, Look(), 99.0).status == "voting"
    closed, _ = taken(state, Wake(), 99.0)
    assert closed.closing is not None
    assert closed.closing.at == 60.0


def test_a_ballot_at_or_after_the_deadline_comes_too_late() -> None:
    assert "too late" in refused(after(create(), yes(ANN)), yes(BOB), 60.0, WrongPhase)


def test_its_opener_or_an_admin_may_withdraw_it_and_nobody_else() -> None:
    state = after(create(), yes(ANN))
    assert "dee, who opened it, or an admin can" in refused(state, Cancel(ANN), 3.0, NotAllowed)
    for request in (Cancel(DEE, "moot"), Cancel(ANN, "moot", True)):
        closed, _ = taken(state, request, 3.0)
        told = answer(closed, Look(), 3.0)
        assert (told.status, told.cause, told.reason, told.why) == ("lapsed", "withdrawn", "moot", "it was withdrawn")
    assert decide(after(create(), yes(ANN), yes(BOB)), Cancel(DEE), 9.0).events == ()


def test_a_voter_who_is_gone_is_known_until_it_is_back_or_votes() -> None:
    state = after(create(), Lost(CY, "no heartbeat"))
    assert answer(state, Look(), 3.0).lost_agents == (CY,)
    assert decide(state, Lost(CY, "no heartbeat"), 3.0).events == ()
    assert decide(state, Lost(DEE, "who has no vote"), 3.0).events == ()
    assert answer(taken(state, Found(CY), 3.0)[0], Look(), 3.0).lost_agents == ()
    assert answer(taken(state, yes(CY), 3.0)[0], Look(), 3.0).lost_agents == ()
