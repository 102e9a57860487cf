"""The space of all leases of a store: who holds which names, who waits for them, and what ended lately.

Names overlap and are taken several at once, so all leases are one state.  What is not asked often may cost: plain
names are looked up in an index, O(log n); prefixes and globs are compared with everything that is held or waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from concerted.board.holding import ENDED_KEPT, slot, sooner
from concerted.board.names import is_plain
from concerted.board.queue import EMPTY as NOBODY
from concerted.board.queue import Place, Queue, turn
from concerted.machine import Event, Priority
from concerted.persistent import Map
from concerted.values import AgentId, Instant

__all__ = ["EMPTY", "Ask", "Block", "Ended", "How", "Lease", "Leases", "Line", "Mode", "Waiting", "evolve", "find"]

Mode = Literal["exclusive", "shared"]
How = Literal["released", "revoked", "withdrawn", "abandoned", "expired", "lapsed", "dropped"]

BLOCKS_KEPT = 100  # who reserved tokens last, and which


class Ask(msgspec.Struct, frozen=True):
    """What a ticket asks for; a ticket never stands for anything else.  names: normal, sorted, each once."""

    ticket: str
    holder: AgentId
    names: tuple[str, ...]
    mode: Mode
    ttl_s: float
    purpose: str = ""
    priority: Priority = "medium"
    durable: bool = True


class Lease(msgspec.Struct, frozen=True):
    """What is held.  expires_at: as logged; the store may know of renewals.  waited_s: how long it was waited for.

    confirm_at: by then its holder, who waited, must confirm it; None: it need not, or has.
    asked: who asked for its release.
    """

    ask: Ask
    token: str
    since: Instant
    expires_at: Instant
    waited_s: float = 0.0
    confirm_at: Instant | None = None
    asked: tuple[AgentId, ...] = ()


class Waiting(msgspec.Struct, frozen=True):
    """What is waited for, since when, and until when at most."""

    ask: Ask
    since: Instant
    number: int
    confirm_s: float | None = None
    deadline_at: Instant | None = None

    @property
    def place(self) -> Place:
        """Its place among all who wait."""
        return (turn(self.since, self.ask.priority), self.number, self.ask.ticket)


class Ended(msgspec.Struct, frozen=True):
    """How a ticket ended.  token: "" if it was never granted."""

    ask: Ask
    token: str
    how: How
    reason: str
    at: Instant


class Block(msgspec.Struct, frozen=True):
    """Tokens that were reserved: from `start` up to and without `end`."""

    start: int
    end: int
    grace_s: float


class Line(msgspec.Struct, frozen=True):
    """All who wait.  queues: plain name -> who waits for it.  wide: who waits for a prefix or a glob.

    number: of the newest ticket in it.  asked_at: when that was; no later ticket counts as asked before.
    """

    waiting: Map[str, Waiting] = Map()
    queue: Queue = NOBODY
    queues: Map[str, Queue] = Map()
    wide: Queue = NOBODY
    number: int = 0
    asked_at: Instant = 0.0


class Leases(msgspec.Struct, frozen=True):
    """The state of the machine; a struct and no dataclass, because it is made anew at each event.

    next: the number of the next grant.  end: grants stop before this number; 0: never.  held: token -> lease.
    exclusive: plain name -> token.  shared: plain name -> tokens.  patterns: the tokens whose names are not all plain.
    tickets: ticket -> token, or where in `ended` a ticket stands that got none.  dropped: how many got none.
    timers: deadlines of those who wait, and by when grants must be confirmed.  due_at: see `holding`.
    moved: something has happened since `due_at` was set.  gone: agent -> why.  blocks: by whom -> its newest.
    """

    next: int = 1
    end: int = 0
    held: Map[str, Lease] = Map()
    exclusive: Map[str, str] = Map()
    shared: Map[str, Map[str, bool]] = Map()
    patterns: Map[str, bool] = Map()
    tickets: Map[str, str] = Map()
    ended: Map[str, Ended] = Map()
    dropped: int = 0
    line: Line = Line()
    timers: Queue = NOBODY
    due_at: Instant | None = None
    moved: bool = False
    gone: Map[str, str] = Map()
    blocks: Map[str, Block] = Map()


EMPTY = Leases()

_with = msgspec.structs.replace
_NONE: Map[str, bool] = Map()


def find(space: Leases, ticket: str) -> Lease | Waiting | Ended | None:
    """Return what has become of a ticket; None: it was never asked for, or long ago."""
    waiting = space.line.waiting.get(ticket)
    if waiting is not None:
        return waiting
    token = space.tickets.get(ticket)
    if token is None:
        return None
    return space.held.get(token) or space.ended.get(_where(token))


def evolve(state: Leases | None, event: Event, at: Instant) -> Leases:
    """Return the space after an event that happened at `at`; other kinds change nothing."""
    space = EMPTY if state is None else state
    data = event.data
    match event.kind:
        case "lease.granted":
            return _granted(space, event, at)
        case "lease.released" | "lease.expired" | "lease.lapsed" | "lease.revoked":
            how: How = event.kind[len("lease.") :]  # type: ignore[assignment]
            return _ended(space, data["token"], how, _reason(data), at)
        case "lease.queued":
            return _queued(space, event)
        case "lease.abandoned" | "lease.withdrawn" | "lease.dropped":
            how = event.kind[len("lease.") :]  # type: ignore[assignment]
            return _dropped(space, data["ticket"], how, data.get("reason", ""), at)
        case "lease.confirmed":
            return _confirmed(space, data["token"], data["expires_at"])
        case "lease.release_asked":
            return _asked(space, data["token"], data["by"])
        case "lease.holder_lost":
            return _with(space, gone=_still_holding(space).set(str(event.agent), data["reason"]), moved=True)
        case "lease.holder_found":
            return _with(space, gone=space.gone.without(str(event.agent)), moved=True)
        case "leases.checked":
            return _with(space, due_at=data["next_at"], moved=False)
        case "leases.reserved":
            return _reserved(space, data, event.ref or "")
        case _:
            return space


def _granted(space: Leases, event: Event, at: Instant) -> Leases:
    data = event.data
    ask, token = _ask(event), data["token"]
    lease = Lease(ask, token, at, data["expires_at"], data.get("waited_s", 0.0), data.get("confirm_at"))
    exclusive, shared, patterns = space.exclusive, space.shared, space.patterns
    for name in ask.names:
        if not is_plain(name):
            patterns = patterns.set(token, True)
        elif ask.mode == "exclusive":
            exclusive = exclusive.set(name, token)
        else:
            shared = shared.set(name, shared.get(name, _NONE).set(token, True))
    line, timers = space.line, space.timers
    waiting = line.waiting.get(ask.ticket)
    if waiting is not None:
        line, timers = _left(line, waiting), _untimed(timers, waiting)
    if lease.confirm_at is not None:
        timers = timers.put(_confirmation(lease))
    return _with(
        space,
        next=int(token) + 1,
        held=space.held.set(token, lease),
        exclusive=exclusive,
        shared=shared,
        patterns=patterns,
        tickets=space.tickets.set(ask.ticket, token),
        line=line,
        timers=timers,
        due_at=sooner(space.due_at, lease.expires_at),
        moved=True,
    )


def _ended(space: Leases, token: str, how: How, reason: str, at: Instant) -> Leases:
    lease = space.held[token]
    exclusive, shared = space.exclusive, space.shared
    for name in lease.ask.names:
        if not is_plain(name):
            continue
        if lease.ask.mode == "exclusive":
            exclusive = exclusive.without(name)
        else:
            others = shared[name].without(token)
            shared = shared.set(name, others) if others else shared.without(name)
    held = space.held.without(token)
    return _with(
        _remembered(space, token, Ended(lease.ask, token, how, reason, at)),
        held=held,
        exclusive=exclusive,
        shared=shared,
        patterns=space.patterns.without(token) if space.patterns else space.patterns,
        timers=space.timers if lease.confirm_at is None else space.timers.without(_confirmation(lease)),
        due_at=space.due_at if held else None,
        moved=True,
    )


def _queued(space: Leases, event: Event) -> Leases:
    data, line = event.data, space.line
    waiting = Waiting(_ask(event), data["since"], data["number"], data.get("confirm_s"), data.get("give_up_at"))
    place, ticket = waiting.place, waiting.ask.ticket
    queues, wide = line.queues, line.wide
    for name in waiting.ask.names:
        if is_plain(name):
            queues = queues.set(name, queues.get(name, NOBODY).put(place))
    if not all(map(is_plain, waiting.ask.names)):
        wide = wide.put(place)
    timers = space.timers
    if waiting.deadline_at is not None:
        timers = timers.put((waiting.deadline_at, waiting.number, ticket))
    line = Line(line.waiting.set(ticket, waiting), line.queue.put(place), queues, wide, waiting.number, waiting.since)
    return _with(space, line=line, timers=timers, moved=True)


def _dropped(space: Leases, ticket: str, how: How, reason: str, at: Instant) -> Leases:
    waiting = space.line.waiting[ticket]
    dropped = space.dropped + 1
    where = f"d{dropped % ENDED_KEPT:03d}"
    space = _remembered(space, where, Ended(waiting.ask, "", how, reason, at))
    return _with(
        space,
        tickets=space.tickets.set(ticket, where),
        dropped=dropped,
        line=_left(space.line, waiting),
        timers=_untimed(space.timers, waiting),
        moved=True,
    )


def _confirmed(space: Leases, token: str, expires_at: Instant) -> Leases:
    lease = space.held[token]
    held = space.held.set(token, _with(lease, confirm_at=None, expires_at=expires_at))
    return _with(space, held=held, timers=space.timers.without(_confirmation(lease)), moved=True)


def _asked(space: Leases, token: str, by: str) -> Leases:
    lease = space.held[token]
    return _with(space, held=space.held.set(token, _with(lease, asked=(*lease.asked, AgentId(by)))), moved=True)


def _reserved(space: Leases, data: dict[str, int], by: str) -> Leases:
    block = Block(data["from"], data["to"], data["grace_s"])
    blocks = space.blocks.set(by, block)
    if len(blocks) > BLOCKS_KEPT:
        blocks = blocks.without(min(blocks, key=lambda whose: blocks[whose].end))
    return _with(space, next=block.end, blocks=blocks, moved=True)


def _remembered(space: Leases, where: str, ended: Ended) -> Leases:
    """Note how a ticket ended, in the place of one that ended long ago."""
    place, tickets = _where(where), space.tickets
    old = space.ended.get(place)
    if old is not None and tickets.get(old.ask.ticket) == (old.token or place):
        tickets = tickets.without(old.ask.ticket)
    return _with(space, ended=space.ended.set(place, ended), tickets=tickets)


def _where(pointer: str) -> str:
    """Return where an end is remembered to which a ticket points: by token, or by the number of those without."""
    return pointer if pointer.startswith("d") else slot(pointer)


def _left(line: Line, waiting: Waiting) -> Line:
    place, queues, wide = waiting.place, line.queues, line.wide
    for name in waiting.ask.names:
        if is_plain(name):
            rest = queues[name].without(place)
            queues = queues.set(name, rest) if rest.chunks else queues.without(name)
        else:
            wide = wide.without(place)
    rest = line.queue.without(place)
    return Line(line.waiting.without(waiting.ask.ticket), rest, queues, wide, line.number, line.asked_at)


def _untimed(timers: Queue, waiting: Waiting) -> Queue:
    if waiting.deadline_at is None:
        return timers
    return timers.without((waiting.deadline_at, waiting.number, waiting.ask.ticket))


def _confirmation(lease: Lease) -> Place:
    return (lease.confirm_at or 0.0, int(lease.token), lease.ask.ticket)


def _reason(data: Mapping[str, str]) -> str:
    reason = data.get("reason", "")
    by = data.get("by")
    return reason if by is None else f"{by} took it away" + (f": {reason}" if reason else "")


def _still_holding(space: Leases) -> Map[str, str]:
    """Return those of the gone who still hold something: only they are worth remembering."""
    holding = {lease.ask.holder for _, lease in space.held.unordered()}
    return Map((agent, why) for agent, why in space.gone.items() if agent in holding)


def _ask(event: Event) -> Ask:
    data = event.data
    return Ask(
        data["ticket"],
        AgentId(event.agent or ""),
        tuple(data["names"]),
        data["mode"],
        data["ttl_s"],
        data.get("purpose", ""),
        data.get("priority", "medium"),
        data.get("durable", True),
    )
