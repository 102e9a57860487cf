"""The waits port: what the nodes on one database tell each other about who waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from concerted.values import AgentId

__all__ = ["WAITS_READ", "PostedWait", "PostedWaits", "WaitKey"]

WAITS_READ = 10_000  # of one question; an answer of so many is not all there is

WaitKey = tuple[str, int]  # the node, and its number for the wait


class PostedWait(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A wait that a node has posted.  It is no fact of the log, and gone with its node.

    number: the node's own for it, never used twice.  command: the wire form of what waits.  place: its place
    in the order in which all waits were posted.  asked: how often others have asked whether it still stands.
    confirmed: the last of these questions to which its node has said yes.
    """

    node: str
    number: int
    agent: AgentId
    command: bytes
    place: int = 0
    asked: int = 0
    confirmed: int = 0

    @property
    def key(self) -> WaitKey:
        """Return what names it."""
        return self.node, self.number


class PostedWaits(Protocol):
    """The waits that nodes have posted.  Everything raises `Unreachable` when the database is away."""

    async def post(self, node: str, waits: Sequence[PostedWait]) -> dict[int, int]:
        """Post waits of this node; return number -> place.  Of a node that has lost its lease none is posted.

        Whoever has its answer finds every wait with a smaller place.
        """

    async def withdraw(self, node: str, numbers: Sequence[int]) -> None:
        """Take back waits of this node.  Idempotent."""

    async def of(self, agents: Sequence[AgentId]) -> list[PostedWait]:
        """Return the waits of these agents at nodes whose lease stands, by place, at most `WAITS_READ`."""

    async def ask(self, keys: Sequence[WaitKey]) -> Mapping[WaitKey, int]:
        """Ask their nodes whether these still stand, and wake them; return the number of each question.

        What is not there any more is left out.
        """

    async def asked(self, node: str) -> list[PostedWait]:
        """Return the waits of this node about which a question is open."""

    async def confirm(self, waits: Sequence[PostedWait]) -> None:
        """Say that these stand, as an answer to the question in `asked`, and wake whoever asked."""

    def listen(self, told: Callable[[], None]) -> None:
        """Have `told()` called, in the event loop, whenever there may be a new question or answer."""
