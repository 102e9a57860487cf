"""Leader and followers: one agent is elected, decomposes the objective and assigns the tasks to the others.

    election --scores--> leader of term t --assume leadership, follow leader--> leading
    leading --ready tasks, free followers--> the leader assigns --executed--> done
    leading --leader lost, or `failover_threshold` checks unanswered--> election of term t + 1

The score is 40 for capability, 30 for a low load, 30 for health; ties go to the smaller id.  A new
leader is handed everything that is done; what followers are working on goes on, and no finished task
runs again.  Followers refuse a leader of a lower term, so an old leader cannot come back.  The leader
itself works where no follower can, or where it assigns itself.

Source: Garcia-Molina 1982, "Elections in a Distributed Computing System", for terms and failover; the
score is the specification's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from concerted.board.graph import Graph
from concerted.errors import Invalid, TimedOut
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
from concerted.strategies.workshop.objective import find_tasks
from concerted.strategies.workshop.options import overlay
from concerted.strategies.workshop.staff import is_able
from concerted.strategies.workshop.tasks import Workshop, open_workshop
from concerted.values import AgentId, AgentStatus, Objective, Outcome, Task, TaskId, encode

__all__ = ["LeaderResult", "Term", "coordinate"]

TASKS_SHOWN = 256  # ready tasks that one progress check shows the leader, or as many as there is room for


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
        self.rules = overlay(run.config.strategies.leader_follower, run.options)
        self.terms: list[Term] = []
        self._refused: set[AgentId] = set()  # who would not lead, or failed to
        self._decomposed = False
        self._unwanted: set[TaskId] = set()  # for which the leader found nobody when it was asked last
        self._without_taker: dict[TaskId, int] = {}  # at how many checks so far
        self._told = 0  # how many finished tasks the leader knows of

    async def work(self) -> None:
        """Term after term, until every task is decided."""
        objective = await self._objective()
        while not self._decomposed or self.shop.unfinished:
            seen = self.shop.changes
            election = await self.elect()
            if election is None:
                await self.shop.news(seen, within=self.rules.election_timeout)
                self._refused.clear()
                continue
            ended = await self.lead(election, objective)
            self._end_term(ended)

    async def _objective(self) -> Objective:
        """Return the objective with the tasks that its own decompose function finds.

        Raises:
            Invalid: these tasks make no graph.
        """
        tasks = await find_tasks(self.run)
        Graph(tasks, self.run.objective.done)
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
        self.shop.staff.rest(last.leader, self.rules.heartbeat_interval)  # too silent to lead: no work yet
        self.run.record("leader.lost", agent=last.leader, term=last.term, reason=reason)

    # one term

    async def lead(self, election: Election, objective: Objective) -> str:
        """Have one leader lead until all is decided; return '' then, or why it leads no more."""
        leader, term = election.winner, len(self.terms)
        followers = tuple(sorted(agent for agent in self.run.agents if agent != leader))
        self.shop.roles = {leader: "leader", **dict.fromkeys(followers, "follower")}
        follow = FollowLeader(term=term, leader=leader, objective=msgspec.structs.replace(objective, tasks=()))
        following = asyncio.ensure_future(self.run.gather(followers, follow))  # nobody waits for the slowest
        try:
            refusal = await self._assume(leader, term, followers, objective)
            return refusal or await self._assign(leader, term)
        finally:
            following.cancel()

    async def _assume(
        self, leader: AgentId, term: int, followers: tuple[AgentId, ...], objective: Objective
    ) -> str:  # fmt: skip
        """Have the leader take over what is done and, if nobody has before it, decompose; return why it would not."""
        done = self._handed_over()
        assume = AssumeLeadership(term=term, followers=followers, objective=objective, done=done)
        reply = await self.run.ask(leader, assume)
        if not reply.ok:
            return _why(reply, "did not assume leadership")
        self._told = len(done)
        if self._decomposed:
            return ""
        reply = await self.run.ask(leader, DecomposeObjective(term=term, objective=objective))
        if not reply.ok:
            return _why(reply, "did not decompose the objective")
        try:
            self.shop.add(msgspec.convert(reply.value, tuple[Task, ...]))
        except (msgspec.ValidationError, Invalid) as error:
            return f"its answer to DECOMPOSE_OBJECTIVE is no list of tasks: {error}"
        self._decomposed = True
        return ""

    def _handed_over(self) -> dict[TaskId, Any]:
        """Return task -> result of all that is done; results that no envelope would hold are left out as None."""
        left = self.run.config.manager.max_envelope_bytes // 2
        done: dict[TaskId, Any] = {}
        for task, result in self.shop.results().items():
            left -= len(encode(result))
            done[task] = result if left >= 0 else None
        return done

    async def _assign(self, leader: AgentId, term: int) -> str:
        """Ask the leader who does what, at every event and every `progress_interval`."""
        missed = 0
        while self.shop.unfinished:
            if leader not in self.run.agents:
                return "it is gone"
            seen = self.shop.changes
            check = self._check(leader, term)
            reply = await self.run.ask(leader, check, deadline=self.rules.heartbeat_interval)
            missed = 0 if reply.ok else missed + 1
            if reply.status == "lost" or missed >= self.rules.failover_threshold:
                return _why(reply, f"left {missed} progress checks unanswered")
            if reply.ok:
                self._told += len(check.done)
                self._hand_out(term, check, _assignments(reply.value))
            if reply.status != "timeout":
                await self.shop.news(seen, within=self.rules.progress_interval)
        return ""

    def _check(self, leader: AgentId, term: int) -> CheckProgress:
        """Say where the tasks stand.  The leader works itself only where no follower can."""
        agents = self.run.agents
        followers = [agent for agent in sorted(agents) if agent != leader]
        free = self.shop.staff.free(followers)
        count = max(TASKS_SHOWN, sum(free.values()))
        ready = self.shop.waiting(count + len(self._unwanted))
        ready = sorted(ready, key=lambda task: task.id in self._unwanted)[:count]
        if not all(any(self._would_take(agent, task) for agent in followers) for task in ready):
            free |= self.shop.staff.free([leader])
        return CheckProgress(
            term=term,
            ready=tuple(ready),
            loads={agent: self.shop.staff.held.get(agent, 0) for agent in free},
            free=free,
            capabilities={agent: agents[agent].capabilities for agent in free},
            done=tuple(islice(self.shop.results(), self._told, None)),
        )

    def _hand_out(self, term: int, check: CheckProgress, assigned: Mapping[TaskId, AgentId]) -> None:
        """Put those to work whom the leader has named; a task for which there is nobody waits."""
        free = self.shop.staff.free(self.run.agents)
        left_over = []
        for task in check.ready:
            if task.id not in self.shop.open:
                continue
            agent = self._taker(task, assigned.get(task.id), free)
            if agent is None and assigned.get(task.id) in self.shop.declined.get(task.id, ()):
                agent = self._substitute(task, {one: free[one] for one in check.free if one in free})
            if agent is None:
                left_over.append(task)
                continue
            free[agent] -= 1
            self._unwanted.discard(task.id)
            self.run.record("task.assigned", agent=agent, ref=task.id, term=term)
            self.shop.award(task.id, agent)
        if any(free.get(agent, 0) > 0 for agent in check.free):
            self._postpone(left_over)

    def _taker(self, task: Task, named: AgentId | None, free: Mapping[AgentId, int]) -> AgentId | None:
        """Return whom the leader names for a task, if that one is free, able and has not declined it."""
        return named if named is not None and free.get(named, 0) > 0 and self._would_take(named, task) else None

    def _substitute(self, task: Task, free: Mapping[AgentId, int]) -> AgentId | None:
        """Return who gets a task in place of one who has declined it: the least busy, of equals the smaller id."""
        others = [agent for agent, room in free.items() if room > 0 and self._would_take(agent, task)]
        return min(others, key=lambda agent: (self.shop.staff.held.get(agent, 0), agent), default=None)

    def _would_take(self, agent: AgentId, task: Task) -> bool:
        return is_able(self.run.agents[agent], task) and agent not in self.shop.declined.get(task.id, ())

    def _postpone(self, tasks: Sequence[Task]) -> None:
        """Tasks for which the leader finds nobody wait for somebody who can do them, `retries` more checks.

        Only checks at which everybody was free count.
        """
        idle = not self.shop.busy
        for task in tasks:
            self._unwanted.add(task.id)
            checks = self._without_taker[task.id] = self._without_taker.get(task.id, 0) + idle
            reason = "the leader has found nobody for it"
            if checks > task.retries:
                self._unwanted.discard(task.id)
                self.shop.fail(task.id, f"{reason}, in {checks} checks")
                continue
            self.shop.wait_for_agent(task.id, reason)
            if idle:
                self.shop.forgive(task.id)

    def result(self) -> LeaderResult:
        """Return what the terms came to."""
        return LeaderResult(
            leader=self.terms[-1].leader if self.terms else None,
            tasks_completed=len(self.shop.results()),
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
