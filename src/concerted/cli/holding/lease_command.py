"""A command line that runs while a lease is held, with our own input, output and terminal, and dies with us.

made --under guard, has the terminal--> begins --> ended: what is left of its process group is killed
                                        the lease runs out | we are stopped --> TERM --grace--> KILL
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator, Mapping, Sequence

from concerted.client.holding import HeldLease
from concerted.errors import Invalid, LeaseLost, Unreachable
from concerted.links.guardian import guard, release

__all__ = ["GRACE_S", "check_command", "run_under"]

GRACE_S = 10.0  # between TERM and KILL, unless a third of the lease's time to live is shorter

# The program begins only when a line arrives, after its group has been put under guard: if this process dies
# before, there is no program.  The words are arguments: no shell ever reads them.
_GATE = 'read -r go < "/dev/fd/$1" && shift && exec "$@"'


def check_command(words: Sequence[str]) -> None:
    """See that there is such a program, before anything is taken for it.

    Raises:
        Invalid: there is none.
    """
    if shutil.which(words[0]) is None:
        where = "there" if "/" in words[0] else "on PATH"
        raise Invalid(f"{words[0]} cannot be started: there is no such program {where}, or it may not be executed")


async def run_under(lease: HeldLease, words: Sequence[str], facts: Mapping[str, str], ttl_s: float) -> int:
    """Run a command line while a lease is held; return its exit code, 128 + N if signal N has ended it.

    facts: what its environment has besides ours.  If the lease cannot be renewed the command is ended in time:
    it is dead before the lease can be anybody else's.

    Raises:
        LeaseLost: it was ended for that.  Unreachable: it cannot be started.
    """
    grace_s = min(GRACE_S, ttl_s / 3)
    command = _Command(words, {**os.environ, **facts})
    try:
        with _terminal_of(command.group) as has_terminal:
            ended = asyncio.ensure_future(command.begin(has_terminal))
            try:
                while not ended.done() and lease.left_s > grace_s:
                    await asyncio.wait([ended], timeout=lease.left_s - grace_s)
            finally:
                await _whatever_comes(command.end(ended, grace_s if lease.is_lost else min(grace_s, lease.left_s / 2)))
    finally:
        command.close()
    if command.is_ended_by_us:
        raise LeaseLost(
            f"the lease {lease.token} could not be renewed; {words[0]} was ended before it ran out", token=lease.token
        )
    return ended.result()


async def _whatever_comes(work: Coroutine[None, None, None]) -> None:
    """Finish the work, also if we are cancelled meanwhile; then be cancelled."""
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class _Command:
    """A program in a process group of its own, at the gate until `begin`."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str]) -> None:
        self.is_ended_by_us = False
        self._is_over = False
        reading, self._gate = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, "sh", str(reading), *words],
                env=dict(env), pass_fds=[reading], process_group=0,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            os.close(self._gate)
            raise Unreachable(f"{words[0]} cannot be started: {error}") from error
        finally:
            os.close(reading)
        self.group = self._process.pid
        try:
            guard(self.group)
        except OSError as error:
            self.close()
            self._process.wait()
            raise Unreachable(f"{words[0]} cannot be started under guard: {error}") from error

    async def begin(self, has_terminal: bool) -> int:
        """Let the program run; return its exit code when it is over, and all of its group."""
        os.write(self._gate, b"\n")
        await asyncio.to_thread(self._wait, has_terminal)
        self.signal(signal.SIGKILL)  # what it has left behind
        self._is_over = True
        code = self._process.wait()
        release(self.group)
        return code if code >= 0 else 128 - code

    async def end(self, ended: asyncio.Future[int], grace_s: float) -> None:
        """See the program end: by itself, or now."""
        if not ended.done():
            self.is_ended_by_us = True
            self.signal(signal.SIGTERM)
            await asyncio.wait([ended], timeout=grace_s)
            self.signal(signal.SIGKILL)
            await asyncio.wait([ended])

    def signal(self, number: int) -> None:
        """Send a signal to the group."""
        if not self._is_over:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, number)

    def close(self) -> None:
        """Close the gate: a program that has not begun never will."""
        os.close(self._gate)

    def _wait(self, has_terminal: bool) -> None:
        """Learn of the end without reaping: until it is reaped, its number means nobody else.

        Who has the terminal can be suspended (Ctrl-Z) with nobody left there to wake it, and would sit on
        the lease; so it is woken at once.
        """
        if not has_terminal:
            os.waitid(os.P_PID, self.group, os.WEXITED | os.WNOWAIT)
            return
        while True:
            found = os.waitid(os.P_PID, self.group, os.WEXITED | os.WSTOPPED | os.WNOWAIT)
            if found is None or found.si_code != os.CLD_STOPPED:
                return
            os.waitid(os.P_PID, self.group, os.WSTOPPED | os.WNOHANG)
            self.signal(signal.SIGCONT)


@contextlib.contextmanager
def _terminal_of(group: int) -> Iterator[bool]:
    """Lend the terminal, if it is ours now, to a process group, so that it can read and hears Ctrl-C."""
    terminal = _terminal()
    if terminal is not None:
        os.tcsetpgrp(terminal, group)
    try:
        yield terminal is not None
    finally:
        if terminal is not None:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            try:
                with contextlib.suppress(OSError):  # the terminal has been closed
                    os.tcsetpgrp(terminal, os.getpgrp())
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _terminal() -> int | None:
    """Return the descriptor of the terminal in whose foreground we are."""
    try:
        descriptor = sys.stdin.fileno()
        return descriptor if os.tcgetpgrp(descriptor) == os.getpgrp() else None
    except (OSError, ValueError, AttributeError):  # no terminal, or nothing at all
        return None
