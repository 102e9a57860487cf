"""The commands about who may give commands."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from concerted.ports.commands import Command, Role
from concerted.values import Instant

__all__ = ["AddPrincipal", "PrincipalAdded", "PrincipalView", "Principals", "RevokePrincipal"]


class PrincipalAdded(msgspec.Struct, frozen=True, kw_only=True):
    """token: shown this once; only its hash is kept."""

    name: str
    role: Role
    token: str


class PrincipalView(msgspec.Struct, frozen=True, kw_only=True):
    """Who may give commands, or might once."""

    name: str
    role: Role
    created_at: Instant
    revoked_at: Instant | None = None


class AddPrincipal(Command, frozen=True, kw_only=True):
    """Let somebody give commands, and return the token that says who it is; again: a new token, the old one is void."""

    result: ClassVar[object] = PrincipalAdded
    role: ClassVar[Role] = "admin"
    name: str
    as_role: Role


class RevokePrincipal(Command, frozen=True, kw_only=True):
    """Take somebody's token back, at once and also from open connections."""

    result: ClassVar[object] = PrincipalView
    role: ClassVar[Role] = "admin"
    name: str


class Principals(Command, frozen=True, kw_only=True):
    """List who may give commands."""

    result: ClassVar[object] = list[PrincipalView]
    role: ClassVar[Role] = "operator"
