"""The channels to the other replicas: each replica opens one to every other, and says what it has to say there.

    away --connected--> there --lost--> away (tries again, ever more seldom)

What cannot be sent is lost; the protocols say again what matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.consensus.replicated_log import Message
from concerted.replicas.spec import Group
from concerted.replicas.wire import UNSENT_BYTES, Channel, Hello, connect

__all__ = ["Peers"]

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5


class Peers:
    """The others, from `open` to `close`."""

    def __init__(self, group: Group, node: NodeId) -> None:
        self._group = group
        self._node = node
        self._channels: dict[NodeId, Channel] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._encode = msgspec.msgpack.Encoder().encode

    def open(self) -> None:
        """Begin to look for the others."""
        loop = asyncio.get_running_loop()
        others = [node for node in sorted(self._group.replicas) if node != self._node]
        self._tasks = [loop.create_task(self._stay_with(node)) for node in others]

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages, to each of the others what is for it in one frame."""
        for_each: dict[NodeId, list[Message]] = {}
        for message in messages:
            for_each.setdefault(message.to, []).append(message)
        for node, said in for_each.items():
            channel = self._channels.get(node)
            if channel is not None and channel.unsent_bytes <= UNSENT_BYTES:  # of what it cannot take, more is no help
                channel.send(self._encode(said))

    async def close(self) -> None:
        """Leave them."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _stay_with(self, node: NodeId) -> None:
        pause_s = FIRST_PAUSE_S
        hello = Hello(self._group.id, self._group.secret, self._node)
        while True:
            over = asyncio.Event()
            channel: Channel | None = None
            try:
                channel = await connect(self._group.address(node), hello, partial(_channel_until, over))
                self._channels[node] = channel
                pause_s = FIRST_PAUSE_S
                await over.wait()
            except OSError:
                pass
            finally:
                self._channels.pop(node, None)
                if channel is not None:
                    channel.close()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _channel_until(over: asyncio.Event) -> Channel:
    return Channel(_say_nothing, lambda _channel: over.set())


def _say_nothing(_channel: Channel, _frame: bytes) -> None:
    """Others answer on channels of their own."""
