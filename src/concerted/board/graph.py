"""The graph of tasks: what may begin now, what can never begin, in which order to take what is ready.

The mutable things of this room: a strategy's own, built anew in each replay from the same tasks and told
the same endings, so they always come to the same.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Sequence

from concerted.config.graph import find_cycles
from concerted.errors import Invalid
from concerted.values import Task, TaskId

__all__ = ["Graph", "ReadyQueue"]


class Graph:
    """Tasks and what they come after.  urgent_first: all, by priority, then earliest deadline, then id."""

    def __init__(self, tasks: Sequence[Task], before: Collection[TaskId] = ()) -> None:
        """Read the graph; O(tasks log tasks + edges).  before: tasks that were done before and are none of these.

        Raises:
            Invalid: an id twice, an unknown id in `after`, a cycle; the message names all of them.
        """
        self._check(tasks, before)
        urgent_first = sorted(tasks, key=_urgency)
        self.urgent_first = [task.id for task in urgent_first]
        self._missing = {task.id: len(set(task.after).difference(before)) for task in urgent_first}
        self._dependents: dict[TaskId, list[TaskId]] = {task.id: [] for task in urgent_first}
        for task in urgent_first:
            for other in dict.fromkeys(task.after):
                if other not in before:
                    self._dependents[other].append(task.id)
        self._over: set[TaskId] = set()

    @property
    def unfinished(self) -> int:
        """How many tasks are neither done nor failed."""
        return len(self._missing) - len(self._over)

    def start(self) -> list[TaskId]:
        """Return the tasks that come after nothing, most urgent first."""
        return [task for task, missing in self._missing.items() if missing == 0]

    def done(self, task: TaskId) -> list[TaskId]:
        """Take note that a task is done; return those that may begin now, most urgent first.

        O(dependents).  Done twice is done once.
        """
        if task in self._over:
            return []
        self._over.add(task)
        free = []
        for dependent in self._dependents[task]:
            self._missing[dependent] -= 1
            if self._missing[dependent] == 0 and dependent not in self._over:
                free.append(dependent)
        return free

    def failed(self, task: TaskId) -> list[tuple[TaskId, str]]:
        """Take note that a task will not be done; return all that never can be now, each with the reason.

        In order of distance, then urgency.  O(edges behind the task).
        """
        if task in self._over:
            return []
        self._over.add(task)
        doomed: list[tuple[TaskId, str]] = []
        front = [task]
        for cause in front:  # grows while we go through it
            way = "" if cause == task else f" by way of {cause}"
            for dependent in self._dependents[cause]:
                if dependent not in self._over:
                    self._over.add(dependent)
                    front.append(dependent)
                    doomed.append((dependent, f"it comes after {task}{way}, and {task} was not done"))
        return doomed

    @staticmethod
    def _check(tasks: Sequence[Task], before: Collection[TaskId]) -> None:
        problems: list[str] = []
        known: set[TaskId] = set()
        for task in tasks:
            if task.id in known:
                problems.append(f"there are two tasks {task.id!r}; ids are unique")
            known.add(task.id)
        for task in tasks:
            unknown = [repr(other) for other in task.after if other not in known and other not in before]
            if unknown:
                problems.append(f"task {task.id!r} comes after {', '.join(unknown)}, which nobody has named")
        problems += [
            f"tasks wait for each other in a circle: {' -> '.join([*cycle, cycle[0]])}"
            for cycle in find_cycles({task.id: [other for other in task.after if other in known] for task in tasks})
        ]
        if problems:
            raise Invalid("; ".join(problems), problems=problems)


class ReadyQueue:
    """Tasks that may begin and that nobody holds, most urgent first."""

    def __init__(self, graph: Graph) -> None:
        self._task_of = graph.urgent_first
        self._rank_of = {task: rank for rank, task in enumerate(graph.urgent_first)}
        self._ranks: list[int] = []

    def add(self, task: TaskId) -> None:
        """Put a task in; putting it in twice is putting it in once."""
        if task not in self:
            insort(self._ranks, self._rank_of[task])

    def discard(self, task: TaskId) -> None:
        """Take a task out, if it is there."""
        place = self._place(task)
        if place is not None:
            del self._ranks[place]

    def __contains__(self, task: TaskId) -> bool:
        return self._place(task) is not None

    def __iter__(self) -> Iterator[TaskId]:
        return (self._task_of[rank] for rank in self._ranks)

    def __len__(self) -> int:
        return len(self._ranks)

    def _place(self, task: TaskId) -> int | None:
        rank = self._rank_of[task]
        place = bisect_left(self._ranks, rank)
        return place if place < len(self._ranks) and self._ranks[place] == rank else None


def _urgency(task: Task) -> tuple[int, float, TaskId]:
    return (-task.priority, float("inf") if task.deadline_s is None else task.deadline_s, task.id)
