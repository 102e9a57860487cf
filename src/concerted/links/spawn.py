"""A program in a process group of its own, with pipes to its input and output, that dies with this process.

spawned --guarded--> the program begins --> ended --the rest of its group killed--> reaped
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence

from concerted.errors import Unreachable
from concerted.links.guardian import guard, release

__all__ = ["READ_BYTES", "Spawned", "Tail", "spawn"]

READ_BYTES = 1 << 16  # the most that is read from a pipe at once

# The program begins only when a line arrives, after its group has been put under guard; if this process dies
# before, there is no line and no program.  The words are arguments: no shell ever reads them.
_GATE = ["/bin/sh", "-c", 'read -r go && exec "$@"', "sh"]


class Tail:
    """The last `limit` bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        """Append; forget what is beyond the limit."""
        self._bytes += data
        if len(self._bytes) > 2 * self._limit:
            del self._bytes[: -self._limit]

    def text(self) -> str:
        """Return the tail as text; bytes that are no UTF-8 are shown as the replacement character."""
        return bytes(self._bytes[-self._limit :]).decode(errors="replace")


class Spawned:
    """A running program.  stdin, stdout, stderr: its pipes, in asyncio's terms; `await ended` gives its exit code."""

    stdin: asyncio.WriteTransport
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._reading: list[asyncio.BaseTransport] = []
        self.pid = process.pid
        self.ended: asyncio.Future[int] = self._loop.create_future()

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; nothing happens if it has ended."""
        if not self.ended.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def stop(self, grace_s: float) -> int:
        """Ask the group to end; kill it after `grace_s`.  Returns the exit code."""
        if grace_s > 0 and not self.ended.done():
            self.signal(signal.SIGTERM)
            await asyncio.wait([self.ended], timeout=grace_s)
        self.signal(signal.SIGKILL)
        return await asyncio.shield(self.ended)

    def close(self) -> None:
        """Close the pipes."""
        if not self.stdin.is_closing():
            self.stdin.abort()
        for transport in self._reading:
            transport.close()

    def abandon(self) -> None:
        """Kill it at once, with its pipes connected or not, and reap it."""
        os.killpg(self.pid, signal.SIGKILL)
        if hasattr(self, "stdin"):
            self.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._process.wait()
        release(self.pid)

    async def connect(self) -> None:
        """Connect the pipes to the event loop, and begin to watch for the end."""
        loop, process = self._loop, self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdin, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        self.stdout = await self._reader(process.stdout)
        self.stderr = await self._reader(process.stderr)
        self._watch()

    async def _reader(self, pipe: object) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=READ_BYTES, loop=self._loop)
        transport, _ = await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        self._reading.append(transport)
        return reader

    def _watch(self) -> None:
        """Learn of the end without reaping: until it is reaped, its number means nobody else."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # not Linux, or an old one
            threading.Thread(target=self._wait_in_thread, daemon=True, name=f"concerted-wait-{self.pid}").start()
            return
        self._loop.add_reader(descriptor, self._readable, descriptor)

    def _readable(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        os.close(descriptor)
        self._reap()

    def _wait_in_thread(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):  # the loop has closed; the guardian sees to the rest
            self._loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
        """Kill what the program has left behind in its group, then take its exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        release(self.pid)
        if not self.ended.done():
            self.ended.set_result(code)


async def spawn(words: Sequence[str], env: Mapping[str, str], cwd: str | None = None) -> Spawned:
    """Start a program: `words` as they are, without a shell, in a session and process group of its own.

    env: the whole environment.  Standard input stays open until `stdin` is closed.

    Raises:
        Unreachable: it cannot be started; says what was tried.
    """
    _check(words, env, cwd)
    try:
        process = subprocess.Popen(  # noqa: ASYNC220 - a millisecond, and asyncio's own would reap too early
            [*_GATE, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            bufsize=0,
        )
    except (OSError, ValueError) as error:
        raise Unreachable(f"{words[0]} cannot be started: {error}") from error
    spawned = Spawned(process)
    try:
        guard(process.pid)
        await spawned.connect()
    except BaseException:
        spawned.abandon()
        raise
    spawned.stdin.write(b"\n")
    return spawned


def _check(words: Sequence[str], env: Mapping[str, str], cwd: str | None) -> None:
    if not words:
        raise Unreachable("there is no program to start: the command is empty")
    if cwd is not None and not os.path.isdir(cwd):
        raise Unreachable(f"{words[0]} cannot be started in {cwd}: there is no such folder")
    name = words[0]
    path = os.path.join(cwd or "", name) if "/" in name else name
    if shutil.which(path, path=env.get("PATH")) is None:
        where = f"in {cwd}" if cwd and "/" in name else "on PATH" if "/" not in name else "there"
        raise Unreachable(f"{name} cannot be started: there is no such program {where}, or it may not be executed")
