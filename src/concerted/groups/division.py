"""The division of work between clusters: each task to one that can do it, and to none much more than it has room for.

A cluster can do a task if one of its members has all that the task requires.  Its room for tasks of this kind is
what those members can hold at once.  A task goes where room is filled least; if it comes after others, to their
cluster, unless that is fuller by twice its room.  Ties go to the cluster that is named first.

Source: the specification, HierarchicalCoordinator, `decomposeObjectiveForCluster`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from concerted.groups.clusters import Cluster
from concerted.values import AgentId, Profile, Task, TaskId

__all__ = ["Division", "divide", "is_able"]

LOYALTY = 2.0  # by how many times its room a cluster may be fuller and still get what comes after its own tasks

Needs = tuple[tuple[tuple[str, float], ...], AgentId | None]


@dataclass(frozen=True, slots=True)
class Division:
    """placed: task -> cluster.  left: task -> why no cluster gets it."""

    placed: Mapping[TaskId, str]
    left: Mapping[TaskId, str]


def is_able(profile: Profile, task: Task) -> bool:
    """Say whether an agent may do a task: it has every required capability, and the task is not somebody else's."""
    if task.agent not in (None, profile.id):
        return False
    levels = profile.capabilities
    return all(levels.get(name, -1.0) >= level for name, level in task.required_capabilities.items())


def divide(
    tasks: Iterable[Task],
    clusters: Sequence[Cluster],
    profiles: Mapping[AgentId, Profile],
    *,
    placed: Mapping[TaskId, str] | None = None,
    barred: Mapping[TaskId, AbstractSet[str]] | None = None,
) -> Division:
    """Divide tasks, given in an order in which none comes before what it comes after.

    placed: tasks that clusters have already; they count as held.  barred: task -> clusters that may not get it.
    O(agents) for each kind of requirement, O(log clusters + predecessors) a task.
    """
    rooms = _Rooms(clusters, profiles)
    where: dict[TaskId, str] = dict(placed or {})
    for cluster in where.values():
        rooms.hold(cluster)
    found: dict[TaskId, str] = {}
    left: dict[TaskId, str] = {}
    for task in tasks:
        near = sorted({where[before] for before in task.after if before in where})
        chosen = rooms.best(task, near, (barred or {}).get(task.id, frozenset()))
        if chosen is None:
            left[task.id] = _why_nobody(task, bool(barred and barred.get(task.id)))
        else:
            found[task.id] = where[task.id] = chosen
            rooms.hold(chosen)
    return Division(found, left)


@dataclass(slots=True)
class _Rooms:
    """How full each cluster is; one heap for each kind of requirement, put right when it is looked at."""

    clusters: Sequence[Cluster]
    profiles: Mapping[AgentId, Profile]
    held: dict[str, int] = field(default_factory=dict)
    _kinds: dict[Needs, tuple[dict[str, int], list[tuple[float, int, str]]]] = field(default_factory=dict)

    def hold(self, cluster: str) -> None:
        """Count a task more in a cluster's hands."""
        self.held[cluster] = self.held.get(cluster, 0) + 1

    def best(self, task: Task, near: Sequence[str], barred: AbstractSet[str]) -> str | None:
        """Return the cluster for a task: the least full that can do it, or that of what it comes after."""
        room, heap = self._kind(task)
        aside: list[tuple[float, int, str]] = []
        chosen: tuple[float, int, str] | None = None
        while heap and chosen is None:
            full, place, cluster = heap[0]
            now = self._fullness(cluster, room[cluster])
            if now != full:
                heapq.heapreplace(heap, (now, place, cluster))
            elif cluster in barred:
                aside.append(heapq.heappop(heap))
            else:
                chosen = heap[0]
        for each in aside:
            heapq.heappush(heap, each)
        if chosen is None:
            return None
        loyal = [
            (self._fullness(cluster, room[cluster]), cluster)
            for cluster in near
            if cluster in room and cluster not in barred
        ]
        if loyal and min(loyal)[0] <= chosen[0] + LOYALTY:
            return min(loyal)[1]
        return chosen[2]

    def _fullness(self, cluster: str, room: int) -> float:
        return (self.held.get(cluster, 0) + 1) / room

    def _kind(self, task: Task) -> tuple[dict[str, int], list[tuple[float, int, str]]]:
        """Return the room of each cluster for tasks of this kind, and the heap by fullness."""
        needs = (tuple(sorted(task.required_capabilities.items())), task.agent)
        if needs not in self._kinds:
            room = {}
            for cluster in self.clusters:
                members = (self.profiles[agent] for agent in cluster.agents if agent in self.profiles)
                places = sum(profile.capacity for profile in members if is_able(profile, task))
                if places:
                    room[cluster.id] = places
            order = {cluster.id: place for place, cluster in enumerate(self.clusters)}
            heap = [(self._fullness(cluster, places), order[cluster], cluster) for cluster, places in room.items()]
            heapq.heapify(heap)
            self._kinds[needs] = (room, heap)
        return self._kinds[needs]


def _why_nobody(task: Task, others_have_tried: bool) -> str:
    what = "no other cluster" if others_have_tried else "no cluster"
    if task.agent is not None:
        return f"{what} has {task.agent}, who must do it"
    wanted = [f"{name} {level:g}" for name, level in sorted(task.required_capabilities.items())]
    return f"{what} has an agent with {' and '.join(wanted)}" if wanted else f"{what} has an agent for it"
