"""The commands of the inbox: send, fetch, acknowledge, and see what became of what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.board import inbox
from concerted.engine.mail.mail import Mail, mail_row, message_of
from concerted.engine.permissions import Principal, acting_as
from concerted.errors import Conflict, Invalid, NotFound, Overloaded
from concerted.kinds import MAIL_STREAM
from concerted.ports.mail import AcknowledgeMessages, FetchMessages, MailCommand, MessageView, Receipts, SendMessage
from concerted.ports.mail import Sent as SentView
from concerted.ports.primitive import Caller
from concerted.ports.store import MessageRecord
from concerted.values import AgentId, digest, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Inboxes"]

MAX_WAIT_S = 600.0
LIMIT_MAX = 10_000  # messages of one fetch
FOR_EVER_S = 1e10
NAMED_MAX = 5  # recipients named in an error


class Inboxes:
    """Serves the commands of one coordinator."""

    def __init__(self, coordinator: Coordinator, mail: Mail) -> None:
        self._of = coordinator
        self._mail = mail

    async def serve(self, command: MailCommand, principal: Principal) -> Any:
        """Serve one of the inbox's commands."""
        self._of.check()
        caller = acting_as(principal, command.agent, str(command.__struct_config__.tag))
        served: dict[type[MailCommand], Callable[[Any, Caller], Awaitable[Any]]] = {
            SendMessage: self._send,
            FetchMessages: self._fetch,
            AcknowledgeMessages: self._acknowledge,
            Receipts: self._receipts,
        }
        return await served[type(command)](command, caller)

    async def _send(self, command: SendMessage, caller: Caller) -> SentView:
        to = tuple(dict.fromkeys(command.to))
        if command.request_id is None:
            id = self._mail.new_id(self._of.clock.now())
            if not await self._store(id, to, command, caller):
                self._of.check()
            return SentView(id=id, to=to)
        id = "r-" + digest(encode([caller.agent, command.request_id]))
        # Its message is the first row of a stream of its own: of several that give it at once, also to several
        # nodes, one writes that, and it is known for as long as the log.
        stream = f"{MAIL_STREAM}.request:{id}"
        refused: Overloaded | None = None
        try:
            if await self._store(id, to, command, caller, stream):
                return SentView(id=id, to=to)
        except Overloaded as error:  # what is there already needs no room
            refused = error
        for first in await self._of.store.stream(stream, limit=1):
            _require_same(first.value(), to, command)
            return SentView(id=id, to=to)
        self._of.check()
        assert refused is not None, f"the message of {stream} is neither there nor can it be written"
        raise refused

    async def _store(
        self, id: str, to: tuple[AgentId, ...], command: SendMessage, caller: Caller, stream: str | None = None
    ) -> bool:
        """Store a message; False: its stream, if it has one of its own, has one already."""
        _require_spans(acknowledge_within_s=command.acknowledge_within_s, expires_in_s=command.expires_in_s)
        now = self._of.clock.now()
        required = command.requires_acknowledgment or command.acknowledge_within_s is not None
        within_s = command.acknowledge_within_s or self._mail.rules.acknowledge_within_s
        event = inbox.store(
            inbox.Post(
                id=id,
                sender=caller.agent,
                to=to,
                type=command.type,
                content=command.content,
                priority=command.priority,
                due_at=now + within_s if required else None,
                escalate_to=command.escalate_to,
                expires_at=None if command.expires_in_s is None else now + command.expires_in_s,
            )
        )
        for agent in to:
            inbox.require_room(agent, await self._size(agent), self._of.config.inbox.max_messages)
        row = mail_row(event, now)
        if stream is None:
            is_stored = await self._mail.write([row])
        else:
            is_stored = await self._mail.write([msgspec.structs.replace(row, stream=stream)], after={stream: 0})
        for agent in to:
            if is_stored and agent in self._mail.sizes:  # else it has been swept meanwhile
                self._mail.sizes[agent] += 1
        return is_stored

    async def _size(self, agent: str) -> int:
        """Return how many messages an inbox holds; counted once, and kept in mind."""
        if agent not in self._mail.sizes:
            self._mail.sizes[agent] = len([record async for record in self._mail.pages({"agent": agent})])
        return self._mail.sizes[agent]

    async def _fetch(self, command: FetchMessages, caller: Caller) -> list[MessageView]:
        if not 1 <= command.limit <= LIMIT_MAX:
            raise Invalid(f"limit is {command.limit}; a fetch returns 1 to {LIMIT_MAX:,} messages")
        agent, loop = caller.agent, self._of.loop
        everything = command.all or command.after is not None
        if command.request_id is not None and not everything:  # the same call again gets what the first one got
            where = {"agent": agent, "status": "fetched", "fetched_in": command.request_id}
            again = [message_of(record) async for record in self._mail.pages(where)]
            if again:
                return await self._views(agent, [message.id for message in inbox.delivery_order(again)])
        until = loop.time() + min(command.wait_s, MAX_WAIT_S)
        statuses = ("stored", "fetched") if everything else ("stored",)
        after = -1 if command.after is None else command.after
        while True:
            waiter = loop.create_future()
            waiters = self._mail.waiting.setdefault(agent, {})
            waiters[waiter] = None
            try:
                pages = self._mail.pages({"agent": agent, "status": statuses})
                found = [one async for one in pages if one.number > after and command.type in (None, one.type)]
                left = until - loop.time()
                if found or left <= 0:
                    break
                await asyncio.wait([waiter], timeout=left)
                self._of.check()
            finally:
                waiters.pop(waiter, None)
                if not waiters and self._mail.waiting.get(agent) is waiters:
                    del self._mail.waiting[agent]
        in_order = inbox.delivery_order if command.after is None else inbox.log_order
        chosen = in_order([message_of(record) for record in found])[: command.limit]
        await self._mail.decide([(message, inbox.Fetch()) for message in chosen], request_id=command.request_id)
        return await self._views(agent, [message.id for message in chosen])

    async def _acknowledge(self, command: AcknowledgeMessages, caller: Caller) -> list[MessageView]:
        records = [await self._of.store.get(MessageRecord, caller.agent, id) for id in command.ids]
        for id, record in zip(command.ids, records, strict=True):
            if record is None:
                raise NotFound(
                    f"there is no message {id!r} in the inbox of {caller.agent}; `concerted inbox fetch --all` shows "
                    "what there is",
                    id=id,
                )
        wanted = [(message_of(record), inbox.Acknowledge(caller.agent)) for record in records if record is not None]
        await self._mail.decide(wanted)
        return await self._views(caller.agent, command.ids)

    async def _receipts(self, command: Receipts, caller: Caller) -> list[MessageView]:
        where: dict[str, Any] = {"id": command.ids} if command.ids else {}
        if not caller.is_admin:
            where["sender"] = caller.agent
        found = await self._of.store.find(MessageRecord, where, limit=max(1, min(command.limit, 10_000)))
        receipts = [(record, inbox.receipt(message_of(record))) for record in found]
        return [msgspec.structs.replace(_view(record), status=receipt.status) for record, receipt in receipts]

    async def _views(self, agent: AgentId, ids: Sequence[str]) -> list[MessageView]:
        records = [await self._of.store.get(MessageRecord, agent, id) for id in ids]
        return [_view(record) for record in records if record is not None]


