"""The local link: an agent in the coordinator's own process, reached by a function call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from concerted.agent.abilities import Abilities
from concerted.agent.desk import Desk
from concerted.agent.inbox import Inbox
from concerted.messages import Envelope
from concerted.ports.link import LinkEvents
from concerted.values import AgentId, Instant

__all__ = ["LocalLink"]


class LocalLink:
    """One agent of this process.  Plain functions and defaults answer from inside `send`."""

    pushes_beats = False
    in_process = True

    def __init__(self, agent: Abilities, inbox: Inbox | None = None, now: Callable[[], Instant] = time.time) -> None:
        self.agent: AgentId = agent.id
        self._abilities = agent
        self._desk = Desk(agent, inbox, now)
        self._take = self._desk.take
        self._events: LinkEvents | None = None

    async def open(self, events: LinkEvents) -> None:
        """Begin to take commands."""
        self._events = events
        self._desk.open(events.replied, events.beat)
        self._abilities.watchers.append(events.changed)

    def send(self, batch: Sequence[Envelope]) -> None:
        """Do the commands, in order: the quick ones at once, the others as tasks of this event loop."""
        take = self._take
        for envelope in batch:
            take(envelope)

    def holds(self, key: str) -> bool:
        """Say whether the agent is at work on this command."""
        return self._desk.holds(key)

    async def close(self, reason: str) -> None:  # noqa: ARG002
        """Call off what is in hand.  A plain function in its thread goes on until it looks at `work.cancelled`."""
        if self._events is not None:
            self._abilities.watchers.remove(self._events.changed)
            self._events = None
        await self._desk.close()
        self._desk.inbox.close()
