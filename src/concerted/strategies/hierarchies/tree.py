"""What a hierarchy came to: every cluster with its leader and its runs, and what was agreed between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from concerted.groups.clusters import Cluster, Clustering
from concerted.strategies.workshop.delegation import Delegation
from concerted.strategies.workshop.outcome import why_not
from concerted.values import AgentId, Outcome, ParticipantResult, TaskId, encode

__all__ = ["ChildRun", "ClusterResult", "HierarchyResult", "InterClusterResult", "Reassignment", "Tree"]

RESULT_BYTES = 4_096  # a cluster's result of this size is repeated here; a larger one is in the outcome of its run


class ChildRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run inside a cluster.  duration: seconds.  result: its own; of a hierarchy always, else if it is small."""

    strategy: str
    tasks: int
    success: bool
    duration: float
    result: Any = None
    reason: str = ""

    @classmethod
    def of(cls, strategy: str, tasks: int, outcome: Outcome, duration: float) -> ChildRun:
        """Make it of an outcome."""
        shown = strategy == "hierarchical" or len(encode(outcome.result)) <= RESULT_BYTES
        return cls(
            strategy=strategy,
            tasks=tasks,
            success=outcome.success,
            duration=duration,
            result=outcome.result if shown else None,
            reason=outcome.reason,
        )


class ClusterResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster did.  duration: of its runs together, seconds."""

    cluster_id: str
    leader: AgentId | None
    agent_count: int
    tasks_completed: int
    duration: float
    result: tuple[ChildRun, ...]


class Reassignment(msgspec.Struct, frozen=True, kw_only=True):
    """A task that one cluster could not do went to another.  by: the head, if it was its choice."""

    task_id: TaskId
    to: str
    reason: str
    by: AgentId | None = None


class InterClusterResult(msgspec.Struct, frozen=True, kw_only=True):
    """What went on between clusters.  head: who was asked last; leaders: cluster -> who leads it at the end."""

    head: AgentId | None
    leaders: dict[str, AgentId]
    reassigned: tuple[Reassignment, ...]


class HierarchyResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run.  hierarchy_levels: those of nested hierarchies included."""

    hierarchy_levels: int
    total_agents: int
    clusters_formed: int
    tasks_completed: int
    total_tasks: int
    cluster_results: tuple[ClusterResult, ...]
    inter_cluster_result: InterClusterResult


class Tree:
    """The results of one level, as they come in.  leaders: cluster -> who leads it now."""

    def __init__(self) -> None:
        self.leaders: dict[str, AgentId] = {}
        self.head: AgentId | None = None
        self.reassigned: list[Reassignment] = []
        self._clusters: dict[str, tuple[AgentId | None, int]] = {}
        self._runs: dict[str, list[ChildRun]] = {}
        self._done: dict[str, int] = {}
        self._parts: dict[AgentId, tuple[list[TaskId], list[TaskId]]] = {}
        self._agents = 0
        self._levels = 1

    def formed(self, clustering: Clustering) -> None:
        """Take note of the clusters there are; those that were before are still told of."""
        self._agents = max(self._agents, clustering.agents)
        for cluster in clustering.clusters:
            self._clusters[cluster.id] = (cluster.leader, len(cluster.agents))

    def reported(self, cluster: Cluster, child: ChildRun, outcome: Outcome) -> None:
        """Take a cluster's report."""
        self._runs.setdefault(cluster.id, []).append(child)
        done = sum(task.status == "done" for task in outcome.tasks)
        self._done[cluster.id] = self._done.get(cluster.id, 0) + done
        nested = outcome.result.get("hierarchy_levels", 1) if child.strategy == "hierarchical" and outcome.result else 1
        self._levels = max(self._levels, nested)
        for agent, part in outcome.participants.items():
            mine = self._parts.setdefault(agent, ([], []))
            mine[0].extend(part.done)
            mine[1].extend(part.failed)

    def outcome(self, book: Delegation | None, agents: Iterable[AgentId], *, timed_out: bool) -> Outcome:
        """Return how it all ended; success means that there were tasks and every mandatory one is done."""
        results = () if book is None else book.task_results()
        tasks = {} if book is None else book.tasks
        missing = [one for one in results if one.status != "done" and tasks[one.id].mandatory]
        return Outcome(
            success=bool(results) and not missing and not timed_out,
            result=self._result(book),
            reason=why_not(len(results), missing, timed_out),
            tasks=results,
            participants=self._participants(agents),
            timed_out=timed_out,
        )

    def _result(self, book: Delegation | None) -> HierarchyResult:
        return HierarchyResult(
            hierarchy_levels=1 + self._levels,
            total_agents=self._agents,
            clusters_formed=len(self._clusters),
            tasks_completed=0 if book is None else len(book.results),
            total_tasks=0 if book is None else len(book.tasks),
            cluster_results=tuple(
                ClusterResult(
                    cluster_id=cluster,
                    leader=self.leaders.get(cluster, leader),
                    agent_count=count,
                    tasks_completed=self._done.get(cluster, 0),
                    duration=sum(child.duration for child in self._runs.get(cluster, ())),
                    result=tuple(self._runs.get(cluster, ())),
                )
                for cluster, (leader, count) in self._clusters.items()
            ),
            inter_cluster_result=InterClusterResult(
                head=self.head, leaders=dict(self.leaders), reassigned=tuple(self.reassigned)
            ),
        )

    def _participants(self, agents: Iterable[AgentId]) -> dict[AgentId, ParticipantResult]:
        leading = set(self.leaders.values())
        nobody: tuple[list[TaskId], list[TaskId]] = ([], [])
        return {
            agent: ParticipantResult(
                agent=agent,
                done=tuple(self._parts.get(agent, nobody)[0]),
                failed=tuple(self._parts.get(agent, nobody)[1]),
                role="leader" if agent in leading else "member",
            )
            for agent in sorted({*self._parts, *agents})
        }
