"""The channels of a client to the replicas of a group, and what was asked on each."""

from __future__ import annotations

import asyncio

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.replicas.spec import Group
from concerted.replicas.wire import Asked, Channel, Hello, Told, Verb, connect

__all__ = ["ANSWER_S", "Line", "Lines"]

ANSWER_S = 5.0  # how long one replica may take to answer before another one is asked
WAITS: tuple[Verb, ...] = ("wait", "events")


class Lines:
    """One channel to each replica that is asked, until `close`."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._lines: dict[NodeId, Line] = {}
        self._connecting: dict[NodeId, asyncio.Task[Line | None]] = {}

    async def to(self, node: NodeId) -> Line | None:
        """Return the one channel to a replica that all who ask it have; None: it is not there."""
        line = self._lines.get(node)
        if line is not None and line.channel.is_open:
            return line
        connecting = self._connecting.get(node)
        if connecting is None:
            connecting = self._connecting[node] = asyncio.create_task(self._connect(node))
        return await asyncio.shield(connecting)

    def learn(self, group: Group) -> None:
        """Take a newer description; hang up on those who are not in it."""
        self._group = group
        for node in sorted(self._lines.keys() - group.replicas.keys()):
            self._lines.pop(node).channel.close()

    async def close(self) -> None:
        """Hang up."""
        tasks = list(self._connecting.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        lines, self._lines = self._lines, {}
        for line in lines.values():
            line.channel.close()
        await asyncio.sleep(0)

    async def _connect(self, node: NodeId) -> Line | None:
        line, group = Line(), self._group
        try:
            address = group.replicas.get(node)
            if address is None:  # it has left since somebody meant to ask it
                return None
            async with asyncio.timeout(ANSWER_S):
                await connect(address, Hello(group.id, group.secret), line.make)
            self._lines[node] = line
            return line
        except OSError:  # TimeoutError is one
            return None
        finally:
            del self._connecting[node]


class Line:
    """A channel to one replica, and what was asked on it."""

    channel: Channel

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._last = 0
        self._asked: dict[
            int, tuple[float, asyncio.Future[Told | None]]
        ] = {}  # id -> (until when, answer); oldest first
        self._sweeping: asyncio.TimerHandle | None = None

    def make(self) -> Channel:
        """Make the channel."""
        self.channel = Channel(self._told, self._lost)
        return self.channel

    async def ask(self, verb: Verb, body: bytes, agent: str, after: int) -> Told | None:
        """Ask, and return what is told; None: nothing, in ANSWER_S."""
        self._last = id = self._last + 1
        told: asyncio.Future[Told | None] = self._loop.create_future()
        self._asked[id] = self._loop.time() + ANSWER_S, told
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(ANSWER_S, self._sweep)
        self.channel.send(_pack(Asked(id, verb, body, agent, after)))
        answer: Told | None = None
        try:
            answer = await told
        finally:
            self._asked.pop(id, None)
            if answer is None and verb in WAITS:  # it would be remembered there until the object changes
                self.channel.send(_pack(Asked(id, "forget")))
        return answer

    def _sweep(self) -> None:
        """Give up what was asked too long ago: one timer for all of it."""
        self._sweeping = None
        now = self._loop.time()
        for until, told in list(self._asked.values()):
            if until > now:
                self._sweeping = self._loop.call_at(until, self._sweep)
                break
            if not told.done():
                told.set_result(None)

    def _told(self, _channel: Channel, frame: bytes) -> None:
        told = _told.decode(frame)
        waiting = self._asked.get(told.id)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(told)

    def _lost(self, _channel: Channel) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        for _, told in self._asked.values():
            if not told.done():
                told.set_result(None)


_pack = msgspec.msgpack.Encoder().encode
_told = msgspec.msgpack.Decoder(Told)
