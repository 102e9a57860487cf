"""Ctrl-C and its relatives: the first one stops in order, the second one at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Interrupted", "interruptible"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

T = TypeVar("T")


class Interrupted(Exception):
    """A signal has stopped the work, which is closed in order.  code: the exit code, 128 and the signal's number."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


async def interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Do the work; at the first signal cancel it and let it close, at the second end the process.

    Raises:
        Interrupted: it was cancelled by a signal.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    code = 0

    def stop(number: int) -> None:
        nonlocal code
        if code:
            os._exit(128 + number)  # children end with their guardian
        code = 128 + number
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await asyncio.wait([task])
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
    if task.cancelled() and code:
        raise Interrupted(code)
    return task.result()
