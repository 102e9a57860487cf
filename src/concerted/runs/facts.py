"""What goes into a run and what comes out of it: its charter, its inputs, its ending, what was counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.config.settings import Coordination
from concerted.values import AgentId, Instant, Metrics, Objective, Outcome, Profile, RunId, RunStatus

__all__ = ["UNWRITABLE", "Charter", "Coordinate", "Ending", "Input", "Tally", "printable"]

Coordinate = Callable[[Any], Awaitable[Outcome]]
UNWRITABLE = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)  # raised by `values.encode`


def printable(text: str) -> str:
    """Return `text` as it can be written: half characters are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


class Charter(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: the data of `run.created`.

    agents: the profiles of those who take part, as they were then.  open: whoever joins later takes
    part too.  timeout_s: from the start of the run.  config: the settings in force then; a run keeps
    them for life, so that a replay under other settings does the same.
    """

    strategy: str
    objective: Objective
    agents: tuple[Profile, ...] = ()
    open: bool = False
    options: dict[str, Any] = {}
    parent: RunId | None = None
    root: RunId
    plan: str | None = None
    timeout_s: float | None = None
    config: Coordination = Coordination()


@dataclass(slots=True, frozen=True)
class Input:
    """One fact that cannot be computed, as it comes from the world or out of the log."""

    kind: str
    at: Instant
    agent: AgentId | None = None
    ref: str | None = None
    data: bytes = b"null"

    def value(self) -> dict[str, Any]:
        """Decode `data`."""
        value: dict[str, Any] = msgspec.json.decode(self.data)
        return value


@dataclass(slots=True, frozen=True)
class Ending:
    """How a run ended.  data: what its last row holds."""

    status: RunStatus
    data: dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What the engine counts of a run; deterministic, so that a replay counts the same."""

    messages: int = 0
    replies: int = 0
    timeouts: int = 0
    retries: int = 0
    rounds: int = 0
    waiting_s: dict[str, float] = field(default_factory=dict)

    def metrics(self, wall_s: float) -> Metrics:
        """Return what has been counted so far."""
        return Metrics(
            messages=self.messages,
            replies=self.replies,
            timeouts=self.timeouts,
            retries=self.retries,
            rounds=self.rounds,
            wall_s=round(wall_s, 6),
            waiting_s={phase: round(spent, 6) for phase, spent in sorted(self.waiting_s.items())},
        )
