"""The swarm's mode `agree`: the agents come to the mean of their numbers, each hearing of its neighbours alone.

    the task of the plan, once by each agent -> its number, or vector
    rounds: each agent is told its neighbours' numbers (AVERAGE) and answers with its next one

An agent without a function for AVERAGE moves by Metropolis weights; one with a function moves as it likes, so a
stubborn one draws the others to itself.  With `rule: push_sum` each agent instead gives half of what it holds to
one neighbour, and adds up what it was given: what a silent one is sent waits for it, so that the mean stays.
"""

from __future__ import annotations

import asyncio
from typing import Any

from concerted.errors import Invalid
from concerted.messages import Average, Reply
from concerted.run import Run
from concerted.strategies.swarms.result import Course
from concerted.strategies.swarms.squad import Squad, opened, pattern_of
from concerted.swarm.averaging import PushSum, checked, ring_of, spread, vector, weights
from concerted.values import AgentId

__all__ = ["agree"]

Vector = tuple[float, ...]


async def agree(course: Course) -> None:
    """Ask everybody for a number, and then round after round, until they are as near as `tolerance`."""
    run, rules = course.run, course.rules
    pattern = await pattern_of(run)
    async with opened(run, pattern) as squad:
        while not squad.able():
            await squad.next()
        values = await _numbers(course, squad)
    if not values:
        course.settle("nobody has given a number")
        return
    run.record("swarm.begun", mode="agree", rule=_rule(rules.rule), population=len(values))
    given = run.options.get("neighbours", run.objective.data.get("neighbours"))
    talk: Talk | Gossip = (Gossip if rules.rule == "push_sum" else Talk)(course, values, given)
    while not course.settled:
        talk.drop_the_lost()
        await talk.round()
        course.rounds += 1
        apart = spread(talk.values().values())
        middle = _middle(talk.values())
        course.answer = middle[0] if len(middle) == 1 else list(middle)
        course.value = apart
        course.measured(gap=apart, answer=course.answer)
        scale = max(1.0, *(abs(number) for number in middle))
        if apart <= rules.tolerance * scale:
            course.settle("they are as near as asked for")
        elif course.rounds >= rules.rounds:
            course.settle("the rounds are used up")
    course.details |= {
        "rule": _rule(rules.rule),
        "numbers": {agent: list(each) for agent, each in talk.values().items()},
    }


async def _numbers(course: Course, squad: Squad) -> dict[AgentId, Vector]:
    """Have each agent do the task once; returns what they say, of one size.  Who fails is left out."""
    asked: set[AgentId] = set()
    found: dict[AgentId, Vector] = {}
    while True:
        for agent in squad.free([one for one in squad.able() if one not in asked]):
            if agent not in asked:
                asked.add(agent)
                squad.begin(agent, f"{squad.pattern.id}-{agent}", {})
        if not squad.busy:
            return dict(sorted(found.items()))
        job = await squad.next()
        if job is None:
            continue
        if not job.reply.ok:
            if squad.exhausted(job.task.id) or job.agent not in squad.run.agents:
                continue
            asked.discard(job.agent)
            continue
        try:
            size = len(next(iter(found.values()))) if found else None
            found[job.agent] = vector(job.reply.value, size)
            course.evaluations += 1
        except Invalid as wrong:
            course.details.setdefault("wrong", {})[job.agent] = str(wrong)


class Talk:
    """Everybody moves towards its neighbours."""

    def __init__(self, course: Course, values: dict[AgentId, Vector], neighbours: Any) -> None:
        self.run, self.limit_s = course.run, float(course.run.config.manager.command_timeout)
        self._round = 0
        self._own = dict(values)
        self._given = neighbours
        self.graph = _graph(self.run, values, neighbours)

    def values(self) -> dict[AgentId, Vector]:
        """Return everybody's number now."""
        return self._own

    def drop_the_lost(self) -> None:
        """Go on without those who are gone, as long as anybody is there."""
        lost = [agent for agent in self._own if agent not in self.run.agents]
        if lost and len(lost) < len(self._own):
            for agent in lost:
                self._leave(agent)
            self.graph = _graph(self.run, self._own, None)

    async def round(self) -> None:
        """Let everybody move once; who does not answer stays where it is."""
        self._round += 1
        agents = list(self._own)
        asks = [self.run.ask(agent, self._request(agent), deadline=self.limit_s) for agent in agents]
        for agent, reply in zip(agents, await asyncio.gather(*asks), strict=True):
            self._hear(agent, reply)

    def _request(self, agent: AgentId) -> Average:
        heard = {other: list(self._own[AgentId(other)]) for other in self.graph[agent]}
        return Average(round=self._round, own=list(self._own[agent]), heard=heard, weights=weights(self.graph, agent))

    def _hear(self, agent: AgentId, reply: Reply) -> None:
        number = _read(reply, len(self._own[agent]))
        if number is not None:
            self._own[agent] = number

    def _leave(self, agent: AgentId) -> None:
        del self._own[agent]


class Gossip(Talk):
    """Everybody gives half of what it holds to a neighbour."""

    def __init__(self, course: Course, values: dict[AgentId, Vector], neighbours: Any) -> None:
        super().__init__(course, values, neighbours)
        self.held = PushSum.of({str(agent): value for agent, value in values.items()})

    def values(self) -> dict[AgentId, Vector]:
        """Return what everybody takes the mean to be."""
        return {AgentId(agent): self.held.value(agent) for agent in self.held.sums}

    async def round(self) -> None:
        """Let everybody give half away, and add up what it was given; what a silent one is sent waits for it."""
        for agent in list(self.held.sums):
            others = self.graph[agent]
            if others:
                self.held.give(agent, others[self.run.random.randrange(len(others))])
        await super().round()

    def _request(self, agent: AgentId) -> Average:
        given = self.held.on_the_way.get(agent, [])
        own = [*self.held.sums[agent], self.held.masses[agent]]
        heard = {str(place): [*values, mass] for place, (values, mass) in enumerate(given)}
        return Average(round=self._round, own=own, heard=heard)

    def _hear(self, agent: AgentId, reply: Reply) -> None:
        number = _read(reply, len(self._own[agent]) + 1)
        if number is not None and number[-1] > 0.0:
            self.held.on_the_way.pop(agent, None)
            self.held.sums[agent], self.held.masses[agent] = number[:-1], number[-1]

    def _leave(self, agent: AgentId) -> None:
        super()._leave(agent)
        heir = next(iter(self._own))
        self.held.leave(agent, heir)


def _graph(run: Run, agents: dict[AgentId, Vector], neighbours: Any) -> dict[str, tuple[str, ...]]:
    """Return who hears of whom: as given, or a ring with ways across."""
    if neighbours is None:
        return ring_of([str(agent) for agent in agents])
    if not isinstance(neighbours, dict):
        raise Invalid(f"run {run.id}: neighbours are a mapping {{agent: [others]}}, not {neighbours!r}")
    return checked({str(agent): [one for one in neighbours.get(agent, []) if one in agents] for agent in agents})


def _read(reply: Reply, size: int) -> Vector | None:
    """Return the number that an agent answers; None if it answers none, or one of another size."""
    if not reply.ok:
        return None
    try:
        return vector(reply.value, size)
    except Invalid:
        return None


def _middle(values: dict[AgentId, Vector]) -> Vector:
    """Return the mean of all."""
    columns = list(zip(*values.values(), strict=True))
    return tuple(sum(column) / len(column) for column in columns)


def _rule(rule: str) -> str:
    return "push_sum" if rule == "push_sum" else "metropolis"
