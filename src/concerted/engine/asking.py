"""Asking agents outside any run: quick, and in no log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from concerted.engine.outbox import Sent
from concerted.errors import Invalid
from concerted.messages import Envelope, Reply, Request, encode_request, request_type
from concerted.run import Replies
from concerted.values import AgentId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Asker"]


class Asker:
    """Asks for one coordinator, and gives all its envelopes their ids."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._messages = 0

    async def ask(self, agent: AgentId, request: Request, *, deadline: float | None = None) -> Reply:
        """Ask one agent, not durably: the answer is in no log.  Never raises for the agent's sake."""
        (reply,) = await self.gather([agent], request, deadline=deadline)
        return reply

    async def gather(self, agents: Sequence[AgentId], request: Request, *, deadline: float | None = None) -> Replies:
        """Ask many agents the same, not durably; each has exactly one reply, in the order of asking."""
        self._of.check()
        if len(set(agents)) != len(agents):
            raise Invalid("the same agent is asked twice at once; each has exactly one reply")
        payload = encode_request(request)
        if len(payload) > self._of.max_bytes:
            raise Invalid(
                f"the request has {len(payload)} bytes, over manager.max_envelope_bytes ({self._of.max_bytes})"
            )
        kind, raw = request_type(request), msgspec.Raw(payload)
        limit = float(self._of.config.manager.command_timeout) if deadline is None else deadline
        until = self._of.loop.time() + limit
        replies: dict[AgentId, Reply] = {}
        all_in: asyncio.Future[None] = self._of.loop.create_future()

        def take(reply: Reply) -> None:
            replies[reply.agent] = reply
            if len(replies) == len(agents) and not all_in.done():
                all_in.set_result(None)

        batch = []
        now = self._of.clock.now()
        for agent in agents:
            number = self.next_message_id()
            envelope = Envelope(
                id=number,
                type=kind,
                destination=agent,
                payload=raw,
                timestamp=now,
                idempotency_key=number,
                reply_by=now + limit,
            )
            batch.append(Sent(envelope, take, deadline=until))
        self._of.outbox.send(batch)
        if len(replies) < len(agents):
            try:
                await all_in
            finally:
                if len(replies) < len(agents):
                    for sent in batch:
                        self._of.outbox.close(sent.envelope.idempotency_key)
        return Replies(replies[agent] for agent in agents)

    def next_message_id(self) -> str:
        """Return a new id for an envelope, unlike any other of any process."""
        self._messages += 1
        return f"{self._of.world.node}-{self._messages}"
