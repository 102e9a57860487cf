"""One connection to the owner of a store: commands out, answers back, in any order.

{"hello": {"role": "client", "token": ...}}         first line
{"id": 7, "command": {"command": "get_run", ...}}   then one line a command
{"id": 7, "ok": ...} | {"id": 7, "error": {...}}    and one line an answer
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import msgspec

from concerted.agent.wire import Frame, Hello, write_line
from concerted.errors import ConcertedError, Unreachable, from_wire
from concerted.ports.commands import Answer, Asked, Command

__all__ = ["ANSWER_BYTES", "Connection", "Disconnected"]

ANSWER_BYTES = 1 << 26  # the longest answer: 64 MiB, a page of 10,000 events


class Disconnected(Exception):
    """The owner has gone while it was asked; whether it did what was asked is known only by asking again."""


class Connection:
    """A client's end.  `lost` is done when the owner has gone, or has turned us away; `refusal` says why it has."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._reader = reader
        self._writer = writer
        self._open: dict[int, asyncio.Future[Answer]] = {}
        self._count = 0
        self.refusal: ConcertedError | None = None
        self._reading = loop.create_task(self._read())

    @classmethod
    async def open(cls, path: Path, token: str | None = None) -> Connection:
        """Connect to the owner that listens at `path`; the token says who we are, where that matters.

        Raises:
            Unreachable: nobody listens there.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=ANSWER_BYTES)
        except OSError as error:
            raise Unreachable(f"nobody listens at {path} ({error.strerror or error})") from error
        writer.write(write_line(Frame(hello=Hello(role="client", token=token))))
        return cls(reader, writer)

    async def give(self, command: Command) -> Any:
        """Give a command and return its answer, typed as the command says.

        Raises:
            Disconnected: the owner has gone; give it again to the next one.
            ConcertedError: what the command raised.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.lost.done():
            raise Disconnected("the owner of the store has gone")
        self._count += 1
        number = self._count
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        wire = msgspec.json.encode(Asked(number, msgspec.Raw(msgspec.json.encode(command))))
        try:
            self._writer.write(wire + b"\n")
            with contextlib.suppress(OSError):  # the reading side sees the end, and says so
                await self._writer.drain()
            given = await answer
        finally:
            self._open.pop(number, None)
        if given.error is not None:
            raise from_wire(given.error)
        return msgspec.json.decode(given.ok, type=type(command).result)

    async def close(self) -> None:
        """Hang up.  Idempotent."""
        self._reading.cancel()
        self._end()
        self._writer.close()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                answer = msgspec.json.decode(line, type=Answer)
                if answer.id == 0 and answer.error is not None:  # the answer to the hello
                    self.refusal = from_wire(answer.error)
                    break
                waiting = self._open.get(answer.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except (OSError, ValueError, msgspec.MsgspecError):
            pass  # a broken line is as good as none: the connection is over
        finally:
            self._end()

    def _end(self) -> None:
        error = self.refusal or Disconnected("the owner of the store has gone")
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(error)
        if not self.lost.done():
            self.lost.set_result(None)
        if self.refusal is not None:
            self._writer.close()
