"""What may be asked of an election, and what its callers are told: who leads, where they stand, for what they wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from concerted.board.elections.state import Election, Ended, Leader, ended_as, is_leader
from concerted.board.holding import Confirm, Expire, Renew, Withdraw
from concerted.errors import LeaseLost
from concerted.machine import Found, Look, Lost, Result, Wait, Wake
from concerted.values import AgentId, Instant

__all__ = [
    "CONFIRM_S",
    "Campaign",
    "Check",
    "CheckResult",
    "Confirm",
    "Create",
    "ElectionResult",
    "Expire",
    "Observe",
    "Proclaim",
    "Renew",
    "Request",
    "Resign",
    "Withdraw",
    "answer",
    "lease_lost",
    "waits",
]

CONFIRM_S = 10.0  # how long an offer stands in an election that does not say


@dataclass(frozen=True, slots=True)
class Create:
    """Make an election.  confirm_s: how long an offer stands.  candidates: who may campaign; none: everybody."""

    name: str
    by: AgentId
    confirm_s: float = CONFIRM_S
    candidates: tuple[AgentId, ...] = ()


@dataclass(frozen=True, slots=True)
class Campaign:
    """Lead, or wait until it is the candidate's turn.

    ticket: the caller's key for this wish; again, it is the same wish, and confirms an offer.  Under another ticket a
    leader leads on under a new token, and a candidate keeps its place.  wait: join the queue if somebody leads.
    name: if there is no such election, make it under this name.
    """

    candidate: AgentId
    ticket: str
    ttl_s: float = 15.0
    value: Any = None
    wait: bool = True
    score: float = 0.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Observe:
    """Wait until the leader's epoch is another one (0: nobody leads), or the version higher than this."""

    known_epoch: int = 0
    known_version: int | None = None


@dataclass(frozen=True, slots=True)
class Proclaim:
    """Set the leader's value."""

    leader: AgentId
    token: str
    value: Any


@dataclass(frozen=True, slots=True)
class Resign:
    """Lead no longer."""

    leader: AgentId
    token: str


@dataclass(frozen=True, slots=True)
class Check:
    """Ask whether this is the token of the leader."""

    token: str


Request: TypeAlias = (
    Create | Campaign | Confirm | Withdraw | Observe | Proclaim | Resign | Renew | Check
    | Expire | Wake | Look | Lost | Found
)  # fmt: skip


class ElectionResult(Result, frozen=True, kw_only=True):
    """What a caller is told.

    elected: whether the caller's ticket leads; then token is its own.  offered: it does if it confirms by confirm_at.
    ttl_s, expires_at: of its own leadership, the latter without renewals.  position: in the queue, 1 is next.
    epoch: the leader's, 0 if nobody leads.  waiting: how many are in the queue.
    """

    name: str
    status: Literal["led", "vacant"]
    success: bool = True
    elected: bool = False
    offered: bool = False
    token: str | None = None
    ttl_s: float | None = None
    expires_at: Instant | None = None
    leader: AgentId | None = None
    epoch: int = 0
    value: Any = None
    version: int = 0
    since: Instant | None = None
    confirm_at: Instant | None = None
    position: int | None = None
    waiting: int = 0
    reason: str = ""


class CheckResult(Result, frozen=True, kw_only=True):
    """Whether a token is the leader's.  epoch: of the newest leadership, also if it has ended."""

    name: str
    valid: bool
    leader: AgentId | None = None
    epoch: int = 0
    reason: str = ""


def answer(state: Election, request: Request, now: Instant) -> ElectionResult | CheckResult:  # noqa: ARG001
    """Return what the caller is told; a candidate in the queue and an observer to whom nothing is new wait."""
    match request:
        case Campaign(ticket=ticket) | Confirm(ticket=ticket):
            return _candidates(state, ticket)
        case Observe(epoch, version):
            changed = version is not None and state.version > version
            return _shown(state, pending=_epoch(state) == epoch and not changed)
        case Check(token):
            valid = is_leader(state, token)
            leader = None if state.leader is None else state.leader.agent
            reason = "" if valid else _why_over(state, token)
            return CheckResult(name=state.name, valid=valid, leader=leader, epoch=state.epoch, reason=reason)
        case _:
            return _shown(state)


