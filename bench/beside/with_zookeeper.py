"""ZooKeeper, with kazoo: the recipes of its documentation, asynchronous, over one session.

    with_zookeeper.py PORT PROCESS WHAT [WHAT ...]

Barrier: an ephemeral node for each who is there, one watch for the node that says all are.  Lock: an ephemeral
sequential node, held by the lowest; who waits watches the one before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError
from workers import PARTIES, Wakers, run


class ZooKeeper:
    """One session for all workers."""

    def __init__(self, port: int, process: int) -> None:
        self.port = port
        self.process = process
        self.wakers = Wakers()
        self.made: dict[str, asyncio.Future[None]] = {}

    async def open(self) -> None:
        """Connect."""
        self.loop = asyncio.get_running_loop()
        self.client = KazooClient(hosts=f"127.0.0.1:{self.port}", timeout=30)
        await asyncio.to_thread(self.client.start)
        self.root = f"/{self.loop.time()}"
        await asyncio.to_thread(self.client.ensure_path, self.root)

    async def close(self) -> None:
        """Hang up."""
        await asyncio.to_thread(self.client.stop)
        await asyncio.to_thread(self.client.close)

    def processes(self) -> Sequence[int]:
        """Return the server's process."""
        return (self.process,)

    async def arrive(self, turn: int, worker: int) -> None:
        """Make a node; the last one, by the number of its parent's children, makes the one that all watch for."""
        path = f"{self.root}/barrier-{turn}"
        ready = f"{path}-ready"
        released = self.wakers.wait(ready)
        await self.once(path, watched=ready)
        await self.answer(self.client.create_async(f"{path}/{worker}", ephemeral=True))
        there = await self.answer(self.client.exists_async(path))
        if there.numChildren == PARTIES:
            with contextlib.suppress(NodeExistsError):
                await self.answer(self.client.create_async(ready, ephemeral=True))
        await released

    async def acquire(self, name: str, worker: int) -> str:  # noqa: ARG002
        """Make a node with a number, and wait until the one before it is gone."""
        path = f"{self.root}/{name}"
        await self.once(path)
        mine: str = await self.answer(self.client.create_async(f"{path}/n-", ephemeral=True, sequence=True))
        own = mine.rpartition("/")[2]
        while True:
            line = sorted(await self.answer(self.client.get_children_async(path)))
            place = line.index(own)
            if place == 0:
                return mine
            before = f"{path}/{line[place - 1]}"
            gone = self.wakers.wait(before)
            if await self.answer(self.client.exists_async(before, watch=self.seen(before))):
                await gone

    async def release(self, name: str, worker: int, token: str) -> None:  # noqa: ARG002
        """Delete the node."""
        await self.answer(self.client.delete_async(token))

    async def once(self, path: str, watched: str = "") -> None:
        """Make a node, and watch for another, unless one of us has; all wait until it is done."""
        making = self.made.get(path)
        if making is None:
            making = self.made[path] = self.loop.create_future()
            if watched:
                await self.answer(self.client.exists_async(watched, watch=self.seen(watched)))
            await self.answer(self.client.create_async(path))
            making.set_result(None)
        await making

    def seen(self, name: str) -> Callable[[Any], None]:
        """Return a watch that wakes who waits for this name."""
        return lambda _: self.loop.call_soon_threadsafe(self.wakers.call, name)

    def answer(self, asked: Any) -> asyncio.Future[Any]:
        """Return what is done in our loop when kazoo's thread has the answer."""
        future: asyncio.Future[Any] = self.loop.create_future()

        def settle() -> None:
            if future.done():
                return
            if asked.exception is not None:
                future.set_exception(asked.exception)
            else:
                future.set_result(asked.value)

        asked.rawlink(lambda _: self.loop.call_soon_threadsafe(settle))
        return future


if __name__ == "__main__":
    run(ZooKeeper(int(sys.argv[1]), int(sys.argv[2])), sys.argv[3:])
