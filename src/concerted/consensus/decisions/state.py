"""What a decision can be asked, what it remembers, and how events change it; the rules are in `decision`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import msgspec

from concerted.consensus.decisions.ballots import Ballot, Opening, opening_digest
from concerted.consensus.decisions.certificate import Cause, Certificate, Equivocation, Position, certificate_of, close
from concerted.consensus.decisions.rule import ABSTAIN, ACCEPT, REJECT, Rule
from concerted.consensus.decisions.tally import Tally, Verdict, count, open_tally
from concerted.consensus.keeping import ONE, Algorithm, Rounds
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId, Instant

__all__ = [
    "LATER_BALLOTS",
    "SHOWN",
    "Await",
    "Cancel",
    "Closing",
    "Create",
    "Decision",
    "Request",
    "Roll",
    "Status",
    "Vote",
    "call_roll",
    "certify",
    "evolve",
]

SHOWN = 1_000  # voters up to whom lists and the certificate are in every answer; beyond them, when somebody looks
LATER_BALLOTS = 3  # ignored ballots of one voter that are written down

Status = Literal["voting", "accepted", "rejected", "lapsed"]


@dataclass(frozen=True, slots=True)
class Create:
    """Open a decision.  electorate: voter -> weight; the rest as in `Opening`."""

    id: str
    by: AgentId
    question: str
    electorate: dict[AgentId, int]
    proposal: Any = None
    options: tuple[str, ...] = (ACCEPT,)
    keys: dict[AgentId, str] = field(default_factory=dict)
    rule: Rule = field(default_factory=Rule)
    deadline_at: Instant | None = None
    algorithm: Algorithm = "single"


@dataclass(frozen=True, slots=True)
class Vote:
    """Cast a ballot, and wait for the end.  Only the first of a voter counts."""

    agent: AgentId
    choice: str
    reason: str = ""
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for the end without a ballot."""

    agent: AgentId | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Withdraw the proposal."""

    by: AgentId
    reason: str = ""
    is_admin: bool = False


Request = Create | Vote | Await | Cancel | Wake | Look | Lost | Found


@dataclass(frozen=True, slots=True)
class Roll:
    """Who voted how, in the order of the log; sorted: who has not, who of them is gone, who signed two ballots."""

    approved: tuple[AgentId, ...]
    rejected: tuple[AgentId, ...]
    abstained: tuple[AgentId, ...]
    missing: tuple[AgentId, ...]
    lost: tuple[AgentId, ...]
    equivocated: tuple[AgentId, ...]


@dataclass(frozen=True, slots=True)
class Closing:
    """When, why and how it was closed.  by, reason: of a withdrawal.

    certificate, roll: of at most SHOWN voters; made once, for all who ask.
    """

    at: Instant
    cause: Cause
    verdict: Verdict
    position: int
    by: AgentId | None
    reason: str
    certificate: Certificate | None
    roll: Roll | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a decision stands.

    digest: that of its opening.  ballots: voter -> the one that counts.  ignored: voter -> later, different ones.
    missing: those who have not voted; lost: those of them who are gone -> why.  length: entries so far; rounds:
    of its log.
    """

    opening: Opening
    digest: str
    tally: Tally
    missing: Map[str, bool]
    ballots: Map[str, Ballot] = field(default_factory=Map)
    ignored: Map[str, tuple[Ballot, ...]] = field(default_factory=Map)
    lost: Map[str, str] = field(default_factory=Map)
    length: int = 1
    rounds: Rounds = ONE
    status: Status = "voting"
    closing: Closing | None = None

    @property
    def algorithm(self) -> Algorithm:
        """How its log is kept."""
        return self.opening.algorithm

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.closing is not None

    @property
    def stream(self) -> str:
        """Where its log is."""
        return f"decision:{self.opening.id}"


