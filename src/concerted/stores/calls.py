"""What callers have asked a store to append, and how they are answered: the same for every writer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from concerted.stores.commit import Answer, Prepared

__all__ = ["COMMIT_ROWS", "QUEUED_ROWS", "Append", "Outcome", "settle"]

COMMIT_ROWS = 20_000  # in one commit; what comes after them waits for the next
QUEUED_ROWS = 1_000_000  # waiting for the disk; beyond that it cannot keep up

Outcome = tuple["asyncio.Future[Any]", Any]


class Append(NamedTuple):
    """The writes of one call, how many rows they have, and who waits for the answers.

    size_bytes: of their data, for a writer that wants to know.
    """

    writes: Sequence[Prepared]
    rows: int
    future: asyncio.Future[list[Answer]]
    size_bytes: int = 0


def settle(outcomes: Sequence[Outcome]) -> None:
    """Give everybody their answer or error; who has been cancelled meanwhile needs none."""
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
