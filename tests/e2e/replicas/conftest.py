"""Groups of real replicas, with their files and sockets, in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from concerted.replicas.clients.client import GroupClient
from concerted.replicas.server import Server
from concerted.replicas.spec import Group


class Running:
    """A group at work.  servers: by id, those that are up."""

    def __init__(self, group: Group, folder: Path, **options: int) -> None:
        self.group = group
        self.options = options
        self.folder = folder
        self.servers: dict[int, Server] = {}
        self.client = GroupClient(group, "ann")

    async def start(self, node: int) -> Server:
        server = Server(self.group, node, self.folder, **self.options)
        await server.open()
        self.servers[node] = server
        return server

    async def stop(self, node: int) -> None:
        await self.servers.pop(node).close()

    async def leader(self) -> int:
        """Wait until all that are up agree on who leads, and that one is up."""
        while True:
            known = [server.replica.core.leader for server in self.servers.values()]
            if known[0] in self.servers and len(set(known)) == 1:
                return known[0]
            await asyncio.sleep(0)


@pytest.fixture
def running(tmp_path: Path) -> Callable[..., object]:
    """Return what starts a group of so many replicas."""

    @asynccontextmanager
    async def start(count: int = 3, *, compact_entries: int = 1000, **fields) -> AsyncIterator[Running]:
        fields = {"election_timeout_s": 0.3, "heartbeat_interval_s": 0.05, "secret": "s"} | fields
        group = Group(id="ops", replicas={node: f"{tmp_path}/{node}.sock" for node in range(1, count + 1)}, **fields)
        there = Running(group, tmp_path / "data", compact_entries=compact_entries)
        for node in group.replicas:
            await there.start(node)
        try:
            async with asyncio.timeout(150):
                yield there
        finally:
            await there.client.close()
            for node in list(there.servers):
                await there.stop(node)

    return start
