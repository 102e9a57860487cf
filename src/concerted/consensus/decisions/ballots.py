"""What is voted on and how: the opening, which freezes everything, and the ballots."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from concerted.consensus.decisions.rule import ABSTAIN, ACCEPT, REJECT, Rule, check
from concerted.consensus.decisions.signatures import ballot_bytes, is_key, is_signed, sha256
from concerted.consensus.keeping import Algorithm, deadline_problem
from concerted.errors import Invalid
from concerted.values import AgentId, Instant, encode, is_name

__all__ = [
    "OPTIONS",
    "PROPOSAL_BYTES",
    "REASON_BYTES",
    "VOTERS",
    "WEIGHT",
    "Ballot",
    "Opening",
    "electorate_of",
    "opening_digest",
    "problems_of",
    "proposal_digest",
    "require_ballot",
]

VOTERS = 10_000  # the most one decision may have
OPTIONS = 32
WEIGHT = 1_000_000_000  # the most one voter may have
QUESTION_BYTES = 10_000
PROPOSAL_BYTES = 65_536
REASON_BYTES = 4_096


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a decision is about; nothing of it changes later.

    options: what a ballot may accept; `accept` alone where the question is yes or no.  electorate: voter -> weight.
    keys: voter -> public key; whoever has one must sign.  deadline_at: None, and it stays open until it is
    settled.  algorithm: how the log is kept.
    """

    id: str
    question: str
    proposal: Any = None
    options: tuple[str, ...] = (ACCEPT,)
    electorate: dict[AgentId, int]
    keys: dict[AgentId, str] = {}
    rule: Rule = Rule()
    deadline_at: Instant | None = None
    algorithm: Algorithm = "single"
    opened_by: AgentId
    opened_at: Instant


class Ballot(msgspec.Struct, frozen=True, kw_only=True):
    """One voter's ballot.  choice: one of the options, `reject` or `abstain`.  position: its entry in the log."""

    voter: AgentId
    choice: str
    reason: str = ""
    signature: str | None = None
    position: int
    at: Instant


def electorate_of(voters: Iterable[str] | Mapping[str, int]) -> dict[AgentId, int]:
    """Return each voter's weight, 1 unless it is given.

    Raises:
        Invalid: somebody is named twice, a weight is no whole number, or it is one text.
    """
    if isinstance(voters, str):
        raise Invalid(f"{voters[:100]!r} is one text where voters are wanted; write [{voters[:100]!r}]")
    if isinstance(voters, Mapping):
        for voter, weight in voters.items():
            if not isinstance(weight, int) or isinstance(weight, bool):
                raise Invalid(
                    f"the weight of {voter} is {str(weight)[:100]}; weights are whole numbers, so that shares of "
                    "them are exact: multiply all of them until they are"
                )
        return {AgentId(voter): weight for voter, weight in voters.items()}
    counts = Counter(AgentId(voter) for voter in voters)
    twice = next((voter for voter, count in counts.items() if count > 1), None)
    if twice is not None:
        raise Invalid(f"{twice} is named twice among the voters; give weights to let one count more: {{{twice!r}: 2}}")
    return dict(counts)


def proposal_digest(opening: Opening) -> str:
    """Name what is proposed by content."""
    return sha256({"options": opening.options, "proposal": opening.proposal, "question": opening.question})


def opening_digest(opening: Opening) -> str:
    """Name the whole opening by content: what is proposed, to whom, under which rule."""
    return sha256(opening)


def problems_of(opening: Opening) -> list[str]:
    """Return why there can be no such decision, in sentences; nothing is well."""
    problems = []
    if not 0 < len(opening.question.encode()) <= QUESTION_BYTES:
        problems.append(f"its question has {len(opening.question.encode())} bytes; 1 to {QUESTION_BYTES}")
    if len(encode(opening.proposal)) > PROPOSAL_BYTES:
        problems.append(f"its proposal is longer than {PROPOSAL_BYTES} bytes; put it aside and propose its digest")
    if opening.deadline_at is not None and not opening.opened_at < opening.deadline_at < math.inf:
        problems.append(deadline_problem(opening.deadline_at, opening.opened_at))
    problems += _problems_of_options(opening.options)
    problems += _problems_of_voters(opening.electorate)
    problems += [f"the key of {voter}, who has no vote" for voter in opening.keys if voter not in opening.electorate]
    problems += [f"the key of {voter} is no public key" for voter, key in opening.keys.items() if not is_key(key)]
    return problems + check(opening.rule, opening.electorate, opening.options)


def require_ballot(opening: Opening, digest: str, ballot: Ballot) -> None:
    """See whether this may be a ballot.  digest: that of the opening.

    Raises:
        Invalid: it accepts nothing that is proposed, is too long, or is not signed by its voter; or it is signed,
            and the extra is missing (then the facts have `extra`).
    """
    choices = (*opening.options, REJECT, ABSTAIN)
    if ballot.choice not in choices:
        raise Invalid(f"{ballot.choice!r} is no ballot; the choices are {', '.join(choices)}", choices=list(choices))
    size = len(ballot.reason.encode())
    if size > REASON_BYTES:
        raise Invalid(f"the reason has {size} bytes, at most {REASON_BYTES}; say where the rest is")
    problem = _problem_of_signature(opening, digest, ballot)
    if problem is not None:
        raise Invalid(problem)


def _problem_of_signature(opening: Opening, digest: str, ballot: Ballot) -> str | None:
    """Say what is wrong with a ballot's signature; None: it is right, or there need be none."""
    voter, key = ballot.voter, opening.keys.get(ballot.voter)
    if key is None:
        known = ballot.signature is None
        return None if known else f"{voter} has no key in this decision, so nobody can check a signature"
    if ballot.signature is None:
        return f"{voter} has a key in this decision and must sign"
    if not is_signed(key, ballot_bytes(digest, voter, ballot.choice, ballot.reason), ballot.signature):
        return f"this is not the signature of {voter} under this ballot"
    return None


def _problems_of_options(options: tuple[str, ...]) -> list[str]:
    problems = [f"{option!r} cannot name an option" for option in options if not is_name(option)]
    problems += [f"{option!r} is a choice of every ballot" for option in options if option in (REJECT, ABSTAIN)]
    if len(dict.fromkeys(options)) < len(options):
        problems.append("an option is named twice")
    if not 1 <= len(options) <= OPTIONS:
        problems.append(f"it has {len(options)} options; 1 to {OPTIONS}")
    return problems


def _problems_of_voters(electorate: Mapping[AgentId, int]) -> list[str]:
    problems = [f"{voter!r} cannot name a voter" for voter in electorate if not is_name(voter)][:10]
    wrong = [voter for voter, weight in electorate.items() if not 1 <= weight <= WEIGHT]
    problems += [f"the weight of {voter} is {electorate[voter]}; 1 to {WEIGHT}" for voter in wrong[:10]]
    if not 1 <= len(electorate) <= VOTERS:
        problems.append(f"{len(electorate)} voters; 1 to {VOTERS}")
    return problems
