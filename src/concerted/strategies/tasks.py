"""What every strategy that splits work shares: the tasks of a run, who holds which, and how each ends.

A `Workshop` keeps the book and runs the work; the strategy only decides who gets what:

    async with open_workshop(run) as shop:
        while shop.unfinished:
            ... shop.award(task, agent) ...
            await shop.news(within=5.0)
    return shop.outcome(result)
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from concerted.board.graph import Graph
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
    result_of,
)
from concerted.errors import Invalid
from concerted.run import Run
from concerted.values import AgentId, Objective, Outcome, ParticipantResult, Task, TaskId, encode

__all__ = ["Workshop", "find_tasks", "open_workshop"]

NOBODY = AgentId("")


@asynccontextmanager
async def open_workshop(run: Run) -> AsyncIterator[Workshop]:
    """Open the workshop of a run; at the end, whatever is still being worked on is called back."""
    shop = Workshop(run)
    watching = asyncio.ensure_future(shop.watch())
    try:
        yield shop
    finally:
        watching.cancel()
        await shop.stop()


class Workshop:
    """The tasks of one run and the work on them.

    open: ready tasks that nobody holds, in order of priority.  held: agent -> tasks it holds now.
    roles: agent -> its role, for the outcome.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.states: dict[TaskId, TaskState] = {}
        self.open: dict[TaskId, None] = {}
        self.held: dict[AgentId, int] = {}
        self.roles: dict[AgentId, str] = {}
        self._graph = Graph(())
        self._done: dict[TaskId, Any] = {}
        self._declined: dict[TaskId, int] = {}
        self._workers: dict[TaskId, asyncio.Future[Any]] = {}
        self._news = asyncio.Event()
        self._started_at = run.now()

    # the book

    def add(self, tasks: Sequence[Task]) -> None:
        """Take the tasks of the run.

        Raises:
            Invalid: ids twice, unknown or in a cycle.
        """
        self._graph = Graph(tasks)
        self.states = {task.id: TaskState(task, "pending" if task.after else "ready") for task in tasks}
        self.run.record("tasks.added", tasks=list(tasks))
        self.open.update(dict.fromkeys(self._graph.start()))

    @property
    def unfinished(self) -> bool:
        """Whether there is any task of which it is not decided how it ends."""
        return self._graph.unfinished > 0

    @property
    def busy(self) -> bool:
        """Whether anybody is at work."""
        return bool(self._workers)

    def waiting(self) -> list[Task]:
        """Return the open tasks, highest priority first; those past their deadline fail here."""
        for task in list(self.open):
            if self._left_s(task) == 0.0:
                self.fail(task, f"its deadline of {self.states[task].task.deadline_s:g} s has passed")
        return [self.states[task].task for task in self._graph.order(self.open)]

    def done(self) -> dict[TaskId, Any]:
        """Return the results of the finished tasks."""
        return dict(self._done)

    def free(self, agents: Iterable[AgentId]) -> dict[AgentId, int]:
        """Return how many more tasks each agent may be given; those without room are left out."""
        profiles = self.run.agents
        left = {agent: profiles[agent].capacity - self.held.get(agent, 0) for agent in agents if agent in profiles}
        return {agent: room for agent, room in left.items() if room > 0}

    def load(self, agent: AgentId) -> float:
        """Return how busy an agent is, 0..1."""
        profile = self.run.agents.get(agent)
        return 1.0 if profile is None else min(1.0, self.held.get(agent, 0) / profile.capacity)

    # the work

    def award(self, task: TaskId, agent: AgentId, then: Sequence[AgentId] = ()) -> None:
        """Have an agent do an open task.  then: who is next if it declines or is lost, best first."""
        del self.open[task]
        self._hold(agent, 1)
        self._workers[task] = asyncio.ensure_future(self._work(task, agent, list(then)))

    def fail(self, task: TaskId, reason: str) -> None:
        """Give a task up, and with it whatever comes after it."""
        self.open.pop(task, None)
        self._decide(task, Fail(reason))
        self._failed(task)
        self._tell()

    def wait_for_agent(self, task: TaskId, reason: str) -> None:
        """Say why an open task waits, once for each reason."""
        self._decide(task, Postpone(reason))

    async def news(self, within: float) -> bool:
        """Wait until something has changed (a task ended, an agent came, changed or went), at most so long."""
        try:
            async with asyncio.timeout(self._until_deadline(within)):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    async def watch(self) -> None:
        """Take note of agents that come, change and go."""
        async for _ in self.run.watch():
            self._tell()

    async def stop(self) -> None:
        """Call back what is still being worked on."""
        workers = list(self._workers.values())
        for worker in workers:
            worker.cancel()
        if workers:
            await asyncio.wait(workers)
        for task in self.states:
            self._decide(task, Cancel("the run ended first"))

    async def _work(self, task: TaskId, agent: AgentId, then: list[AgentId]) -> None:
        """Go from one agent to the next until one has done the task, or it is open again or over."""
        try:
            while agent and not await self._attempt(task, agent):
                self._hold(agent, -1)
                agent = self._next(then) if self.states[task].status == "ready" else NOBODY
                if agent:
                    self._hold(agent, 1)
            if not agent and self.states[task].status == "ready":
                self._nobody_left(task)
        finally:
            del self._workers[task]
            if agent:
                self._hold(agent, -1)
            self._tell()

    async def _attempt(self, task: TaskId, agent: AgentId) -> bool:
        """Have one agent try once, and book what comes of it; return whether nobody else need try now."""
        state = self.states[task]
        results: dict[str, Any] = {before: self._done[before] for before in state.task.after}
        self._decide(task, Claim(agent, float(self.run.config.manager.task_lease)))
        reply = await self.run.execute(state.task, agent, deadline=self._left_s(task), results=results)
        if reply.ok:
            self._decide(task, Complete(agent, reply.epoch, reply.value))
            self._done[task] = reply.value
            self._run_on(task)
            return True
        self._decide(task, Release(reply.epoch, reply.status, reply.error or reply.status))
        if self.states[task].is_over:
            self._failed(task)
            return True
        if reply.status == "failed":  # it is the task that failed, so it goes back to everybody
            self.open[task] = None
            return True
        return False

    def _run_on(self, task: TaskId) -> None:
        """Open what comes after a task that is done."""
        for dependent in self._graph.done(task):
            self._decide(dependent, MakeReady())
            self.open[dependent] = None
        self.run.progress(len(self._done), len(self.states))

    def _nobody_left(self, task: TaskId) -> None:
        """Everybody who was to do it has declined, or was lost: it is open again, `retries` times."""
        times = self._declined[task] = self._declined.get(task, 0) + 1
        if times > self.states[task].task.retries:
            self.fail(task, f"nobody has done it in {times} rounds; the last answer: {self.states[task].reason}")
        else:
            self.open[task] = None

    def _failed(self, task: TaskId) -> None:
        """Give up, with a task that has failed for good, whatever comes after it."""
        for dependent, why in self._graph.failed(task):
            self.open.pop(dependent, None)
            self._decide(dependent, Fail(why))

    def _decide(self, task: TaskId, request: Request) -> None:
        """Let the task's machine decide; write its events and evolve by them."""
        now, state = self.run.now(), self.states[task]
        for event in decide(state, request, now).events:
            if event.kind != "task.claimed":  # run.execute writes that one, with the command itself
                self.run.record(event.kind, agent=event.agent, ref=event.ref, **event.data)
            state = evolve(state, event, now)
        self.states[task] = state

    def _next(self, then: list[AgentId]) -> AgentId:
        """Return the next who still has room."""
        while then:
            agent = then.pop(0)
            if self.free([agent]):
                return agent
        return NOBODY

    def _hold(self, agent: AgentId, more: int) -> None:
        self.held[agent] = self.held.get(agent, 0) + more

    def _tell(self) -> None:
        self._news.set()

    def _left_s(self, task: TaskId) -> float | None:
        """Return how many seconds a task still has, None if it has no deadline."""
        deadline_s = self.states[task].task.deadline_s
        return None if deadline_s is None else max(0.0, self._started_at + deadline_s - self.run.now())

    def _until_deadline(self, within: float) -> float:
        """Return `within`, or the shorter time to the next deadline of an open task."""
        left = [left for left in (self._left_s(task) for task in self.open) if left is not None]
        return min([within, *left])

    # the end

    def outcome(self, result: Any, *, timed_out: bool = False, reason: str = "") -> Outcome:
        """Return how it all ended; success means that every mandatory task is done."""
        results = tuple(result_of(state) for state in self.states.values())
        missing = [state.task.id for state in self.states.values() if state.status != "done" and state.task.mandatory]
        if missing and not reason:
            why = self.states[missing[0]].reason or "not done"
            reason = f"{len(missing)} of {len(results)} tasks not done; {missing[0]}: {why}"
            reason = f"the deadline passed first: {reason}" if timed_out else reason
        return Outcome(
            success=not missing and bool(self.states) and not timed_out,
            result=result,
            reason=reason,
            tasks=results,
            participants=self._participants(),
            timed_out=timed_out,
        )

    def _participants(self) -> dict[AgentId, ParticipantResult]:
        done: dict[AgentId, list[TaskId]] = {}
        failed: dict[AgentId, list[TaskId]] = {}
        for state in self.states.values():
            if state.agent is not None and state.status in ("done", "failed"):
                (done if state.status == "done" else failed).setdefault(state.agent, []).append(state.task.id)
        everybody = sorted({*done, *failed, *self.roles, *self.run.agents})
        return {
            agent: ParticipantResult(
                agent=agent,
                done=tuple(done.get(agent, ())),
                failed=tuple(failed.get(agent, ())),
                role=self.roles.get(agent, ""),
            )
            for agent in everybody
        }


async def find_tasks(run: Run) -> tuple[Task, ...]:
    """Return the tasks of the objective: as given, or as its `decompose` function finds them.

    Raises:
        Invalid: there is no such function, it raised, or what it returned are no tasks.
    """
    objective = run.objective
    if objective.decompose is None:
        return objective.tasks
    name = objective.decompose
    found = await run.do(f"decompose by {name}", lambda: _decompose(name, objective))
    try:
        return objective.tasks + msgspec.convert(found, tuple[Task, ...])
    except msgspec.ValidationError as error:
        raise Invalid(f"{name} returned no list of tasks: {error}") from error


def _decompose(name: str, objective: Objective) -> Any:
    module, separator, function = name.partition(":")
    if not separator:
        raise Invalid(f"{name!r} names no function; it must be module:function")
    found = getattr(importlib.import_module(module), function)(objective)
    return msgspec.json.decode(encode(list(found)))
