"""The command by which one finds primitives: a page of those of one kind, of one agent, or of all."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from concerted.ports.commands import Command
from concerted.values import AgentId, Instant

__all__ = ["ListPrimitives", "PrimitivePage", "PrimitiveView"]


class PrimitiveView(msgspec.Struct, frozen=True, kw_only=True):
    """One primitive at a glance.  arrived, total: as its machine counts; its own command shows the rest."""

    kind: str
    id: str
    name: str = ""
    status: str = ""
    creator: AgentId | None = None
    created_at: Instant
    ended_at: Instant | None = None
    deadline_at: Instant | None = None
    arrived: int = 0
    total: int = 0


class PrimitivePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of primitives, by kind and id.  after: what to ask for the next page with; None: there is no more."""

    primitives: tuple[PrimitiveView, ...] = ()
    after: str | None = None


class ListPrimitives(Command, frozen=True, kw_only=True):
    """Show a page of primitives: of one kind, in one status, in which one agent takes part, or all.

    An agent takes part in a progress tracker also by having made it.  after: the `after` of the page before.
    A page may be shorter than `limit` though more follow.
    """

    result: ClassVar[object] = PrimitivePage
    kind: str | None = None
    agent: AgentId | None = None
    status: str | None = None
    after: str = ""
    limit: int = 100
