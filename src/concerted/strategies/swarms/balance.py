"""The swarm's mode `balance`: who takes the next task when nobody knows how fast anybody is.

How long each agent takes for each kind of task is learned from what it has done.  A task goes where it would
be over first; so a slow agent that is free may be passed over for a quick one that will be soon.
"""

from __future__ import annotations

from concerted.strategies.swarms.result import Course
from concerted.strategies.workshop.objective import find_tasks
from concerted.strategies.workshop.staff import is_able
from concerted.strategies.workshop.tasks import Workshop
from concerted.swarm.thresholds import Times, Worker, takers
from concerted.values import AgentId, Instant, Task, TaskId

__all__ = ["balance"]

LOOK_AGAIN_S = 5.0  # at tasks that wait for somebody quicker, who may be overdue
SHOWN = 256  # waiting tasks that are looked at


async def balance(course: Course, shop: Workshop) -> None:
    """Have all tasks done."""
    shop.add(await find_tasks(course.run))
    course.run.record("swarm.begun", mode="balance", rule="times", population=len(course.run.agents))
    sharing = Sharing(course, shop)
    while shop.unfinished:
        seen = shop.changes
        sharing.learn()
        sharing.give_out()
        await shop.news(seen, within=LOOK_AGAIN_S if len(shop.open) else None)
    sharing.learn()
    course.settle("every task is decided")


class Sharing:
    """What is known of the agents, and what each has in hand.  times: kind of task -> how long agents take for it."""

    def __init__(self, course: Course, shop: Workshop) -> None:
        self.course, self.run, self.shop = course, course.run, shop
        self.times: dict[str, Times] = {}
        self._in_hand: dict[TaskId, tuple[AgentId, Instant]] = {}
        self._refusals: dict[TaskId, int] = {}

    def learn(self) -> None:
        """Take note of what was done since, and by whom."""
        for name, (agent, since) in list(self._in_hand.items()):
            state = self.shop.states[name]
            if state.status == "running" and state.agent == agent:
                continue
            del self._in_hand[name]
            if state.status == "done" and state.agent == agent and state.ended_at is not None:
                self._of(state.task).learn(agent, state.ended_at - since)
                self.course.evaluations += 1
        course, kinds = self.course, sorted(self.times.items())
        course.details["seconds"] = {kind: dict(sorted(times.means.items())) for kind, times in kinds if times.means}

    def give_out(self) -> None:
        """Give out what is ready, the most urgent first, to whoever would have it done first."""
        groups: dict[tuple[str, tuple[AgentId, ...]], list[Task]] = {}
        for task in self.shop.waiting(SHOWN):
            able = tuple(self._takers_of(task))
            if able:
                groups.setdefault((task.kind, able), []).append(task)
        for (kind, able), tasks in groups.items():
            times = self.times.setdefault(kind, Times())
            free = self.shop.staff.free(able)
            workers = [self._worker(agent, free.get(agent, 0)) for agent in able if agent in self.run.agents]
            found = takers(len(tasks), workers, times, self.run.now(), self.course.rules.waiting)
            for task, agent in zip(tasks, found, strict=True):
                if agent is not None:
                    self._in_hand[task.id] = (AgentId(agent), self.run.now())
                    self.shop.award(task.id, AgentId(agent))

    def _takers_of(self, task: Task) -> list[AgentId]:
        """Return who may do a task; why it waits is written down if there is nobody."""
        able = [agent for agent, profile in sorted(self.run.agents.items()) if is_able(profile, task)]
        willing = [agent for agent in able if agent not in self.shop.declined.get(task.id, ())]
        if able and not willing:
            times = self._refusals[task.id] = self._refusals.get(task.id, 0) + 1
            if times > task.retries:
                self.shop.fail(task.id, f"everybody who is able to do it has refused it {times} times")
                return []
            self.shop.forgive(task.id)
            for agent in able:
                self.shop.staff.rest(agent, self.run.config.manager.heartbeat_interval)
        elif not able:
            self.shop.wait_for_agent(task.id, "no agent of the run is able to do it")
        others = [agent for agent in willing if agent not in self.shop.failed_at.get(task.id, ())]
        return others or willing

    def _worker(self, agent: AgentId, room: int) -> Worker:
        """Return an agent with what it has in hand; one that rests has no room."""
        since = tuple(sorted(begun for holder, begun in self._in_hand.values() if holder == agent))
        return Worker(agent, len(since) + room, since)

    def _of(self, task: Task) -> Times:
        return self.times.setdefault(task.kind, Times())
