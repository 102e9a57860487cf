"""An agent that runs by itself: it joins the coordinators of a store, stays through their changes, and leaves in order.

    looking --a coordinator lets it in--> joined --the last one has gone--> looking (back-off)
    joined --another node is there--> joined with both (every `look_s`)
    joined | looking --SIGTERM, stop()--> leaving --nothing in hand, or the grace is over--> left

A store in a file has one owner; of a database the agent serves all nodes of this machine at once, through one
desk and one inbox: a command that comes again from another node, which has taken a run over, is done once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from collections import deque
from pathlib import Path

import msgspec

from concerted.agent.abilities import Abilities
from concerted.agent.addresses import places_of, replicas_folder
from concerted.agent.desk import COMMANDS_IN_HAND, Desk
from concerted.agent.inbox import FileInbox, Inbox
from concerted.agent.joined import Joined
from concerted.agent.wire import Frame, Hello
from concerted.errors import ConcertedError, Overloaded, Unreachable
from concerted.messages import Beat, Envelope, Reply
from concerted.values import Profile

__all__ = ["Service", "ServiceLimits"]

UNSENT_REPLIES = 1_000  # replies kept while there is no coordinator; older ones are asked for again by key


class ServiceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a service.

    first_pause_s, longest_pause_s: between two attempts to find a coordinator, doubling.  look_s: how often one that
    serves some nodes looks for new ones.  patience_s: how long to go on without any; None for ever.
    stop_grace_s: how long commands in hand may take at the end.
    """

    first_pause_s: float = 0.05
    longest_pause_s: float = 2.0
    look_s: float = 0.5
    patience_s: float | None = None
    stop_grace_s: float = 10.0


