"""What a run has asked of the world and not been answered yet, and what it wants done after a commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from concerted.messages import Reply, Request, encode_request, request_type
from concerted.ports.primitive import Ask
from concerted.run import Fact
from concerted.values import AgentId, Instant, Objective, RunId, TaskId, digest

__all__ = [
    "Call", "Close", "Effect", "Inform", "Parcel", "Send", "Start", "StartChild", "StartMeeting", "StartReading",
    "StartWork", "StopChild", "Volleys",
]  # fmt: skip


class Parcel:
    """A request with its wire form, encoded once however many agents it goes to."""

    __slots__ = ("digest", "payload", "raw", "request", "type")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.type = request_type(request)
        self.payload = encode_request(request)
        self.raw = msgspec.Raw(self.payload)  # one object for all: links decode it once
        self.digest = digest(self.type.encode() + b"\0" + self.payload)


@dataclass(slots=True)
class Call:
    """One open command.  number: counted from 1 in each run; done: takes the one reply."""

    number: int
    agent: AgentId
    parcel: Parcel
    done: Callable[[Reply], None]
    reply_by: Instant | None = None
    task: TaskId | None = None
    epoch: int = 0
    lease_s: float | None = None
    since: Instant = 0.0


@dataclass(slots=True, frozen=True)
class Send:
    """Deliver a command, at least once, under its key."""

    call: Call


@dataclass(slots=True, frozen=True)
class Inform:
    """Deliver a notice with the next batch; nothing comes back."""

    agents: Sequence[AgentId]
    parcel: Parcel


@dataclass(slots=True, frozen=True)
class Close:
    """Stop delivering a command: nobody waits for its answer any more."""

    call: Call
    why: Literal["timeout", "cancelled", "expired", "lost", "over"]


@dataclass(slots=True, frozen=True)
class StartChild:
    """Start a child run; its creation was written with the parent's rows."""

    number: int
    run: RunId
    strategy: str
    objective: Objective
    agents: Sequence[AgentId] | None
    options: Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class StopChild:
    """Call a child run off: its parent no longer waits for it."""

    run: RunId
    reason: str


@dataclass(slots=True, frozen=True)
class StartWork:
    """Run a local effect (`inline`) or a computation (on a worker thread) and record what it gives."""

    number: int
    name: str
    fn: Callable[[], Any]
    inline: bool


@dataclass(slots=True, frozen=True)
class StartMeeting:
    """Give these commands to primitives, one after the other, and record the last one's answer.

    waits: until that is settled.
    """

    number: int
    name: str
    asks: tuple[Ask, ...]
    waits: bool = True


@dataclass(slots=True, frozen=True)
class StartReading:
    """Fold the newest facts of one kind, of other runs, and record what that gives."""

    number: int
    name: str
    kind: str
    fold: Callable[[Sequence[Fact]], Any]
    limit: int


Start = StartWork | StartMeeting | StartReading
Effect = Send | Inform | Close | StartChild | StopChild | Start


class Volleys:
    """The commands of one step, those in a row that carry the same request put together: a row of the log each."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Parcel, int, list[AgentId], Instant | None]] = []

    def add(self, call: Call) -> None:
        """Take a command; its number follows the last one's."""
        if self._waiting:
            parcel, first, agents, _ = self._waiting[-1]
            if parcel is call.parcel and first + len(agents) == call.number:
                agents.append(call.agent)
                return
        self._waiting.append((call.parcel, call.number, [call.agent], call.reply_by))

    def take(self) -> list[tuple[int, dict[str, Any]]]:
        """Hand over (first number, what the row holds) of each, and begin anew."""
        waiting, self._waiting = self._waiting, []
        return [
            (first, {"type": parcel.type, "agents": agents, "digest": parcel.digest, "reply_by": reply_by})
            for parcel, first, agents, reply_by in waiting
        ]
