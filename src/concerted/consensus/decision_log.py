"""A log of decisions: values in one order for everybody, numbered 1, 2, 3 ..., and none that was answered is forgotten.

    created --append--> 1 --append--> 2 ...     nothing is changed, taken back or left out; full: nothing more is taken

It promises an order and nothing else: that an entry is in it says nothing about whether it is valid, or what anybody
thinks of it.  A request id makes an append count once, for as long as there is the log: given again by the same agent
it is answered with the position that it has.  Readers go on after a position and miss nothing.

It is not the event log of the store, in which this one is written down like everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from concerted.consensus.keeping import ONE, Algorithm, Rounds, stored_by
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, Overloaded
from concerted.machine import Event, Found, Look, Lost, Result, Step, Wait, Wake
from concerted.persistent import Map
from concerted.values import AgentId, Instant, as_kept, encode, is_name

__all__ = [
    "ENTRIES", "KINDS", "LOG_BYTES", "PAGE", "PAGE_BYTES", "VALUE_BYTES", "WRITERS", "Append", "Create", "DecisionLog",
    "DecisionLogResult", "LogEntry", "Read", "Request", "State", "Terms", "answer", "decide", "evolve", "topic",
    "waits", "wakes",
]  # fmt: skip

VALUE_BYTES = 64 << 10  # the longest value, as JSON
ENTRIES = 100_000  # the most one log holds
LOG_BYTES = 64 << 20  # the values of one log together, as JSON
PAGE = 1_000  # entries in one answer
PAGE_BYTES = 1 << 20  # values in one answer, but for the first
WRITERS = 1_000  # agents to whom appending may be restricted

KINDS: Mapping[str, str] = {
    "decision_log.created": "There is a log: name, status, terms (writers, algorithm), participants (the writers).",
    "decision_log.appended": "The agent's value has its position for ever: position, value, request_id, arrived.",
}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is frozen when a log is made.  writers: who may append; none named: everybody."""

    writers: tuple[AgentId, ...] = ()
    algorithm: Algorithm = "single"


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One value of the log.  by, at: who appended it, and when that was written."""

    position: int
    value: Any
    by: AgentId
    at: Instant
    request_id: str


@dataclass(frozen=True, slots=True)
class DecisionLog:
    """Where a log stands.

    entries: position -> entry.  requests: agent and request id -> position.  size_bytes: of all values.
    length: entries of its own log, of which the first is that it was made; rounds: of that log.
    """

    name: str
    terms: Terms
    created_by: AgentId
    created_at: Instant
    entries: Map[int, LogEntry] = field(default_factory=Map)
    requests: Map[str, int] = field(default_factory=Map)
    size_bytes: int = 0
    rounds: Rounds = ONE

    @property
    def algorithm(self) -> Algorithm:
        """How its log is kept."""
        return self.terms.algorithm

    @property
    def length(self) -> int:
        """Return how many entries its own log has."""
        return 1 + len(self.entries)

    @property
    def last(self) -> int:
        """Return the highest position; 0: there is none."""
        return len(self.entries)


State = DecisionLog


@dataclass(frozen=True, slots=True)
class Create:
    """Make a log; one that is there on the same terms is that one."""

    name: str
    by: AgentId
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True)
class Append:
    """Append a value; if there is no such log, make it, for everybody to append to.

    request_id: names this append; given again it is the same one.
    """

    name: str
    by: AgentId
    value: Any
    request_id: str
    algorithm: Algorithm = "single"


@dataclass(frozen=True, slots=True)
class Read:
    """Read what comes after a position, at most so many; wait for it if there is nothing."""

    after: int = 0
    limit: int = PAGE


Request: TypeAlias = Create | Append | Read | Look | Wake | Lost | Found


class DecisionLogResult(Result, frozen=True, kw_only=True):
    """What a caller is told.

    position: of what this request has appended, now or when it was first given.  last: the highest position there is.
    entries: a page, in order and without gaps; next_after: after which position the next page begins.
    stored_by: what keeps the log, which is nobody's approval; entries_committed: how many entries that took; rounds:
    through how many terms, ballots or views of a group, and 1 of a store.  term, leader: of a group of replicas; None
    where one store keeps the log.  group: the description by which it is reached without a coordinator; warnings: what
    somebody who relies on that group should know.
    """

    name: str
    position: int | None = None
    last: int
    entries: tuple[LogEntry, ...] = ()
    next_after: int
    size_bytes: int
    writers: tuple[AgentId, ...]
    created_at: Instant
    created_by: AgentId
    algorithm: Algorithm
    stored_by: tuple[str, ...]
    entries_committed: int
    rounds: int = 1
    term: int | None = None
    leader: AgentId | None = None
    group: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()


def decide(state: DecisionLog | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to; an append that comes again comes to nothing.  O(1).

    Raises:
        NotFound: there is no such log to read.
        Invalid: it cannot be called that; the value has no JSON form or is too long; a page that is none.
        Conflict: it was made on other terms, or the request id stands for another value.
        NotAllowed: appending is restricted to others.
        Overloaded: the log is full.
    """
    match request:
        case Wake() | Lost() | Found():
            return Step()
        case Create(name, by, terms):
            return _make(name, by, terms) if state is None else _same(state, terms)
        case Append():
            if state is not None:
                return _append(state, request)
            made = _make(request.name, request.by, Terms(algorithm=request.algorithm))
            first = _append(evolve(None, made.events[0], now), request)
            return Step(made.events + first.events)
        case Read(after, limit):
            if after < 0 or not 1 <= limit <= PAGE:
                raise Invalid(f"a page after {after} of {limit} entries; after is at least 0, and limit 1 to {PAGE}")
    if state is None:
        raise NotFound("there is no such log; make it, or append to it")
    return Step()


