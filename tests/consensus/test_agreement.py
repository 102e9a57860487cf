"""An agreement: the first valid proposal is the value for ever, and everybody who comes later is told so."""

from typing import Any

import pytest

from concerted.consensus.agreement import (
    KINDS,
    PROPOSERS,
    VALUE_BYTES,
    Agreement,
    AgreementResult,
    Await,
    Create,
    Propose,
    Request,
    Terms,
    answer,
    decide,
    evolve,
    topic,
    waits,
    wakes,
)
from concerted.consensus.validity import Validity, validity_of
from concerted.errors import ConcertedError, Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import EVERYBODY, Event, Found, Look, Lost, Step, Wake
from concerted.values import AgentId, Instant

pytestmark = pytest.mark.pure

ANN, BOB, CY = (AgentId(name) for name in ("ann", "bob", "cy"))


def create(**terms: Any) -> Create:
    return Create("colour", CY, Terms(**terms))


def propose(by: AgentId, value: Any, request_id: str = "", **taken: Any) -> Propose:
    return Propose("colour", by, value, request_id or f"{by} proposes {value!r}", **taken)


def taken(state: Agreement | None, request: Request, now: Instant) -> tuple[Agreement, Step]:
    step = decide(state, request, now)
    for event in step.events:
        assert event.kind in KINDS
        state = evolve(state, event, now)
    assert state is not None
    return state, step


def after(*requests: Request) -> Agreement:
    """Return the state after requests at the instants 1, 2, 3 ..."""
    state: Agreement | None = None
    for at, request in enumerate(requests, 1):
        state, _ = taken(state, request, float(at))
    assert state is not None
    return state


def told(state: Agreement | None, request: Request, now: Instant = 9.0) -> AgreementResult:
    return answer(taken(state, request, now)[0], request, now)


# One value


def test_the_first_proposal_opens_the_agreement_and_is_its_value() -> None:
    state, step = taken(None, propose(ANN, "red"), 1.0)
    assert [event.kind for event in step.events] == ["agreement.created", "agreement.chosen"]
    result = answer(state, propose(ANN, "red"), 1.0)
    assert (result.status, result.success, result.value, result.yours) == ("agreed", True, "red", True)
    assert (result.proposed_by, result.position, result.agreed_at) == (ANN, 2, 1.0)


def test_whoever_proposes_later_is_answered_with_the_value_and_told_that_it_is_not_theirs() -> None:
    state = after(propose(ANN, "red"))
    late, step = taken(state, propose(BOB, "blue"), 2.0)
    assert (late, step.events) == (state, ())
    result = answer(late, propose(BOB, "blue"), 2.0)
    assert (result.value, result.yours, result.proposed_by) == ("red", False, ANN)


def test_the_same_value_proposed_by_another_is_not_theirs_either() -> None:
    result = told(after(propose(ANN, "red")), propose(BOB, "red"))
    assert (result.value, result.yours) == ("red", False)


def test_a_proposal_that_is_given_again_is_still_the_one_that_was_chosen() -> None:
    state = after(propose(ANN, "red", "r1"), propose(BOB, "blue"))
    assert told(state, propose(ANN, "red", "r1")).yours
    assert not told(state, propose(ANN, "red", "r2")).yours, "another process of ann's is not the first"
    with pytest.raises(Conflict, match="proposed another value"):
        decide(state, propose(ANN, "blue", "r1"), 3.0)


def test_nobody_can_evolve_it_to_a_second_value() -> None:
    state = after(propose(ANN, "red"))
    second = Event("agreement.chosen", BOB, None, {"value": "blue", "request_id": "r", "status": "agreed"})
    with pytest.raises(AssertionError, match="a second value"):
        evolve(state, second, 2.0)


# Only a valid value


def test_only_what_passes_the_rule_of_the_opening_is_chosen() -> None:
    state = after(create(validity=validity_of("red|blue")))
    with pytest.raises(Invalid, match='none of "red", "blue"; it takes type text'):
        decide(state, propose(ANN, "green"), 2.0)
    assert told(state, propose(BOB, "blue")).value == "blue"


def test_an_invalid_proposal_is_refused_whether_it_comes_first_or_last() -> None:
    rule = validity_of("integer")
    with pytest.raises(Invalid, match="no integer"):
        decide(None, propose(ANN, "red", validity=rule), 1.0)
    with pytest.raises(Invalid, match="no integer"):
        decide(after(propose(ANN, 1, validity=rule)), propose(BOB, "red"), 2.0)


def test_a_proposer_who_takes_another_rule_for_agreed_is_told_so() -> None:
    state = after(create(validity=validity_of("red|blue")))
    with pytest.raises(Conflict, match="other validity") as caught:
        decide(state, propose(ANN, "red", validity=validity_of("text")), 2.0)
    assert caught.value.facts["differences"] == ["validity"]
    assert told(state, propose(ANN, "red", validity=validity_of("red|blue"))).yours


@pytest.mark.parametrize("value", [object(), "x" * VALUE_BYTES])
def test_what_has_no_json_form_or_is_too_long_is_no_value(value: Any) -> None:
    with pytest.raises(Invalid, match="the value proposed for colour"):
        decide(None, propose(ANN, value, "r"), 1.0)


def test_the_value_is_as_it_comes_back_from_the_log() -> None:
    assert told(None, propose(ANN, (1, 2), "r")).value == [1, 2]


# Who may


def test_only_those_who_are_named_may_propose() -> None:
    state = after(create(proposers=(ANN, BOB)))
    with pytest.raises(NotAllowed, match="cy may not propose for agreement colour; ann, bob may"):
        decide(state, propose(CY, "red"), 2.0)
    assert told(state, propose(BOB, "red")).yours


