"""A client that lies: it signs requests that contradict each other, and tells some replicas this and others that.

    true    the next request, as an honest client would ask
    two     two different requests under one number, to different replicas
    far     a request whose number is far from all before it
    old     another request under a number that was used, or that is too old
    again   a request once more, under another good signature

What it writes nobody else reads.  Its requests may be carried out, each number once, or not at all: it promises nothing
and is promised nothing.  Whatever it does, honest clients must be answered and honest replicas stay equal.

Source: Castro & Liskov 1999, section 2, for clients that are faulty; section 4.1 for their numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import Request
from concerted.consensus.pbft.seal import sealed_request
from concerted.consensus.quorum import NodeId
from concerted.sim.pbft.keys import SimSigner

__all__ = ["LYING_CLIENT", "LyingClient"]

LYING_CLIENT = "lying client"
REGISTER = "z"
FARTHEST = 2**64 - 1  # the largest number that a request can have
REMEMBERED = 20


@dataclass(slots=True)
class LyingClient:
    """One of them.  signed: what clients have signed, where it notes its own.  give: has a replica hear a request."""

    group: Group
    signed: set[Request]
    rng: random.Random
    give: Callable[[NodeId, Request], None]
    _number: int = 0
    _values: int = 0
    _asked: list[Request] = field(default_factory=list)

    def lie(self) -> None:
        """Ask for something."""
        rng = self.rng
        match rng.choice(("true", "true", "two", "far", "old", "again")):
            case "true":
                self._tell_some(self._next(1))
            case "two":
                first = self._next(1)
                second = self._request(first.number)
                for node in self.group.ids:
                    self.give(node, rng.choice((first, second)))
            case "far":
                beyond = self._next(rng.choice((2, 5, 1000, 2**40)))
                self._tell_some(rng.choice((beyond, beyond, self._request(FARTHEST))))
            case "old":
                self._tell_some(self._request(rng.choice((-1, 0, *(rng.randint(0, self._number) for _ in range(4))))))
            case "again" if self._asked:
                again = rng.choice(self._asked[-REMEMBERED:])
                self._tell_some(self._sealed(again, rng.choice((b"", b"again", b"once more"))))

    def _next(self, step: int) -> Request:
        self._number += step
        return self._request(self._number)

    def _request(self, number: int) -> Request:
        self._values += 1
        return self._sealed(Request(LYING_CLIENT, number, msgspec.msgpack.encode((REGISTER, self._values))))

    def _sealed(self, request: Request, variant: bytes = b"") -> Request:
        sealed = sealed_request(
            self.group.name, SimSigner(LYING_CLIENT, variant), msgspec.structs.replace(request, signature=b"")
        )
        self.signed.add(sealed)
        self._asked.append(sealed)
        return sealed

    def _tell_some(self, request: Request) -> None:
        """Tell it to one replica, or to some, or to all."""
        ids = self.group.ids
        for node in self.rng.sample(ids, self.rng.choice((1, 1, 2, len(ids)))):
            self.give(node, request)
