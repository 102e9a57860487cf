"""A decision: voters judge a proposal, each once, and a rule turns their ballots into an outcome.

    voting --enough accept--------------------------------> accepted
           --acceptance is excluded, or a veto------------> rejected
           --too few took part by the deadline | withdrawn> lapsed

Its log is `created` (who may vote with which weight, under which rule, until when: frozen), `ballot_cast` for the
first ballot of each voter, and `closed` with its cause.  The outcome is a function of the ballots before `closed`.
It is closed by the last ballot that matters, by its deadline, which is an entry like any other, or by hand.
A later, different ballot of a voter is written and ignored; two different signed ones are evidence.

That an entry is stored says nothing about what anybody thinks of the proposal: approval is a ballot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from concerted.consensus.decisions.answers import DecisionResult, answer, topic, waits, wakes
from concerted.consensus.decisions.ballots import (
    Ballot,
    Opening,
    opening_digest,
    problems_of,
    proposal_digest,
    require_ballot,
)
from concerted.consensus.decisions.certificate import Cause
from concerted.consensus.decisions.rule import in_words
from concerted.consensus.decisions.state import (
    LATER_BALLOTS,
    SHOWN,
    Await,
    Cancel,
    Create,
    Decision,
    Request,
    Vote,
    evolve,
)
from concerted.consensus.decisions.tally import settled
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.values import AgentId, Instant, encode, is_name

__all__ = [
    "KINDS",
    "SHOWN",
    "Await",
    "Cancel",
    "Create",
    "Decision",
    "DecisionResult",
    "Request",
    "State",
    "Vote",
    "answer",
    "decide",
    "evolve",
    "topic",
    "waits",
    "wakes",
]

MESSAGE_PROPOSAL_BYTES = 16_384  # a longer proposal is not in the message to the voters, only in answers
NAME_CHARACTERS = 100  # of the question, as the name of the decision in lists

State = Decision

KINDS: Mapping[str, str] = {
    "decision.created": (
        "Somebody puts a proposal to voters: name, opening (all that is frozen), opening_digest, demands, "
        "participants, total, deadline_at, status."
    ),
    "decision.ballot_cast": "A voter's first ballot, which counts: choice, reason, signature, arrived, total.",
    "decision.ballot_ignored": "A later, different ballot, which does not count: choice, reason, signature, first.",
    "decision.equivocated": (
        "A voter has signed two different ballots; the first counts, both are kept: choice, reason, signature, first."
    ),
    "decision.voter_lost": "A voter who has not voted is gone: reason.",
    "decision.voter_found": "A voter who was gone is back.",
    "decision.closed": (
        "It is decided, or will not be: status, cause (complete, settled, deadline or withdrawn), chosen, why, "
        "arrived, total, closed_at, reason."
    ),
}


def decide(state: Decision | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to, with what its deadline and its ballots bring.

    O(log n) in the number of voters, and one check of a signature where a ballot has one.

    Raises:
        NotFound: there is no such decision.
        Invalid: it cannot be opened like this; or this is no ballot.
        Conflict: there is another one of this id.
        NotAllowed: a ballot by who has no vote; a withdrawal by somebody else than its opener or an admin.
        WrongPhase: a new ballot after its end.
    """
    if state is None:
        if isinstance(request, Create):
            return _open(request, now)
        if isinstance(request, Wake | Lost | Found):
            return Step()
        raise NotFound("there is no such decision; open it, with its voters")
    if isinstance(request, Look) and _is_due(state, now):
        return Step(wake_at=now)
    due = Step()
    if _is_due(state, now):
        assert state.opening.deadline_at is not None
        due = _close(state, "deadline", state.opening.deadline_at)
    standing = _after(state, due, now)
    asked = _asked(standing, request, now)
    if not due.events and not asked.events:
        return Step(wake_at=state.opening.deadline_at if state.closing is None else None)
    moved = _after(standing, asked, now)
    over = _settle(moved, now) if asked.events else Step()
    is_open = moved.closing is None and not over.events
    wake_at = state.opening.deadline_at if is_open else None
    return Step(due.events + asked.events + over.events, due.sends + asked.sends + over.sends, wake_at)


def _is_due(state: Decision, now: Instant) -> bool:
    deadline_at = state.opening.deadline_at
    return state.closing is None and deadline_at is not None and now >= deadline_at


def _after(state: Decision, step: Step, now: Instant) -> Decision:
    for event in step.events:
        state = evolve(state, event, now)
    return state


def _asked(state: Decision, request: Request, now: Instant) -> Step:
    match request:
        case Vote():
            return _vote(state, request, now)
        case Cancel(by, reason, is_admin):
            if by != state.opening.opened_by and not is_admin:
                raise NotAllowed(
                    f"{by} may not withdraw decision {state.opening.id}; "
                    f"{state.opening.opened_by}, who opened it, or an admin can",
                    agent=by,
                )
            return _close(state, "withdrawn", now, by, reason)
        case Create():
            _require_same(state.opening, request)
        case Lost(agent, reason):
            if state.closing is None and agent in state.missing and agent not in state.lost:
                return Step((Event("decision.voter_lost", agent, None, {"reason": reason}),))
        case Found(agent):
            if state.closing is None and agent in state.lost:
                return Step((Event("decision.voter_found", agent),))
        case Await() | Look() | Wake():
            pass
    return Step()


