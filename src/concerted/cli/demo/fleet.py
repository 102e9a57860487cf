"""The processes of the demo: its workers and its coordinator; all of them end when this process ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field

import msgspec

from concerted.cli.demo.coordinator import Order
from concerted.links.spawn import READ_BYTES, Spawned, Tail, spawn

__all__ = ["Fleet"]

STOP_S = 3.0  # how long a process may take to leave in order
TAIL_BYTES = 4000  # of what a process says on its standard error that are kept
AUDITOR = "concerted.cli.demo.audit:auditor"


@dataclass(slots=True, eq=False)
class _Child:
    """One process, and the end of what it has said."""

    spawned: Spawned
    tail: Tail = field(default_factory=lambda: Tail(TAIL_BYTES))
    readers: list[asyncio.Task[None]] = field(default_factory=list)


class Fleet:
    """Starts, kills and stops.  killed_workers, killed_coordinators: whose end by SIGKILL has been seen."""

    def __init__(self, network_url: str, order: Order) -> None:
        """network_url: the store as the workers see it, behind the network."""
        self.killed_workers: list[str] = []
        self.killed_coordinators = 0
        self._network_url = network_url
        self._order = order
        self._workers: dict[str, _Child] = {}
        self._coordinator: _Child | None = None
        self._ended: list[_Child] = []
        self._restarted = asyncio.Event()

    @property
    def store(self) -> str:
        """The url of the store."""
        return self._order.store

    @property
    def workers(self) -> list[str]:
        """The workers that have not been killed, by name."""
        return sorted(self._workers)

    async def start(self) -> None:
        """Start the coordinator and the workers."""
        await self._start_coordinator()
        for number in range(1, self._order.workers + 1):
            name = f"auditor-{number:02d}"
            words = ["-m", "concerted", "agent", AUDITOR, "--id", name, "--store", self._network_url]
            self._workers[name] = await _start(words)

    async def kill_worker(self, name: str) -> None:
        """End a worker with SIGKILL; nobody starts it again."""
        child = self._workers.pop(name)
        self._ended.append(child)
        if await _kill(child):
            self.killed_workers.append(name)

    async def kill_coordinator(self) -> None:
        """End the coordinator with SIGKILL, and give the same command again."""
        child = self._coordinator
        assert child is not None
        self._coordinator = None
        self._ended.append(child)
        if await _kill(child):
            self.killed_coordinators += 1
        await self._start_coordinator()
        self._restarted.set()

    async def finished(self) -> tuple[int, str]:
        """Wait for the coordinator that is not killed to end; return its exit code and what it said."""
        while True:
            child = self._coordinator
            if child is not None:
                code = await asyncio.shield(child.spawned.ended)
                if child is self._coordinator:
                    return code, child.tail.text().strip()
            self._restarted.clear()
            await self._restarted.wait()

    async def stop(self) -> None:
        """End everything: in order if it does so in time."""
        running = [*self._workers.values(), *([self._coordinator] if self._coordinator else [])]
        await asyncio.gather(*(child.spawned.stop(STOP_S) for child in running))
        for child in [*running, *self._ended]:
            for reader in child.readers:
                reader.cancel()
            child.spawned.close()

    async def _start_coordinator(self) -> None:
        order = msgspec.json.encode(self._order).decode()
        self._coordinator = await _start(["-m", "concerted.cli.demo.coordinator", order])


async def _start(words: list[str]) -> _Child:
    child = _Child(await spawn([sys.executable, *words], os.environ))
    loop = asyncio.get_running_loop()
    for stream in (child.spawned.stdout, child.spawned.stderr):
        child.readers.append(loop.create_task(_listen(stream, child.tail)))
    return child


async def _listen(stream: asyncio.StreamReader, tail: Tail) -> None:
    while data := await stream.read(READ_BYTES):
        tail.add(data)


async def _kill(child: _Child) -> bool:
    """Send SIGKILL; say whether that is what it ended by."""
    child.spawned.signal(signal.SIGKILL)
    return await asyncio.shield(child.spawned.ended) == -signal.SIGKILL
