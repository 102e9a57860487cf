"""The watchdog over strategies that never yield, and the black box that remembers who was executing.

A strategy runs on the coordinator's own thread, so one that never yields would stop everything.  A
watching thread raises `Bitten` inside it; the run is parked.  If the whole process dies instead, the
black box (a small file, written before and after each step) tells the next owner which run it was.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from concerted.values import RunId

__all__ = ["Bitten", "BlackBox", "Watchdog"]

_BOX_BYTES = 512


class Bitten(BaseException):
    """Raised inside a strategy that has not yielded in time; not an Exception, so that nothing catches it."""


class BlackBox:
    """One record in a memory-mapped file: the run that is executing now.  It outlives SIGKILL, not power loss."""

    def __init__(self, path: Path | None) -> None:
        self._map: mmap.mmap | None = None
        self.suspect: RunId | None = None
        if path is None:
            return
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size != _BOX_BYTES:
                os.ftruncate(fd, _BOX_BYTES)
            self._map = mmap.mmap(fd, _BOX_BYTES)
        finally:
            os.close(fd)
        size = min(int.from_bytes(self._map[:2], "big"), _BOX_BYTES - 2)
        if size:
            self.suspect = RunId(self._map[2 : 2 + size].decode(errors="replace"))
        self.leave()

    def enter(self, run: RunId) -> None:
        """Note that this run executes from now on."""
        if self._map is not None:
            name = run.encode()[: _BOX_BYTES - 2]
            self._map[2 : 2 + len(name)] = name
            self._map[:2] = len(name).to_bytes(2, "big")

    def leave(self) -> None:
        """Note that it does no more."""
        if self._map is not None:
            self._map[:2] = b"\0\0"

    def close(self) -> None:
        """Let go of the file."""
        if self._map is not None:
            self._map.close()
            self._map = None


class Watchdog:
    """Bites strategies that execute for longer than `limit_s` without yielding."""

    def __init__(self, limit_s: float, box: BlackBox) -> None:
        self._limit_s = limit_s
        self._box = box
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start watching."""
        self._thread = threading.Thread(target=self._look, name="concerted watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._box.close()

    def over(self, run: RunId, step: Callable[[], None]) -> Watch:
        """Execute one step of a run; `bit` of what is returned says whether it was bitten.

        A bite ends the step and never reaches the caller: it may come at any instruction until it is called off.
        """
        watch = Watch(run, self._limit_s)
        self._box.enter(run)
        try:
            try:
                self._watch = watch
                step()
            finally:
                self._leave(watch)
        except Bitten:
            self._leave(watch)  # it may have come before the line above, or within it
        finally:
            self._box.leave()
        return watch

    def _leave(self, watch: Watch) -> None:
        self._watch = None
        with self._lock:  # whatever the watchdog was about to do, it has done now
            if watch.bit:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(watch.thread), None)

    def _look(self) -> None:
        while not self._stop.wait(self._limit_s / 4):
            with self._lock:
                watch = self._watch
                if watch is not None and not watch.bit and time.monotonic() - watch.since > self._limit_s:
                    watch.bit = True
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(watch.thread), ctypes.py_object(Bitten))


class Watch:
    """One step under watch."""

    __slots__ = ("_limit_s", "bit", "run", "since", "thread")

    def __init__(self, run: RunId, limit_s: float) -> None:
        self._limit_s = limit_s
        self.run = run
        self.bit = False
        self.since = time.monotonic()
        self.thread = threading.get_ident()

    @property
    def verdict(self) -> str:
        """Why the run is parked."""
        return (
            f"run {self.run} did not yield for {self._limit_s:g} s: strategies must await; "
            "put heavy work into run.compute(fn, ...)"
        )
