"""The one shape of everything that keeps state: decide what happens, then evolve by it.

A machine is a frozen dataclass and two pure functions:

    decide(state, request, now) -> Step(events, sends, wake_at)
    evolve(state, event) -> state

`decide` says what would happen and changes nothing; the engine writes the events to the log and only
then evolves the state by them.  Recovery evolves by the written events alone.  A machine reads no
clock (`now` comes in), rolls no dice and sends nothing (the engine delivers `sends` after the commit).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from concerted.values import AgentId, Instant

__all__ = ["Event", "Send", "Step"]


@dataclass(frozen=True, slots=True)
class Event:
    """A fact for the log: its kind (`task.claimed`, past tense), whom and what it is about, the details."""

    kind: str
    agent: AgentId | None = None
    ref: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """A message the engine must deliver at least once, after the events are durable."""

    to: AgentId
    request: Any


@dataclass(frozen=True, slots=True)
class Step:
    """What a decision comes to.  wake_at: call `decide` again at this instant even if nothing happens."""

    events: tuple[Event, ...] = ()
    sends: tuple[Send, ...] = ()
    wake_at: Instant | None = None
