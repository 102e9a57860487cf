from typing import Any

import msgspec
import pytest

from concerted.consensus.decisions.ballots import (
    Ballot,
    Opening,
    electorate_of,
    opening_digest,
    problems_of,
    proposal_digest,
    require_ballot,
)
from concerted.consensus.decisions.rule import Rule
from concerted.consensus.decisions.signatures import ballot_bytes, new_key, public_key, sign
from concerted.errors import Invalid
from concerted.values import AgentId

ANN, BOB, CY = (AgentId(name) for name in ("ann", "bob", "cy"))
OPENING = Opening(
    id="d1", question="ship it?", electorate={ANN: 1, BOB: 2}, deadline_at=60.0, opened_by=CY, opened_at=10.0
)
ANNS_KEY = new_key(b"a" * 32)


def opening(**facts: Any) -> Opening:
    return msgspec.structs.replace(OPENING, **facts)


def ballot(voter: AgentId = ANN, choice: str = "accept", reason: str = "", signature: str | None = None) -> Ballot:
    return Ballot(voter=voter, choice=choice, reason=reason, signature=signature, position=2, at=11.0)


def test_a_sound_opening_has_no_problems() -> None:
    assert problems_of(OPENING) == []


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"question": ""}, "its question has 0 bytes"),
        ({"proposal": "x" * 70_000}, "its proposal is longer than 65536 bytes"),
        ({"deadline_at": 10.0}, "not in the future"),
        ({"deadline_at": float("inf")}, "not in the future"),
        ({"options": ()}, "0 options"),
        ({"options": ("red", "red")}, "named twice"),
        ({"options": ("red", "reject")}, "'reject' is a choice of every ballot"),
        ({"options": (" red",)}, "cannot name an option"),
        ({"electorate": {}}, "0 voters"),
        ({"electorate": {ANN: 0}}, "the weight of ann is 0"),
        ({"electorate": {AgentId(""): 1}}, "cannot name a voter"),
        ({"keys": {CY: "0" * 64}}, "the key of cy, who has no vote"),
        ({"keys": {ANN: "0" * 63}}, "the key of ann is no public key"),
        ({"rule": Rule(vetoes=(CY,))}, "cy has a veto and no vote"),
    ],
)
def test_what_cannot_be_voted_on_is_told_so(facts: dict[str, Any], problem: str) -> None:
    assert any(problem in told for told in problems_of(opening(**facts)))


def test_a_ballot_accepts_what_is_proposed_or_rejects_or_abstains() -> None:
    for choice in ("accept", "reject", "abstain"):
        require_ballot(OPENING, opening_digest(OPENING), ballot(choice=choice))
    with pytest.raises(Invalid, match="the choices are accept, reject, abstain"):
        require_ballot(OPENING, opening_digest(OPENING), ballot(choice="maybe"))
    colours = opening(options=("red", "blue"))
    with pytest.raises(Invalid, match="the choices are red, blue, reject, abstain"):
        require_ballot(colours, opening_digest(colours), ballot(choice="accept"))


def test_a_reason_has_a_bound() -> None:
    with pytest.raises(Invalid, match="at most 4096"):
        require_ballot(OPENING, opening_digest(OPENING), ballot(reason="x" * 5_000))


def test_who_has_a_key_must_sign_and_who_has_none_cannot() -> None:
    pytest.importorskip("cryptography")
    keyed = opening(keys={ANN: public_key(ANNS_KEY)})
    digest = opening_digest(keyed)
    signature = sign(ANNS_KEY, ballot_bytes(digest, ANN, "accept", ""))
    require_ballot(keyed, digest, ballot(signature=signature))
    with pytest.raises(Invalid, match="ann has a key in this decision and must sign"):
        require_ballot(keyed, digest, ballot())
    with pytest.raises(Invalid, match="not the signature of ann"):
        require_ballot(keyed, digest, ballot(choice="reject", signature=signature))
    with pytest.raises(Invalid, match="bob has no key"):
        require_ballot(keyed, digest, ballot(BOB, signature=signature))


def test_digests_name_the_content() -> None:
    assert proposal_digest(OPENING) == proposal_digest(opening(electorate={ANN: 1}))
    assert proposal_digest(OPENING) != proposal_digest(opening(question="ship it now?"))
    assert opening_digest(OPENING) == opening_digest(opening(electorate={BOB: 2, ANN: 1}))
    assert opening_digest(OPENING) != opening_digest(opening(electorate={ANN: 1, BOB: 1}))


def test_voters_have_weight_one_unless_it_is_given() -> None:
    assert electorate_of(["ann", "bob"]) == {"ann": 1, "bob": 1}
    assert electorate_of({"ann": 3}) == {"ann": 3}
    with pytest.raises(Invalid, match="ann is named twice"):
        electorate_of(["bob", "ann", "ann"])
    with pytest.raises(Invalid, match="one text"):
        electorate_of("ann")


@pytest.mark.parametrize("weight", [0.5, 2.0, float("nan"), "2", True, None])
def test_a_weight_that_is_no_whole_number_is_refused_by_its_voters_name(weight: Any) -> None:
    with pytest.raises(Invalid, match=f"the weight of bob is {weight}; weights are whole numbers, .* multiply all"):
        electorate_of({"ann": 1, "bob": weight})
