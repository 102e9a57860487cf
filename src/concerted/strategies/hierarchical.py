"""The hierarchy: agents in clusters, each with a leader and a strategy of its own; leaders agree among themselves.

    agents --clusters--> leaders --accept--> tasks divided --> each cluster's child run --> its report
    report: done --> what comes after it begins, wherever it was placed
    report: not done, and it may be tried again --head, or the rule--> another cluster
    no cluster left, or tried `reassignments` + 1 times --> failed

Clusters are of similar agents, about as many as each has members; a task goes to a cluster that can do it and has
room.  A cluster works on one batch at a time, in a child run of the strategy that suits it: a hierarchy again
if it is large, an auction, or a leader with followers.  What a cluster could not do goes to another; the *head*, the
leader with the highest score, is asked to which, and where it says nothing the same rule as at first decides.  A
lost leader has a successor; of a lost cluster only what it has not finished is done again.

Source: the specification, HierarchicalCoordinator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from concerted.errors import Invalid, TimedOut
from concerted.groups.clusters import Cluster, Clustering, admit, dismiss, has_drifted, organise, reorganise
from concerted.groups.division import divide, is_able
from concerted.groups.leadership import Candidate, elect
from concerted.messages import AssumeLeadership, CheckProgress, DecomposeObjective
from concerted.run import Run
from concerted.strategies.hierarchies.tree import ChildRun, Reassignment, Tree
from concerted.strategies.workshop.delegation import Delegation
from concerted.strategies.workshop.errands import Errands
from concerted.strategies.workshop.objective import find_tasks
from concerted.strategies.workshop.options import overlay
from concerted.values import AgentId, Objective, Outcome, Profile, Task, TaskId

__all__ = ["coordinate"]

COLLECT_S = 3.0  # how long after the deadline the clusters' own partial outcomes are waited for
TASKS_SHOWN = 256  # tasks that the head is asked about at once


async def coordinate(run: Run) -> Outcome:
    """Form clusters, have each do its part, and give to others what one could not do."""
    hierarchy = Hierarchy(run)
    timed_out = False
    try:
        try:
            async with run.deadline():
                await hierarchy.work()
        except TimedOut:
            timed_out = True
            await hierarchy.errands.collect(COLLECT_S)
    finally:
        await hierarchy.errands.stop()
        if hierarchy.book is not None:
            hierarchy.book.close()
    return hierarchy.tree.outcome(hierarchy.book, run.agents, timed_out=timed_out)


class Hierarchy:
    """One level of clusters, and what goes on between them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rules = overlay(run.config.strategies.hierarchical, run.options)
        self.depth = _whole(run.options, "depth")
        self.clustering: Clustering | None = None
        self.book: Delegation | None = None
        self.tree = Tree()
        self.errands = Errands(run)
        self.leaders = Leaders(run, self.errands, self.tree.leaders, self.rules.leader_timeout)

    async def work(self) -> None:
        """Have everything done that can be."""
        while not self.run.agents:
            await self.errands.news(self.errands.changes)
        self.clustering = await self._form()
        self.leaders.appoint(self.clustering.clusters)
        self.book = Delegation(self.run, await self._tasks(), self.rules.reassignments)
        while self.book.unfinished:
            seen = self.errands.changes
            await self._follow_agents()
            await self._place(self.book)
            self._begin(self.book)
            if not self.book.at_work and self.clustering.clusters:
                self._give_up(self.book)
            elif self.book.unfinished:
                await self.errands.news(seen)

    # clusters and their leaders

    async def _form(self) -> Clustering:
        """Form the clusters.  Rounding differs between machines, so what comes of it is written down."""
        levels_left = self.rules.max_levels - self.depth
        count = self.rules.clusters if levels_left > 1 else 1
        profiles = sorted(self.run.agents.values(), key=lambda each: each.id)
        found = await self.run.compute(formed, profiles, min(count, len(profiles)), self.rules.balance)
        clustering = msgspec.convert(found, Clustering)
        self.tree.formed(clustering)
        sizes = {cluster.id: len(cluster.agents) for cluster in clustering.clusters}
        self.run.record("clusters.formed", clusters=sizes, inertia=clustering.inertia, depth=self.depth)
        return clustering

    async def _follow_agents(self) -> None:
        """Let the clusters follow who is there; when much has changed, put them right."""
        clustering, agents = self.clustering, self.run.agents
        assert clustering is not None
        before = {cluster.id for cluster in clustering.clusters}
        there = {agent for cluster in clustering.clusters for agent in cluster.agents}
        for agent in sorted(there.difference(agents)):
            clustering = dismiss(clustering, agent, agents)
        for agent in sorted(set(agents) - there):
            clustering = admit(clustering, agents[agent], agents)
        if clustering is self.clustering:
            self.leaders.appoint(clustering.clusters)
            return
        if clustering.clusters and has_drifted(clustering):
            profiles = sorted(agents.values(), key=lambda each: each.id)
            found = await self.run.compute(formed_anew, msgspec.to_builtins(clustering), profiles)
            clustering = msgspec.convert(found, Clustering)
        self.clustering = clustering
        self.tree.formed(clustering)
        if self.book is not None:
            self.book.free(sorted(before - {cluster.id for cluster in clustering.clusters}))
        self.leaders.appoint(self.clustering.clusters)

    # tasks and where they go

    async def _tasks(self) -> Sequence[Task]:
        """Return the tasks of the objective; if it has none, the head is asked for them, and its successors."""
        tasks = await find_tasks(self.run)
        while not tasks and (head := self.leaders.head()) is not None:
            self.tree.head = head
            question = DecomposeObjective(term=1, objective=self.run.objective)
            reply = await self.run.ask(head, question, deadline=self.rules.leader_timeout)
            if reply.ok:
                try:
                    return msgspec.convert(reply.value, tuple[Task, ...])
                except msgspec.ValidationError as error:
                    raise Invalid(f"{head} answered DECOMPOSE_OBJECTIVE with no list of tasks: {error}") from error
            self.leaders.unfit.add(head)
            assert self.clustering is not None
            self.leaders.appoint(self.clustering.clusters)
        return tasks

    async def _place(self, book: Delegation) -> None:
        """Give tasks that no cluster has to one: new ones by the rule, those handed back as the head says."""
        assert self.clustering is not None
        waiting = book.unplaced()
        if not waiting or not self.clustering.clusters:
            return
        handed_back = [task for task in waiting if task.id in book.moves]
        named = await self._ask_head(book, handed_back) if handed_back else {}
        book.place(named)
        rest = [task for task in waiting if task.id not in named and task.id not in book.ended]
        division = divide(rest, self.clustering.clusters, self.run.agents, placed=book.placed, barred=book.barred)
        book.place(division.placed)
        book.why.update({task: why for task, why in division.left.items() if task not in book.moves})
        for task in handed_back:
            if task.id in book.placed:
                self._moved(book, task.id, named)
            elif task.id not in book.ended:
                book.fail(task.id, f"{division.left.get(task.id, 'no other cluster')}; {book.why[task.id]}")

    async def _ask_head(self, book: Delegation, tasks: Sequence[Task]) -> dict[TaskId, str]:
        """Ask the leader of leaders which cluster takes each task that another could not do."""
        head = self.leaders.head()
        if head is None or self.clustering is None:
            return {}
        self.tree.head = head
        leaders, shown = self.tree.leaders, tasks[:TASKS_SHOWN]
        clusters = {
            leaders[one.id]: one
            for one in self.clustering.clusters
            if one.id in leaders and any(self._may_have(book, one, task) for task in shown)
        }
        held = {leader: sum(at == one.id for at in book.placed.values()) for leader, one in clusters.items()}
        question = CheckProgress(
            term=1,
            ready=tuple(shown),
            loads=held,
            free={leader: one.capacity for leader, one in clusters.items()},
            capabilities={leader: one.capabilities for leader, one in clusters.items()},
        )
        reply = await self.run.ask(head, question, deadline=self.rules.leader_timeout)
        try:
            said = msgspec.convert(reply.value, dict[TaskId, AgentId]) if reply.ok else {}
        except msgspec.ValidationError:
            said = {}
        named: dict[TaskId, str] = {}
        for task in tasks:
            cluster = clusters.get(said[task.id]) if task.id in said else None
            if cluster is not None and self._may_have(book, cluster, task):
                named[task.id] = cluster.id
        return named

    def _may_have(self, book: Delegation, cluster: Cluster, task: Task) -> bool:
        if task.id in book.ended or cluster.id in book.barred.get(task.id, ()):
            return False
        profiles = self.run.agents
        return any(agent in profiles and is_able(profiles[agent], task) for agent in cluster.agents)

    def _moved(self, book: Delegation, task: TaskId, named: Mapping[TaskId, str]) -> None:
        to, by = book.placed[task], self.tree.head if task in named else None
        self.run.record("task.reassigned", agent=by, ref=task, to=to, reason=book.why[task])
        self.tree.reassigned.append(Reassignment(task_id=task, to=to, by=by, reason=book.why[task]))

    # the clusters' work

    def _begin(self, book: Delegation) -> None:
        """Put every idle cluster to work on what it has; what waits at a busy one may go to an idle one."""
        assert self.clustering is not None
        idle = {cluster.id: cluster for cluster in self.clustering.clusters if cluster.id not in book.at_work}
        ready = book.batches()
        spare = [cluster for name, cluster in idle.items() if name not in ready]
        for name, batch in ready.items():
            if name not in idle and spare:
                moved = divide(batch, spare, self.run.agents, barred=book.barred).placed
                book.place({task.id: moved[task.id] for task in batch if task.id in moved})
        for name, batch in book.batches().items():
            if name in idle:
                self.errands.send(self._have_done(book, idle[name], book.begin(name, batch)))

    async def _have_done(self, book: Delegation, cluster: Cluster, objective: Objective) -> None:
        """Have a cluster do its batch in a run of its own, and take its report."""
        strategy, began = self._strategy(cluster), self.run.now()
        tasks = [task.id for task in objective.tasks]
        self.run.record("tasks.delegated", ref=cluster.id, tasks=tasks, strategy=strategy, agents=len(cluster.agents))
        options: dict[str, Any] = {"desertion_timeout": self.rules.desertion_timeout}
        if strategy == "hierarchical":
            options |= {**self.run.options, "depth": self.depth + 1}
        outcome = await self.run.child(strategy, objective, agents=cluster.agents, options=options)
        left = book.report(cluster.id, outcome)
        self.tree.reported(cluster, ChildRun.of(strategy, len(tasks), outcome, self.run.now() - began), outcome)
        self.run.record("cluster.reported", ref=cluster.id, done=len(tasks) - len(left), left=left)
        self.run.progress(len(book.results), len(book.tasks))

    def _strategy(self, cluster: Cluster) -> str:
        """Choose the strategy inside a cluster: as configured, else by its size."""
        may_split = self.depth + 3 <= self.rules.max_levels
        if self.rules.cluster_strategy not in ("auto", "hierarchical"):
            return self.rules.cluster_strategy
        if may_split and (
            len(cluster.agents) > self.rules.split_above or self.rules.cluster_strategy == "hierarchical"
        ):
            return "hierarchical"
        return "auction" if len(cluster.agents) > 1 else "leader_follower"

    def _give_up(self, book: Delegation) -> None:
        """Nobody is at work and nothing can begin: what is left will not be done."""
        for task in list(book.tasks):
            if task not in book.ended:
                waits = "what it waits for waits for it" if task in book.placed else "no cluster can do it"
                book.fail(task, book.why.get(task, waits))


