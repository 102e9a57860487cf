"""The guardian: one small process that kills what this process has started, when this process ends, however it ends.

It reads `add PGID` and `drop PGID` from a pipe whose other end only the coordinator has.  When that end
closes (an exit, a crash, SIGKILL) it kills every process group that was added and not dropped.  A group is
added before its program begins (`spawn.py`) and dropped once its leader has been reaped, so that its number
cannot have come to mean another.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading

__all__ = ["guard", "release"]


def guard(group: int) -> None:
    """Have this process group killed when this process ends.

    Raises:
        OSError: the guardian cannot be started.
    """
    _guardian.tell("add", group)


def release(group: int) -> None:
    """Forget a process group: its leader is gone."""
    _guardian.tell("drop", group)


class _Guardian:
    """The pipe to the guardian of this process; started with the first group, and again if it has been killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._owner = 0
        self._groups: set[int] = set()

    def tell(self, word: str, group: int) -> None:
        with self._lock:
            if self._owner != os.getpid():  # a fork: the groups are the parent's
                self._process, self._groups, self._owner = None, set(), os.getpid()
            if word == "add":
                self._groups.add(group)
            else:
                self._groups.discard(group)
            line = f"{word} {group}\n".encode()
            if self._process is not None:
                with contextlib.suppress(BrokenPipeError):
                    os.write(self._pipe, line)
                    return
                self._end()
            if self._groups:
                self._start()
                os.write(self._pipe, b"".join(b"add %d\n" % each for each in sorted(self._groups)))

    def stop(self) -> None:
        """Close the pipe, which kills whatever is left, and wait for the guardian to have done so."""
        with self._lock:
            if self._process is not None and self._owner == os.getpid():
                self._end()

    def _start(self) -> None:
        # By its path and without site-packages: 20 ms instead of 100.
        words = [sys.executable, "-I", "-S", __file__]
        reading, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                words, stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
        finally:
            os.close(reading)

    def _end(self) -> None:
        assert self._process is not None
        os.close(self._pipe)
        self._process.wait()
        self._process = None


def _watch() -> None:
    """Be the guardian: read the pipe to its end, then kill."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        word, _, number_text = line.partition(b" ")
        if word == b"add":
            groups.add(int(number_text))
        else:
            groups.discard(int(number_text))
    for group in sorted(groups):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    _watch()
else:
    _guardian = _Guardian()
    atexit.register(_guardian.stop)
