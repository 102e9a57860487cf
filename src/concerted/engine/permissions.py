"""Who may do what: principals with one role each, from viewer to admin."""

from __future__ import annotations

from dataclasses import dataclass

from concerted.errors import NotAllowed
from concerted.ports.commands import Role

__all__ = ["LOCAL", "Principal", "require"]

_ORDER: tuple[Role, ...] = ("viewer", "agent", "operator", "admin")


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who gives commands, as the door has authenticated them."""

    name: str
    role: Role


LOCAL = Principal("local", "admin")  # whoever can open the store's file or its socket (mode 0600) owns it


def require(principal: Principal, role: Role, command: str) -> None:
    """See whether a principal may give a command.

    Raises:
        NotAllowed: says which role it takes.
    """
    if _ORDER.index(principal.role) < _ORDER.index(role):
        raise NotAllowed(
            f"{principal.name} is {principal.role} and may not {command}; it takes the role {role}",
            principal=principal.name,
            role=role,
        )
