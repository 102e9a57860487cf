"""A network that loses messages: it stands between the workers' socket and the coordinator's, and counts.

    worker <--lines--> Network <--lines--> coordinator

Each line is one message; by seeded dice, each connection loses a share of them in either direction.
Only what opens and ends a connection (hello, welcome, goodbye) always arrives.  When one side hangs up,
the network hangs up on the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from concerted.agent.wire import LINE_BYTES, Lines, Notice, TooLong, read_envelope, read_frame
from concerted.errors import Invalid

__all__ = ["Network", "Traffic"]

READ_BYTES = 1 << 16


@dataclass(slots=True)
class Traffic:
    """What has passed, and what has not.

    delivered_again: commands that came once more, under the same key, whether they arrived or not.
    """

    to_workers: int = 0
    from_workers: int = 0
    dropped_to_workers: int = 0
    dropped_from_workers: int = 0
    delivered_again: int = 0
    keys: set[str] = field(default_factory=set)

    @property
    def sent(self) -> int:
        """Messages sent, in both directions."""
        return self.to_workers + self.from_workers

    @property
    def dropped(self) -> int:
        """Messages lost, in both directions."""
        return self.dropped_to_workers + self.dropped_from_workers


class Network:
    """Listens at one socket and passes on to another: `async with Network(...) as network:`."""

    def __init__(self, listen: Path, coordinator: Path, drop: float, seed: int) -> None:
        """listen, coordinator: sockets.  drop: which share of the messages is lost, 0..1."""
        self.traffic = Traffic()
        self._listen = listen
        self._coordinator = coordinator
        self._drop = drop
        self._seed = seed
        self._count = 0
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Network:
        self._server = await asyncio.start_unix_server(self._arrived, path=str(self._listen), limit=LINE_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        up, down = (random.Random(f"{self._seed}/{self._count}/{way}") for way in ("up", "down"))
        try:
            upstream = await asyncio.open_unix_connection(str(self._coordinator), limit=LINE_BYTES)
        except OSError:
            writer.close()  # there is no coordinator just now; the worker tries again
            return
        ways = (
            self._pass(reader, upstream[1], lambda line: self._lose_answer(line, up)),
            self._pass(upstream[0], writer, lambda line: self._lose_command(line, down)),
        )
        passing = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in passing:
                one.cancel()
            await asyncio.wait(passing)
            writer.close()
            upstream[1].close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lose: Callable[[bytes], bool]
    ) -> None:
        """Pass lines on until either side hangs up."""
        lines = Lines()
        with contextlib.suppress(OSError, TooLong):
            while data := await reader.read(READ_BYTES):
                writer.write(b"".join(line + b"\n" for line in lines.feed(data) if not lose(line)))
                await writer.drain()

    def _lose_command(self, line: bytes, dice: random.Random) -> bool:
        """Count a line to a worker, and say whether it is lost."""
        said = read_envelope(line)
        if isinstance(said, Notice):
            return False
        traffic, key = self.traffic, f"{said.destination} {said.idempotency_key}"
        traffic.to_workers += 1
        if said.idempotency_key:
            traffic.delivered_again += key in traffic.keys
            traffic.keys.add(key)
        lost = dice.random() < self._drop
        traffic.dropped_to_workers += lost
        return lost

    def _lose_answer(self, line: bytes, dice: random.Random) -> bool:
        """Count a line from a worker, and say whether it is lost."""
        try:
            frame = read_frame(line)
        except Invalid:
            return False  # the coordinator will have something to say about it
        if frame.hello is not None or frame.bye is not None:
            return False
        self.traffic.from_workers += 1
        lost = dice.random() < self._drop
        self.traffic.dropped_from_workers += lost
        return lost