class Leaders:
    """Who leads which cluster.  now: cluster -> its leader.  unfit: who would not lead, or did not answer."""

    def __init__(self, run: Run, errands: Errands, now: dict[str, AgentId], timeout_s: float) -> None:
        self._run = run
        self._errands = errands
        self._timeout_s = timeout_s
        self._terms: dict[str, int] = {}
        self.now = now
        self.unfit: set[AgentId] = set()

    def appoint(self, clusters: Sequence[Cluster]) -> None:
        """Have each cluster without an accepted leader led by its fittest member that has not declined."""
        for cluster in clusters:
            leader = self._fittest(cluster)
            if leader is None:
                self.now.pop(cluster.id, None)
            elif self.now.get(cluster.id) != leader:
                self.now[cluster.id] = leader
                self._errands.send(self._have_lead(cluster, leader))
        there = {cluster.id for cluster in clusters}
        for gone in [cluster for cluster in self.now if cluster not in there]:
            del self.now[gone]

    def _fittest(self, cluster: Cluster) -> AgentId | None:
        if cluster.leader not in self.unfit:
            return cluster.leader
        agents = self._run.agents
        fit = [agent for agent in cluster.agents if agent not in self.unfit and agent in agents]
        election = elect(Candidate(agent, agents[agent].capabilities) for agent in fit)
        return None if election is None else election.winner

    async def _have_lead(self, cluster: Cluster, leader: AgentId) -> None:
        """Tell a leader whom it leads; if it does not accept, the next one is told."""
        term = self._terms[cluster.id] = self._terms.get(cluster.id, 0) + 1
        self._run.record("leader.elected", agent=leader, ref=cluster.id, term=term, score=cluster.score, scores={})
        followers = tuple(agent for agent in cluster.agents if agent != leader)
        objective = msgspec.structs.replace(self._run.objective, tasks=(), done={}, sync=())
        assume = AssumeLeadership(term=term, followers=followers, objective=objective)
        reply = await self._run.ask(leader, assume, deadline=self._timeout_s)
        if not reply.ok:
            self.unfit.add(leader)
            if self.now.get(cluster.id) == leader:
                del self.now[cluster.id]
            reason = f"it did not assume leadership: {reply.error or reply.status}"
            self._run.record("leader.lost", agent=leader, ref=cluster.id, term=term, reason=reason)
            self._errands.tell()

    def head(self) -> AgentId | None:
        """Return the leader of leaders: the highest score, of equals the smaller id."""
        profiles, leaders = self._run.agents, sorted(self.now.values())
        election = elect(Candidate(each, profiles[each].capabilities) for each in leaders if each in profiles)
        return None if election is None else election.winner


def formed(profiles: Sequence[Profile], clusters: int, balance: Any) -> Any:
    """Form clusters, as `run.compute` calls it."""
    return msgspec.to_builtins(organise(profiles, clusters=clusters or None, balance=balance))


def formed_anew(clustering: Any, profiles: Sequence[Profile]) -> Any:
    """Put clusters right, as `run.compute` calls it."""
    return msgspec.to_builtins(reorganise(msgspec.convert(clustering, Clustering), profiles))


def _whole(options: Mapping[str, Any], name: str) -> int:
    try:
        return msgspec.convert(options.get(name, 0), int)
    except msgspec.ValidationError as error:
        raise Invalid(f"the option {name} of the run must be a whole number: {error}") from error
