"""The exam every store must pass: what the port promises, asked as one question each.

    async def test_my_store_keeps_its_promises() -> None:
        await check_store(MyStoreFactory())

A question is `async def (make) -> None`; it opens a store of its own and raises AssertionError, with an
explanation, if the answer is wrong.  STORE_QUESTIONS has them all, for who wants one test each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from concerted.errors import ConcertedError
from concerted.testing import store_log, store_tables
from concerted.testing.store_scenes import StoreFactory

__all__ = ["STORE_QUESTIONS", "StoreFactory", "StoreQuestion", "check_store", "sentence"]

StoreQuestion = Callable[[StoreFactory], Awaitable[None]]

STORE_QUESTIONS: tuple[StoreQuestion, ...] = (*store_log.QUESTIONS, *store_tables.QUESTIONS)


async def check_store(make: StoreFactory) -> list[str]:
    """Ask everything, one question after the other; return the sentences that hold.

    Raises:
        ExceptionGroup: with each question that failed, its sentence as a note.
    """
    held: list[str] = []
    failed: list[Exception] = []
    for question in STORE_QUESTIONS:
        [result] = await asyncio.gather(_ask(question, make), return_exceptions=True)
        if result is None:
            held.append(sentence(question))
        elif isinstance(result, Exception):
            result.add_note(f"This must be true of every store: {sentence(question)}.")
            failed.append(result)
        else:
            raise result
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(STORE_QUESTIONS)} promises of a store are not kept", failed)
    return held


def sentence(question: StoreQuestion) -> str:
    """Return what a question asks, as one sentence."""
    return getattr(question, "__name__", repr(question)).replace("_", " ")


async def _ask(question: StoreQuestion, make: StoreFactory) -> None:
    try:
        await question(make)
    except ConcertedError as error:
        raise AssertionError(f"it raised {type(error).__name__}: {error}") from error
