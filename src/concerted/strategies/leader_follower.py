"""Leader and followers: one agent is elected, decomposes the objective and assigns the tasks to the others.

    election --scores--> leader of term t --assume leadership, follow leader--> leading
    leading --ready tasks, free followers--> the leader assigns --executed--> done
    leading --leader lost, or `failover_threshold` checks unanswered--> election of term t + 1

The score is 40 for capability, 30 for a low load, 30 for health; ties go to the smaller id.  A new
leader is handed everything that is done; what followers are working on goes on, and no finished task
runs again.  Followers refuse a leader of a lower term, so an old leader cannot come back.

Source: Garcia-Molina 1982, "Elections in a Distributed Computing System", for terms and failover; the
score is the specification's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from concerted.config.settings import LeaderFollower
from concerted.errors import TimedOut
from concerted.groups.leadership import Candidate, Election, elect
from concerted.messages import (
    AssumeLeadership,
    CheckProgress,
    DecomposeObjective,
    FollowLeader,
    GetCapabilities,
    GetStatus,
    Reply,
)
from concerted.run import Replies, Run
from concerted.strategies.tasks import Workshop, find_tasks, open_workshop
from concerted.values import AgentId, AgentStatus, Objective, Outcome, Task, TaskId

__all__ = ["LeaderResult", "Term", "coordinate"]


class Term(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One leader's time.  ended: why it ended before the work did, '' if it did not."""

    term: int
    leader: AgentId
    score: float
    scores: dict[AgentId, float]
    ended: str = ""


class LeaderResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run.  leader: the last one."""

    leader: AgentId | None
    tasks_completed: int
    total_tasks: int
    terms: tuple[Term, ...]


async def coordinate(run: Run) -> Outcome:
    """Elect a leader and have the objective done under it, and under its successors."""
    timed_out = False
    async with open_workshop(run) as shop:
        crew = Crew(run, shop)
        try:
            async with run.deadline():
                await crew.work()
        except TimedOut:
            timed_out = True
    return shop.outcome(crew.result(), timed_out=timed_out)


class Crew:
    """The agents of one run under their leaders."""

    def __init__(self, run: Run, shop: Workshop) -> None:
        self.run = run
        self.shop = shop
        self.rules: LeaderFollower = run.config.strategies.leader_follower
        self.terms: list[Term] = []
        self._refused: set[AgentId] = set()  # who would not lead, or failed to
        self._decomposed = False
        self._without_taker: dict[TaskId, int] = {}

    async def work(self) -> None:
        """Term after term, until every task is decided."""
        objective = await self._objective()
        while not self._decomposed or self.shop.unfinished:
            election = await self.elect()
            if election is None:
                await self.shop.news(within=self.rules.election_timeout)
                self._refused.clear()
                continue
            ended = await self.lead(election, objective)
            self._end_term(ended)

    async def _objective(self) -> Objective:
        """Return the objective with the tasks that its own decompose function finds."""
        tasks = await find_tasks(self.run)
        return msgspec.structs.replace(self.run.objective, tasks=tasks, decompose=None)

    # election

    async def elect(self) -> Election | None:
        """Ask everybody what they can do and how they are; the best score leads.  None: nobody answers."""
        agents = sorted(agent for agent in self.run.agents if agent not in self._refused)
        if not agents:
            return None
        limit = self.rules.election_timeout
        able, well = await asyncio.gather(
            self.run.gather(agents, GetCapabilities(), deadline=limit),
            self.run.gather(agents, GetStatus(), deadline=limit),
        )
        election = elect(_candidates(able, well), self.rules.mode)
        if election is None:
            return None
        term, leader, scores = len(self.terms) + 1, election.winner, dict(election.scores)
        self.terms.append(Term(term=term, leader=leader, score=scores[leader], scores=scores))
        self.run.record("leader.elected", agent=leader, term=term, score=scores[leader], scores=scores)
        return election

    def _end_term(self, reason: str) -> None:
        """Close the newest term; a leader that was lost stands no more, until nobody else does."""
        if not reason:
            return
        last = self.terms[-1]
        self.terms[-1] = msgspec.structs.replace(last, ended=reason)
        self._refused.add(last.leader)
        self.run.record("leader.lost", agent=last.leader, term=last.term, reason=reason)

    # one term

    async def lead(self, election: Election, objective: Objective) -> str:
        """Have one leader lead until all is decided; return '' then, or why it leads no more."""
        leader, term = election.winner, len(self.terms)
        followers = tuple(sorted(agent for agent in self.run.agents if agent != leader))
        self.shop.roles = {leader: "leader", **dict.fromkeys(followers, "follower")}
        assumed, _ = await asyncio.gather(
            self.run.ask(
                leader,
                AssumeLeadership(term=term, followers=followers, objective=objective, done=self.shop.done()),
            ),
            self.run.gather(followers, FollowLeader(term=term, leader=leader, objective=objective)),
        )
        if not assumed.ok:
            return _why(assumed, "did not assume leadership")
        if not self._decomposed:
            refusal = await self._decompose(leader, term, objective)
            if refusal:
                return refusal
        return await self._assign(leader, term)

    async def _decompose(self, leader: AgentId, term: int, objective: Objective) -> str:
        reply = await self.run.ask(leader, DecomposeObjective(term=term, objective=objective))
        if not reply.ok:
            return _why(reply, "did not decompose the objective")
        try:
            tasks = msgspec.convert(reply.value, tuple[Task, ...])
        except msgspec.ValidationError as error:
            return f"its answer to DECOMPOSE_OBJECTIVE is no list of tasks: {error}"
        self._decomposed = True
        self.shop.add(tasks)
        return ""

    async def _assign(self, leader: AgentId, term: int) -> str:
        """Ask the leader who does what, at every event and every `progress_interval`."""
        missed = 0
        while self.shop.unfinished:
            if leader not in self.run.agents:
                return "it is gone"
            ready = self.shop.waiting()
            check = self._check(leader, term, ready)
            reply = await self.run.ask(leader, check, deadline=self.rules.heartbeat_interval)
            missed = 0 if reply.ok else missed + 1
            if reply.status == "lost" or missed >= self.rules.failover_threshold:
                return _why(reply, f"left {missed} progress checks unanswered")
            if reply.ok:
                self._hand_out(term, check, reply.value)
            if reply.status != "timeout":
                await self.shop.news(within=self.rules.progress_interval)
        return ""

    def _check(self, leader: AgentId, term: int, ready: Sequence[Task]) -> CheckProgress:
        """Say where the tasks stand.  The leader works itself only where there is nobody else."""
        agents = self.run.agents
        workers = [agent for agent in sorted(agents) if agent != leader] or [leader]
        return CheckProgress(
            term=term,
            ready=tuple(ready),
            loads={agent: self.shop.held.get(agent, 0) for agent in workers},
            free=self.shop.free(workers),
            capabilities={agent: agents[agent].capabilities for agent in workers if agent in agents},
            done=tuple(self.shop.done()),
        )

    def _hand_out(self, term: int, check: CheckProgress, answer: Any) -> None:
        """Put those to work whom the leader has named; who has no room, or is not there, is passed over."""
        assigned = _assignments(answer)
        free = dict(check.free)
        for task in check.ready:
            if task.id not in self.shop.open:
                continue
            agent = assigned.get(task.id)
            if agent is not None and free.get(agent, 0) > 0 and agent in self.run.agents:
                free[agent] -= 1
                self._without_taker.pop(task.id, None)
                self.run.record("task.assigned", agent=agent, ref=task.id, term=term)
                self.shop.award(task.id, agent)
            elif check.free and not self.shop.busy:
                self._nobody_for(task)

    def _nobody_for(self, task: Task) -> None:
        """A task for which the leader finds nobody waits for somebody who can do it, `retries` more checks."""
        checks = self._without_taker[task.id] = self._without_taker.get(task.id, 0) + 1
        reason = "the leader has found nobody for it"
        if checks > task.retries:
            self.shop.fail(task.id, f"{reason}, in {checks} checks")
        else:
            self.shop.wait_for_agent(task.id, reason)

    def result(self) -> LeaderResult:
        """Return what the terms came to."""
        return LeaderResult(
            leader=self.terms[-1].leader if self.terms else None,
            tasks_completed=len(self.shop.done()),
            total_tasks=len(self.shop.states),
            terms=tuple(self.terms),
        )


def _candidates(able: Replies, well: Replies) -> list[Candidate]:
    """Return those who have answered both questions; an answer of another form counts as none."""
    statuses = {reply.agent: reply.value for reply in well.ok}
    candidates = []
    for reply in able.ok:
        try:
            capabilities = msgspec.convert(reply.value, dict[str, float])
            status = msgspec.convert(statuses[reply.agent], AgentStatus)
        except (KeyError, msgspec.ValidationError):
            continue
        if status.state != "unavailable":
            candidates.append(Candidate(reply.agent, capabilities, status.load, status.health))
    return candidates


def _assignments(answer: Any) -> dict[TaskId, AgentId]:
    """Read an answer to CHECK_PROGRESS; one of another form assigns nothing."""
    try:
        return msgspec.convert(answer, dict[TaskId, AgentId])
    except msgspec.ValidationError:
        return {}


def _why(reply: Reply, what: str) -> str:
    return f"it {what}: {reply.error or reply.status}"
