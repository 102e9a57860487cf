"""The exam every store must pass: what the port promises, asked as one question each.

    async def test_my_store_keeps_its_promises() -> None:
        await check_store(MyStoreFactory())

A question is `async def (make) -> None`; it opens a store of its own and raises AssertionError, with an
explanation, if the answer is wrong.  STORE_QUESTIONS has them all, for who wants one test each.  If the
factory can open the same store a second time (`open_second`), SHARED_QUESTIONS are asked as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from concerted.errors import ConcertedError
from concerted.testing import store_bases, store_log, store_meeting, store_shared, store_tables, store_waits
from concerted.testing.store_scenes import SharedStoreFactory, StoreFactory

__all__ = [
    "SHARED_QUESTIONS",
    "STORE_QUESTIONS",
    "SharedStoreFactory",
    "StoreFactory",
    "StoreQuestion",
    "check_store",
    "sentence",
]

StoreQuestion = Callable[[StoreFactory], Awaitable[None]]
SharedQuestion = Callable[[SharedStoreFactory], Awaitable[None]]

STORE_QUESTIONS: tuple[StoreQuestion, ...] = (
    *store_log.QUESTIONS,
    *store_bases.QUESTIONS,
    *store_tables.QUESTIONS,
    *store_meeting.QUESTIONS,
)
SHARED_QUESTIONS: tuple[SharedQuestion, ...] = (*store_shared.QUESTIONS, *store_waits.QUESTIONS)


async def check_store(make: StoreFactory) -> list[str]:
    """Ask everything, one question after the other; return the sentences that hold.

    Raises:
        ExceptionGroup: with each question that failed, its sentence as a note.
    """
    held: list[str] = []
    failed: list[Exception] = []
    asked = [(sentence(question), partial(question, make)) for question in STORE_QUESTIONS]
    if isinstance(make, SharedStoreFactory):
        asked += [(sentence(question), partial(question, make)) for question in SHARED_QUESTIONS]
    for promise, question in asked:
        [result] = await asyncio.gather(_ask(question), return_exceptions=True)
        if result is None:
            held.append(promise)
        elif isinstance(result, Exception):
            result.add_note(f"This must be true of every store: {promise}.")
            failed.append(result)
        else:
            raise result
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(asked)} promises of a store are not kept", failed)
    return held


def sentence(question: StoreQuestion | SharedQuestion) -> str:
    """Return what a question asks, as one sentence."""
    return getattr(question, "__name__", repr(question)).replace("_", " ")


async def _ask(question: Callable[[], Awaitable[None]]) -> None:
    try:
        await question()
    except ConcertedError as error:
        raise AssertionError(f"it raised {type(error).__name__}: {error}") from error
