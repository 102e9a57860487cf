"""One coordinator that an independent agent serves: a connection, from the hello to its end.

connecting --connected--> greeting --welcome--> joined --connection lost--> over
greeting --turned away--> over, with the refusal
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Protocol

import msgspec

from concerted.agent.wire import (
    LINE_BYTES,
    Frame,
    Hello,
    Lines,
    Notice,
    TooLong,
    read_envelope,
    write_line,
)
from concerted.errors import ConcertedError, Invalid, from_wire
from concerted.messages import Beat, Envelope

__all__ = ["Host", "Joined"]

READ_BYTES = 1 << 16
UNREAD_BYTES = 1 << 20  # unread by the coordinator; beyond it heartbeats are left out
GOODBYE_S = 1.0  # how long a goodbye may take to leave


class Host(Protocol):
    """Whoever joins: an agent's service."""

    def hello(self) -> Hello:
        """Return what is to be said first."""

    def heartbeat(self) -> Beat:
        """Return how the agent is."""

    def welcomed(self, joined: Joined) -> None:
        """Take note that a coordinator has let the agent in."""

    def take(self, envelope: Envelope, joined: Joined) -> None:
        """Take a command."""


class Joined:
    """A connection to one coordinator.  refusal: why it turned the agent away, if it did."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._writer: asyncio.StreamWriter | None = None
        self._beat_s = 0.0
        self.was_welcome = False
        self.refusal: ConcertedError | None = None

    @property
    def is_open(self) -> bool:
        """Whether what is written now may arrive."""
        return self._writer is not None and not self._writer.is_closing()

    async def stay(self, path: Path) -> None:
        """Connect, say hello and do what comes, until the connection ends.

        Raises:
            OSError: nobody answers there.
        """
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES)
        beats: asyncio.Task[None] | None = None
        lines = Lines()
        try:
            writer.write(write_line(Frame(hello=self._host.hello())))
            while data := await reader.read(READ_BYTES):
                for line in lines.feed(data):
                    self._take(line, writer)
                if self.was_welcome and beats is None:
                    beats = asyncio.get_running_loop().create_task(self._send_beats())
        except (OSError, TooLong, Invalid):
            pass  # whoever speaks there is ending, or is no coordinator
        finally:
            self._writer = None
            if beats is not None:
                beats.cancel()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def write(self, frame: Frame) -> None:
        """Write one line; nothing, once the connection is over.  A reply that is too long becomes a failure."""
        if self._writer is None:
            return
        line = write_line(frame)
        if len(line) > LINE_BYTES and frame.reply is not None:
            error = (
                f"the result has {len(line)} bytes; the bound of a message is {LINE_BYTES}: give a reference instead"
            )
            failed = msgspec.structs.replace(frame.reply, status="failed", value=None, error=error)
            line = write_line(Frame(reply=failed))
        self._writer.write(line)

    def send_beat(self, beat: Beat) -> None:
        """Write a heartbeat, unless too much is unread."""
        if self._writer is not None and self._writer.transport.get_write_buffer_size() < UNREAD_BYTES:
            self.write(Frame(beat=beat))

    async def say_goodbye(self, reason: str) -> None:
        """Say that the agent leaves, and wait a moment until that is on its way."""
        writer = self._writer
        if writer is not None:
            self.write(Frame(bye=reason))
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await writer.drain()

    def _take(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        """Take one line.

        Raises:
            Invalid: it is nothing that a coordinator says.
        """
        said = read_envelope(line)
        if not isinstance(said, Notice):
            self._host.take(said, self)
        elif said.welcome is not None:
            self.was_welcome = True
            self._beat_s = said.welcome.beat_s
            self._writer = writer
            self._host.welcomed(self)
            self.send_beat(self._host.heartbeat())
        else:
            self.refusal = from_wire(said.error or {})
            writer.close()

    async def _send_beats(self) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            self.send_beat(self._host.heartbeat())
