"""Who waits at a replica's door, and for what: an answer to a command, or an object to change."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from concerted.consensus.quorum import NodeId
from concerted.replicas.wire import Asked, Channel

__all__ = ["Commands", "Guest", "Wanted", "Watches"]

K = TypeVar("K")
ANSWERS_COUNT = 10_000  # remembered, of a group whose clients ask all replicas


@dataclass(slots=True, eq=False)
class Wanted:
    """What a client waits for.  stream: the object whose change it waits for, if that is it."""

    channel: Channel
    asked: Asked
    stream: str = ""


@dataclass(slots=True, eq=False)
class Guest:
    """Who is at the other end of a channel.

    node: of a replica; 0: a client; None: has not said.  greeting: when it must have.  watches: what it waits for to
    change, by the id under which it has asked.
    """

    greeting: asyncio.TimerHandle
    node: NodeId | None = None
    watches: dict[int, Wanted] = field(default_factory=dict)


class Watches:
    """Who waits for which object to change.  count: how many."""

    def __init__(self) -> None:
        self.count = 0
        self._of: dict[str, dict[Wanted, None]] = {}  # object -> who waits for it, oldest first

    def of(self, stream: str) -> list[Wanted]:
        """Return who waits for an object, oldest first."""
        return list(self._of.get(stream, ()))

    def add(self, stream: str, wanted: Wanted, guest: Guest) -> None:
        """Let somebody wait for an object."""
        wanted.stream = stream
        guest.watches[wanted.asked.id] = wanted
        self._of.setdefault(stream, {})[wanted] = None
        self.count += 1

    def remove(self, wanted: Wanted, guest: Guest) -> None:
        """Let somebody wait no longer."""
        del guest.watches[wanted.asked.id]
        others = self._of[wanted.stream]
        del others[wanted]
        if not others:
            del self._of[wanted.stream]
        self.count -= 1


class Commands(Generic[K]):
    """Who waits for which command's answer, by what names the command.  count: how many do."""

    def __init__(self) -> None:
        self.count = 0
        self._of: dict[K, list[Wanted]] = {}
        self._answers: dict[K, bytes] = {}  # to the newest, where clients ask all replicas

    def add(self, key: K, wanted: Wanted) -> None:
        """Let somebody wait for a command's answer."""
        self.count += 1
        waiting = self._of.get(key)
        if waiting is None:
            self._of[key] = [wanted]
        else:
            waiting.append(wanted)

    def end(self, key: K) -> list[Wanted]:
        """Return who waits for a command, and does no more."""
        waiting = self._of.pop(key, None)
        if waiting is None:
            return []
        self.count -= len(waiting)
        return waiting

    def end_all(self) -> list[Wanted]:
        """Return everybody who waits, and does no more."""
        of, self._of, self.count = self._of, {}, 0
        return [wanted for waiting in of.values() for wanted in waiting]

    def remember(self, key: K, answer: bytes) -> None:
        """Keep a command's answer for who comes later with it."""
        self._answers[key] = answer
        if len(self._answers) > ANSWERS_COUNT:
            del self._answers[next(iter(self._answers))]

    def answer_to(self, key: K) -> bytes | None:
        """Return what a command was answered, if that is remembered."""
        return self._answers.get(key)
