"""Who may do what: principals with one role each, from viewer to admin."""

from __future__ import annotations

from dataclasses import dataclass

from concerted.errors import NotAllowed
from concerted.ports.commands import Role
from concerted.ports.primitive import Caller
from concerted.values import AgentId

__all__ = ["ANONYMOUS", "LOCAL", "Principal", "acting_as", "require"]

_ORDER: tuple[Role, ...] = ("viewer", "agent", "operator", "admin")


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who gives commands, as the door has authenticated them.  token: the hash of the one it showed."""

    name: str
    role: Role
    token: str = ""


LOCAL = Principal("local", "admin")  # whoever can open the store's file or its socket (mode 0600) owns it
ANONYMOUS = Principal("anonymous", "viewer")  # who shows no token where there are admins that have one


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


def acting_as(principal: Principal, agent: AgentId | None, command: str) -> Caller:
    """Say for whom a command is served: an agent acts only as itself, who is above it as any agent or as an admin.

    Raises:
        NotAllowed: an agent wants to act as another.
    """
    if agent is None or agent == principal.name:
        return Caller(AgentId(principal.name), principal.role == "admin")
    if principal.role in ("viewer", "agent"):
        raise NotAllowed(
            f"{principal.name} may not {command} as {agent}; an agent acts only as itself",
            principal=principal.name,
            agent=agent,
        )
    return Caller(agent)
