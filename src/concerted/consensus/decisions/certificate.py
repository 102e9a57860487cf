"""The certificate of a decision: all that its outcome follows from, so that anybody can compute it again.

`verify` trusts nothing that the certificate says: digests, signatures, the tally, the instant of the close and
the outcome are computed anew.  It cannot know of a ballot that was left out, nor whether an unsigned ballot is
its voter's; the first takes another copy of the log, the second a key.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from concerted.consensus.decisions.ballots import (
    Ballot,
    Opening,
    opening_digest,
    problems_of,
    proposal_digest,
    require_ballot,
)
from concerted.consensus.decisions.tally import Outcome, Tally, Verdict, count, final, open_tally, settled
from concerted.errors import Invalid
from concerted.values import AgentId, Instant

__all__ = ["Cause", "Certificate", "Equivocation", "Position", "Verification", "certificate_of", "close", "verify"]

FORMAT = 1

Cause = Literal["complete", "settled", "deadline", "withdrawn"]


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where it stands in the log: the entries of the decision's own stream, counted from 1, folded states left out."""

    stream: str
    opened: int = 1
    closed: int


class Equivocation(msgspec.Struct, frozen=True, kw_only=True):
    """Two different signed ballots of one voter; the first counts."""

    voter: AgentId
    first: Ballot
    second: Ballot


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision's outcome follows from.  ballots: those that count, in the order of the log.

    cause: why it was closed: every ballot was there, no missing one could change it, its deadline came, or its
    opener withdrew it.
    """

    format: int = FORMAT
    opening: Opening
    proposal_digest: str
    opening_digest: str
    ballots: tuple[Ballot, ...]
    equivocations: tuple[Equivocation, ...] = ()
    cause: Cause
    closed_at: Instant
    outcome: Outcome
    chosen: str | None
    position: Position


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What came of computing a certificate again.  valid: there are no problems.

    signed, unsigned: the voters whose ballots carry a checked signature, and those whose ballots one has to take
    the keeper's word for.
    """

    valid: bool
    outcome: Outcome | None
    chosen: str | None = None
    problems: tuple[str, ...] = ()
    signed: tuple[AgentId, ...] = ()
    unsigned: tuple[AgentId, ...] = ()


def close(opening: Opening, tally: Tally, cause: Cause) -> Verdict:
    """Return the outcome of a decision that is closed for this cause."""
    if cause == "withdrawn":
        return Verdict("lapsed", "it was withdrawn")
    return final(opening.rule, tally)


def certificate_of(
    opening: Opening, ballots: tuple[Ballot, ...], equivocations: tuple[Equivocation, ...], cause: Cause,
    closed_at: Instant, position: Position,
) -> Certificate:  # fmt: skip
    """Return the certificate.  O(n)."""
    verdict = close(opening, _counted(opening, ballots), cause)
    return Certificate(
        opening=opening,
        proposal_digest=proposal_digest(opening),
        opening_digest=opening_digest(opening),
        ballots=ballots,
        equivocations=equivocations,
        cause=cause,
        closed_at=closed_at,
        outcome=verdict.outcome,
        chosen=verdict.chosen,
        position=position,
    )


def verify(given: Certificate | bytes | str | dict[str, Any]) -> Verification:
    """Compute everything in a certificate again.  given: it, or its JSON.  O(n), besides one check per signature.

    Raises:
        Invalid: this is no certificate of a format that is known here; or it has signatures and the extra [pbft]
            is not installed.
    """
    certificate = _read(given)
    opening, ballots = certificate.opening, certificate.ballots
    problems = problems_of(opening)
    if problems:  # no rule can be applied to it
        return Verification(valid=False, outcome=None, problems=tuple(problems))
    if certificate.proposal_digest != proposal_digest(opening):
        problems.append("the digest of the proposal is not that of this proposal")
    if certificate.opening_digest != opening_digest(opening):
        problems.append("the digest of the opening is not that of this opening")
    wrong = _problems_of_ballots(certificate)
    if wrong:
        return Verification(valid=False, outcome=None, problems=(*problems, *wrong))
    problems += [problem for one in certificate.equivocations for problem in _problems_of_evidence(opening, one)]
    tally = _counted(opening, ballots)
    problems += _problems_of_close(certificate, tally)
    verdict = close(opening, tally, certificate.cause)
    if (verdict.outcome, verdict.chosen) != (certificate.outcome, certificate.chosen):
        problems.append(
            f"these ballots come to {_named(verdict.outcome, verdict.chosen)}, "
            f"not to {_named(certificate.outcome, certificate.chosen)}"
        )
    return Verification(
        valid=not problems,
        outcome=verdict.outcome,
        chosen=verdict.chosen,
        problems=tuple(problems),
        signed=tuple(ballot.voter for ballot in ballots if ballot.signature is not None),
        unsigned=tuple(ballot.voter for ballot in ballots if ballot.signature is None),
    )


