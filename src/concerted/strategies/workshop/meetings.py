"""The meetings of a run: sync points at which its tasks arrive when they are done, or for which they wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from concerted.errors import ConcertedError
from concerted.run import Run
from concerted.values import AgentId, Meeting, Task, TaskId

__all__ = ["Meetings"]


class Meetings:
    """Holds the meetings of one run.  over: told (meeting, why not: None if it is complete) when one has ended."""

    def __init__(self, run: Run, over: Callable[[str, str | None], None]) -> None:
        self._run = run
        self._over = over
        self._meetings: dict[str, Meeting] = {}
        self._closed: dict[TaskId, set[str]] = {}
        self._waits: list[asyncio.Future[Any]] = []

    def open(self, tasks: Sequence[Task]) -> None:
        """Make the points, and wait for their ends."""
        self._meetings = {meeting.id: meeting for meeting in self._run.objective.sync}
        self._closed = {task.id: set(task.waits_for) for task in tasks if task.waits_for}
        for meeting in self._meetings.values():
            self._waits.append(asyncio.ensure_future(self._hold(meeting)))

    def hold_up(self, task: TaskId) -> bool:
        """Say whether a task must still wait for a meeting."""
        return bool(self._closed.get(task))

    def arrive(self, task: Task, result: Any) -> None:
        """Let a task that is done arrive wherever it is expected; the run does not wait for that."""
        for name in task.arrives_at:
            if name in self._meetings:
                self._waits.append(asyncio.ensure_future(self._arrive(name, task.id, result)))

    def freed(self, meeting: str) -> list[TaskId]:
        """Return the tasks that waited for this meeting and for no other one, by id."""
        waiting = [task for task in sorted(self._closed) if meeting in self._closed[task]]
        for task in waiting:
            self._closed[task].discard(meeting)
        return [task for task in waiting if not self._closed[task]]

    def waiting_for(self, meeting: str) -> list[TaskId]:
        """Return the tasks that wait for this meeting, by id."""
        return [task for task in sorted(self._closed) if meeting in self._closed[task]]

    def close(self) -> None:
        """Wait for nothing any more; what has arrived has arrived."""
        for wait in self._waits:
            wait.cancel()

    async def _hold(self, meeting: Meeting) -> None:
        try:
            told = await self._run.sync(
                self._point(meeting.id),
                participants=meeting.participants,
                condition=meeting.condition,
                within_s=meeting.deadline_s,
            )
        except ConcertedError as error:
            self._over(meeting.id, error.message)
        else:
            self._over(meeting.id, None if told.success else f"{told.status}: {told.reason or 'no reason given'}")

    async def _arrive(self, name: str, task: TaskId, result: Any) -> None:
        try:
            await self._run.sync(self._point(name), arrive_as=AgentId(task), data=result)
        except ConcertedError:
            return  # the point says so itself: it is over, or was called off

    def _point(self, name: str) -> str:
        return name if self._meetings[name].shared else f"{self._run.id}:{name}"
