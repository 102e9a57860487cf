"""One primitive as this process has it in memory: its state as written, who asks, who waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from concerted.errors import ConcertedError
from concerted.machine import EVERYBODY, Event, Machine, Result
from concerted.values import AgentId, Instant

__all__ = ["Asked", "Held", "Waiter"]


@dataclass(slots=True, eq=False)
class Asked:
    """A request on its way: `told` is done when what it came to is written."""

    request: Any
    told: asyncio.Future[None]
    error: ConcertedError | None = None

    def settle(self, error: ConcertedError | None = None) -> None:
        """Tell whoever asked."""
        error = error or self.error
        if not self.told.done():
            self.told.set_result(None) if error is None else self.told.set_exception(error)


@dataclass(slots=True, eq=False)
class Waiter:
    """A caller that waits.  actor: who it is, where that is known."""

    request: Any
    actor: AgentId | None
    since: Instant
    woken: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class Held:
    """A primitive in memory.

    state: after the first `length` rows of its stream, all of them written.  since_fold: rows since the
    newest folded state; fold_size: about how many rows that one was worth.  is_volatile: nothing of it is written.
    heard_of: the longest stream that another process has told of; what is behind it is read from the log.
    """

    stream: str
    machine: Machine[Any]
    state: Any = None
    length: int = 0
    heard_of: int = 0
    since_fold: int = 0
    fold_size: int = 0
    wake_at: Instant | None = None
    asked: list[Asked] = field(default_factory=list)
    in_flight: bool = False
    waiters: dict[str, dict[Waiter, None]] = field(default_factory=dict)
    touched_at: float = 0.0
    is_volatile: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether nobody would miss it."""
        return not (self.asked or self.in_flight or self.waiters or self.is_volatile)

    def answer(self, request: Any, now: Instant) -> Result:
        """Return what a caller is told, by the state as it is written."""
        return self.machine.answer(self.state, request, now)

    def enter(self, waiter: Waiter) -> None:
        """Let a caller wait."""
        self.waiters.setdefault(self.machine.topic(waiter.request), {})[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """A caller waits no longer."""
        topic = self.machine.topic(waiter.request)
        there = self.waiters.get(topic)
        if there is not None:
            there.pop(waiter, None)
            if not there:
                del self.waiters[topic]

    def tell(self, events: list[Event]) -> None:
        """Wake those whom the events concern; they look again for themselves."""
        if not self.waiters:
            return
        for event in events:
            for topic in self.machine.wakes(event):
                if topic == EVERYBODY:
                    self.tell_all()
                    return
                _wake(self.waiters.get(topic))

    def tell_all(self) -> None:
        """Wake everybody who waits here."""
        for there in self.waiters.values():
            _wake(there)


def _wake(waiters: dict[Waiter, None] | None) -> None:
    for waiter in waiters or ():
        if not waiter.woken.done():
            waiter.woken.set_result(None)
