"""The root of the commands that ask primitives: each says of which machine, and what it asks of it."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from concerted.config.settings import Coordination
from concerted.consensus.keeping import Replicated
from concerted.ports.commands import Command, Role
from concerted.values import AgentId, Instant

__all__ = ["Ask", "Caller"]


class Caller(msgspec.Struct, frozen=True):
    """For whom a command is served, once the door knows.

    is_admin: it acts as an administrator.  now: when it is served.  config: the coordinator's settings.
    shared: whether other processes write to the store.  kept_by: how the log is kept, if not by the store.
    """

    agent: AgentId
    is_admin: bool = False
    now: Instant = 0.0
    config: Coordination = Coordination()
    shared: bool = False
    kept_by: Replicated | None = None


class Ask(Command, frozen=True, kw_only=True):
    """A command that asks one primitive.

    kind: its machine.  renews: it holds something for longer.  confirms: given again it confirms what it was
    granted while it waited.  agent: who acts; by default whoever gives the command, and an agent only as itself.
    looks: it changes nothing.
    wait_s: how long to wait for what is `pending`; what the command does is written before it waits, and the
    same command again goes on waiting.
    """

    kind: ClassVar[str] = ""
    role: ClassVar[Role] = "agent"
    renews: ClassVar[bool] = False
    confirms: ClassVar[bool] = False
    looks: ClassVar[bool] = False
    id: str
    agent: AgentId | None = None
    wait_s: float = 0.0

    @property
    def attaches(self) -> bool:
        """Whether, where it would make something that is there already, it takes that as it is."""
        return bool(getattr(self, "attach", False))

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        raise NotImplementedError

    def withdrawal(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what takes the caller out of a queue when it must not wait there; None where there is no queue."""
        return None
