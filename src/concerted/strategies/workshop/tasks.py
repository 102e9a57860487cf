"""What every strategy that splits work shares: the tasks of a run, who holds which, and how each ends.

A `Workshop` keeps the book and runs the work; the strategy only decides who gets what:

    async with open_workshop(run) as shop:
        shop.add(tasks)
        while shop.unfinished:
            seen = shop.changes
            ... shop.award(task, agent) ...
            await shop.news(seen, within=5.0)
    return shop.outcome(result)

    open --award--> worked on --done--> done
    worked on --refused, lost, out of time--> the next of those named --nobody left--> open
    worked on --failed--> open | failed for good, with all that comes after it
"""

from __future__ import annotations

import asyncio
import heapq
from collections import ChainMap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, TypeVar

from concerted.board.graph import Graph, ReadyQueue
from concerted.board.task import (
    Cancel,
    Claim,
    Complete,
    Fail,
    MakeReady,
    Postpone,
    Release,
    Request,
    TaskState,
    decide,
    evolve,
)
from concerted.messages import Reply
from concerted.run import Run
from concerted.strategies.workshop.meetings import Meetings
from concerted.strategies.workshop.outcome import outcome_of
from concerted.strategies.workshop.staff import Staff, Standby
from concerted.values import AgentId, Instant, Outcome, Task, TaskId

__all__ = ["Workshop", "open_workshop", "opened"]

Shop = TypeVar("Shop", bound="Workshop")
_NOBODY: Standby = {}


@asynccontextmanager
async def open_workshop(run: Run) -> AsyncIterator[Workshop]:
    """Open the workshop of a run; at the end, whatever is still being worked on is called back."""
    async with opened(Workshop(run)) as shop:
        yield shop


@asynccontextmanager
async def opened(shop: Shop) -> AsyncIterator[Shop]:
    """Open this workshop."""
    watching = asyncio.ensure_future(shop.watch())
    try:
        yield shop
    finally:
        watching.cancel()
        await shop.stop()


