"""Watching for what a strategy may not touch: clocks, dice, files, connections, processes."""

from __future__ import annotations

import os
import random
import sys
import time
import uuid
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Forbidden"]

CLOCKS_AND_DICE: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (time, ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")),
    (random, ("random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "getrandbits")),
    (uuid, ("uuid1", "uuid4")),
    (os, ("urandom",)),
)
EVENTS = ("open", "socket.", "subprocess.", "os.", "shutil.", "sqlite3.", "urllib.", "ftplib.", "smtplib.", "http.")
READING_SOURCES = ("linecache.py", "traceback.py", "importlib/_bootstrap")  # the interpreter's own business


class Forbidden:
    """A context in which every touch of the world by code that is not ours is noted.  seen: what, and where."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._originals: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Forbidden:
        for module, names in CLOCKS_AND_DICE:
            for name in names:
                original = getattr(module, name)
                self._originals.append((module, name, original))
                setattr(module, name, self._noting(f"{module.__name__}.{name}()", original))
        _Hook.watching = self
        _Hook.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _Hook.watching = None
        while self._originals:
            module, name, original = self._originals.pop()
            setattr(module, name, original)

    def note(self, what: str, frame: FrameType | None) -> None:
        """Note a touch, unless it is our own or the interpreter's."""
        caller = frame
        while frame is not None:
            if frame.f_code.co_filename.endswith(READING_SOURCES) or "importlib._bootstrap" in frame.f_code.co_filename:
                return
            frame = frame.f_back
        if caller is None or caller.f_globals.get("__name__", "").startswith("concerted.engine"):
            return
        place = f"{what} in {caller.f_code.co_filename}:{caller.f_lineno}"
        if place not in self.seen:
            self.seen.append(place)

    def _noting(self, what: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **fields: Any) -> Any:
            self.note(what, sys._getframe(1))
            return original(*args, **fields)

        return noted


class _Hook:
    """The one audit hook of this process; such a hook can never be taken away again, only be told to sleep."""

    watching: Forbidden | None = None
    installed = False

    @classmethod
    def install(cls) -> None:
        """Install it once."""
        if not cls.installed:
            cls.installed = True
            sys.addaudithook(cls.hear)

    @classmethod
    def hear(cls, event: str, args: tuple[Any, ...]) -> None:
        """Take an event of the interpreter."""
        watching = cls.watching
        if watching is not None and event.startswith(EVENTS):
            shown = repr(args[0])[:80] if args else ""
            watching.note(f"{event}({shown})", sys._getframe(1))
