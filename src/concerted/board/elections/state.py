"""Where an election stands: who leads under which token, to whom it is offered, who waits, and how others ended."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from concerted.machine import Event
from concerted.persistent import Map
from concerted.values import AgentId, Instant

__all__ = ["ENDED_KEPT", "Candidacy", "Election", "Ended", "How", "Leader", "Offer", "ended_as", "evolve", "is_leader"]

ENDED_KEPT = 64  # ended candidacies and leaderships that are remembered, so that a repeat is understood

How: TypeAlias = Literal["resigned", "replaced", "expired", "lapsed", "withdrawn", "dropped"]


@dataclass(frozen=True, slots=True)
class Candidacy:
    """A wish to lead.  number: of equal scores, the smaller comes first."""

    candidate: AgentId
    ticket: str
    ttl_s: float
    value: Any
    score: float
    number: int
    since: Instant

    @property
    def place(self) -> tuple[float, int]:
        """By what candidates are sorted."""
        return (-self.score, self.number)


@dataclass(frozen=True, slots=True)
class Offer:
    """A candidacy whose turn it is, if it is confirmed in time."""

    candidacy: Candidacy
    confirm_at: Instant


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads.  expires_at: as logged; the store may know of renewals.  gone: why it counts as gone; "" if not."""

    agent: AgentId
    ticket: str
    token: str
    epoch: int
    ttl_s: float
    value: Any
    since: Instant
    expires_at: Instant
    gone: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a ticket ended.  token: "" if it never led."""

    ticket: str
    agent: AgentId
    token: str
    how: How
    reason: str
    at: Instant


@dataclass(frozen=True, slots=True)
class Election:
    """Where an election stands.

    candidates: who may campaign; none: everybody.  epoch: how many leaderships there were.  version: it grows
    with every other leader, with none, and with every other value.  number: the newest in the queue so far.
    queue: by place.  ended: the newest last.
    """

    name: str
    creator: AgentId
    created_at: Instant
    confirm_s: float
    candidates: Map[str, bool] = field(default_factory=Map)
    epoch: int = 0
    version: int = 0
    number: int = 0
    leader: Leader | None = None
    offer: Offer | None = None
    queue: tuple[Candidacy, ...] = ()
    ended: tuple[Ended, ...] = ()

    def waiting(self, ticket: str) -> Candidacy | None:
        """Return who waits in the queue under this ticket.  O(queue)."""
        return next((one for one in self.queue if one.ticket == ticket), None)


def is_leader(state: Election, token: str) -> bool:
    """Say whether this is the token of the leader: nobody has led after it, and it has not ended."""
    return state.leader is not None and state.leader.token == token


def ended_as(state: Election, *, ticket: str = "", token: str = "") -> Ended | None:
    """Return how this ticket, or the leadership under this token, ended; None if that is not known (any more)."""
    for ended in reversed(state.ended):
        if (ticket and ended.ticket == ticket) or (token and ended.token == token):
            return ended
    return None


def evolve(state: Election | None, event: Event, at: Instant) -> Election:
    """Return the state after an event of this election, which happened at `at`."""
    data, agent = event.data, event.agent or AgentId("")
    if event.kind == "election.created":
        allowed = Map(dict.fromkeys(data["candidates"], True))
        return Election(data["name"], agent, at, data["confirm_s"], allowed)
    assert state is not None, f"{event.kind} of an election that was never created"
    match event.kind:
        case "election.queued":
            return _queued(state, agent, data)
        case "election.offered":
            first = state.waiting(data["ticket"])
            assert first is not None, f"ticket {data['ticket']} does not wait in the queue of {state.name}"
            return replace(_left(state, first.ticket), offer=Offer(first, data["confirm_at"]))
        case "election.won":
            return _won(state, agent, data, at)
        case "election.resigned" | "election.replaced" | "election.expired":
            return replace(_remembered(state, event, at), leader=None, version=data["version"])
        case "election.lapsed" | "election.withdrawn" | "election.dropped":
            return _left(_remembered(state, event, at), data["ticket"])
        case "election.proclaimed" if state.leader is not None:
            return replace(state, leader=replace(state.leader, value=data["value"]), version=data["version"])
        case "election.leader_lost" | "election.leader_found" if state.leader is not None:
            return replace(state, leader=replace(state.leader, gone=data.get("reason", "")))
        case _:
            return state


def _queued(state: Election, agent: AgentId, data: dict[str, Any]) -> Election:
    one = Candidacy(
        agent, data["ticket"], data["ttl_s"], data["value"], data["score"], data["number"], data["since"]
    )  # fmt: skip
    at = bisect_right(state.queue, one.place, key=lambda other: other.place)
    queue = (*state.queue[:at], one, *state.queue[at:])
    return replace(state, queue=queue, number=max(state.number, one.number))


def _won(state: Election, agent: AgentId, data: dict[str, Any], at: Instant) -> Election:
    leader = Leader(
        agent=agent,
        ticket=data["ticket"],
        token=data["token"],
        epoch=data["epoch"],
        ttl_s=data["ttl_s"],
        value=data["value"],
        since=at,
        expires_at=data["expires_at"],
    )
    return replace(_left(state, leader.ticket), leader=leader, epoch=leader.epoch, version=data["version"])


def _left(state: Election, ticket: str) -> Election:
    """Return the state with this ticket neither in the queue nor offered to."""
    if state.offer is not None and state.offer.candidacy.ticket == ticket:
        return replace(state, offer=None)
    return replace(state, queue=tuple(one for one in state.queue if one.ticket != ticket))


def _remembered(state: Election, event: Event, at: Instant) -> Election:
    data = event.data
    how: How = event.kind[len("election.") :]  # type: ignore[assignment]
    one = Ended(
        data["ticket"], event.agent or AgentId(""), data.get("token", ""), how, data.get("reason", ""), at
    )  # fmt: skip
    return replace(state, ended=(*state.ended, one)[-ENDED_KEPT:])
