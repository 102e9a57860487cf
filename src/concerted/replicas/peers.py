"""The channels to the other replicas: each replica opens one to every other, and says what it has to say there.

    away --connected--> there --lost--> away (tries again, ever more seldom) --it has left the group--> forgotten
    a replica that joined later --connects to us--> met: from now on we have a channel to it as well

What cannot be sent is lost; the protocols say again what matters.  Of two replicas the younger always knows where the
elder listens, as it was there when the younger joined; so whoever connects says where it listens itself, and each finds
all others, however old the description is with which it was started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.consensus.replicated_log import Message
from concerted.replicas.spec import Address, Group
from concerted.replicas.wire import UNSENT_BYTES, Channel, Hello, connect

__all__ = ["Peers"]

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5
MET_COUNT = 64  # replicas for which there is a channel, or a search, at once


class Peers:
    """The others, from `open` to `close`.

    has_left: says of a replica that it was a member and never will be again.  addresses: where those that are known
    listen, this one included.
    """

    def __init__(self, group: Group, node: NodeId, has_left: Callable[[NodeId], bool] = lambda _node: False) -> None:
        self._group = group
        self._node = node
        self._has_left = has_left
        self.addresses: dict[NodeId, Address] = dict(group.replicas)
        self._channels: dict[NodeId, Channel] = {}
        self._tasks: dict[NodeId, asyncio.Task[None]] = {}
        self._encode = msgspec.msgpack.Encoder().encode

    def open(self) -> None:
        """Begin to look for the others."""
        for node in sorted(self.addresses):
            if node != self._node:
                self._look_for(node)

    def meet(self, node: NodeId, address: Address) -> None:
        """Look for a replica that has said where it listens, unless that is done already, or there are too many."""
        if node not in self._tasks and len(self._tasks) < MET_COUNT:
            self.addresses[node] = address
            self._look_for(node)

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
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _look_for(self, node: NodeId) -> None:
        task = asyncio.get_running_loop().create_task(self._stay_with(node))
        self._tasks[node] = task
        task.add_done_callback(lambda _: self._tasks.pop(node, None))

    async def _stay_with(self, node: NodeId) -> None:
        pause_s = FIRST_PAUSE_S
        hello = Hello(self._group.id, self._group.secret, self._node, self.addresses[self._node])
        while not self._has_left(node):
            over = asyncio.Event()
            channel: Channel | None = None
            try:
                channel = await connect(self.addresses[node], hello, partial(_channel_until, over))
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
        del self.addresses[node]


def _channel_until(over: asyncio.Event) -> Channel:
    return Channel(_say_nothing, lambda _channel: over.set())


def _say_nothing(_channel: Channel, _frame: bytes) -> None:
    """Others answer on channels of their own."""