def evolve(state: Decision | None, event: Event, at: Instant) -> Decision:
    """Return the state after an event of this decision, which happened at `at`.

    The outcome is computed here from the ballots before it, never read from the event.
    """
    if state is None:
        return _opened(event)
    voter = AgentId(str(event.agent))
    if event.kind == "decision.ballot_cast":
        return _voted(state, voter, _ballot(state.length + 1, event, at), state.rounds.after(event.data))
    state = replace(state, length=state.length + 1, rounds=state.rounds.after(event.data))
    match event.kind:
        case "decision.ballot_ignored" | "decision.equivocated":
            later = (*state.ignored.get(voter, ()), _ballot(state.length, event, at))
            return replace(state, ignored=state.ignored.set(voter, later))
        case "decision.voter_lost":
            return replace(state, lost=state.lost.set(voter, event.data["reason"]))
        case "decision.voter_found":
            return replace(state, lost=state.lost.without(voter))
        case "decision.closed":
            return _closed(state, event)
        case _:
            return state


def _voted(state: Decision, voter: AgentId, ballot: Ballot, rounds: Rounds) -> Decision:
    """Count a ballot: what happens most, so it is one new value and no `replace`, which takes ten times as long."""
    opening = state.opening
    return Decision(
        opening=opening,
        digest=state.digest,
        tally=count(state.tally, opening.rule, voter, ballot.choice, opening.electorate[voter]),
        missing=state.missing.without(voter),
        ballots=state.ballots.set(voter, ballot),
        ignored=state.ignored,
        lost=state.lost.without(voter),
        length=state.length + 1,
        rounds=rounds,
        status=state.status,
        closing=state.closing,
    )


def certify(state: Decision) -> Certificate:
    """Return the certificate of a decision that is closed.  O(n log n), unless it is kept."""
    closing = state.closing
    assert closing is not None, f"{state.stream} is not closed"
    if closing.certificate is not None:
        return closing.certificate
    position = Position(stream=state.stream, closed=closing.position)
    ballots = tuple(_in_order(state))
    return certificate_of(state.opening, ballots, _equivocations(state), closing.cause, closing.at, position)


def call_roll(state: Decision) -> Roll:
    """Return who has voted how, and who has not.  O(n log n), unless it is kept."""
    if state.closing is not None and state.closing.roll is not None:
        return state.closing.roll
    ballots, options = _in_order(state), state.opening.options
    signed_twice = [name for name in state.ignored if any(one.signature is not None for one in state.ignored[name])]
    return Roll(
        approved=tuple([one.voter for one in ballots if one.choice in options]),
        rejected=tuple([one.voter for one in ballots if one.choice == REJECT]),
        abstained=tuple([one.voter for one in ballots if one.choice == ABSTAIN]),
        missing=_voters(state.missing),
        lost=_voters(state.lost) if state.lost else (),
        equivocated=_voters(signed_twice),
    )


def _voters(names: Iterable[str]) -> tuple[AgentId, ...]:
    return cast("tuple[AgentId, ...]", tuple(names))  # at no cost, where calling the type for each would have one


def _in_order(state: Decision) -> list[Ballot]:
    return sorted((ballot for _, ballot in state.ballots.unordered()), key=lambda ballot: ballot.position)


def _opened(event: Event) -> Decision:
    assert event.kind == "decision.created", event.kind
    opening = msgspec.convert(event.data["opening"], Opening)
    tally = open_tally(opening.electorate, opening.options, opening.rule)
    missing = Map((voter, True) for voter in opening.electorate)
    return Decision(opening, opening_digest(opening), tally, missing, rounds=Rounds.begun(event.data))


def _ballot(position: int, event: Event, at: Instant) -> Ballot:
    data = event.data
    return Ballot(
        voter=AgentId(str(event.agent)),
        choice=data["choice"],
        reason=data["reason"],
        signature=data["signature"],
        position=position,
        at=at,
    )


def _closed(state: Decision, event: Event) -> Decision:
    data = event.data
    verdict = close(state.opening, state.tally, data["cause"])
    closing = Closing(data["closed_at"], data["cause"], verdict, state.length, event.agent, data["reason"], None, None)
    state = replace(state, status=verdict.outcome, closing=closing)
    if len(state.opening.electorate) > SHOWN:
        return state
    return replace(state, closing=replace(closing, certificate=certify(state), roll=call_roll(state)))


def _equivocations(state: Decision) -> tuple[Equivocation, ...]:
    found = []
    for voter in state.ignored:
        first = state.ballots[voter]
        second = next((ballot for ballot in state.ignored[voter] if ballot.signature is not None), None)
        if second is not None and first.signature is not None:
            found.append(Equivocation(voter=first.voter, first=first, second=second))
    return tuple(found)
