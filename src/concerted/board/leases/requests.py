"""What may be asked of the space of leases, and what of it is malformed."""

from __future__ import annotations

from dataclasses import dataclass

from concerted.board.holding import (
    HELD_MAX,
    REASON_LETTERS,
    Confirm,
    Expire,
    Renew,
    Withdraw,
    check_purpose,
    check_ticket,
    check_times,
)
from concerted.board.leases.space import Ask, Mode
from concerted.board.names import normalise
from concerted.errors import Invalid
from concerted.machine import Found, Look, Lost, Priority, Wake
from concerted.values import AgentId, Instant

__all__ = [
    "NAMES_MAX",
    "PAGE_MAX",
    "RESERVE_MAX",
    "Acquire",
    "AskRelease",
    "Check",
    "Confirm",
    "Expire",
    "Find",
    "Release",
    "Renew",
    "Request",
    "Reserve",
    "Revoke",
    "Withdraw",
    "ask_of",
    "check_reason",
    "check_reserve",
]

NAMES_MAX = 64  # names of one lease
PAGE_MAX = 1_000  # leases, and tickets that wait, in one page
RESERVE_MAX = 10 * HELD_MAX  # tokens set aside at once


@dataclass(frozen=True, slots=True)
class Acquire:
    """Hold all of these names, or none.

    ticket: the caller's key for this wish; the same ticket again is the same wish, also after the caller's restart.
    names: plain, prefixes, globs (see `names`); they are brought into order.  wait: join the queue if they are not
    free; otherwise it is refused at once.  confirm_s: a grant to who has waited is to be confirmed within so long;
    None: it need not.  deadline_at: wait no longer than until then.  durable: it is written down, and survives.
    """

    ticket: str
    holder: AgentId
    names: tuple[str, ...]
    mode: Mode = "exclusive"
    ttl_s: float = 60.0
    purpose: str = ""
    priority: Priority = "medium"
    wait: bool = True
    confirm_s: float | None = None
    durable: bool = True
    deadline_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Hold it no longer."""

    holder: AgentId
    token: str


@dataclass(frozen=True, slots=True)
class AskRelease:
    """Ask whoever holds this name, or the holder of this token, to release it.  Each asks once for a lease."""

    by: AgentId
    name: str | None = None
    token: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take a lease away."""

    by: AgentId
    token: str
    reason: str
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """Ask whether this token is the one under which this name is held now."""

    name: str
    token: str


@dataclass(frozen=True, slots=True)
class Reserve:
    """Set `count` tokens aside for leases that are not written down.

    grace_s: how long after a restart nothing of that kind is granted, since nobody knows what was held.
    by: for whom; each has its newest block.
    """

    count: int
    grace_s: float
    by: str = ""


@dataclass(frozen=True, slots=True)
class Find:
    """Show a page of what is held, and of who waits, as `Look` does.

    name: only what overlaps with it.  holder: only what this agent holds or waits for.  after: the last token,
    after_position: the last position in the queue, of the page before; None: no more of that kind.
    """

    name: str | None = None
    holder: AgentId | None = None
    after: str | None = ""
    after_position: int | None = 0
    limit: int = 100


Request = (
    Acquire | Confirm | Renew | Release | AskRelease | Withdraw | Revoke | Check | Reserve | Find
    | Expire | Wake | Look | Lost | Found
)  # fmt: skip


def ask_of(request: Acquire) -> Ask:
    """Return what a ticket asks for, its names normal, in order and each once.

    Raises:
        Invalid: something in it is malformed or out of bounds.
    """
    check_ticket(request.ticket, request.holder, request.priority)
    check_times(request.ticket, request.ttl_s, request.confirm_s)
    check_purpose(request.ticket, request.purpose)
    if request.mode not in ("exclusive", "shared"):
        raise Invalid(f"ticket {request.ticket}: there is no mode {request.mode!r}; there are exclusive and shared")
    if not 1 <= len(request.names) <= NAMES_MAX:
        raise Invalid(f"ticket {request.ticket} names {len(request.names)} things; it must name 1 to {NAMES_MAX}")
    return Ask(
        request.ticket,
        request.holder,
        tuple(sorted({normalise(name) for name in request.names})),
        request.mode,
        request.ttl_s,
        request.purpose,
        request.priority,
        request.durable,
    )


def check_reserve(request: Reserve) -> None:
    """Refuse a block of tokens that is empty or too large."""
    if not 1 <= request.count <= RESERVE_MAX:
        raise Invalid(f"{request.count} tokens cannot be reserved at once; 1 to {RESERVE_MAX:,} can")
    if not 0 <= request.grace_s < float("inf"):
        raise Invalid(f"grace_s is {request.grace_s}; it must be 0 or more seconds")


def check_reason(reason: str) -> None:
    """Refuse a reason that is too long to be shown."""
    if len(reason) > REASON_LETTERS:
        raise Invalid(f"the reason has {len(reason)} characters, at most {REASON_LETTERS}")
