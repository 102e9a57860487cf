"""What a latch tells: the result of a call, whom an event concerns, and for whom a caller waits."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec

from concerted.board.latches.state import Await, CountDown, GiveBack, Latch, Obligation, Renew, Request, Status, Take
from concerted.machine import EVERYBODY, Event, Look, Result, Wait
from concerted.values import AgentId, Instant

__all__ = ["HOLDERS_NAMED", "TAKEN_SHOWN", "LatchResult", "answer", "topic", "waits", "wakes"]

TAKEN_SHOWN = 64  # obligations in an answer
HOLDERS_NAMED = 64  # agents in an explanation; beyond them it counts
SAID_MAX = 10  # obligations in a sentence


class LatchResult(Result, frozen=True, kw_only=True):
    """How the latch stands and, where a call was about a ticket, that ticket.

    success: the latch is open.  available: counts that nobody has taken.  taken: the first obligations, in
    the order of their tickets.  agent, epoch, expires_at: of the ticket's holder.  counted_by: who counted
    it down.  duration_s: from creation to the end, or to now.
    """

    latch_id: str
    status: Status
    success: bool = False
    reason: str = ""
    remaining: int = 0
    total: int = 0
    available: int = 0
    taken_count: int = 0
    taken: tuple[Obligation, ...] = ()
    ticket: str | None = None
    agent: AgentId | None = None
    epoch: int | None = None
    expires_at: Instant | None = None
    counted_by: AgentId | None = None
    deadline_at: Instant | None = None
    opened_at: Instant | None = None
    duration_s: float = 0.0
    name: str = ""
    created_at: Instant | None = None
    created_by: AgentId | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


def answer(state: Latch, request: Request, now: Instant) -> LatchResult:
    """Return what the caller is told; only an Await waits."""
    match request:
        case Await():
            is_short = len(state.taken) <= TAKEN_SHOWN
            taken = tuple(state.taken.values()) if is_short else ()
            return _result(state, now, pending=state.status == "closed", taken=taken)
        case Take(ticket=ticket) | Renew(ticket=ticket) | GiveBack(ticket=ticket) | CountDown(ticket=ticket):
            held, counted = state.taken.get(ticket), state.counted.get(ticket)
            return _result(
                state,
                now,
                ticket=ticket,
                agent=None if held is None else held.agent,
                epoch=None if held is None else held.epoch,
                expires_at=None if held is None else held.expires_at,
                counted_by=None if counted is None else counted.agent,
            )
        case Look():
            return _result(state, now, taken=tuple(islice(state.taken.values(), TAKEN_SHOWN)))
        case _:
            return _result(state, now)


def topic(request: Request) -> str:
    """Name what a caller waits for: each agent by itself."""
    return request.agent if isinstance(request, Await) else ""


def wakes(event: Event) -> Iterable[str]:
    """Name who is to look again: everybody when the latch is closed no more."""
    return (EVERYBODY,) if event.kind in ("latch.opened", "latch.expired", "latch.cancelled") else ()


def waits(state: Latch, request: Request, now: Instant) -> Wait | None:
    """Say for whom an Await waits: for those who hold tickets, or for anybody to take what is free."""
    if not isinstance(request, Await) or not answer(state, request, now).pending:
        return None
    text = f"{state.remaining:,} of {state.terms.count:,} counts of latch {state.terms.id}"
    held = tuple(state.taken.values()) if len(state.taken) <= TAKEN_SHOWN else ()
    parts = [f"{one.ticket} is held by {one.agent}" for one in held[:SAID_MAX]]
    if len(state.taken) > len(parts):
        parts.append(f"{len(state.taken) - len(parts):,}{' more' if parts else ' tickets'} are held")
    if state.available:
        parts.append(f"{state.available:,} {'is' if state.available == 1 else 'are'} free for anybody")
    back = [one for one in state.returned if one.ticket not in state.taken and one.ticket not in state.counted]
    parts += [f"{one.ticket} came back from {one.agent}, {one.reason}" for one in back[-SAID_MAX:]]
    nobody_else = not state.available and len(state.holders) <= HOLDERS_NAMED
    blockers = tuple(AgentId(agent) for agent in state.holders) if nobody_else else ()
    return Wait(f"{text}: {'; '.join(parts)}", state.created_at, blockers, max(1, len(blockers)), state.deadline_at)


def _result(state: Latch, now: Instant, **facts: Any) -> LatchResult:
    terms, ended_at = state.terms, state.ended_at
    return LatchResult(
        latch_id=terms.id,
        status=state.status,
        success=state.status == "open",
        reason=state.reason,
        remaining=state.remaining,
        total=terms.count,
        available=state.available,
        taken_count=state.taken_count,
        deadline_at=state.deadline_at,
        opened_at=ended_at if state.status == "open" else None,
        duration_s=max(0.0, (now if ended_at is None else ended_at) - state.created_at),
        name=terms.name,
        created_at=state.created_at,
        created_by=terms.by,
        metadata=terms.metadata,
        **facts,
    )
