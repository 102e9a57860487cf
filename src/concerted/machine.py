"""The one shape of everything that keeps state: decide what happens, then evolve by it.

A machine is a frozen dataclass and a module of pure functions:

    decide(state, request, now) -> Step(events, sends, wake_at)
    evolve(state, event, at) -> state

`decide` says what would happen and changes nothing; the engine writes the events to the log and only
then answers by the state that they make.  Recovery evolves by the written events alone.  A machine
reads no clock (`now` comes in), rolls no dice and sends nothing (the engine delivers `sends`).

A machine that lives in a stream of its own and is asked by commands has four functions more:

    answer(state, request, now) -> a `Result`: what the caller is told; while it is `pending` the caller waits
    topic(request) -> under which name its caller waits
    wakes(event) -> which of those names an event concerns
    waits(state, request, now) -> for what, since when, for whom: a `Wait`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from concerted.values import AgentId, Instant

__all__ = [
    "EVERYBODY",
    "UNWRITABLE",
    "Copied",
    "Event",
    "Found",
    "Look",
    "Lost",
    "Machine",
    "Priority",
    "Result",
    "Send",
    "Step",
    "Wait",
    "Wake",
]

Priority = Literal["low", "medium", "high", "critical"]

UNWRITABLE = (TypeError, UnicodeError, RecursionError, NotImplementedError)  # what encoding a strange event raises
EVERYBODY = "*"  # the topic under which an event concerns all who wait


@dataclass(frozen=True, slots=True)
class Event:
    """A fact for the log: its kind (`task.claimed`, past tense), whom and what it is about, the details."""

    kind: str
    agent: AgentId | None = None
    ref: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """A message for the inboxes of agents; it is stored in the transaction of the events that cause it.

    type: its name in the specification, as in SYNC_POINT_NOTIFICATION.  content: what has a JSON form.
    """

    to: tuple[AgentId, ...]
    type: str
    content: dict[str, Any]
    priority: Priority = "medium"
    requires_acknowledgment: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What a decision comes to.

    wake_at: give the machine a `Wake` at this instant even if nothing happens; it replaces the wake_at of
    every step before it.
    """

    events: tuple[Event, ...] = ()
    sends: tuple[Send, ...] = ()
    wake_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Wake:
    """The request by which time passes: what is due by `now` happens.  It never raises and may come at any time."""


@dataclass(frozen=True, slots=True)
class Look:
    """The request that changes nothing and is answered at once with what there is to see."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The request by which a machine hears that an agent is gone.  It never raises and may come twice."""

    agent: AgentId
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """The request by which a machine hears that an agent that was gone is back.  It never raises."""

    agent: AgentId


@dataclass(frozen=True, slots=True)
class Copied:
    """The request by which a thing whose log is kept elsewhere follows what has happened there.

    first: the number of the first of these events, from 1; what is known already is passed over.  events: each with
    its instant there, and the messages that it has caused.
    """

    first: int
    events: tuple[tuple[Event, Instant, tuple[Send, ...]], ...]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The root of what callers are told.

    pending: it is not settled yet; the same request again goes on waiting.  cursor: the newest sequence
    number that this answer reflects, from which a watch goes on.
    """

    pending: bool = False
    cursor: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """What somebody waits for.

    unblocked_by: the agents who can end the wait, of whom any `needed` suffice; none named: whoever comes.
    """

    waiting_for: str
    since: Instant
    unblocked_by: tuple[AgentId, ...] = ()
    needed: int = 1
    deadline: Instant | None = None


S = TypeVar("S")


class Machine(Protocol[S]):
    """The functions of one machine; its module provides them.

    Requests are frozen dataclasses or structs.  `decide` gets None for what does not exist yet; a request
    that has been granted before and comes again changes nothing and is answered as the first time.
    """

    State: type[S]
    KINDS: Mapping[str, str]  # event kind -> what it means and what its data holds

    def decide(self, state: S | None, request: Any, now: Instant) -> Step:
        """Say what the request comes to.

        Raises:
            ConcertedError: it is refused, and changes nothing.
        """

    def evolve(self, state: S | None, event: Event, at: Instant) -> S:
        """Return the state after an event that happened at `at`."""

    def answer(self, state: S, request: Any, now: Instant) -> Result:
        """Return what the caller is told; a `pending` result lets it wait."""

    def topic(self, request: Any) -> str:
        """Name what the caller of this request waits for within the thing; "" if there is one such name only."""

    def wakes(self, event: Event) -> Iterable[str]:
        """Name the topics whose callers must be looked at after this event; EVERYBODY for all."""

    def waits(self, state: S, request: Any, now: Instant) -> Wait | None:
        """Say for what the caller of this request waits; None if it need not wait."""
