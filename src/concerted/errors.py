"""Every error a caller can meet, as one tree.

    ConcertedError
    |- NotFound        there is no such run, agent, task or stream
    |- NotAllowed      the caller may not do this (or a strategy tried to do I/O)
    |- WrongPhase      the thing exists, but is past (or not yet at) the phase this needs
    |- Invalid         the input is malformed; nothing was done
    |- Conflict        the same id already stands for something else
    |- TimedOut        the deadline passed first (also a built-in TimeoutError)
    |- Unreachable     the owner, the agent or the database cannot be reached now
    |- Overloaded      a bound is reached; try again later
    |- LeaseLost       the lease or epoch under which this was done is over
    |- Deadlock        this wait would close a cycle of mutual waits
    |- Diverged        replayed code does something else than the log says it did
    `- StoreDamaged    the store is not one of ours, is newer than this code, or is damaged

Each class has a stable `code`, the same word on every door (CLI, HTTP, MCP).  Callers switch on
the class or on `code`; nobody parses the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "BY_CODE",
    "ConcertedError",
    "Conflict",
    "Deadlock",
    "Diverged",
    "Invalid",
    "LeaseLost",
    "NotAllowed",
    "NotFound",
    "Overloaded",
    "StoreDamaged",
    "TimedOut",
    "Unreachable",
    "WrongPhase",
    "from_wire",
]


class ConcertedError(Exception):
    """The root of the tree: catch it to catch everything Concerted raises on purpose."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts: dict[str, Any] = facts

    def to_wire(self) -> dict[str, Any]:
        """Return `{code, message, facts}`, the same on every door."""
        return {"code": self.code, "message": self.message, "facts": self.facts}


class NotFound(ConcertedError):
    """There is no such run, agent, task or stream."""

    code = "not_found"


class NotAllowed(ConcertedError):
    """The caller may not do this."""

    code = "not_allowed"


class WrongPhase(ConcertedError):
    """The thing exists, but not in the phase this needs."""

    code = "wrong_phase"


class Invalid(ConcertedError):
    """The input is malformed; nothing was done.  `facts["problems"]` lists every problem found."""

    code = "invalid"


class Conflict(ConcertedError):
    """The same id already stands for something else."""

    code = "conflict"


class TimedOut(ConcertedError, TimeoutError):
    """The deadline passed first."""

    code = "timed_out"


class Unreachable(ConcertedError):
    """The owner, the agent or the database cannot be reached now; nothing was lost by asking."""

    code = "unreachable"


class Overloaded(ConcertedError):
    """A bound is reached; `facts` names it.  Try again later or raise the bound in the configuration."""

    code = "overloaded"


class LeaseLost(ConcertedError):
    """The lease or epoch under which this was done is over; somebody else has taken over."""

    code = "lease_lost"


class Deadlock(ConcertedError):
    """This wait would close a cycle of mutual waits; `facts["cycle"]` names it."""

    code = "deadlock"


class Diverged(ConcertedError):
    """Replayed code does something else than the log says it did; `facts` has both sides."""

    code = "diverged"


class StoreDamaged(ConcertedError):
    """The file or database is not one of ours, is newer than this code, or is damaged."""

    code = "store_damaged"


BY_CODE: Mapping[str, type[ConcertedError]] = {
    kind.code: kind
    for kind in (
        ConcertedError, NotFound, NotAllowed, WrongPhase, Invalid, Conflict, TimedOut,
        Unreachable, Overloaded, LeaseLost, Deadlock, Diverged, StoreDamaged,
    )
}  # fmt: skip


def from_wire(wire: Mapping[str, Any]) -> ConcertedError:
    """Turn `{code, message, facts}` back into the error it was; an unknown code stays a ConcertedError."""
    kind = BY_CODE.get(str(wire.get("code")), ConcertedError)
    return kind(str(wire.get("message", "")), **dict(wire.get("facts") or {}))
