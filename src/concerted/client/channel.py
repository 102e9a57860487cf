"""The channel of some agents: what one says all of them can read, in the same order, and nobody else counts.

It is made of their inboxes: a message to all members, oneself included, whose type is the channel's name.  So what is
said is written before it is answered, has receipts, and keeps within the bounds of inboxes; and each member reads it
by the numbers of the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from concerted.client.handle import Giver, as_agents
from concerted.client.sharing import Inbox
from concerted.errors import NotAllowed
from concerted.ports.mail import MessageView, Sent

__all__ = ["Channel"]


class Channel:
    """One member's end of a channel.

    Raises:
        NotAllowed: the agent is not among the members.
    """

    def __init__(self, giver: Giver, name: str, members: Iterable[str], agent: str) -> None:
        self.name = name
        self.members = as_agents(members)
        if agent not in self.members:
            raise NotAllowed(f"{agent} is not in channel {name}; in it are {', '.join(self.members)}", agent=agent)
        self._inbox = Inbox(giver, agent)

    async def say(self, content: Any, *, request_id: str | None = None) -> Sent:
        """Say something to all members.  request_id: the same one is said once.

        Raises:
            Overloaded: a member's inbox is full.
        """
        return await self._inbox.send(self.members, content, type=self.name, request_id=request_id)

    async def read(self, after: int = 0, *, timeout_s: float = 0.0, limit: int = 100) -> list[MessageView]:
        """Return what members have said after this number, oneself included, in the order of the log.

        The `number` of the last one is where to read on.  timeout_s: how long to wait if there is nothing yet.  What
        comes from no member is passed over; what is in the inbox beside the channel stays as it is.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while True:
            left_s = max(0.0, until - loop.time())
            found = await self._inbox.fetch(after=after, type=self.name, timeout_s=left_s, limit=limit)
            said = [message for message in found if message.sender in self.members]
            if said or not found:
                return said
            after = found[-1].number
