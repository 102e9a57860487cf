"""What callers of a decision are told: how it stands or ended, and what those who wait are waiting for."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from concerted.consensus.decisions.ballots import proposal_digest
from concerted.consensus.decisions.certificate import Cause, Certificate
from concerted.consensus.decisions.rule import ABSTAIN, REJECT, Rule, in_words
from concerted.consensus.decisions.state import (
    SHOWN,
    Await,
    Closing,
    Decision,
    Request,
    Status,
    Vote,
    call_roll,
    certify,
)
from concerted.consensus.decisions.tally import Outcome
from concerted.consensus.keeping import Algorithm, stored_by
from concerted.machine import EVERYBODY, Event, Look, Result, Wait
from concerted.values import AgentId, Instant

__all__ = ["DecisionResult", "answer", "topic", "waits", "wakes"]

NAMED = 10  # voters named in a sentence
FEW = 20  # voters up to whom lists are in answers to ballots, too, while it is open
KNOWN = 1_000  # decisions of which it is remembered what all answers have in common
UNBLOCKERS = 256  # missing voters who are named as such; of more, whoever comes


class DecisionResult(Result, frozen=True, kw_only=True):
    """How a decision stands or ended.

    outcome: None while it is open.  success: it was accepted; chosen: what, where there were options.  cause, why:
    why it was closed, and why so.  approved_by, rejected_by, abstained: voters, in the order of the log; missing,
    lost_agents: who has not voted, and who of them is gone; sorted.  These are in every answer on a decision of
    at most SHOWN voters, to ballots while it is open of at most FEW; on greater ones in answers to who looks.  So is
    the certificate, once it is closed.
    voted, voters: ballots and voters by head; weights: choice -> weight of its ballots, with `missing`.
    ballot: the caller's choice that counts; ignored: what the caller asked for now does not.  equivocated: who has
    signed two different ballots.  stored_by: what keeps the log, which says nothing about approval; entries_committed:
    how long its log is; rounds: how many terms, ballots or views of a group that took, and 1 of a store.  term,
    leader: of a group of replicas, as far as was learned; group: the description by which voters reach it without a
    coordinator; warnings: what somebody who relies on that group should know.
    """

    id: str
    question: str
    options: tuple[str, ...]
    status: Status
    outcome: Outcome | None
    success: bool
    chosen: str | None
    cause: Cause | None
    why: str
    reason: str
    rule: Rule
    demands: str
    voted: int
    voters: int
    weights: dict[str, int]
    approved_by: tuple[AgentId, ...] = ()
    rejected_by: tuple[AgentId, ...] = ()
    abstained: tuple[AgentId, ...] = ()
    missing: tuple[AgentId, ...] = ()
    lost_agents: tuple[AgentId, ...] = ()
    equivocated: tuple[AgentId, ...] = ()
    ballot: str | None
    ignored: bool
    algorithm: Algorithm
    stored_by: tuple[str, ...]
    entries_committed: int
    rounds: int = 1
    term: int | None = None
    leader: AgentId | None = None
    group: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    proposal_digest: str
    opening_digest: str
    deadline_at: Instant | None
    created_at: Instant
    created_by: AgentId
    closed_at: Instant | None
    closed_by: AgentId | None
    certificate: Certificate | None


def answer(state: Decision, request: Request, now: Instant) -> DecisionResult:  # noqa: ARG001
    """Return how the decision stands.  O(n log n) up to SHOWN voters and for `Look`, else O(1)."""
    closing, tally = state.closing, state.tally
    few = FEW if closing is None and isinstance(request, Vote) else SHOWN
    is_light = len(state.opening.electorate) > few
    is_whole = isinstance(request, Look) or not is_light
    return msgspec.structs.replace(
        _opened(state),
        pending=closing is None and isinstance(request, Vote | Await),
        voted=len(state.ballots),
        weights={**tally.approvals, REJECT: tally.rejections, ABSTAIN: tally.abstentions, "missing": tally.missing},
        entries_committed=state.length,
        rounds=state.rounds.count,
        **_own(state, request),
        **(_lists(state) if is_whole else {}),
        **({} if closing is None else _ending(state, closing, is_whole=is_whole)),
    )


def topic(request: Request) -> str:  # noqa: ARG001
    """All who wait for a decision wait for the same thing."""
    return ""


def wakes(event: Event) -> Iterable[str]:
    """Everybody when it is closed, and nobody before."""
    return (EVERYBODY,) if event.kind == "decision.closed" else ()


def waits(state: Decision, request: Request, now: Instant) -> Wait | None:  # noqa: ARG001
    """Say whose ballots are missing, who of them is gone, and what the rule demands."""
    if state.closing is not None or not isinstance(request, Vote | Await):
        return None
    opening = state.opening
    ballot = state.ballots.get(request.agent) if isinstance(request, Vote) else None
    few = len(state.missing) <= UNBLOCKERS
    return Wait(
        waiting_for=_in_words(state),
        since=opening.opened_at if ballot is None else ballot.at,
        unblocked_by=tuple(AgentId(name) for name in state.missing) if few else (),
        deadline=opening.deadline_at,
    )


def _opened(state: Decision) -> DecisionResult:
    """Return the answer as it was when the decision was opened: much of it is in all others, and costs them nothing."""
    found = _known.get(state.digest)
    if found is None:
        if len(_known) >= KNOWN:
            _known.clear()
        opening = state.opening
        found = _known[state.digest] = DecisionResult(
            id=opening.id,
            question=opening.question,
            options=opening.options,
            status="voting",
            outcome=None,
            success=False,
            chosen=None,
            cause=None,
            why="",
            reason="",
            rule=opening.rule,
            demands=in_words(opening.rule),
            voted=0,
            voters=len(opening.electorate),
            weights={},
            ballot=None,
            ignored=False,
            algorithm=opening.algorithm,
            stored_by=stored_by(opening.algorithm),
            entries_committed=1,
            proposal_digest=proposal_digest(opening),
            opening_digest=state.digest,
            deadline_at=opening.deadline_at,
            created_at=opening.opened_at,
            created_by=opening.opened_by,
            closed_at=None,
            closed_by=None,
            certificate=None,
        )
    return found


def _ending(state: Decision, closing: Closing, *, is_whole: bool) -> dict[str, Any]:
    return {
        "status": state.status,
        "outcome": closing.verdict.outcome,
        "success": state.status == "accepted",
        "chosen": closing.verdict.chosen,
        "cause": closing.cause,
        "why": closing.verdict.why,
        "reason": closing.reason,
        "closed_at": closing.at,
        "closed_by": closing.by,
        "certificate": certify(state) if is_whole else None,
    }


def _own(state: Decision, request: Request) -> dict[str, Any]:
    ballot = state.ballots.get(request.agent) if isinstance(request, Vote) else None
    if ballot is None or not isinstance(request, Vote):
        return {"ballot": None, "ignored": False}
    return {"ballot": ballot.choice, "ignored": (ballot.choice, ballot.reason) != (request.choice, request.reason)}


def _lists(state: Decision) -> dict[str, Any]:
    roll = call_roll(state)
    return {
        "approved_by": roll.approved,
        "rejected_by": roll.rejected,
        "abstained": roll.abstained,
        "missing": roll.missing,
        "lost_agents": roll.lost,
        "equivocated": roll.equivocated,
    }


def _in_words(state: Decision) -> str:
    opening, missing = state.opening, state.missing
    named = [f"{name}, who is gone: {state.lost[name]}" for name in islice(state.lost, NAMED)]
    if len(missing) <= UNBLOCKERS:
        named += [name for name in missing if name not in state.lost][: NAMED - len(named)]
    more = len(missing) - len(named)
    if more > 0:
        named.append(f"{'and ' if named else ''}{more:,} more")
    text = f"decision {opening.id}: {len(state.ballots)} of {len(opening.electorate)} have voted; missing: "
    return f"{text}{'; '.join(named)}; {in_words(opening.rule)}"


_known: dict[str, DecisionResult] = {}  # by the digest of the opening, which names all that is in it
