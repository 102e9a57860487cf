"""How a run ends, from what became of its strategy."""

from __future__ import annotations

import asyncio
import traceback

from concerted.errors import ConcertedError
from concerted.runs.facts import Ending, printable
from concerted.values import Outcome, RunStatus

__all__ = ["broken", "ending_of", "finished", "stopped"]

TRACE_CHARACTERS = 8_000  # of a traceback, its end


def ending_of(task: asyncio.Task[Outcome], stop: str | None) -> Ending:
    """Return the ending that a strategy's finished task comes to."""
    if task.cancelled():
        return stopped(stop)
    error = task.exception()
    return finished(task.result(), stop) if error is None else broken(error)


def finished(outcome: Outcome, stop: str | None) -> Ending:
    """Return the ending of a strategy that has returned.  stop: `cancelled` or `timed_out` if it was told to."""
    status: RunStatus = "completed" if outcome.success else "failed"
    if not outcome.success and (stop == "timed_out" or outcome.timed_out):
        status = "timed_out"
    elif not outcome.success and stop == "cancelled":
        status = "cancelled"
    return Ending(status, {"outcome": outcome, "error": outcome.reason or None})


def stopped(stop: str | None) -> Ending:
    """Return the ending of a strategy that was cancelled and has let it pass."""
    if stop == "timed_out":
        return Ending("timed_out", {"outcome": None, "error": "its deadline has passed"})
    if stop == "cancelled":
        return Ending("cancelled", {"outcome": None, "error": "it was called off"})
    return Ending("failed", {"outcome": None, "error": "the strategy cancelled itself"})


def broken(error: BaseException) -> Ending:
    """Return the ending of a strategy that has raised; the end of its traceback is kept."""
    told = str(error) if isinstance(error, ConcertedError) else f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))[-TRACE_CHARACTERS:]
    return Ending("failed", {"outcome": None, "error": printable(told), "traceback": printable(trace)})
