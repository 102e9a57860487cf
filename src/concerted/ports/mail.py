"""The commands of the inbox: send, fetch, acknowledge, and see what became of what was sent."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from concerted.machine import Priority
from concerted.ports.commands import Command, Role
from concerted.values import AgentId, Instant

__all__ = ["AcknowledgeMessages", "FetchMessages", "MailCommand", "MessageView", "Receipts", "SendMessage", "Sent"]


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """One message as its recipient, or its sender, sees it.

    status: stored, fetched, acknowledged or expired.  number: its place in the log, which is the order of an inbox.
    """

    id: str
    agent: AgentId
    sender: str
    type: str
    content: Any = None
    priority: str = "medium"
    requires_acknowledgment: bool = False
    status: str = "stored"
    stored_at: Instant = 0.0
    fetched_at: Instant | None = None
    acknowledged_at: Instant | None = None
    due_at: Instant | None = None
    attempts: int = 0
    escalate_to: AgentId | None = None
    escalated: bool = False
    expires_at: Instant | None = None
    number: int = 0


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What was stored for whom."""

    id: str
    to: tuple[AgentId, ...]


class MailCommand(Command, frozen=True, kw_only=True):
    """The root of the inbox's commands.  agent: who acts; by default whoever gives the command."""

    role: ClassVar[Role] = "agent"
    agent: AgentId | None = None


class SendMessage(MailCommand, frozen=True, kw_only=True):
    """Store a message in the inboxes of agents; with the same request id, once.

    acknowledge_within_s: how soon it must be acknowledged before it is delivered anew; it makes the message
    one that requires an acknowledgment.  escalate_to: who is told when nobody ever does; by default the
    sender.  expires_in_s: after which it is of no use any more.
    """

    result: ClassVar[Any] = Sent
    to: tuple[AgentId, ...]
    type: str = "MESSAGE"
    content: Any = None
    priority: Priority = "medium"
    requires_acknowledgment: bool = False
    acknowledge_within_s: float | None = None
    escalate_to: AgentId | None = None
    expires_in_s: float | None = None
    request_id: str | None = None


class FetchMessages(MailCommand, frozen=True, kw_only=True):
    """Return what is in an inbox and not yet fetched, the most urgent first; wait for the first one if there is none.

    all: also what was fetched and not acknowledged.  after: a cursor of the caller's own; it gets what has a greater
    number, whatever was fetched before, in the order of the log.  type: messages of this type alone; the others stay as
    they are.  request_id: the same call given again gets the same messages, also when its first answer was lost with
    the owner.
    """

    result: ClassVar[Any] = list[MessageView]
    request_id: str | None = None
    limit: int = 100
    all: bool = False
    after: int | None = None
    type: str | None = None
    wait_s: float = 0.0


class AcknowledgeMessages(MailCommand, frozen=True, kw_only=True):
    """Say that messages are dealt with.  Only their recipient can; a second time changes nothing."""

    result: ClassVar[Any] = list[MessageView]
    ids: tuple[str, ...]


class Receipts(MailCommand, frozen=True, kw_only=True):
    """Show what became of messages that the caller has sent."""

    result: ClassVar[Any] = list[MessageView]
    ids: tuple[str, ...] = ()
    limit: int = 100
