"""Handles on what agents share: named values, counters, inboxes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import UNSET

from concerted.board.memberships.membership import GroupResult
from concerted.board.register import RegisterResult
from concerted.client.handle import Giver, Handle, as_agent, as_agents
from concerted.ports import mail, sharing
from concerted.values import AgentId

__all__ = ["Inbox", "Membership", "Register"]


class Register(Handle):
    """A named value with a version that grows with each change."""

    async def get(self) -> RegisterResult:
        """Return it as it is."""
        return await self._ask(sharing.GetValue(id=self.id))  # type: ignore[no-any-return]

    async def put(self, value: Any, *, agent: str | None = None, request_id: str | None = None) -> RegisterResult:
        """Set it.  request_id: the same one counts once."""
        command = sharing.PutValue(id=self.id, agent=as_agent(agent), value=value, request_id=_once(request_id))
        return await self._ask(command)  # type: ignore[no-any-return]

    async def compare_and_swap(
        self, value: Any, *, expected_version: int | None = None, expected_value: Any = UNSET, agent: str | None = None,
        request_id: str | None = None,
    ) -> RegisterResult:  # fmt: skip
        """Set it if it is still what was expected; `swapped` of the result says so."""
        command = sharing.CompareAndSwap(
            id=self.id,
            agent=as_agent(agent),
            value=value,
            expected_version=expected_version,
            expected_value=expected_value,
            request_id=_once(request_id),
        )
        return await self._ask(command)  # type: ignore[no-any-return]

    async def increment(
        self, amount: float = 1, *, minimum: float | None = None, maximum: float | None = None,
        agent: str | None = None, request_id: str | None = None,
    ) -> RegisterResult:  # fmt: skip
        """Add to a number, within bounds."""
        command = sharing.Increment(
            id=self.id,
            agent=as_agent(agent),
            amount=amount,
            minimum=minimum,
            maximum=maximum,
            request_id=_once(request_id),
        )
        return await self._ask(command)  # type: ignore[no-any-return]

    async def wait(self, version: int, *, timeout_s: float | None = None) -> RegisterResult:
        """Wait until its version is greater than `version`."""
        return await self._wait(sharing.AwaitValue(id=self.id, version=version), timeout_s)  # type: ignore[no-any-return]


class Membership(Handle):
    """Who is a member, and what each tells the others."""

    async def join(
        self, agent: str | None = None, value: Any = None, *, ttl_s: float | None = None
    ) -> GroupResult:  # fmt: skip
        """Be a member; with `ttl_s`, as long as it is renewed."""
        return await self._ask(sharing.JoinGroup(id=self.id, agent=as_agent(agent), value=value, ttl_s=ttl_s))  # type: ignore[no-any-return]

    async def renew(self, agent: str | None = None) -> GroupResult:
        """Stay a member for another time to live."""
        return await self._ask(sharing.RenewMembership(id=self.id, agent=as_agent(agent)))  # type: ignore[no-any-return]

    async def leave(self, agent: str | None = None) -> GroupResult:
        """Be a member no longer."""
        return await self._ask(sharing.LeaveGroup(id=self.id, agent=as_agent(agent)))  # type: ignore[no-any-return]

    async def watch(self, version: int = 0, *, timeout_s: float | None = None) -> GroupResult:
        """Wait until the group has changed after `version`."""
        return await self._wait(sharing.WatchGroup(id=self.id, version=version), timeout_s)  # type: ignore[no-any-return]

    async def wait_for_members(self, count: int, *, timeout_s: float | None = None) -> GroupResult:
        """Wait until there are so many members."""
        return await self._wait(sharing.AwaitMembers(id=self.id, count=count), timeout_s)  # type: ignore[no-any-return]

    async def get(self) -> GroupResult:
        """Return who is a member."""
        return await self._ask(sharing.GetGroup(id=self.id))  # type: ignore[no-any-return]


class Inbox:
    """One agent's inbox, and the receipts of what it has sent."""

    def __init__(self, giver: Giver, agent: str | None = None) -> None:
        self._giver = giver
        self._agent = as_agent(agent)

    async def send(
        self, to: str | Iterable[str], content: Any, *, acknowledge_within_s: float | None = None,
        escalate_to: str | None = None, request_id: str | None = None, **facts: Any,
    ) -> mail.Sent:  # fmt: skip
        """Store a message for others.

        acknowledge_within_s: how soon it must be acknowledged before it is delivered anew; escalate_to: who is
        told if it never is.  request_id: the same one is the same message.  facts: type, priority, expires_in_s.
        """
        command = mail.SendMessage(
            agent=self._agent,
            to=(AgentId(to),) if isinstance(to, str) else as_agents(to),
            content=content,
            acknowledge_within_s=acknowledge_within_s,
            escalate_to=as_agent(escalate_to),
            request_id=_once(request_id),
            **facts,
        )
        return await self._giver.give(command)  # type: ignore[no-any-return]

    async def fetch(
        self, *, timeout_s: float = 0.0, limit: int = 100, all: bool = False, after: int | None = None,
        type: str | None = None,
    ) -> list[mail.MessageView]:  # fmt: skip
        """Return what is there and not yet fetched, the most urgent first; wait for the first one if there is none.

        all: also what was fetched and not acknowledged.  after: a number; what came after it in the order of the log,
        also what was fetched before.  type: messages of this type alone; the others stay as they are.
        """
        command = mail.FetchMessages(
            agent=self._agent, limit=limit, all=all, after=after, type=type, wait_s=timeout_s,
            request_id=uuid.uuid4().hex,
        )  # fmt: skip
        return await self._giver.give(command)  # type: ignore[no-any-return]

    async def acknowledge(self, ids: Sequence[str]) -> list[mail.MessageView]:
        """Say that messages are dealt with."""
        return await self._giver.give(mail.AcknowledgeMessages(agent=self._agent, ids=tuple(ids)))  # type: ignore[no-any-return]

    async def receipts(self, ids: Sequence[str] = (), *, limit: int = 100) -> list[mail.MessageView]:
        """Return what became of messages that this agent has sent."""
        command = mail.Receipts(agent=self._agent, ids=tuple(ids), limit=limit)
        return await self._giver.give(command)  # type: ignore[no-any-return]


def _once(request_id: str | None) -> str:
    return request_id or uuid.uuid4().hex
