"""A squad does one task again and again, each time for something else: a candidate, an option, a round.

The task of the plan is the pattern; what it is done for goes into its payload.  Whoever has room gets the
next one; who is lost or refuses rests for a while, and what it had in hand is done by another.

    async with opened(run, pattern) as squad:
        squad.begin(agent, "fit-7", {"x": 0.5}, about=candidate)
        job = await squad.next()      # a job that is over, or None: agents have come or gone
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from concerted.errors import Invalid
from concerted.messages import Reply
from concerted.run import Run
from concerted.strategies.workshop.objective import find_tasks
from concerted.strategies.workshop.staff import Staff, is_able
from concerted.swarm.thresholds import LEAST_S, Times, Worker, takers
from concerted.values import AgentId, Instant, Task, TaskId

__all__ = ["Held", "Job", "Squad", "opened", "pattern_of"]

SOON_OVER = 4  # jobs left for each place, below which it is computed who takes each of them


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt that is over.  about: whatever it was begun with."""

    task: Task
    agent: AgentId
    about: Any
    reply: Reply


@dataclass(frozen=True, slots=True)
class Held:
    """What an agent has in hand.  due_at: when it is thought to be over, by how long the agent mostly takes."""

    task: Task
    agent: AgentId
    about: Any
    begun_at: Instant
    due_at: Instant


async def pattern_of(run: Run) -> Task:
    """Return the one task of the objective, which is the pattern of all that the squad does.

    Raises:
        Invalid: there is none, or more than one.
    """
    tasks = await find_tasks(run)
    if len(tasks) != 1:
        raise Invalid(
            f"run {run.id} has {len(tasks)} tasks; a swarm that {run.options.get('mode', '')}s takes one, "
            "the pattern of what is done for each candidate, option or round"
        )
    return tasks[0]


@asynccontextmanager
async def opened(run: Run, pattern: Task) -> AsyncIterator[Squad]:
    """Gather a squad; at the end, whatever is still being worked on is called back."""
    squad = Squad(run, pattern)
    watching = asyncio.ensure_future(squad.watch())
    try:
        yield squad
    finally:
        watching.cancel()
        await squad.stop()


