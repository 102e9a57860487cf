"""What leases and permits have in common: tokens, times to live, and what is asked of both.

A **fencing token** is the number of a grant as TOKEN_DIGITS decimal digits: later grants have greater tokens, also by
string comparison, and none is given twice.  Whatever must not be touched by two at once refuses a token that is
smaller than the greatest it has seen.

A holding lives for `ttl_s` after its last renewal.  **Renewals are no events**: the store has them in a table.  So a
machine knows only the `expires_at` of the grant, and ends nothing by it; it is ended by `Expire`, which brings along
until when the store says that each is held.  Between two of those the machine keeps one instant, `due_at`: before it
nobody's time is over, as far as was known when it was set.  That makes `wake_at` cost nothing, however much is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from concerted.board.queue import RANKS
from concerted.errors import Invalid
from concerted.machine import Event, Priority, Send
from concerted.values import AgentId, Instant, is_name

__all__ = [
    "CHECKS_UNWRITTEN",
    "CONFIRM_MAX_S",
    "ENDED_KEPT",
    "HELD_MAX",
    "PURPOSE_LETTERS",
    "REASON_LETTERS",
    "SHOWN",
    "TOKEN_DIGITS",
    "TTL_MAX_S",
    "TTL_MIN_S",
    "WAITED_FOR",
    "WAKE_AGAIN_S",
    "Confirm",
    "Course",
    "Expire",
    "Renew",
    "Withdraw",
    "check_purpose",
    "check_ticket",
    "check_times",
    "due",
    "slot",
    "sooner",
    "token",
]

TOKEN_DIGITS = 16
TTL_MIN_S = 0.1
TTL_MAX_S = 7 * 86_400.0
CONFIRM_MAX_S = 3_600.0
PURPOSE_LETTERS = 200
REASON_LETTERS = 500
HELD_MAX = 100_000  # holdings of one machine at once
ENDED_KEPT = 1_000  # ended holdings, and dropped tickets, that are remembered so that a repeat is understood
SHOWN = 16  # how many of those in the way an answer names
WAITED_FOR = 1_000  # how many of them the graph of waits gets to know
CHECKS_UNWRITTEN = 100  # up to so many holdings are looked at anew rather than write down that nothing was due
WAKE_AGAIN_S = 1.0  # what a `Wake` asks for when only an `Expire` can tell what is due


@dataclass(frozen=True, slots=True)
class Expire:
    """A `Wake` that knows the renewals.  held: token -> until when, as the store says; none: it was never renewed."""

    held: Mapping[str, Instant]


@dataclass(frozen=True, slots=True)
class Renew:
    """Hold it for `ttl_s` from now on.  No event comes of it: the engine renews in the store if this is granted."""

    holder: AgentId
    token: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """Say that whoever waited under this ticket is still there and has its grant."""

    ticket: str
    holder: AgentId


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Leave the queue, or give back what was granted and not yet confirmed."""

    ticket: str
    holder: AgentId


S = TypeVar("S")


class Course(Generic[S]):
    """The course of one decision: events that are each decided on the state that those before them make."""

    __slots__ = ("_evolve", "_evolved", "_now", "_state", "events", "sends")

    def __init__(self, evolve: Callable[[S | None, Event, Instant], S], state: S, now: Instant) -> None:
        self._evolve = evolve
        self._state = state
        self._now = now
        self._evolved = 0
        self.events: list[Event] = []
        self.sends: list[Send] = []

    @property
    def state(self) -> S:
        """The state after the events so far."""
        while self._evolved < len(self.events):
            self._state = self._evolve(self._state, self.events[self._evolved], self._now)
            self._evolved += 1
        return self._state

    @property
    def seen(self) -> S:
        """The state when somebody last looked at it."""
        return self._state

    @property
    def unseen(self) -> list[Event]:
        """The events since then."""
        return self.events[self._evolved :]


def token(number: int) -> str:
    """Return the fencing token of a grant's number."""
    return f"{number:0{TOKEN_DIGITS}d}"


def slot(token: str) -> str:
    """Return where an ended holding is remembered: until the ENDED_KEPT-th grant after it has ended too."""
    return token[-3:]


def sooner(one: Instant | None, other: Instant | None) -> Instant | None:
    """Return the earlier of two instants that may not be there."""
    if one is None or (other is not None and other < one):
        return other
    return one


def check_ticket(ticket: str, holder: AgentId, priority: Priority) -> None:
    """Refuse what cannot name a ticket or a holder, or is no priority."""
    for what, text in (("a ticket", ticket), ("a holder", holder)):
        if not (text.isprintable() and is_name(text)):
            raise Invalid(f"{text[:100]!r} cannot name {what}: 1..200 printable bytes, no outer spaces")
    if priority not in RANKS:
        raise Invalid(f"ticket {ticket}: there is no priority {priority!r}; there are {', '.join(RANKS)}")


def check_times(ticket: str, ttl_s: float, confirm_s: float | None) -> None:
    """Refuse lengths of time that are out of bounds."""
    if not TTL_MIN_S <= ttl_s <= TTL_MAX_S:
        raise Invalid(f"ticket {ticket}: ttl_s is {ttl_s}; it must be {TTL_MIN_S} to {TTL_MAX_S:.0f} seconds")
    if confirm_s is not None and not 0 < confirm_s <= CONFIRM_MAX_S:
        raise Invalid(
            f"ticket {ticket}: confirm_s is {confirm_s}; it must be above 0, at most {CONFIRM_MAX_S:.0f} seconds"
        )


def check_purpose(ticket: str, purpose: str) -> None:
    """Refuse a purpose that is too long to be shown."""
    if len(purpose) > PURPOSE_LETTERS:
        raise Invalid(f"ticket {ticket}: its purpose has {len(purpose)} characters, at most {PURPOSE_LETTERS}")


def due(
    logged: Iterable[tuple[str, Instant]], held: Mapping[str, Instant], now: Instant
) -> tuple[list[tuple[Instant, str]], Instant | None]:
    """Return whose time is over, as (when, token), first ends first; and when the next one's will be.

    logged: token -> expires_at as the log knows it; the later one of it and of `held` counts.
    """
    over: list[tuple[Instant, str]] = []
    rest: Instant | None = None
    for key, expires_at in logged:
        until = max(expires_at, held.get(key, expires_at))
        if until <= now:
            over.append((until, key))
        elif rest is None or until < rest:
            rest = until
    return sorted(over), rest