def _require_spans(**spans: float | None) -> None:
    for name, span in spans.items():
        if span is not None and not 0 < span < FOR_EVER_S:
            raise Invalid(f"{name} is {span}; it is a length of time above 0, in seconds")


def _require_same(first: dict[str, Any], to: tuple[AgentId, ...], command: SendMessage) -> None:
    """See that a request id stands for the same message as before."""
    known = first["type"], encode(first["content"]), sorted(first["to"])
    if known != (command.type, encode(command.content), sorted(to)):
        raise Conflict(
            f"request id {command.request_id!r} stands for another message to {', '.join(first['to'][:NAMED_MAX])}; "
            "take a new one for this",
            id=first["id"],
        )


def _view(record: MessageRecord) -> MessageView:
    return MessageView(
        id=record.id,
        agent=record.agent,
        sender=record.sender,
        type=record.type,
        content=msgspec.json.decode(record.content),
        priority=record.priority,
        requires_acknowledgment=record.requires_acknowledgment,
        status=record.status,
        stored_at=record.stored_at,
        fetched_at=record.fetched_at,
        acknowledged_at=record.acknowledged_at,
        due_at=record.due_at,
        attempts=record.attempts,
        escalate_to=record.escalate_to,
        escalated=record.escalated,
        expires_at=record.expires_at,
        number=record.number,
    )
