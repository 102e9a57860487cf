"""One replica of a log, in a process of its own, told over its standard input what to do; the same for everybody.

    {"do": "status"}                             -> {"leader": index | null, "applied": commands}
    {"do": "load", "for_s": s, "outstanding": m} -> {"done": commands, "wall_s": ..., "p50_ms": ..., "p99_ms": ...}

Each answer is one line of JSON.  A load is a closed loop: so many commands of 100 random bytes are under way all the
time, proposed in this very process; a command is done when it is committed and applied here.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

COMMAND_BYTES = 100
PATIENCE_S = 60  # for the last commands of a load


class Node(Protocol):
    """One replica of somebody's log."""

    def leader(self) -> int | None:
        """Return the index of who leads, once commands can be proposed here."""

    def applied(self) -> int:
        """Return how many commands were applied here."""

    def propose(self, command: bytes, told: Callable[[bool], None]) -> None:
        """Propose a command; `told` hears, in any thread, that it is done, or that it is not."""


def serve(node: Node, start: Callable[[Callable[[], None]], None] = lambda begin: begin()) -> None:
    """Do what is asked until there is nobody to ask.  start: calls a function where commands may be proposed."""
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "status":
            found: dict[str, Any] = {"leader": node.leader(), "applied": node.applied()}
        else:
            found = Load(node, asked["for_s"], asked["outstanding"]).run(start)
        print(json.dumps(found), flush=True)
    os._exit(0)


class Load:
    """A closed loop of so many seconds."""

    def __init__(self, node: Node, for_s: float, outstanding: int) -> None:
        self.node = node
        self.for_s = for_s
        self.outstanding = outstanding
        self.command = os.urandom(COMMAND_BYTES)
        self.lock = threading.Lock()
        self.until = 0.0
        self.open = 0
        self.failed = 0
        self.times: list[float] = []
        self.over = threading.Event()

    def run(self, start: Callable[[Callable[[], None]], None]) -> dict[str, Any]:
        """Run it, and return what was measured."""
        began_at = time.perf_counter()
        self.until = began_at + self.for_s
        start(self._begin)
        in_time = self.over.wait(self.for_s + PATIENCE_S)
        wall_s = time.perf_counter() - began_at
        times = sorted(self.times) or [0.0]
        return {
            "done": len(self.times), "failed": self.failed, "in_time": in_time, "wall_s": wall_s,
            "p50_ms": 1e3 * times[len(times) // 2], "p99_ms": 1e3 * times[int(0.99 * len(times))],
        }  # fmt: skip

    def _begin(self) -> None:
        for _ in range(self.outstanding):
            self._next()

    def _next(self) -> None:
        began_at = time.perf_counter()
        with self.lock:
            self.open += 1

        def told(done: bool) -> None:
            now = time.perf_counter()
            with self.lock:
                self.open -= 1
                if done:
                    self.times.append(now - began_at)
                else:
                    self.failed += 1
                over = now >= self.until
                if over and self.open == 0:
                    self.over.set()
            if not over:
                self._next()

        self.node.propose(self.command, told)
