"""Waiting for several things at once: all, any, a majority or n of them, with a partial result at the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Literal

import msgspec

from concerted.errors import Invalid

__all__ = ["Gathered", "wait_for"]


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the things that were waited for.

    satisfied: enough came in time.  results: name -> what it gave; errors: name -> what it raised; missing: who
    had not come when the waiting ended, sorted.
    """

    satisfied: bool
    results: dict[str, Any]
    errors: dict[str, BaseException]
    missing: tuple[str, ...]


async def wait_for(
    things: Mapping[str, Awaitable[Any]], until: Literal["all", "any", "majority"] | int = "all", *,
    timeout: float | None = None, min_fraction: float | None = None,  # noqa: ASYNC109 -- no error at the end
) -> Gathered:  # fmt: skip
    """Wait for several things by name; what is still missing at the end is cancelled.

    until: how many must come.  timeout: seconds; then what has come is the result.  min_fraction: at the
    timeout, this share of them (0..1) is enough.  A thing that raises, or whose result says `success=False`,
    has not come.

    Raises:
        Invalid: there is nothing to wait for, or more is wanted than there is.
    """
    wanted = _wanted(len(things), until, min_fraction)
    enough = wanted if min_fraction is None else min(wanted, max(1, round(min_fraction * len(things) + 0.499999)))
    tasks = {asyncio.ensure_future(thing): name for name, thing in things.items()}
    loop = asyncio.get_running_loop()
    ends_at = None if timeout is None else loop.time() + timeout
    results: dict[str, Any] = {}
    errors: dict[str, BaseException] = {}
    waiting = set(tasks)
    try:
        while waiting and len(results) < wanted and len(results) + len(waiting) >= enough:
            left = None if ends_at is None else max(0.0, ends_at - loop.time())
            done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for task in sorted(done, key=tasks.__getitem__):
                _book(task, tasks[task], results, errors)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    missing = tuple(sorted(tasks[task] for task in waiting))
    return Gathered(satisfied=len(results) >= enough, results=results, errors=errors, missing=missing)


def _wanted(count: int, until: str | int, min_fraction: float | None) -> int:
    if count == 0:
        raise Invalid("there is nothing to wait for; name at least one thing")
    if min_fraction is not None and not 0 < min_fraction <= 1:
        raise Invalid(f"min_fraction is {min_fraction}; it is a share above 0 and at most 1")
    wanted = {"all": count, "any": 1, "majority": count // 2 + 1}.get(until, until) if isinstance(until, str) else until
    if not isinstance(wanted, int) or not 1 <= wanted <= count:
        raise Invalid(f"until is {until!r}; it is all, any, majority, or a number from 1 to {count}")
    return wanted


def _book(task: asyncio.Future[Any], name: str, results: dict[str, Any], errors: dict[str, BaseException]) -> None:
    error = None if task.cancelled() else task.exception()
    if task.cancelled():
        errors[name] = asyncio.CancelledError()
    elif error is not None:
        errors[name] = error
    elif getattr(task.result(), "success", True) is False:
        errors[name] = Invalid(f"{name} has not succeeded: {getattr(task.result(), 'reason', '')}")
    else:
        results[name] = task.result()
