"""Virtual time: an event loop that never waits, and processes on it that can be killed.

The loop jumps to the next timer instead of waiting for it, so an hour of timeouts takes no time and two
runs of the same program do the same.  A *process* is a context: whatever is scheduled from inside it
belongs to it, and from the instant it is killed nothing of it runs any more, as after SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, NoReturn, TypeVar

from concerted.errors import Deadlock, NotAllowed
from concerted.values import Instant

__all__ = ["EPOCH", "Process", "SimClock", "VirtualLoop", "run_virtual"]

EPOCH: Instant = 1_700_000_000.0  # the wall clock of a simulation when its loop says 0
CLOSES = 10  # attempts to close a dead coroutine
NAMED = 20  # waiting tasks named in a deadlock's message

T = TypeVar("T")


class Process:
    """Something that can be killed: everything scheduled from inside its context, and from inside that, and so on."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self._loop = loop
        self.name = name
        self.alive = True
        self._context = contextvars.copy_context()
        self._context.run(_current.set, self)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as a task of this process."""
        return self._loop.create_task(work, context=self._context.copy(), name=self.name)

    def call(self, fn: Callable[..., Any], *args: Any) -> None:
        """Have this process call `fn`, at once but not from inside whoever asks for it."""
        self._loop.call_soon(fn, *args, context=self._context.copy())

    def call_at(self, when: float, fn: Callable[..., Any], *args: Any) -> None:
        """Have this process call `fn` at an instant of the loop's time, if it still lives then."""
        self._loop.call_at(when, fn, *args, context=self._context.copy())

    def kill(self) -> None:
        """End it now: no callback, timer or task of it runs any more, and nobody in it is told."""
        if self.alive:
            self.alive = False
            self._loop.bury(self)


_current: ContextVar[Process | None] = ContextVar("concerted_sim_process", default=None)


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's own loop without a selector: where that would wait, time jumps."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-6  # above the spacing of floats, even after a thousand years
        self._selector = self
        self._births = itertools.count()
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._over = False
        self.set_task_factory(_born)

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Jump to the next timer.

        Raises:
            Deadlock: there is none; says which tasks wait and where.
        """
        if timeout is None:
            raise Deadlock(
                f"nothing will ever happen again at virtual time {self._now:.3f} s; waiting: {self.waiting()}",
                at_s=self._now,
            )
        if timeout > 0:
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        return []

    def waiting(self) -> str:
        """Say which tasks are not done, and where each waits."""
        found = [task for task in self._tasks.values() if not task.done() and _lives(task)]
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        return "; ".join(f"{task.get_name()} in {_place(task)}" for task in found[:NAMED]) + more

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback, unless its process is dead."""
        handle = super().call_soon(callback, *args, context=context)
        if self._over or _is_dead(context):
            handle.cancel()
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Arm a timer, unless its process is dead."""
        handle = super().call_at(when, callback, *args, context=context)
        if self._over or _is_dead(context):
            handle.cancel()
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback; there is one thread only."""
        return self.call_soon(callback, *args, context=context)

    def bury(self, process: Process) -> None:
        """Cancel all that a process has scheduled; its tasks are never stepped again."""
        for handle in [*self._ready, *self._scheduled]:  # type: ignore[attr-defined]
            if handle._context.get(_current) is process:
                handle.cancel()
        for task in self._tasks.values():
            if not task.done() and _owner(task) is process:
                task._log_destroy_pending = False  # type: ignore[attr-defined]

    def note(self, task: asyncio.Task[Any]) -> None:
        """Remember a task until it is done, in the order of birth; so no coroutine is closed before the loop is."""
        number = next(self._births)
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    def run_in_executor(self, _: Any, func: Any, *__: Any) -> NoReturn:  # type: ignore[override]
        """Refuse: threads have a time of their own.

        Raises:
            NotAllowed: always.
        """
        raise NotAllowed(f"a simulation has no threads; {func!r} wants one: make it an async function")

    def _process_events(self, events: list[Any]) -> None:
        """Take nothing: there is no I/O."""

    def _write_to_self(self) -> None:
        """Need nothing: the loop never sleeps."""

    def close(self) -> None:
        """Close the loop, and the coroutines of the dead, whose last words nobody hears.  Idempotent."""
        self._over = True
        asyncio._set_running_loop(self)
        try:
            for task in [task for task in self._tasks.values() if not task.done()]:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _bury_coroutine(task)
        finally:
            asyncio._set_running_loop(None)
        self._tasks.clear()
        super().close()


class SimClock:
    """`ports.clock.Clock` in virtual time.  skew_s: by how much its wall clock is wrong."""

    def __init__(self, loop: asyncio.AbstractEventLoop, skew_s: float = 0.0) -> None:
        self._loop = loop
        self.skew_s = skew_s

    def now(self) -> Instant:
        """Return the simulated wall clock."""
        return EPOCH + self._loop.time() + self.skew_s

    def monotonic(self) -> float:
        """Return the loop's time."""
        return self._loop.time()


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual loop of its own, to its end; `asyncio.run` in no time.

    Raises:
        Deadlock: everybody waits and no timer is armed.
    """
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        _cancel_rest(loop)
        loop.close()


def _cancel_rest(loop: VirtualLoop) -> None:
    """Let what is left over end in order, as `asyncio.run` does; the dead stay as they are."""
    rest = [task for task in loop._tasks.values() if not task.done() and _lives(task)]
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.wait(rest, timeout=3600.0))
    loop.run_until_complete(loop.shutdown_asyncgens())


def _born(loop: asyncio.AbstractEventLoop, coro: Any, **how: Any) -> asyncio.Task[Any]:
    assert isinstance(loop, VirtualLoop)
    task: asyncio.Task[Any] = _Task(coro, loop=loop, **how)
    loop.note(task)
    return task


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """A task that knows its process."""

    def __init__(self, coro: Any, *, context: Context | None = None, **how: Any) -> None:
        self.process = _current.get() if context is None else context.get(_current)
        super().__init__(coro, context=context, **how)


def _bury_coroutine(task: asyncio.Task[Any]) -> None:
    """Close a coroutine that will never go on; one that awaits in its `finally` is closed again."""
    coro: Any = task.get_coro()
    for _ in range(CLOSES):
        with contextlib.suppress(RuntimeError):
            coro.close()
            return


def _owner(task: asyncio.Task[Any]) -> Process | None:
    return task.process if isinstance(task, _Task) else None


def _lives(task: asyncio.Task[Any]) -> bool:
    owner = _owner(task)
    return owner is None or owner.alive


def _is_dead(context: Context | None) -> bool:
    process = _current.get() if context is None else context.get(_current)
    return process is not None and not process.alive


def _place(task: asyncio.Task[Any]) -> str:
    """Say where a task waits: the innermost of its coroutines that is written by somebody."""
    frames = task.get_stack()
    coro: Any = task.get_coro()
    where = "?"
    while coro is not None and getattr(coro, "cr_frame", None) is not None:
        frame = coro.cr_frame
        where = f"{coro.__qualname__}:{frame.f_lineno}"
        coro = coro.cr_await
    return where if where != "?" or not frames else f"{frames[-1].f_code.co_qualname}:{frames[-1].f_lineno}"