class Workshop:
    """The tasks of one run and the work on them.

    open: ready tasks that nobody holds, most urgent first.  staff: who has room for them.  declined,
    failed_at: task -> who has refused it, who has failed at it.  roles: agent -> its role, for the outcome.
    changes: counts what has happened: a task ended, an agent came, changed or went.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.states: dict[TaskId, TaskState] = {}
        self.staff = Staff(run)
        self.declined: dict[TaskId, set[AgentId]] = {}
        self.failed_at: dict[TaskId, set[AgentId]] = {}
        self.roles: dict[AgentId, str] = {}
        self._graph = Graph(())
        self.open = ReadyQueue(self._graph)
        self._results: dict[TaskId, Any] = {}
        self._before, self._known = run.objective.done, ChainMap(self._results, run.objective.done)
        self._workers: dict[TaskId, asyncio.Future[None]] = {}
        self._due: list[tuple[Instant, TaskId]] = []
        self.changes = 0
        self._changed = asyncio.Event()
        self._fault: BaseException | None = None
        self._started_at = run.now()
        self._meetings = Meetings(run, self._met)

    # the book

    def add(self, tasks: Sequence[Task]) -> None:
        """Take the tasks of the run.

        Raises:
            Invalid: ids twice, unknown or in a cycle.
        """
        self._graph = Graph(tasks, self._before)
        self.open = ReadyQueue(self._graph)
        self.states = {task.id: _begun(task, self._before) for task in tasks}
        self._due = [(self._started_at + task.deadline_s, task.id) for task in tasks if task.deadline_s is not None]
        heapq.heapify(self._due)
        self.run.record("tasks.added", tasks=list(tasks))
        self._meetings.open(tasks)
        for task in self._graph.start():
            if not self._meetings.hold_up(task):
                self.open.add(task)

    @property
    def unfinished(self) -> bool:
        """Whether there is any task of which it is not decided how it ends."""
        return self._graph.unfinished > 0

    @property
    def busy(self) -> bool:
        """Whether anybody is at work."""
        return bool(self._workers)

    def waiting(self, limit: int | None = None) -> list[Task]:
        """Return open tasks, most urgent first; those past their deadline fail here."""
        now = self.run.now()
        while self._due and self._due[0][0] <= now:
            _, task = heapq.heappop(self._due)
            if self.states[task].status in ("pending", "ready"):
                self.fail(task, _too_late(self.states[task]))
        return [self.states[task].task for task in islice(self.open, limit)]

    def results(self) -> dict[TaskId, Any]:
        """Return the results of the finished tasks, in the order in which they were finished."""
        return dict(self._results)

    def outcome(self, result: Any, *, timed_out: bool = False) -> Outcome:
        """Return how it all ended; success means that every mandatory task is done."""
        return outcome_of(list(self.states.values()), self.run.agents, self.roles, result, timed_out=timed_out)

    # what happens

    async def watch(self) -> None:
        """Take note of agents that come, change and go."""
        async for change in self.run.watch():
            self.staff.wake(change.agent)
            self.staff.look()
            self._tell()

    # what the strategy decides

    def award(self, task: TaskId, agent: AgentId, then: Standby = _NOBODY) -> None:
        """Have an agent do an open task.  then: who is next if it declines or is lost, best first."""
        self.open.discard(task)
        self.staff.take(agent)
        worker = asyncio.ensure_future(self._work(task, agent, dict(then)))
        worker.add_done_callback(self._look_at)
        self._workers[task] = worker

    def fail(self, task: TaskId, reason: str) -> None:
        """Give a task up, and with it whatever comes after it."""
        self._decide(task, Fail(reason))
        self._drop(task)

    def wait_for_agent(self, task: TaskId, reason: str) -> None:
        """Say why an open task waits, once for each reason."""
        self._decide(task, Postpone(reason))

    def forgive(self, task: TaskId) -> None:
        """Let those be asked again who have refused a task."""
        self.declined.pop(task, None)

    async def news(self, seen: int, within: float | None = None) -> bool:
        """Wait until something has changed since `changes` was `seen`, at most so long; False: nothing has.

        It also ends, with False, at a task's deadline and when somebody has rested enough.

        Raises:
            TimedOut: the run has the option `desertion_timeout`, and all its agents have been gone for so long.
            Whatever has gone wrong, by our own fault, in the work on a task.
        """
        if self.changes == seen:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(self._look_again_at(within)):
                    await self._changed.wait()
            except TimeoutError:
                self.staff.check_deserted()
                return False
        if self._fault is not None:
            raise self._fault
        return True

    async def stop(self) -> None:
        """Call back what is still being worked on."""
        self._meetings.close()
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)
        for task in self.states:
            self._decide(task, Cancel("the run ended first"))

    # the work

    async def _work(self, task: TaskId, agent: AgentId, then: dict[AgentId, Instant | None]) -> None:
        """Go from one agent to the next until one has done the task, or it is open again or over."""
        trying: AgentId | None = agent
        try:
            while trying is not None:
                reply = await self._attempt(task, trying)
                self.staff.put_back(trying)
                trying = self._book(task, reply, then)
                if trying is not None:
                    self.staff.take(trying)
        finally:
            del self._workers[task]
            self._tell()

    async def _attempt(
        self, task: TaskId, agent: AgentId, within_s: float | None = None, more: Mapping[str, Any] | None = None
    ) -> Reply:  # fmt: skip
        state = self.states[task]
        results: dict[str, Any] = {**(more or {}), **{before: self._known[before] for before in state.task.after}}
        left = [limit for limit in (self._left_s(task), within_s) if limit is not None]
        self._decide(task, Claim(agent, float(self.run.config.manager.task_lease)))
        return await self.run.execute(state.task, agent, deadline=min(left, default=None), results=results)

    def _book(self, task: TaskId, reply: Reply, then: dict[AgentId, Instant | None]) -> AgentId | None:
        """Write down what came of an attempt; return who is to try next, None if nobody is."""
        if reply.ok:
            self._decide(task, Complete(reply.agent, reply.epoch, reply.value))
            self._results[task] = reply.value
            self._meetings.arrive(self.states[task].task, reply.value)
            for dependent in self._graph.done(task):
                self._free(dependent)
            self.run.progress(len(self._results), len(self.states))
            return None
        self._decide(task, Release(reply.epoch, reply.status, reply.error or reply.status))
        if reply.status == "refused":
            self.declined.setdefault(task, set()).add(reply.agent)
        elif reply.status == "failed":
            self.failed_at.setdefault(task, set()).add(reply.agent)
        elif reply.status == "lost":  # it may still be there, and not to be reached for a while
            self.staff.rest(reply.agent, self.run.config.manager.heartbeat_interval)
        if self.states[task].is_over:
            self._drop(task)
        elif self._left_s(task) == 0.0:
            self.fail(task, _too_late(self.states[task]))
        elif reply.status == "failed":  # it is the task that failed, so it goes back to everybody
            self.open.add(task)
        else:
            following = self.staff.next_of(then, self.declined.get(task, ()))
            if following is None:
                self.open.add(task)
            return following
        return None

    def _free(self, task: TaskId) -> None:
        """Let a task begin that nothing holds up any more."""
        if all(one in self._known for one in self.states[task].task.after) and not self._meetings.hold_up(task):
            self._decide(task, MakeReady())
            self.open.add(task)

    def _met(self, meeting: str, why_not: str | None) -> None:
        """Take note of the end of a meeting: those that waited for it begin, or never will."""
        if why_not is None:
            for task in self._meetings.freed(meeting):
                if not self.states[task].is_over:
                    self._free(task)
        else:
            for task in self._meetings.waiting_for(meeting):
                if not self.states[task].is_over:
                    self.fail(task, f"it waited for sync point {meeting}, which came to nothing: {why_not}")
        self._tell()

    def _drop(self, task: TaskId) -> None:
        """Give up, with a task that has failed for good, whatever comes after it."""
        self.open.discard(task)
        for dependent, why in self._graph.failed(task):
            self._decide(dependent, Fail(why))
        self._tell()

    def _decide(self, task: TaskId, request: Request) -> None:
        """Let the task's machine decide; write its events and evolve by them."""
        now, state = self.run.now(), self.states[task]
        for event in decide(state, request, now).events:
            if event.kind != "task.claimed":  # run.execute writes that one, with the command itself
                self.run.record(event.kind, agent=event.agent, ref=event.ref, **event.data)
            state = evolve(state, event, now)
        self.states[task] = state

    def _look_at(self, worker: asyncio.Future[None]) -> None:
        """Keep what went wrong in the work on a task, for `news` to raise."""
        if not worker.cancelled() and worker.exception() is not None:
            self._fault = self._fault or worker.exception()
            self._tell()

    def _tell(self) -> None:
        self.changes += 1
        self._changed.set()

    # time

    def _left_s(self, task: TaskId) -> float | None:
        """Return how many seconds a task still has, None if it has no deadline."""
        deadline_s = self.states[task].task.deadline_s
        return None if deadline_s is None else max(0.0, self._started_at + deadline_s - self.run.now())

    def _look_again_at(self, within: float | None) -> Instant | None:
        """Return when `news` must end: after `within`, at a task's deadline, or when somebody has rested enough."""
        instants = [] if within is None else [self.run.now() + within]
        if self._due:
            instants.append(self._due[0][0])
        others = [self.staff.deserted_until(), self.staff.next_up() if len(self.open) else None]
        return min([*instants, *(each for each in others if each is not None)], default=None)


def _begun(task: Task, before: Mapping[TaskId, Any]) -> TaskState:
    """Return a task's first state; what was done before the run does not hold it up."""
    return TaskState(task, "pending" if task.waits_for or set(task.after).difference(before) else "ready")


def _too_late(state: TaskState) -> str:
    return f"its deadline of {state.task.deadline_s:g} s has passed"
