from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from concerted.consensus.decisions.ballots import Ballot, Opening, opening_digest
from concerted.consensus.decisions.certificate import Cause, Certificate, Equivocation, Position, certificate_of, verify
from concerted.consensus.decisions.rule import Rule
from concerted.consensus.decisions.signatures import ballot_bytes, new_key, public_key, sign
from concerted.errors import Invalid
from concerted.values import AgentId

ANN, BOB, CY = VOTERS = tuple(AgentId(name) for name in ("ann", "bob", "cy"))
OPENING = Opening(
    id="d1", question="ship it?", electorate=dict.fromkeys(VOTERS, 1), deadline_at=60.0, opened_by=ANN, opened_at=10.0
)
KEYS = {voter: new_key(voter.encode().ljust(32)) for voter in VOTERS}


def ballots(choices: str, opening: Opening = OPENING, *, signed: bool = False) -> tuple[Ballot, ...]:
    """Return the ballots of ann, bob and cy: `+` accepts, `-` rejects, `.` is silent."""
    found: list[Ballot] = []
    for voter, mark in zip(VOTERS, choices, strict=False):
        if mark != ".":
            choice, at = {"+": "accept", "-": "reject"}[mark], len(found) + 2
            data = ballot_bytes(opening_digest(opening), voter, choice, "so")
            signature = sign(KEYS[voter], data) if signed else None
            one = Ballot(voter=voter, choice=choice, reason="so", signature=signature, position=at, at=11.0)
            found.append(one)
    return tuple(found)


def certified(choices: str, cause: Cause, opening: Opening = OPENING, *, signed: bool = False) -> Certificate:
    cast = ballots(choices, opening, signed=signed)
    closed_at = 60.0 if cause == "deadline" else 11.0
    return certificate_of(
        opening, cast, (), cause, closed_at, Position(stream="decision:d1", closed=len(cast) + 2)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("choices", "cause", "outcome"),
    [
        ("++", "settled", "accepted"),
        ("--", "settled", "rejected"),
        ("+-+", "complete", "accepted"),
        ("+-", "deadline", "lapsed"),
        ("+", "withdrawn", "lapsed"),
    ],
)
def test_an_honest_certificate_is_valid(choices: str, cause: Cause, outcome: str) -> None:
    told = verify(certified(choices, cause))
    assert (told.valid, told.problems, told.outcome) == (True, (), outcome)
    assert told.unsigned == VOTERS[: len(choices)]


def test_it_is_the_same_as_json() -> None:
    certificate = certified("++", "settled")
    wire = msgspec.json.encode(certificate)
    assert verify(wire) == verify(wire.decode()) == verify(msgspec.json.decode(wire)) == verify(certificate)


def test_signed_ballots_are_told_from_those_one_has_to_believe() -> None:
    pytest.importorskip("cryptography")
    opening = msgspec.structs.replace(OPENING, keys={voter: public_key(KEYS[voter]) for voter in VOTERS})
    told = verify(certified("++", "settled", opening, signed=True))
    assert (told.valid, told.signed, told.unsigned) == (True, (ANN, BOB), ())


def changed(certificate: Certificate, **facts: Any) -> Certificate:
    return msgspec.structs.replace(certificate, **facts)


def with_ballot(certificate: Certificate, **facts: Any) -> Certificate:
    first, *others = certificate.ballots
    return changed(certificate, ballots=(msgspec.structs.replace(first, **facts), *others))


def with_opening(certificate: Certificate, **facts: Any) -> Certificate:
    return changed(certificate, opening=msgspec.structs.replace(certificate.opening, **facts))


SETTLED = certified("++", "settled")


