"""The deterministic event loop on which strategies run: FIFO callbacks, the log's time, no I/O.

It is a loop by asyncio's interface, so that plain `asyncio.sleep`, `gather`, `wait`, `TaskGroup` and
`timeout` work inside a strategy, but it never waits: the engine feeds it an input, runs it until
nothing is ready, and looks at what it wants next.  Two runs that are fed the same inputs do the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, NoReturn

from concerted.errors import NotAllowed
from concerted.values import Instant

__all__ = ["DeterministicLoop"]

STEPS = 1_000_000  # callbacks after one input; more is a strategy that never settles


class DeterministicLoop(asyncio.AbstractEventLoop):
    """Callbacks in the order of scheduling; timers numbered in the order of arming.

    `now` is set by the engine before each input.  A timer fires only when the engine says so, by its
    number, because that it fired is an input.
    """

    def __init__(self, now: Instant, armed: int = 0) -> None:
        """Begin at an instant.  armed: how many timers an earlier life has armed, whose numbers are used up."""
        self.now = now
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._by_due: list[tuple[Instant, int]] = []
        self._armed = armed
        self._births = itertools.count()
        self._generators: list[Any] = []
        self._tasks: list[asyncio.Task[Any]] = []  # held until done, so that the garbage collector decides nothing
        self._prune_at = 64
        self.complaints: list[dict[str, Any]] = []

    def run_ready(self) -> None:
        """Run until nothing is ready.

        Raises:
            NotAllowed: a million callbacks have run and there are still more.
        """
        outer = asyncio._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=self._generators.append, finalizer=None)
        ready = self._ready
        steps = 0
        try:
            while ready:
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
                steps += 1
                if steps > STEPS:
                    raise NotAllowed(f"the strategy ran {STEPS} callbacks after one input and still wants more")
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(outer)

    # timers, as the engine sees them

    def next_due(self) -> tuple[Instant, int] | None:
        """Return (due, number) of the earliest timer, None if there is none."""
        while self._by_due and self._by_due[0][1] not in self._timers:
            heapq.heappop(self._by_due)
        return self._by_due[0] if self._by_due else None

    def due_by(self, now: Instant) -> list[tuple[Instant, int]]:
        """Return (due, number) of every timer due at `now`, earliest first."""
        first = self.next_due()
        if first is None or first[0] > now:
            return []
        return sorted((handle.when(), number) for number, handle in self._timers.items() if handle.when() <= now)

    def due_of(self, number: int) -> Instant | None:
        """Return when timer `number` is due, None if it is not armed."""
        handle = self._timers.get(number)
        return None if handle is None else handle.when()

    def fire(self, number: int) -> None:
        """Make timer `number` ready; an unarmed one is ignored."""
        handle = self._timers.pop(number, None)
        if handle is not None:
            self._ready.append(handle)

    @property
    def armed(self) -> int:
        """How many timers were ever armed."""
        return self._armed

    def abandon(self) -> None:
        """Forget everything that was scheduled and close every coroutine; the run is over or given up."""
        tasks, self._tasks = [task for task in self._tasks if not task.done()], []
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task.get_coro())
            while self._generators:
                _close_generator(self._generators.pop())
        finally:
            asyncio._set_running_loop(outer)
        self._ready.clear()
        self._timers.clear()
        self._by_due.clear()

    # what asyncio asks of a loop

    def time(self) -> float:
        """Return the log's time."""
        return self.now

    def get_debug(self) -> bool:
        """Return False: debugging would change what runs."""
        return False

    def is_running(self) -> bool:
        """Return True: asked from inside only."""
        return True

    def is_closed(self) -> bool:
        """Return False."""
        return False

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future whose hash is its birth number, so that sets of them have one order."""
        return _Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        """Schedule a coroutine; the task's hash is its birth number."""
        task = _Task(coro, loop=self, name=name, context=context)
        if len(self._tasks) >= self._prune_at:
            self._tasks = [task for task in self._tasks if not task.done()]
            self._prune_at = 2 * len(self._tasks) + 64
        self._tasks.append(task)
        return task

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Append a callback to the queue."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Arm a timer `delay` seconds of log time from now."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Arm a timer for an instant; it survives restarts because the code that arms it is run again."""
        self._armed += 1
        handle = _Timer(when, callback, args, self, context)
        handle.number = self._armed
        self._timers[self._armed] = handle
        heapq.heappush(self._by_due, (when, self._armed))
        return handle

    def _timer_handle_cancelled(self, handle: _Timer) -> None:
        self._timers.pop(handle.number, None)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep a complaint (a callback that raised, a task nobody looked at) for the engine."""
        if len(self.complaints) < 100:
            self.complaints.append(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep a complaint."""
        self.call_exception_handler(context)


class _Timer(asyncio.TimerHandle):
    """A timer handle that knows its number."""

    __slots__ = ("number",)

    number: int


class _Future(asyncio.Future):  # type: ignore[type-arg]
    """A future that hashes by birth, so that no set of futures depends on memory addresses."""

    def __init__(self, *, loop: DeterministicLoop) -> None:
        super().__init__(loop=loop)
        self._birth = next(loop._births)

    def __hash__(self) -> int:
        return self._birth


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """A task that hashes by birth; `asyncio.wait` and `TaskGroup` keep tasks in sets."""

    def __init__(self, coro: Any, *, loop: DeterministicLoop, name: str | None, context: Context | None) -> None:
        self._birth = next(loop._births)
        super().__init__(coro, loop=loop, name=name or f"task-{self._birth}", context=context)

    def __hash__(self) -> int:
        return self._birth


class _Abandoned(BaseException):
    """Unwinds a coroutine that will never go on.  Not GeneratorExit: that would pass by what it awaits."""


def _close(coro: Any) -> None:
    """End a coroutine for good; what its `finally` blocks still await or raise is for nobody."""
    for _ in range(10):
        try:
            coro.throw(_Abandoned())
        except (_Abandoned, Exception):  # the strategy's code has ended, one way or another
            return
    with contextlib.suppress(RuntimeError):  # it awaits still; the garbage collector has the last word
        coro.close()


def _close_generator(generator: Any) -> None:
    for _ in range(10):
        try:
            generator.aclose().send(None)
        except (StopIteration, StopAsyncIteration):
            return
        except (_Abandoned, Exception):  # the strategy's code; it awaited, or raised
            continue


_IO = (
    "run_in_executor", "getaddrinfo", "getnameinfo", "create_connection", "create_server", "start_tls", "sendfile",
    "create_unix_connection", "create_unix_server", "connect_accepted_socket", "create_datagram_endpoint",
    "connect_read_pipe", "connect_write_pipe", "subprocess_shell", "subprocess_exec", "add_reader", "remove_reader",
    "add_writer", "remove_writer", "sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into",
    "sock_sendall", "sock_sendto", "sock_connect", "sock_accept", "sock_sendfile", "add_signal_handler",
    "remove_signal_handler", "call_soon_threadsafe", "run_forever", "run_until_complete", "stop", "close",
)  # fmt: skip


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(_: DeterministicLoop, *__: Any, **___: Any) -> NoReturn:
        raise NotAllowed(
            f"a strategy does no I/O, and this is {name}(): use run.do(name, fn) for a side effect, "
            "run.compute(fn, ...) for heavy work, run.ask(agent, ...) for everything an agent can do"
        )

    refuse.__name__ = name
    refuse.__doc__ = "Refuse: strategies do no I/O."
    return refuse


for _name in _IO:
    setattr(DeterministicLoop, _name, _refusal(_name))
DeterministicLoop.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