def test_the_others_who_are_named_find_it_in_their_inboxes() -> None:
    state, opened = taken(None, create(proposers=(ANN, BOB)), 1.0)
    assert [(one.to, one.type) for one in opened.sends] == [((ANN, BOB), "AGREEMENT_OPENED")]
    _, chosen = taken(state, propose(ANN, "red"), 2.0)
    assert [(one.to, one.type, one.content["value"]) for one in chosen.sends] == [((BOB,), "AGREEMENT_REACHED", "red")]


# Opening


def test_opening_it_again_on_the_same_terms_is_the_same_agreement() -> None:
    terms = {"validity": validity_of("text"), "proposers": (ANN,), "deadline_at": 60.0}
    state = after(create(**terms))
    assert taken(state, create(**terms), 2.0) == (state, Step(wake_at=60.0))
    for other in ({"validity": Validity()}, {"proposers": ()}, {"deadline_at": None}):
        with pytest.raises(Conflict, match=f"other {next(iter(other))}"):
            decide(state, create(**(terms | other)), 2.0)


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"validity": Validity(minimum=2, maximum=1)}, "nothing is at least"),
        ({"proposers": (ANN, ANN)}, "named twice"),
        ({"proposers": (AgentId(" "),)}, "cannot name a proposer"),
        ({"proposers": tuple(AgentId(f"a{n}") for n in range(PROPOSERS + 1))}, "1001 proposers"),
        ({"deadline_at": 1.0}, "not in the future, it was 0.0 s ago; name one that is to come"),
        ({"deadline_at": float("inf")}, "not in the future, it is inf; name an instant"),
    ],
)
def test_what_cannot_be_opened_is_refused_with_the_reason(terms: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        decide(None, create(**terms), 1.0)


def test_keys_and_request_ids_are_names() -> None:
    with pytest.raises(Invalid, match="cannot be the key"):
        decide(None, Create(" ", ANN), 1.0)
    with pytest.raises(Invalid, match="needs a request id"):
        decide(None, propose(ANN, "red", " "), 1.0)


@pytest.mark.parametrize("request_", [Await(), Look()])
def test_nobody_looks_at_what_is_not_there(request_: Request) -> None:
    with pytest.raises(NotFound, match="open it, or propose"):
        decide(None, request_, 1.0)


@pytest.mark.parametrize("request_", [Wake(), Lost(ANN, "gone"), Found(ANN)])
def test_time_and_lost_agents_change_nothing_where_nothing_is(request_: Request) -> None:
    assert decide(None, request_, 1.0) == Step()
    assert decide(after(create()), request_, 2.0) == Step()


# Waiting, and its end


def test_who_waits_waits_for_a_proposal_and_is_woken_by_it() -> None:
    state = after(create(validity=validity_of("1..5"), proposers=(ANN, BOB), deadline_at=60.0))
    assert told(state, Await(), 2.0).pending
    wait = waits(state, Await(), 2.0)
    assert wait is not None
    assert wait.waiting_for.endswith("nobody has proposed a value; it takes type integer, at least 1, at most 5")
    assert (wait.since, wait.unblocked_by, wait.deadline) == (1.0, (ANN, BOB), 60.0)
    state, step = taken(state, propose(ANN, 3), 3.0)
    assert [list(wakes(event)) for event in step.events] == [[EVERYBODY]]
    assert topic(Await()) == ""
    assert (waits(state, Await(), 3.0), told(state, Await()).value) == (None, 3)


def test_an_agreement_that_nobody_proposed_for_lapses_at_its_deadline_for_ever() -> None:
    state, step = taken(after(create(deadline_at=60.0)), Wake(), 61.0)
    assert [(event.kind, event.data["closed_at"]) for event in step.events] == [("agreement.lapsed", 60.0)]
    result = answer(state, Await(), 61.0)
    assert (result.status, result.success, result.value, result.pending) == ("lapsed", False, None, False)
    with pytest.raises(WrongPhase, match="has lapsed"):
        decide(state, propose(ANN, "red"), 62.0)


def test_a_proposal_after_the_deadline_is_too_late_also_if_nobody_has_written_that_it_lapsed() -> None:
    state = after(create(deadline_at=60.0))
    with pytest.raises(WrongPhase):
        decide(state, propose(ANN, "red"), 60.0)
    assert decide(state, Look(), 61.0) == Step(wake_at=61.0), "who only looks writes nothing"


def test_a_deadline_changes_nothing_once_there_is_a_value() -> None:
    state = after(create(deadline_at=60.0), propose(ANN, "red"))
    assert decide(state, Wake(), 61.0) == Step()


def test_those_who_may_propose_are_told_that_it_has_lapsed() -> None:
    _, step = taken(after(create(proposers=(ANN,), deadline_at=60.0)), Wake(), 60.0)
    assert [(one.to, one.type) for one in step.sends] == [((ANN,), "AGREEMENT_LAPSED")]


def test_the_answer_says_what_keeps_the_log_and_that_it_has_no_leader() -> None:
    result = told(None, propose(ANN, "red"))
    assert (result.algorithm, result.entries_committed) == ("single", 2)
    assert "one fault domain" in result.stored_by[0]
    assert (result.term, result.leader, result.group) == (None, None, None)


def test_what_is_refused_is_refused_by_a_named_error() -> None:
    with pytest.raises(ConcertedError):
        decide(after(propose(ANN, "red")), create(validity=validity_of("text")), 2.0)
