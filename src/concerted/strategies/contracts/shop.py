"""A workshop whose tasks are seen to by conversations of the strategy's own, as contracts are.

open --begin--> talked about --attempt--> worked on --> done | failed | talked about
talked about --the conversation ends--> open, if that has decided nothing
any of them --cancel--> cancelled, with what is being done about it
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from concerted.board.task import Cancel
from concerted.messages import Reply
from concerted.strategies.workshop.tasks import Workshop
from concerted.values import AgentId, Instant, TaskId

__all__ = ["ContractShop"]


class ContractShop(Workshop):
    """The tasks of one run and the conversations about them; these count in `staff` who has room for what."""

    def begin(self, task: TaskId, see_to: Callable[[], Awaitable[None]]) -> None:
        """Have an open task seen to by a conversation of the strategy's own; undecided by that, it is open again."""
        self.open.discard(task)
        worker = asyncio.ensure_future(_await(see_to))
        worker.add_done_callback(lambda done: self._seen_to(task, done))
        self._workers[task] = worker

    async def attempt(
        self, task: TaskId, agent: AgentId, *, within_s: float, results: Mapping[str, Any],
        check: Callable[[Any], str | None],
    ) -> Reply:  # fmt: skip
        """Have an agent do a task that is being seen to, once, and book what came of it.

        within_s: its time limit, besides the task's own.  results: of others, for it to use.  check: result -> why it
        is none (then the attempt has failed).
        """
        reply = await self._attempt(task, agent, within_s, results)
        wrong = check(reply.value) if reply.ok else None
        if wrong is not None:
            reply = msgspec.structs.replace(reply, status="failed", error=wrong)
        self._book(task, reply, {})
        self.open.discard(task)
        return reply

    def due_at(self, task: TaskId) -> Instant | None:
        """Return by when a task must be done, None if it has no deadline."""
        deadline_s = self.states[task].task.deadline_s
        return None if deadline_s is None else self._started_at + deadline_s

    async def changed_or(self, seen: int, until: Instant) -> None:
        """Wait until something has changed since `changes` was `seen`, or an instant has come."""
        if self.changes == seen:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._changed.wait()

    def cancel(self, task: TaskId, reason: str) -> None:
        """Call a task off, and with it what is being done about it; whatever comes after it fails."""
        worker = self._workers.get(task)
        if worker is not None:
            worker.cancel()
        self._decide(task, Cancel(reason))
        self._drop(task)

    def _seen_to(self, task: TaskId, worker: asyncio.Future[None]) -> None:
        """Take a conversation for ended: what is still undecided is open again."""
        del self._workers[task]
        if not self.states[task].is_over:
            self.open.add(task)
        self._look_at(worker)
        self._tell()


async def _await(see_to: Callable[[], Awaitable[None]]) -> None:
    await see_to()
