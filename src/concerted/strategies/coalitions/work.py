"""The work of one coalition: each member does its part, the leader the whole; a member may be lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from concerted.board.task import Claim, Complete, Release, Request, TaskState, decide, evolve
from concerted.config.settings import Coalition as CoalitionSettings
from concerted.groups.bargaining import ProfitSharing
from concerted.groups.coalition import Coalition, dissolve, lose_member, penalize, vote
from concerted.messages import RequestVote
from concerted.run import Run
from concerted.strategies.coalitions.forming import Formation
from concerted.values import AgentId, Task, TaskId

__all__ = ["Work"]


class Work:
    """One coalition at work.

    states: where its parts and its task stand; those of the task go on from coalition to coalition.  unwilling:
    members who would not do their part.
    """

    def __init__(
        self, run: Run, rules: CoalitionSettings, coalition: Coalition, formation: Formation,
        states: dict[TaskId, TaskState],
    ) -> None:  # fmt: skip
        self.run = run
        self.rules = rules
        self.coalition = coalition
        self.states = states
        self.unwilling: list[AgentId] = []
        self._formation = formation
        self._began = run.now()
        self._walked: list[AgentId] = []
        self._done: dict[TaskId, Any] = {}

    async def do(self, task: Task, results: Mapping[TaskId, Any]) -> TaskState:
        """Do a task; return where it stands then.  results: of what it comes after.

        After a loss the rest go on with what is done, as often as members are lost.
        """
        while True:
            parts = [
                self._part(task, agent) for agent in self._helpers() if self._part_id(task, agent) not in self._done
            ]
            ended = await asyncio.gather(*(self._attempts(part, results) for part in parts))
            gone = self._gone(zip((part.agent for part in parts), ended, strict=True))
            if not gone and all(state.status == "done" for state in ended):
                whole = await self._attempts(self._whole(task), {**results, **self._done})
                if whole.status == "done":
                    return whole
                gone = self._gone([(self.coalition.governance.leader, whole)])
            self._penalize(gone)
            for agent in gone:
                await self._lose(task, agent)
                if self.coalition.status != "active":
                    self._leave(gone)
                    break
            if not gone or self.coalition.status != "active":
                return self.states.get(task.id, TaskState(task, "ready"))

    def why_not(self) -> str:
        """Say what kept an active coalition from doing its task: the first that failed."""
        failed = [state for state in self.states.values() if state.status == "failed" and state.reason]
        return f"{failed[-1].id}: {failed[-1].reason}" if failed else "its task was not done"

    # parts and the whole

    def _helpers(self) -> list[AgentId]:
        return [agent for agent in self.coalition.agents if agent != self.coalition.governance.leader]

    def _part_id(self, task: Task, agent: AgentId) -> TaskId:
        return TaskId(f"{task.id}/{self.coalition.id.rpartition('/')[2]}/{agent}")

    def _part(self, task: Task, agent: AgentId) -> Task:
        """Return a member's part of a task: the same kind and payload, and what it is told of its coalition."""
        return msgspec.structs.replace(self._meant_for(task, agent), id=self._part_id(task, agent), after=())

    def _whole(self, task: Task) -> Task:
        """Return the task for the leader, after all parts that were done, also by members since lost."""
        return self._meant_for(task, self.coalition.governance.leader)

    def _meant_for(self, task: Task, agent: AgentId) -> Task:
        payload = {**task.payload, "coalition": self._told(agent)}
        return msgspec.structs.replace(
            task, payload=payload, agent=agent, required_capabilities={}, max_budget=None, arrives_at=(), waits_for=()
        )

    async def _attempts(self, task: Task, results: Mapping[TaskId, Any]) -> TaskState:
        """Have its agent do a part or the whole: again after a failure, not after a refusal or a loss."""
        agent = task.agent
        assert agent is not None
        if task.id not in self.states and task.id != self.coalition.task.id:
            self.run.record("tasks.added", tasks=[task])
        state = replace(self.states.get(task.id, TaskState(task, "ready")), task=task)
        given: dict[str, Any] = {str(one): result for one, result in results.items()}
        lease_s = float(self.run.config.manager.task_lease)
        while not state.is_over:
            state = self._step(state, Claim(agent, lease_s))
            reply = await self.run.execute(task, agent, deadline=self._left_s(task), results=given)
            if reply.ok:
                state = self._step(state, Complete(agent, reply.epoch, reply.value))
                self._done |= {} if task.id == self.coalition.task.id else {task.id: reply.value}
            else:
                state = self._step(state, Release(reply.epoch, reply.status, reply.error or reply.status))
                if reply.status == "refused":
                    self._walked.append(agent)
                if reply.status in ("refused", "lost", "cancelled"):
                    break
        return state

    def _step(self, state: TaskState, request: Request) -> TaskState:
        """Let the task's machine decide; how the whole ends is written by whoever has the book."""
        now = self.run.now()
        for event in decide(state, request, now).events:
            is_whole = state.id == self.coalition.task.id
            if event.kind != "task.claimed" and not (is_whole and event.kind in ("task.done", "task.failed")):
                self.run.record(event.kind, agent=event.agent, ref=event.ref, **event.data)
            state = evolve(state, event, now)
        self.states[state.id] = state
        return state

    def _left_s(self, task: Task) -> float | None:
        return None if task.deadline_s is None else max(0.001, self._began + task.deadline_s - self.run.now())

    def _gone(self, tried: Iterable[tuple[AgentId | None, TaskState]]) -> list[AgentId]:
        """Return the members who are lost, or would not do their part."""
        unwilling = [agent for agent, state in tried if agent is not None and not state.is_over]
        self.unwilling += [agent for agent in unwilling if agent in self.run.agents]
        return [agent for agent in self.coalition.agents if agent in unwilling or agent not in self.run.agents]

    def _leave(self, gone: Sequence[AgentId]) -> None:
        """Take the others of the gone out of a coalition that is over, so that it is remembered who has left it."""
        ended = self.coalition
        others = tuple(agent for agent in gone if agent in ended.agents)
        staying = tuple(agent for agent in ended.agents if agent not in others)
        self.coalition = msgspec.structs.replace(ended, agents=staying, lost=(*ended.lost, *others))

    def _penalize(self, gone: Sequence[AgentId]) -> None:
        """Write down what those of the gone owe who have refused their part and are still there."""
        left = [agent for agent in gone if agent in self._walked and agent in self.run.agents]
        if not left:
            return
        before = len(self.coalition.exits)
        self.coalition = penalize(self.coalition, left, gone, self.run.now())
        for each in self.coalition.exits[before:]:
            self.run.record(
                "coalition.penalized", agent=each.agent, ref=self.coalition.id, penalty=each.penalty,
                compensation=each.compensation,
            )  # fmt: skip

    def _told(self, agent: AgentId) -> Mapping[str, Any]:
        """Return what a member is told of its coalition with its part."""
        coalition = self.coalition
        return {
            "id": coalition.id,
            "members": list(coalition.agents),
            "leader": coalition.governance.leader,
            "role": coalition.governance.roles[agent],
            "share": coalition.contract.shares[agent],
            "channel": coalition.communication_channels[0],
            **({"part": coalition.parts[agent]} if coalition.parts else {}),
        }

    async def _lose(self, task: Task, agent: AgentId) -> None:
        """Let the rest go on without a member, if they can and vote for it; else the coalition is dissolved."""
        before = self.coalition
        rest = [each for each in before.agents if each != agent]
        here = [each for each in rest if each in self.run.agents]
        if len(here) < len(rest) or not rest:
            governance, valued = None, None
        else:
            valued = await self._formation.assess(rest)
            shares = valued.first_shares
            sharing: ProfitSharing = msgspec.structs.replace(before.profit_sharing, shares=shares)
            governance = self._formation.govern(task, rest, sharing)
        constraints = self._formation.terms.constraints
        self.coalition = lose_member(before, agent, valued, governance, constraints, self.run.now())
        if self.coalition.status == "active" and not await self._vote(agent):
            why = f"{agent} is lost, and the rest did not vote to go on"
            self.coalition = dissolve(self.coalition, why, self.run.now())
        self.run.record(
            "coalition.member_lost", agent=agent, ref=before.id, rest=rest, goes_on=self.coalition.status == "active"
        )

    async def _vote(self, lost: AgentId) -> bool:
        """Let the members vote by their rule on going on; silence is no vote."""
        governance = self.coalition.governance
        question = RequestVote(
            term=1 + len(self.coalition.lost), candidate=governance.leader,
            question=f"coalition {self.coalition.id} has lost {lost}: shall the rest go on?",
        )  # fmt: skip
        replies = await self.run.gather(self.coalition.agents, question, deadline=self.rules.answer_timeout)
        votes = {}
        for reply in replies.ok:
            said = reply.value.get("granted") if isinstance(reply.value, dict) else None
            if isinstance(said, bool):
                votes[reply.agent] = said
        return vote(governance, votes) == "passed"