def _read(given: Certificate | bytes | str | dict[str, Any]) -> Certificate:
    try:
        if isinstance(given, bytes | str):
            certificate = msgspec.json.decode(given, type=Certificate)
        else:
            certificate = msgspec.convert(msgspec.to_builtins(given), Certificate)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Invalid(f"this is no certificate: {error}") from error
    if certificate.format != FORMAT:
        raise Invalid(f"this certificate has format {certificate.format}; this version reads {FORMAT}")
    return certificate


def _counted(opening: Opening, ballots: tuple[Ballot, ...]) -> Tally:
    tally = open_tally(opening.electorate, opening.options, opening.rule)
    for ballot in ballots:
        tally = count(tally, opening.rule, ballot.voter, ballot.choice, opening.electorate[ballot.voter])
    return tally


def _problems_of_ballots(certificate: Certificate) -> list[str]:
    """Return why these ballots cannot be counted."""
    opening, position = certificate.opening, certificate.position
    problems, seen, newest = [], set[AgentId](), position.opened
    digest = opening_digest(opening)
    for ballot in certificate.ballots:
        if ballot.voter not in opening.electorate:
            problems.append(f"{ballot.voter} has no vote")
        elif ballot.voter in seen:
            problems.append(f"{ballot.voter} is counted twice")
        if not newest < ballot.position < position.closed:
            problems.append(f"the ballot of {ballot.voter} stands at {ballot.position}, out of the log's order")
        newest = max(newest, ballot.position)
        seen.add(ballot.voter)
        try:
            require_ballot(opening, digest, ballot)
        except Invalid as error:
            if "extra" in error.facts:
                raise
            problems.append(f"the ballot of {ballot.voter}: {error.message}")
    return problems


def _problems_of_close(certificate: Certificate, tally: Tally) -> list[str]:
    """Return why it could not be closed then and for that cause."""
    opening, ballots, cause = certificate.opening, certificate.ballots, certificate.cause
    problems = []
    if ballots and settled(opening.rule, _counted(opening, ballots[:-1])) is not None:
        problems.append("it was settled before its last ballot, which should not be in it")
    is_settled = settled(opening.rule, tally) is not None
    if cause == "complete" and tally.missing:
        problems.append("it says that every ballot was there, and some are missing")
    if cause == "settled" and not (is_settled and tally.missing):
        problems.append("it says that it was settled, and missing ballots could have changed it")
    if cause in ("deadline", "withdrawn") and is_settled:
        problems.append(f"it was settled before it was closed by {cause}")
    if cause == "deadline" and certificate.closed_at != opening.deadline_at:
        problems.append("it says that its deadline came, and was not closed at it")
    if cause in ("complete", "settled") and ballots and certificate.closed_at != ballots[-1].at:
        problems.append("it was not closed by its last ballot")
    if (certificate.position.stream, certificate.position.opened) != (f"decision:{opening.id}", 1):
        problems.append(f"it stands in {certificate.position.stream}, where no decision {opening.id} begins")
    return problems


def _problems_of_evidence(opening: Opening, one: Equivocation) -> list[str]:
    about = f"the two ballots of {one.voter}"
    pair = (one.first, one.second)
    if any(ballot.voter != one.voter or ballot.signature is None for ballot in pair):
        return [f"{about} are not both signed by them"]
    if (one.first.choice, one.first.reason) == (one.second.choice, one.second.reason):
        return [f"{about} are the same"]
    for ballot in pair:
        try:
            require_ballot(opening, opening_digest(opening), ballot)
        except Invalid as error:
            return [f"{about}: {error.message}"]
    return []


def _named(outcome: Outcome, chosen: str | None) -> str:
    return outcome if chosen is None else f"{outcome} ({chosen})"