class Squad:
    """Agents at work on one pattern.

    staff: who has room.  tally: agent -> jobs that it has done.  times: how long each takes, learned.
    """

    def __init__(self, run: Run, pattern: Task) -> None:
        self.run = run
        self.pattern = pattern
        self.staff = Staff(run)
        self.tally: dict[AgentId, int] = {}
        self.times = Times()
        self._known: set[TaskId] = set()
        self._attempts: dict[TaskId, int] = {}
        self._working: dict[asyncio.Future[Reply], tuple[Task, AgentId, Any, Instant]] = {}
        self._over: deque[asyncio.Future[Reply]] = deque()
        self._news = asyncio.Event()

    @property
    def busy(self) -> int:
        """How many jobs are being done."""
        return len(self._working)

    def able(self) -> list[AgentId]:
        """Return who is able to do what the pattern asks for, by id."""
        return [agent for agent, profile in sorted(self.run.agents.items()) if is_able(profile, self.pattern)]

    def free(self, agents: Sequence[AgentId] | None = None) -> list[AgentId]:
        """Return who has room, each as often as it has places; the least busy first, then by id."""
        rooms = self.staff.free(self.able() if agents is None else agents)
        places = [
            (self.staff.held.get(agent, 0) + place, agent) for agent, room in rooms.items() for place in range(room)
        ]
        return [agent for _, agent in sorted(places)]

    def begin(self, agent: AgentId, name: str, payload: Mapping[str, Any], *, about: Any = None) -> None:
        """Have an agent do the pattern for this.  name: the same again is a further attempt at the same."""
        task = msgspec.structs.replace(
            self.pattern, id=TaskId(name), payload={**self.pattern.payload, **payload}, after=(), agent=None
        )
        if task.id not in self._known:
            self._known.add(task.id)
            self.run.record("tasks.added", tasks=[task])
        self.staff.take(agent)
        working = asyncio.ensure_future(self.run.execute(task, agent))
        self._working[working] = (task, agent, about, self.run.now())
        working.add_done_callback(self._tell)

    def free_for(self, left: int) -> list[AgentId]:
        """Return who of those with room should begin, where so many jobs are left in all: nobody who would be last.

        A slow agent begins no job that all others together would have done by the time at which it is over.
        """
        free = self.free()
        able = self.able()
        places = sum(self.run.agents[agent].capacity for agent in able)
        if left > SOON_OVER * places:
            rate = sum(self.run.agents[agent].capacity / self.lasts(agent) for agent in able)
            return [agent for agent in free if self.lasts(agent) * rate <= left]
        room = self.staff.free(able)
        workers = []
        for agent in able:
            since = tuple(begun for _, holder, _, begun in self._working.values() if holder == agent)
            workers.append(Worker(agent, len(since) + room.get(agent, 0), since))
        found = takers(left, workers, self.times, self.run.now(), 1.0)
        return [AgentId(agent) for agent in found if agent is not None]

    def in_hand(self) -> list[Held]:
        """Return what is being done, and when each is thought to be over, the soonest first."""
        held = [
            Held(task, agent, about, begun, begun + self.lasts(agent))
            for task, agent, about, begun in self._working.values()
        ]
        return sorted(held, key=lambda one: (one.due_at, one.task.id))

    def lasts(self, agent: AgentId) -> float:
        """Return how long an agent is thought to take for a job, in seconds."""
        return max(LEAST_S, self.times.of(agent))

    async def next(self, within: float | None = None) -> Job | None:
        """Wait for a job that is over, at most so long.

        None: that long nothing was, or agents have come, changed or gone, or have rested enough.
        """
        while not self._over:
            self._news.clear()
            try:
                async with asyncio.timeout_at(self._look_again_at(within)):
                    await self._news.wait()
            except TimeoutError:
                return None
            if not self._over:
                return None
        working = self._over.popleft()
        task, agent, about, since = self._working.pop(working)
        self.staff.put_back(agent)
        reply = working.result()
        if reply.ok:
            self.run.record("task.done", agent=agent, ref=task.id, epoch=reply.epoch, result=reply.value)
            self.tally[agent] = self.tally.get(agent, 0) + 1
            self.times.learn(agent, self.run.now() - since)
            self._attempts.pop(task.id, None)
        else:
            self._book(task, agent, reply)
        return Job(task, agent, about, reply)

    def exhausted(self, task: TaskId) -> bool:
        """Say whether all attempts at something are used up; it is given up then."""
        if self._attempts.get(task, 0) <= self.pattern.retries:
            return False
        self.give_up(task, f"not done in {self._attempts[task]} attempts")
        return True

    def give_up(self, task: TaskId, reason: str) -> None:
        """Try no more; what was never begun needs no word."""
        if task in self._known:
            self.run.record("task.failed", ref=task, reason=reason)

    async def watch(self) -> None:
        """Take note of agents that come, change and go."""
        async for change in self.run.watch():
            self.staff.wake(change.agent)
            self._news.set()

    async def stop(self) -> None:
        """Call back what is being done."""
        jobs = [(working, *each) for working, each in self._working.items()]
        for working, *_ in jobs:
            working.cancel()
        if jobs:
            await asyncio.wait([working for working, *_ in jobs])
        for _, task, *_ in jobs:
            self.run.record("task.cancelled", ref=task.id, reason="nobody waits for it any more")

    def _look_again_at(self, within: float | None) -> Instant | None:
        instants = [self.staff.next_up(), None if within is None else self.run.now() + within]
        return min((each for each in instants if each is not None), default=None)

    def _book(self, task: Task, agent: AgentId, reply: Reply) -> None:
        self._attempts[task.id] = self._attempts.get(task.id, 0) + 1
        left = max(0, self.pattern.retries + 1 - self._attempts[task.id])
        self.run.record(
            "task.released", agent=agent, ref=task.id, epoch=reply.epoch, status=reply.status,
            reason=reply.error or reply.status, attempts_left=left,
        )  # fmt: skip
        if reply.status in ("lost", "refused"):  # it may be there again, or willing, in a while
            self.staff.rest(agent, self.run.config.manager.heartbeat_interval)

    def _tell(self, working: asyncio.Future[Reply]) -> None:
        if not working.cancelled():
            self._over.append(working)
            self._news.set()
