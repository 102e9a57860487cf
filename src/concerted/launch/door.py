"""The door: the unix socket of an owner, or a node, through which other processes give commands and agents come in.

The first line says who it is: a client, whose further lines are commands, or an agent, which is handed
to a socket link.  The socket's mode is 0600: whoever may open it is the user whose process this is.  Where the
store has principals, the token in the hello says which of them it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from concerted.agent.wire import Hello, Notice, read_frame, write_line
from concerted.engine.commands import serve_line
from concerted.engine.coordinator import Coordinator
from concerted.engine.permissions import Principal, acting_as, require
from concerted.errors import ConcertedError, Invalid
from concerted.links.socket import SocketLink
from concerted.ports.commands import Answer

__all__ = ["Door"]

LINE_BYTES = 1 << 26  # the longest command: 64 MiB, a plan of 100,000 tasks
COMMANDS_AT_ONCE = 1_000  # per connection; the next one is read when one of them is answered
HELLO_S = 10.0  # how long a newcomer may take to say who it is


class Door:
    """Listens for one coordinator."""

    def __init__(self, coordinator: Coordinator, path: Path) -> None:
        self._of = coordinator
        self.path = path
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def open(self, listening: socket.socket | None = None) -> None:
        """Begin to listen; a socket that an earlier owner left behind is replaced (the store's lock is ours).

        listening: a socket that listens at the path already.
        """
        if listening is not None:
            self._server = await asyncio.start_unix_server(self._arrived, sock=listening, limit=LINE_BYTES)
            return
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._arrived, path=str(self.path), limit=LINE_BYTES)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server is None:
            return
        self._server.close()
        for visit in list(self._visits):
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio's would complain, in Python 3.11, when `close` cancels it.
        task = asyncio.get_running_loop().create_task(self._visit(reader, writer))
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handed_over, is_client = False, False
        try:
            line = await asyncio.wait_for(reader.readline(), HELLO_S)
            if not line:
                return  # it only wanted to know whether somebody listens
            hello = read_frame(line).hello
            is_client = hello is not None and hello.role == "client"
            if hello is not None and hello.role == "agent":
                handed_over = await self._agent(hello, reader, writer)
            elif hello is not None and hello.role == "client":
                await self._client(self._of.access.authenticate(hello.token), reader, writer)
            else:
                raise Invalid("the first line must be a hello of a client or an agent")
        except ConcertedError as error:
            turned_away = Answer(0, error=error.to_wire()) if is_client else Notice(error=error.to_wire())
            await self._turn_away(turned_away, reader, writer)
        except (OSError, ValueError, TimeoutError):
            pass  # it hung up, or never said who it was
        finally:
            if not handed_over:
                writer.close()

    async def _turn_away(
        self, why: Answer | Notice, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:  # fmt: skip
        """Say why, and let the other side hang up: if we did, what it is writing would cost it our word."""
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(write_line(why))
            async with asyncio.timeout(HELLO_S):
                while await reader.read(1 << 16):
                    pass

    async def _agent(self, hello: Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if hello.profile is None:
            raise Invalid("an agent's hello needs its profile")
        principal = self._of.access.authenticate(hello.token)
        require(principal, "agent", f"serve as the agent {hello.profile.id}")
        acting_as(principal, hello.profile.id, "serve")
        link = SocketLink(reader, writer, hello, float(self._of.config.manager.heartbeat_interval))
        await self._of.roster.register(hello.profile, link, kind="socket")
        return True

    async def _client(
        self, principal: Principal, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:  # fmt: skip
        slots = asyncio.Semaphore(COMMANDS_AT_ONCE)
        served: set[asyncio.Task[None]] = set()
        try:
            while line := await reader.readline():
                await slots.acquire()
                task = asyncio.get_running_loop().create_task(self._serve(principal, line, writer))
                served.add(task)
                task.add_done_callback(served.discard)
                task.add_done_callback(lambda _: slots.release())
        finally:
            for task in list(served):
                task.cancel()

    async def _serve(self, principal: Principal, line: bytes, writer: asyncio.StreamWriter) -> None:
        answer = await serve_line(self._of, line, principal)
        with contextlib.suppress(OSError):
            writer.write(answer + b"\n")
            await writer.drain()
