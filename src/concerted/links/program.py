"""A program that is kept running: started, listened to line by line, restarted with growing pauses, at last given up.

running --exit, or a line too long, or too many faults--> waiting (back-off) --start--> running
waiting --`restarts` in a row without one good answer--> given up
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from concerted.agent.wire import LINE_BYTES, Lines, TooLong
from concerted.errors import Unreachable
from concerted.links.spawn import READ_BYTES, Spawned, Tail, spawn

__all__ = ["Listener", "Program", "ProgramLimits", "ending"]


class ProgramLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one program.

    restarts: starts in a row without a good answer, after which it is given up.  backoff_s: the pause before
    the first restart, doubled up to longest_backoff_s.  settle_s: how long a restarted program must live
    (or until it says something) to count as back.  cancel_grace_s: how long it may take over a cancelled
    command before it is killed, unless it is also at work on something else.  stop_grace_s: between TERM
    and KILL at the end.  queue_bytes: what it has not read yet.  faults: bad lines of one start.
    """

    restarts: int = 10
    backoff_s: float = 0.1
    longest_backoff_s: float = 30.0
    settle_s: float = 0.2
    cancel_grace_s: float = 5.0
    stop_grace_s: float = 0.5
    queue_bytes: int = 8 << 20
    line_bytes: int = LINE_BYTES
    faults: int = 100
    stderr_bytes: int = 1 << 16


class Listener(Protocol):
    """Who hears of a program."""

    def started(self) -> None:
        """It has been started again; `Program.write` works."""

    def settled(self) -> None:
        """It lives, some time after it was started again."""

    def line(self, line: bytes) -> None:
        """It has written a line."""

    def fault(self, fault: str, detail: str) -> None:
        """It has misbehaved so that it is killed: `line_too_long`, `too_many_faults`."""

    def ended(self, reason: str, *, given_up: bool) -> None:
        """It has ended; unless it is given up, it will be started again."""


class Program:
    """One program, kept running between `start` and `stop`."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str | None,
        limits: ProgramLimits,
        listener: Listener,
    ) -> None:
        self._argv, self._env, self._cwd = list(argv), dict(env), cwd
        self._limits = limits
        self._listener = listener
        self._running: Spawned | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stderr = Tail(limits.stderr_bytes)
        self._is_settled = True
        self._answered = False
        self._faults = 0

    @property
    def pid(self) -> int | None:
        """Its process id, which is also its process group; None while it is not running."""
        return None if self._running is None else self._running.pid

    @property
    def stderr_tail(self) -> str:
        """The end of what it has written to standard error, over all its starts."""
        return self._stderr.text()

    async def start(self) -> None:
        """Start it and keep it running.

        Raises:
            Unreachable: it cannot be started; says what was tried.
        """
        self._running = await spawn(self._argv, self._env, self._cwd)
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=f"keep {self._argv[0]}")

    async def stop(self) -> None:
        """End it and everything in its process group: TERM, then KILL.  Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        running, self._running = self._running, None
        if running is not None:
            await running.stop(self._limits.stop_grace_s)
            running.close()

    def kill(self) -> None:
        """Kill it; it is started again."""
        if self._running is not None:
            self._running.signal(signal.SIGKILL)

    def write(self, line: bytes) -> int:
        """Write a line to its input.  Returns 0, or how many bytes it has left unread if those are too many."""
        if self._running is None or self._running.stdin.is_closing():
            return 0  # its end is about to be noticed
        unread = self._running.stdin.get_write_buffer_size()
        if unread > self._limits.queue_bytes:
            return unread
        self._running.stdin.write(line)
        return 0

    def answered(self) -> None:
        """Take note of a good answer: its next restart is the first in a row again."""
        self._answered = True

    def misbehaved(self) -> None:
        """Take note of a bad line; after `faults` of them it is killed."""
        self._faults += 1
        if self._faults == self._limits.faults:
            self._listener.fault("too_many_faults", f"{self._faults} bad lines since it was started")
            self.kill()

    async def _keep(self) -> None:
        failures = 0
        while self._running is not None:
            self._answered, self._faults = False, 0
            code = await self._listen(self._running)
            self._running = None
            failures = 0 if self._answered else failures + 1
            given_up = failures > self._limits.restarts
            reason = f"its program {ending(code)}" + (f", {failures} times in a row without an answer" * given_up)
            self._listener.ended(reason + self._last_words(), given_up=given_up)
            if given_up:
                return
            pause_s = self._limits.backoff_s * 2.0 ** min(max(0, failures - 1), 32)
            await asyncio.sleep(min(pause_s, self._limits.longest_backoff_s))
            try:
                self._running = await spawn(self._argv, self._env, self._cwd)
            except Unreachable as error:
                self._listener.ended(error.message, given_up=True)
                return
            self._is_settled = False
            self._listener.started()

    async def _listen(self, program: Spawned) -> int:
        """Read what the program writes until it ends; return its exit code."""
        loop = asyncio.get_running_loop()
        settling = loop.call_later(self._limits.settle_s, self._settle)
        readers = [loop.create_task(self._read_lines(program)), loop.create_task(self._read_stderr(program))]
        try:
            code = await asyncio.shield(program.ended)
            await asyncio.wait(readers)  # its group is dead, so both pipes end
            return code
        finally:
            settling.cancel()
            for reader in readers:
                reader.cancel()
            if program.ended.done():
                program.close()

    async def _read_lines(self, program: Spawned) -> None:
        lines = Lines(self._limits.line_bytes)
        while data := await program.stdout.read(READ_BYTES):
            try:
                for line in lines.feed(data):
                    self._settle()
                    self._listener.line(line)
                    if self._faults >= self._limits.faults:
                        return  # it is being killed
            except TooLong as error:
                self._listener.fault("line_too_long", str(error))
                program.signal(signal.SIGKILL)
                return

    async def _read_stderr(self, program: Spawned) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while data := await program.stderr.read(READ_BYTES):
                self._stderr.add(data)

    def _settle(self) -> None:
        if not self._is_settled:
            self._is_settled = True
            self._listener.settled()

    def _last_words(self) -> str:
        written = self.stderr_tail.strip().splitlines()
        return f"; it last wrote: {written[-1][:300]}" if written else ""


def ending(code: int) -> str:
    """Say in words how a program ended."""
    if code >= 0:
        return f"has exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