@pytest.mark.parametrize(
    ("forged", "problem"),
    [
        (changed(SETTLED, outcome="rejected", chosen=None), "come to accepted (accept), not to rejected"),
        (changed(SETTLED, chosen="deny"), "come to accepted (accept), not to accepted (deny)"),
        (changed(SETTLED, cause="complete"), "some are missing"),
        (changed(SETTLED, cause="deadline"), "settled before it was closed by deadline"),
        (changed(certified("+-", "deadline"), closed_at=59.0), "was not closed at it"),
        (changed(certified("+-", "deadline"), cause="settled"), "missing ballots could have changed it"),
        (changed(certified("+++", "complete")), "settled before its last ballot"),
        (with_opening(SETTLED, question="ship nothing?"), "digest of the proposal"),
        (with_opening(SETTLED, rule=Rule(threshold="1/3")), "digest of the opening"),
        (with_opening(SETTLED, rule=Rule(vetoes=(AgentId("dee"),))), "dee has a veto and no vote"),
        (with_ballot(SETTLED, voter=AgentId("dee")), "dee has no vote"),
        (with_ballot(SETTLED, voter=BOB), "bob is counted twice"),
        (with_ballot(SETTLED, choice="maybe"), "'maybe' is no ballot"),
        (with_ballot(SETTLED, signature="00" * 64), "ann has no key"),
        (with_ballot(SETTLED, position=7), "out of the log's order"),
        (changed(SETTLED, closed_at=10.5), "not closed by its last ballot"),
        (changed(SETTLED, position=Position(stream="decision:d2", closed=4)), "where no decision d1 begins"),
        (changed(SETTLED, ballots=SETTLED.ballots[:1]), "missing ballots could have changed it"),
    ],
)
def test_a_forged_certificate_is_not_valid(forged: Certificate, problem: str) -> None:
    told = verify(forged)
    assert not told.valid
    assert problem in "; ".join(told.problems)


def test_a_changed_ballot_breaks_its_signature() -> None:
    pytest.importorskip("cryptography")
    opening = msgspec.structs.replace(OPENING, keys={voter: public_key(KEYS[voter]) for voter in VOTERS})
    certificate = certified("++", "settled", opening, signed=True)
    assert "not the signature of ann" in verify(with_ballot(certificate, reason="otherwise")).problems[0]
    assert (
        "ann has a key in this decision and must sign" in verify(with_ballot(certificate, signature=None)).problems[0]
    )


def test_two_different_signed_ballots_are_evidence_and_nothing_less_is() -> None:
    pytest.importorskip("cryptography")
    opening = msgspec.structs.replace(OPENING, keys={voter: public_key(KEYS[voter]) for voter in VOTERS})
    (yes,), (no,) = ballots("+", opening, signed=True), ballots("-", opening, signed=True)
    certificate = certified("++", "settled", opening, signed=True)

    def told(first: Ballot, second: Ballot) -> str:
        evidence = Equivocation(voter=ANN, first=first, second=second)
        return "; ".join(verify(changed(certificate, equivocations=(evidence,))).problems)

    assert told(yes, no) == ""
    assert "are the same" in told(yes, yes)
    assert "not both signed" in told(yes, msgspec.structs.replace(no, signature=None))
    assert "not the signature of ann" in told(yes, msgspec.structs.replace(no, reason="made up"))


def leaves(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to everything in a JSON value that is no object."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from leaves(child, (*way, key))
    if not isinstance(value, dict) and way:
        yield way


def tampered(value: Any) -> list[Any]:
    """Return other values of the same kind."""
    if isinstance(value, list):
        return [value[1:], value[:-1]] if value else []
    if isinstance(value, str):
        others = {"accept": "reject", "accepted": "rejected"}
        return [others.get(value, f"{value}0"), value[:-1] + ("1" if value.endswith("0") else "0")]
    return ["x"] if value is None else [value + 1, value - 1]


def test_every_change_of_a_signed_certificate_is_seen_but_for_when_and_where_its_ballots_stood() -> None:
    pytest.importorskip("cryptography")
    opening = msgspec.structs.replace(OPENING, keys={voter: public_key(KEYS[voter]) for voter in VOTERS})
    wire = msgspec.json.encode(certified("++", "settled", opening, signed=True))
    unseen = set()
    for way in leaves(msgspec.json.decode(wire)):
        for place in (0, 1):
            forged = parent = msgspec.json.decode(wire)
            for key in way[:-1]:
                parent = parent[key]
            others = tampered(parent[way[-1]])
            if place >= len(others):
                continue
            parent[way[-1]] = others[place]
            try:
                if verify(forged).valid:
                    unseen.add(way)
            except Invalid as error:
                assert "certificate" in error.message  # noqa: PT017 -- one of two ways of being seen
    assert unseen == {("ballots", 0, "at"), ("position", "closed")}


@pytest.mark.parametrize("given", [b"{}", "nonsense", {"format": 1}, msgspec.json.encode(changed(SETTLED, format=2))])
def test_what_is_no_certificate_is_refused(given: Any) -> None:
    with pytest.raises(Invalid, match="certificate"):
        verify(given)
