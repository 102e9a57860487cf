"""The commands of what agents share: named values with compare-and-swap, counters, groups."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import UNSET

from concerted.board import register
from concerted.board.memberships import membership
from concerted.machine import Look
from concerted.ports.commands import Role
from concerted.ports.primitive import Ask, Caller
from concerted.values import AgentId

# registers


class OfRegister(Ask, frozen=True, kw_only=True):
    """The root of the commands about named values."""

    result: ClassVar[Any] = register.RegisterResult
    kind: ClassVar[str] = "register"


class CreateRegister(OfRegister, frozen=True, kw_only=True):
    """Make a value that only some may write."""

    value: Any = UNSET
    writers: tuple[AgentId, ...] = ()
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return register.Create(self.id, caller.agent, self.value, self.writers)


class PutValue(OfRegister, frozen=True, kw_only=True):
    """Set a value; the same request id counts once."""

    value: Any
    request_id: str

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return register.Put(caller.agent, self.value, self.request_id, self.id)


class CompareAndSwap(OfRegister, frozen=True, kw_only=True):
    """Set a value if it, or its version, is still the expected one; version 0 is that of no value."""

    value: Any
    request_id: str
    expected_version: int | None = None
    expected_value: Any = UNSET

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return register.CompareAndSwap(
            caller.agent, self.value, self.request_id, self.expected_version, self.expected_value, self.id
        )


class Increment(OfRegister, frozen=True, kw_only=True):
    """Add to a number, within bounds; the same request id counts once."""

    request_id: str
    amount: int | float = 1
    minimum: int | float | None = None
    maximum: int | float | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return register.Increment(caller.agent, self.request_id, self.amount, self.minimum, self.maximum, self.id)


class DeleteValue(OfRegister, frozen=True, kw_only=True):
    """Have no value any more."""

    request_id: str
    expected_version: int | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return register.Delete(caller.agent, self.request_id, self.expected_version, caller.is_admin)


class RestrictRegister(OfRegister, frozen=True, kw_only=True):
    """Say who may write, as its creator or an admin."""

    writers: tuple[AgentId, ...]

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return register.Restrict(caller.agent, self.writers, caller.is_admin)


class AwaitValue(OfRegister, frozen=True, kw_only=True):
    """Wait until its version is greater than `version`."""

    role: ClassVar[Role] = "viewer"
    version: int = 0

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return register.Await(self.version)


class GetValue(OfRegister, frozen=True, kw_only=True):
    """Show it."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()


# groups


class OfGroup(Ask, frozen=True, kw_only=True):
    """The root of the commands about groups."""

    result: ClassVar[Any] = membership.GroupResult
    kind: ClassVar[str] = "group"


class CreateGroup(OfGroup, frozen=True, kw_only=True):
    """Make a group with rules of its own; joining makes one that nobody made.

    grace_s: how long a member that is lost stays one.
    """

    grace_s: float | None = 10.0
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return membership.Create(self.id, caller.agent, self.grace_s)


class JoinGroup(OfGroup, frozen=True, kw_only=True):
    """Be a member, for `ttl_s` after each renewal if it is given."""

    value: Any = None
    ttl_s: float | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return membership.Join(caller.agent, self.value, self.ttl_s, self.id)


class RenewMembership(OfGroup, frozen=True, kw_only=True):
    """Stay a member for another time to live."""

    renews: ClassVar[bool] = True

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return membership.Renew(caller.agent, caller.agent)


class LeaveGroup(OfGroup, frozen=True, kw_only=True):
    """Be a member no longer; its creator or an admin can have somebody else leave."""

    member: AgentId | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return membership.Leave(self.member or caller.agent, caller.agent, caller.is_admin)


class UpdateMembership(OfGroup, frozen=True, kw_only=True):
    """Tell the others something else of oneself."""

    value: Any = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return membership.Update(caller.agent, self.value)


class WatchGroup(OfGroup, frozen=True, kw_only=True):
    """Wait until the group has changed after `version`."""

    role: ClassVar[Role] = "viewer"
    version: int = 0

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return membership.Watch(self.version)


class AwaitMembers(OfGroup, frozen=True, kw_only=True):
    """Wait until there are so many members."""

    role: ClassVar[Role] = "viewer"
    count: int

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return membership.AwaitSize(self.count)


class GetGroup(OfGroup, frozen=True, kw_only=True):
    """Show who is a member."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()