def evolve(state: DecisionLog | None, event: Event, at: Instant) -> DecisionLog:
    """Return the state after an event of this log, which happened at `at`."""
    data, agent = event.data, event.agent or AgentId("")
    if state is None:
        assert event.kind == "decision_log.created", event.kind
        terms = msgspec.convert(data["terms"], Terms)
        return DecisionLog(data["name"], terms, agent, at, rounds=Rounds.begun(data))
    if event.kind != "decision_log.appended":
        return state
    position = data["position"]
    assert position == state.last + 1, f"entry {position} of {state.name} after {state.last}"
    entry = LogEntry(position=position, value=data["value"], by=agent, at=at, request_id=data["request_id"])
    return DecisionLog(
        name=state.name,
        terms=state.terms,
        created_by=state.created_by,
        created_at=state.created_at,
        entries=state.entries.set(position, entry),
        requests=state.requests.set(_key(agent, entry.request_id), position),
        size_bytes=state.size_bytes + len(encode(entry.value)),
        rounds=state.rounds.after(data),
    )


def answer(state: DecisionLog, request: Request, now: Instant) -> DecisionLogResult:  # noqa: ARG001
    """Return what the caller is told; a `Read` is pending while there is nothing after its position.  O(page)."""
    position = state.requests.get(_key(request.by, request.request_id)) if isinstance(request, Append) else None
    page = _page(state, request) if isinstance(request, Read) else ()
    reached = request.after if isinstance(request, Read) else 0
    return DecisionLogResult(
        pending=isinstance(request, Read) and not page,
        name=state.name,
        position=position,
        last=state.last,
        entries=page,
        next_after=page[-1].position if page else reached,
        size_bytes=state.size_bytes,
        writers=state.terms.writers,
        created_at=state.created_at,
        created_by=state.created_by,
        algorithm=state.terms.algorithm,
        stored_by=stored_by(state.terms.algorithm),
        entries_committed=state.last + 1,
        rounds=state.rounds.count,
    )


def topic(request: Request) -> str:  # noqa: ARG001
    """All who wait for a log wait for it to grow."""
    return ""


def wakes(event: Event) -> Iterable[str]:
    """All who wait, when it grows."""
    return ("",) if event.kind == "decision_log.appended" else ()


def waits(state: DecisionLog, request: Request, now: Instant) -> Wait | None:  # noqa: ARG001
    """Say after which position somebody waits.  It is nobody's turn: who may append may also read."""
    if not isinstance(request, Read) or state.last > request.after:
        return None
    since = state.entries[state.last].at if state.last else state.created_at
    return Wait(f"log {state.name} to grow beyond {request.after}; its last entry is {state.last}", since)


# Making


def _make(name: str, by: AgentId, terms: Terms) -> Step:
    problems = [] if is_name(name) else [f"{name!r} cannot name a log: 1 to 200 printable bytes, no outer spaces"]
    if len(terms.writers) > WRITERS:
        problems.append(f"{len(terms.writers)} writers; at most {WRITERS}, or name none and let everybody")
    problems += [f"{writer!r} cannot name a writer" for writer in terms.writers if not is_name(writer)][:10]
    if problems:
        raise Invalid(f"log {name} cannot be made: {'; '.join(problems)}", problems=problems)
    plain = msgspec.to_builtins(terms)
    data = {"name": name, "status": "kept", "terms": plain, "participants": plain["writers"]}
    return Step((Event("decision_log.created", by, None, data),))


def _same(state: DecisionLog, terms: Terms) -> Step:
    differences = [name for name in Terms.__struct_fields__ if getattr(terms, name) != getattr(state.terms, name)]
    if differences:
        raise Conflict(
            f"{state.created_by} has made log {state.name} already, with other {', '.join(differences)}; "
            "take it as it is, or take another name",
            differences=differences,
        )
    return Step()


# Appending


def _append(state: DecisionLog, request: Append) -> Step:
    if not is_name(request.request_id):
        raise Invalid("an append needs a request id, 1..200 printable bytes, so that a repeat of it counts once")
    writers = state.terms.writers
    if writers and request.by not in writers:
        named = ", ".join(writers[:10])
        raise NotAllowed(f"{request.by} may not append to log {state.name}; {named} may", agent=request.by)
    value = as_kept(request.value, f"the value for log {state.name}", VALUE_BYTES)
    known = state.requests.get(_key(request.by, request.request_id))
    if known is not None:
        if encode(state.entries[known].value) != encode(value):
            raise Conflict(
                f"request {request.request_id} of {request.by} is entry {known} of log {state.name}, with another "
                "value; a new entry needs a new id",
                request_id=request.request_id,
                position=known,
            )
        return Step()
    if state.last >= ENTRIES or state.size_bytes + len(encode(value)) > LOG_BYTES:
        raise Overloaded(
            f"log {state.name} is full: {state.last} entries of {state.size_bytes} bytes; go on in another one, "
            "which this one's last entry may name",
            bound=ENTRIES if state.last >= ENTRIES else LOG_BYTES,
        )
    position = state.last + 1
    data = {"position": position, "value": value, "request_id": request.request_id, "arrived": position}
    return Step((Event("decision_log.appended", request.by, None, data),))


def _key(agent: AgentId, request_id: str) -> str:
    return f"{agent}\n{request_id}"  # both are printable: no two pairs share a key


# Reading


def _page(state: DecisionLog, request: Read) -> tuple[LogEntry, ...]:
    page: list[LogEntry] = []
    size = 0
    for position in range(request.after + 1, min(state.last, request.after + request.limit) + 1):
        entry = state.entries[position]
        size += len(encode(entry.value))
        if page and size > PAGE_BYTES:
            break
        page.append(entry)
    return tuple(page)