def waits(state: Election, request: Request, now: Instant) -> Wait | None:
    """Return for what a candidate or an observer waits: a candidate for all before it, each of whom must give way.

    An observer waits for nobody's turn: the leader itself may observe beside its work.
    """
    if isinstance(request, Observe):
        return _observes(state) if answer(state, request, now).pending else None
    mine = state.waiting(request.ticket) if isinstance(request, Campaign) else None
    if mine is None:
        return None
    before = [one.candidate for one in state.queue if one.place < mine.place]
    what = f"leadership of {state.name}"
    if state.leader is not None:
        what += f", held by {_in_full(state.leader)}"
        before.insert(0, state.leader.agent)
    elif state.offer is not None:
        what += f", offered to {state.offer.candidacy.candidate}"
        before.insert(0, state.offer.candidacy.candidate)
    more = len(before) - 1
    what += f", and for {more} more who come before" if more > 0 else ""
    return Wait(what, mine.since, tuple(before), len(before))


def _observes(state: Election) -> Wait:
    led = state.leader
    if led is None:
        return Wait(f"a leader of {state.name}", state.ended[-1].at if state.ended else state.created_at)
    return Wait(f"another leader of {state.name} than {_in_full(led)}", led.since)


def lease_lost(state: Election, token: str) -> LeaseLost:
    """Return the error with which whoever does not lead (any more) is answered."""
    return LeaseLost(f"{_why_over(state, token)}; campaign anew", token=token, epoch=state.epoch)


def _candidates(state: Election, ticket: str) -> ElectionResult:
    """Return what the candidate under this ticket is told."""
    led, offer = state.leader, state.offer
    if led is not None and led.ticket == ticket:
        return _shown(state, elected=True, token=led.token, ttl_s=led.ttl_s, expires_at=led.expires_at)
    if offer is not None and offer.candidacy.ticket == ticket:
        return _shown(state, offered=True, confirm_at=offer.confirm_at, reason="it is its turn, if it confirms in time")
    places = [one.ticket for one in state.queue]
    if ticket in places:
        return _shown(state, pending=True, position=places.index(ticket) + 1)
    ended = ended_as(state, ticket=ticket)
    reason = _now_led(state) if ended is None else _in_words(ended)
    return _shown(state, success=False, reason=reason)


def _shown(state: Election, **more: Any) -> ElectionResult:
    led = state.leader
    shown: dict[str, Any] = {"name": state.name, "status": "vacant", "version": state.version}
    shown["waiting"] = len(state.queue)
    if led is not None:
        shown |= {"status": "led", "leader": led.agent, "epoch": led.epoch, "value": led.value, "since": led.since}
    return ElectionResult(**(shown | more))


def _epoch(state: Election) -> int:
    return 0 if state.leader is None else state.leader.epoch


def _why_over(state: Election, token: str) -> str:
    """Say why this token does not lead."""
    ended = ended_as(state, token=token)
    if ended is not None:
        return f"leadership {token} is over, {_in_words(ended)}; {_now_led(state)}"
    return f"{token[:100]} is not the token of the leader; {_now_led(state)}"


def _now_led(state: Election) -> str:
    return f"{'nobody' if state.leader is None else _in_full(state.leader)} leads {state.name}"


def _in_full(leader: Leader) -> str:
    return f"{leader.agent} (who is gone: {leader.gone})" if leader.gone else str(leader.agent)


def _in_words(ended: Ended) -> str:
    return f"{ended.how}: {ended.reason}" if ended.reason else ended.how