class Service:
    """One agent at a store's URL, from `run` until `stop`."""

    def __init__(
        self, agent: Abilities, url: str, inbox: Inbox | None = None, limits: ServiceLimits | None = None,
        token: str | None = None,
    ) -> None:  # fmt: skip
        """Take an agent.  inbox: by default a file that follows from the store's URL and the agent's id.

        token: proves that it is this agent, where the store has principals.

        Raises:
            Invalid: the URL names no store.
            Conflict: the agent already runs in another process.
            NotAllowed: the folder for its inbox cannot be made.
        """
        self._places = places_of(url)
        self._url = url
        self._agent = agent
        self._limits = limits or ServiceLimits()
        self._desk = Desk(agent, inbox if inbox is not None else FileInbox(self._places.inbox(agent.id)))
        self._incarnation = uuid.uuid4().hex
        self._token = token
        self._joined: dict[Path, Joined] = {}  # where it is, or tries to be
        self._visits: dict[Path, asyncio.Task[None]] = {}
        self._news = asyncio.Event()  # a coordinator that had let it in is gone, or one has turned it away
        self._turned_away: ConcertedError | None = None
        self._asking: Joined | None = None  # while a command is being taken
        self._has_answered = False
        self._asked_by: dict[str, Joined] = {}  # key in hand -> who asked last, and is not superseded
        self._unsent: deque[Reply] = deque(maxlen=UNSENT_REPLIES)
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop` is called.

        Raises:
            Unreachable: no coordinator was found within `patience_s`.
            NotAllowed: the folder in which nodes would listen is not this user's alone.
            ConcertedError: a coordinator turned the agent away; the class says why.
        """
        self._desk.open(self._answer, self._send_beat)
        self._agent.hosted.resume(replicas_folder(self._url), self._agent.id)
        self._agent.watchers.append(self._changed)
        stopped = asyncio.ensure_future(self._stop.wait())
        looking = asyncio.ensure_future(self._stay_joined())
        try:
            await asyncio.wait([stopped, looking], return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                looking.result()
            self._desk.closing = f"agent {self._agent.id} is leaving"
            await self._desk.drain(self._limits.stop_grace_s)
            await asyncio.gather(*(joined.say_goodbye("it was stopped") for joined in self.joined))
        finally:
            tasks = [stopped, looking, *self._visits.values()]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._agent.watchers.remove(self._changed)
            await self._desk.close()
            self._desk.inbox.close()

    def stop(self) -> None:
        """Leave: begin nothing new, finish what is in hand, say goodbye."""
        self._stop.set()

    def stop_at_signals(self) -> None:
        """Leave at SIGTERM and SIGINT; a second SIGINT interrupts at once."""
        loop = asyncio.get_running_loop()

        def interrupted() -> None:
            loop.remove_signal_handler(signal.SIGINT)
            self.stop()

        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, interrupted)

    @property
    def joined(self) -> list[Joined]:
        """The coordinators that have let the agent in and are there, in the order of their names."""
        return [joined for _, joined in sorted(self._joined.items()) if joined.is_open]

    # where the coordinators are

    async def _stay_joined(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s, alone_since = self._limits.first_pause_s, loop.time()
        while True:
            for path in self._places.sockets():
                if path not in self._visits:
                    self._visits[path] = loop.create_task(self._visit(path))
            if await self._news_within(pause_s):
                pause_s, alone_since = self._limits.first_pause_s, loop.time()
                await asyncio.sleep(pause_s)
            elif self.joined:
                pause_s, alone_since = self._limits.look_s, loop.time()
            else:
                patience_s = self._limits.patience_s
                if patience_s is not None and loop.time() - alone_since > patience_s:
                    raise Unreachable(self._places.nobody())
                pause_s = min(2 * pause_s, self._limits.longest_pause_s)

    async def _news_within(self, pause_s: float) -> bool:
        """Wait, and say whether it was for news.

        Raises:
            ConcertedError: a coordinator has turned the agent away for good.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if self.joined and not self._places.is_many else pause_s):
                await self._news.wait()
        if not self._news.is_set():
            return False
        self._news.clear()
        if self._turned_away is not None:
            raise self._turned_away
        return True

    async def _visit(self, path: Path) -> None:
        """Be with one coordinator as long as it is there."""
        joined = self._joined[path] = Joined(self)
        try:
            with contextlib.suppress(OSError):  # nobody is there, or no longer
                await joined.stay(path)
        finally:
            del self._joined[path], self._visits[path]
        refusal = joined.refusal
        if refusal is not None and not isinstance(refusal, Unreachable | Overloaded):
            self._turned_away = refusal
        if joined.was_welcome or self._turned_away is not None:
            self._news.set()

    # what the coordinators say

    def hello(self) -> Hello:
        """Return what is to be said first."""
        return Hello(role="agent", profile=self._agent.profile, incarnation=self._incarnation, token=self._token)

    def heartbeat(self) -> Beat:
        """Return how the agent is."""
        return self._desk.heartbeat()

    def welcomed(self, joined: Joined) -> None:
        """Give a coordinator the answers for which there was none."""
        while self._unsent:
            joined.write(Frame(reply=self._unsent.popleft()))

    def take(self, envelope: Envelope, joined: Joined) -> None:
        """Take a command; its answer goes to whoever has asked for it last, unless that one was refused as stale."""
        key = envelope.idempotency_key
        self._asking, self._has_answered = joined, False
        try:
            self._desk.take(envelope)
        finally:
            self._asking = None
        if not self._has_answered and self._desk.holds(key):
            self._asked_by[key] = joined
            joined.write(Frame(ack=key))  # taken: it need not be delivered again
            if len(self._asked_by) > 2 * COMMANDS_IN_HAND:  # functions may end without any answer
                self._asked_by = {key: by for key, by in self._asked_by.items() if self._desk.holds(key)}

    # what the agent says

    def _answer(self, reply: Reply) -> None:
        self._has_answered = True
        asker = self._asking or self._asked_by.pop(reply.key, None)
        if asker is not None and asker.is_open:
            asker.write(Frame(reply=reply))
            return
        joined = self.joined
        for other in joined:  # its successor may be among them
            other.write(Frame(reply=reply))
        if not joined:
            self._unsent.append(reply)

    def _send_beat(self, beat: Beat) -> None:
        for joined in self.joined:
            joined.send_beat(beat)

    def _changed(self, profile: Profile) -> None:
        for joined in self.joined:
            joined.write(Frame(changed=profile))
