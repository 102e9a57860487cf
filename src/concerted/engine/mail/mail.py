"""The inboxes of one coordinator: messages are stored with what causes them, and their receipts tell the truth.

stored --fetched by the agent--> fetched --acknowledged--> acknowledged --retention--> removed
stored | fetched --not acknowledged in time--> delivered anew, at last escalated
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.board import inbox
from concerted.errors import Invalid
from concerted.kinds import MAIL_STREAM
from concerted.machine import Event, Send
from concerted.ports.store import Entry, MessageRecord, Row, Write
from concerted.values import Instant, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Mail", "mail_row", "message_of"]

PAGE = 10_000  # messages read in one go
LOOKED_AT = 1_000  # messages that are late and are decided upon, and written, in one go
FEW = 16  # recipients whose copies of a message are not worth a thought
COPIES_BYTES = 1 << 20  # of one system's message in all inboxes together; of a longer one they get what is short
SWEEP_S = 60.0  # how often what has been kept long enough is removed


class Mail:
    """Stores, delivers and watches over messages."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._count = 0
        self.rules = inbox.Rules(
            acknowledge_within_s=float(coordinator.config.inbox.acknowledge_within),
            redeliveries=coordinator.config.inbox.redeliveries,
            retention_s=float(coordinator.config.inbox.retention),
        )
        self.waiting: dict[str, dict[asyncio.Future[None], None]] = {}
        self.sizes: dict[str, int] = {}
        self._due: list[Instant] = []
        self._swept_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Begin to see which messages wait for an acknowledgment until when; nobody has to wait for that."""
        self._of.errand(self._restore())

    async def _restore(self) -> None:
        instants = {record.due_at async for record in self.pages(until=("due_at", 1e15)) if record.due_at is not None}
        self._due = sorted(instants.union(self._due))
        self._arm()

    def stop(self) -> None:
        """Wake nobody any more, and let go who waits."""
        if self._timer is not None:
            self._timer.cancel()
        self.stored(list(self.waiting))

    # what primitives send

    def rows(self, sends: Sequence[Send], cause: str, now: Instant) -> list[Row]:
        """Return the rows of these messages; they are written with the events that cause them."""
        rows = []
        for send in sends:
            content = {"about": cause, **send.content}
            if len(send.to) > FEW and len(send.to) * len(encode(content)) > COPIES_BYTES:
                content = _cut(content)
            due_at = now + self.rules.acknowledge_within_s if send.requires_acknowledgment else None
            for first in range(0, len(send.to), inbox.TO_MAX):
                post = inbox.Post(
                    id=self.new_id(now),
                    sender=inbox.SYSTEM,
                    to=send.to[first : first + inbox.TO_MAX],
                    type=send.type,
                    content=content,
                    priority=send.priority,
                    due_at=due_at,
                )
                rows.append(mail_row(_stored(post), now))
        return rows

    def written(self, rows: Iterable[Row]) -> None:
        """Take note that these rows, which may hold messages, are in the log."""
        for row in rows:
            if row.kind == "message.stored":
                data = msgspec.json.decode(row.data)
                self._watch(data.get("due_at"))
                self.stored(data["to"])

    def heard(self, entries: Iterable[Entry]) -> None:
        """Take note of what other processes have done to messages."""
        for entry in entries:
            if entry.kind == "message.stored":
                data = entry.value()
                self._watch(data.get("due_at"))
                self.stored(data["to"])
                for agent in data["to"]:
                    self.sizes.pop(agent, None)  # it is counted anew
            elif entry.kind == "messages.removed":
                self.sizes.pop(entry.agent or "", None)
            elif entry.kind == "message.redelivered":
                self._watch(entry.value().get("due_at"))
                self.stored([entry.agent or ""])

    def stored(self, agents: Iterable[str]) -> None:
        """Wake who waits for messages of these agents."""
        for agent in agents:
            for waiter in self.waiting.pop(agent, ()):
                if not waiter.done():
                    waiter.set_result(None)

    # time

    async def sweep(self) -> None:
        """Remove what has been kept long enough; looked at once in a while, since nobody waits for it."""
        now = self._of.clock.now()
        if now < self._swept_at + SWEEP_S:
            return
        self._swept_at = now
        old = []
        kept = ("stored_at", now - self.rules.retention_s)  # a message is over after it was stored
        async for record in self.pages({"status": ("acknowledged", "fetched", "expired")}, until=kept):
            message = message_of(record)
            if inbox.is_over(message, now, self.rules):
                old.append(message)
        for agent in sorted({message.agent for message in old}):
            ids = [message.id for message in old if message.agent == agent]
            await self.write([mail_row(inbox.removed(agent, ids), now)])
            self.sizes.pop(agent, None)

    def _watch(self, due_at: Instant | None) -> None:
        if due_at is not None:
            heapq.heappush(self._due, due_at)
            if self._due[0] == due_at:
                self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            self._timer = self._of.loop.call_later(max(0.0, self._due[0] - self._of.clock.now()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._of.clock.now()
        while self._due and self._due[0] <= now:
            heapq.heappop(self._due)
        self._of.errand(self._look(now))
        self._arm()

    async def _look(self, now: Instant) -> None:
        """Deliver anew, or escalate, what was not acknowledged in time."""
        late: list[MessageRecord] = []
        async for record in self.pages(until=("due_at", now)):
            late.append(record)
            if len(late) == LOOKED_AT:
                await asyncio.gather(*(self._deliver_anew(message_of(one), now) for one in late))
                late = []
        await asyncio.gather(*(self._deliver_anew(message_of(one), now) for one in late))

    async def _deliver_anew(self, message: inbox.Message, now: Instant) -> None:
        """Let a message's time pass; on a shared store each attempt is that of the process which writes it first."""
        step = inbox.decide(message, inbox.Wake(), now, self.rules)
        if not step.events:
            return
        stream = f"{MAIL_STREAM}:{message.agent}:{message.id}"
        rows = [msgspec.structs.replace(mail_row(event, now), stream=stream) for event in step.events]
        letters = self.rows(step.sends, MAIL_STREAM, now)
        if await self._of.rounds.append(Write(rows=[*rows, *letters], after={stream: message.attempts})):
            for event in step.events:
                self._watch(event.data.get("due_at"))
                self.stored([event.agent or ""] if event.kind == "message.redelivered" else [])
            self.written(letters)

    # writing

    async def decide(self, asked: Sequence[tuple[inbox.Message, Any]], **facts: Any) -> None:
        """Have requests about messages decided and written.  facts: what their events say besides."""
        now = self._of.clock.now()
        events: list[Event] = []
        sends: list[Send] = []
        for message, request in asked:
            step = inbox.decide(message, request, now, self.rules)
            events += step.events
            sends += step.sends
        told = [replace(event, data={**event.data, **facts}) for event in inbox.together(events)]
        rows = [mail_row(event, now) for event in told] + self.rows(sends, MAIL_STREAM, now)
        if rows:
            await self.write(rows)

    async def write(self, rows: list[Row], after: Mapping[str, int] | None = None) -> bool:
        """Write rows of the mail; False: a stream has grown longer than it is in `after`, and nothing was written."""
        is_written = await self._of.rounds.append(Write(rows=rows, after=after or {}))
        if is_written:
            self.written(rows)
        return is_written

    async def pages(self, where: dict[str, Any] | None = None, until: tuple[str, float] | None = None) -> Any:
        """Go through messages."""
        after: tuple[str, ...] = ()
        while page := await self._of.store.find(MessageRecord, where, limit=PAGE, after=after, until=until):
            for record in page:
                yield record
            after = (page[-1].agent, page[-1].id)

    def new_id(self, now: Instant) -> str:
        """Return a new id; those of one process grow."""
        self._count += 1
        return f"{int(now * 1000):013d}-{self._count:09d}-{self._of.world.node}"


def mail_row(event: Event, now: Instant) -> Row:
    """Return the row of an event of the mail."""
    return Row(
        stream=MAIL_STREAM, at=now, kind=event.kind, agent=event.agent, ref=event.ref, data=encode(event.data)
    )  # fmt: skip


def _stored(post: inbox.Post) -> Event:
    """Return the event of a system's message; content that is too long is cut down to what is short in it."""
    try:
        return inbox.store(post)
    except Invalid:
        return inbox.store(replace(post, content=_cut(post.content)))


def _cut(content: dict[str, Any]) -> dict[str, Any]:
    """Return what is short of a message's content; whoever wants the rest looks at what it is about."""
    short = {key: value for key, value in content.items() if isinstance(value, str | int | float | None)}
    return {**short, "cut": "the rest is too long; see `about`"}


def message_of(record: MessageRecord) -> inbox.Message:
    """Return the message that a record is of."""
    return inbox.Message(
        id=record.id,
        agent=record.agent,
        sender=record.sender,
        type=record.type,
        priority=record.priority,  # type: ignore[arg-type]  # it was one when it was written
        status=record.status,  # type: ignore[arg-type]
        content=msgspec.json.decode(record.content),
        requires_acknowledgment=record.requires_acknowledgment,
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