# Ballots


def _vote(state: Decision, request: Vote, now: Instant) -> Step:
    voter, opening = request.agent, state.opening
    if voter not in opening.electorate:
        raise NotAllowed(
            f"{voter} has no vote in decision {opening.id}; who votes was frozen when {opening.opened_by} opened it",
            agent=voter,
        )
    given = Ballot(
        voter=voter,
        choice=request.choice,
        reason=request.reason,
        signature=request.signature,
        position=state.length + 1,
        at=now,
    )
    first = state.ballots.get(voter)
    if first is not None and _is_same(first, given):
        return Step()
    if state.closing is not None:
        ago = max(0.0, now - state.closing.at)
        raise WrongPhase(
            f"{voter} votes too late: decision {opening.id} was closed {ago:.1f} s ago, {state.status}",
            status=state.status,
            closed_at=state.closing.at,
        )
    require_ballot(opening, state.digest, given)
    ballot = {"choice": given.choice, "reason": given.reason, "signature": given.signature}
    if first is None:
        counted = {"arrived": len(state.ballots) + 1, "total": len(opening.electorate)}
        return Step((Event("decision.ballot_cast", voter, None, ballot | counted),))
    later = state.ignored.get(voter, ())
    if len(later) >= LATER_BALLOTS or any(_is_same(one, given) for one in later):
        return Step()
    kind = "equivocated" if first.signature is not None else "ballot_ignored"
    return Step((Event(f"decision.{kind}", voter, None, ballot | {"first": first.choice}),))


def _is_same(one: Ballot, other: Ballot) -> bool:
    return (one.choice, one.reason) == (other.choice, other.reason)


# Opening


def _open(request: Create, now: Instant) -> Step:
    opening = _opening(request, now)
    problems = problems_of(opening)
    if not is_name(request.id):
        problems.insert(0, f"{request.id!r} cannot name a decision: 1 to 200 printable bytes, no outer spaces")
    if problems:
        raise Invalid(f"decision {request.id} cannot be opened: {'; '.join(problems)}", problems=problems)
    data = {
        "name": " ".join(opening.question.split())[:NAME_CHARACTERS],
        "opening": msgspec.to_builtins(opening),
        "opening_digest": opening_digest(opening),
        "demands": in_words(opening.rule),
        "participants": list(opening.electorate),
        "total": len(opening.electorate),
        "deadline_at": opening.deadline_at,
        "status": "voting",
    }
    return Step((Event("decision.created", request.by, None, data),), (_invitation(opening),), opening.deadline_at)


def _opening(request: Create, now: Instant) -> Opening:
    return Opening(
        id=request.id,
        question=request.question,
        proposal=request.proposal,
        options=request.options,
        electorate=request.electorate,
        keys=request.keys,
        rule=request.rule,
        deadline_at=request.deadline_at,
        algorithm=request.algorithm,
        opened_by=request.by,
        opened_at=now,
    )


def _require_same(opening: Opening, request: Create) -> None:
    """Make sure that a repeated Create means this decision."""
    same = _opening(request, opening.opened_at)
    differences = [name for name in opening.__struct_fields__ if getattr(opening, name) != getattr(same, name)]
    if differences:
        raise Conflict(
            f"{opening.opened_by} has opened decision {opening.id} already, with other {', '.join(differences)}; "
            "vote on that one, or take another id",
            differences=differences,
        )


# Closing


def _settle(state: Decision, now: Instant) -> Step:
    """Close it if no missing ballot can change the outcome."""
    if state.closing is not None or settled(state.opening.rule, state.tally) is None:
        return Step()
    return _close(state, "settled" if state.tally.missing else "complete", now)


def _close(state: Decision, cause: Cause, at: Instant, by: AgentId | None = None, reason: str = "") -> Step:
    if state.closing is not None:
        return Step()
    data: dict[str, Any] = {"cause": cause, "closed_at": at, "reason": reason}
    closed = evolve(state, Event("decision.closed", by, None, data), at)
    assert closed.closing is not None
    verdict = closed.closing.verdict
    data |= {
        "status": verdict.outcome,
        "chosen": verdict.chosen,
        "why": verdict.why,
        "arrived": len(state.ballots),
        "total": len(state.opening.electorate),
    }
    return Step((Event("decision.closed", by, None, data),), (_news(closed, data),))


def _invitation(opening: Opening) -> Send:
    small = len(encode(opening.proposal)) <= MESSAGE_PROPOSAL_BYTES
    content = {
        "decision_id": opening.id,
        "question": opening.question,
        "proposal": opening.proposal if small else None,
        "proposal_digest": proposal_digest(opening),
        "opening_digest": opening_digest(opening),
        "options": list(opening.options),
        "rule": in_words(opening.rule),
        "deadline": opening.deadline_at,
        "opened_by": opening.opened_by,
    }
    return Send(tuple(opening.electorate), "DECISION_OPENED", content, "high")


def _news(state: Decision, data: Mapping[str, object]) -> Send:
    opening = state.opening
    content = {
        "decision_id": opening.id,
        "question": opening.question,
        "outcome": data["status"],
        "chosen": data["chosen"],
        "cause": data["cause"],
        "why": data["why"],
        "votes": data["arrived"],
        "voters": data["total"],
    }
    return Send(tuple(opening.electorate), "DECISION_CLOSED", content)
