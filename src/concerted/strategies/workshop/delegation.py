"""The tasks of a hierarchy: which cluster has which, what became of them, and what must go to another cluster.

    open --place--> placed --begin--> at work --done--> done
                      at work --not done, and attempts are left--> open, not for this cluster again
                      at work --no attempts, no cluster, no time left--> failed, with all that comes after it

A cluster is given a *batch*: all its tasks of which everything that they come after is done, or in the batch too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from concerted.board.graph import Graph
from concerted.run import Run
from concerted.values import Meeting, Objective, Outcome, Task, TaskId, TaskResult

__all__ = ["Delegation"]


class Delegation:
    """The book of one hierarchy.

    tasks: in an order in which none comes before what it comes after.  placed: open task -> the cluster that has
    it.  at_work: cluster -> its batch.  barred: task -> clusters that could not do it.  moves: how often a task
    has been given to another cluster.  ended: task -> how it ended.
    """

    def __init__(self, run: Run, tasks: Sequence[Task], reassignments: int, *, claimed_here: bool = False) -> None:
        """Take the tasks.  claimed_here: they are done under claims of this run, not of a child.

        Raises:
            Invalid: ids twice, unknown or in a cycle.
        """
        self._run = run
        self._before = run.objective.done
        self._started_at = run.now()
        self._most_moves = reassignments
        self._claimed_here = claimed_here
        self._graph = Graph(tasks, self._before)
        self._listed = tuple(task.id for task in tasks)
        self._meetings = {meeting.id: meeting for meeting in run.objective.sync}
        self._needs = _needs_of(tasks, self._before)
        self.tasks = _in_order(tasks, self._needs)
        self.results: dict[TaskId, Any] = {}
        self.ended: dict[TaskId, TaskResult] = {}
        self.placed: dict[TaskId, str] = {}
        self.at_work: dict[str, tuple[TaskId, ...]] = {}
        self.barred: dict[TaskId, set[str]] = {}
        self.moves: dict[TaskId, int] = {}
        self.why: dict[TaskId, str] = {}
        self._attempts: dict[TaskId, int] = {}
        self._failures: dict[TaskId, int] = {}
        run.record("tasks.added", tasks=list(tasks))

    @property
    def unfinished(self) -> bool:
        """Whether there is any task of which it is not decided how it ends."""
        return self._graph.unfinished > 0

    def unplaced(self) -> list[Task]:
        """Return the open tasks that no cluster has."""
        return [task for task in self.tasks.values() if task.id not in self.ended and task.id not in self.placed]

    def place(self, placed: Mapping[TaskId, str]) -> None:
        """Give tasks to clusters."""
        self.placed.update(placed)

    def free(self, clusters: Iterable[str]) -> None:
        """Take back what clusters that are gone have and have not begun."""
        gone = set(clusters)
        busy = self._busy()
        for task in [task for task, cluster in self.placed.items() if cluster in gone and task not in busy]:
            del self.placed[task]

    def batches(self) -> dict[str, list[Task]]:
        """Return for each cluster what it could begin now."""
        busy = self._busy()
        found: dict[str, list[Task]] = {}
        inside: dict[str, set[TaskId]] = {}
        for task in self.tasks.values():
            cluster = self.placed.get(task.id)
            if cluster is None or task.id in busy or task.id in self.ended:
                continue
            taken = inside.setdefault(cluster, set())
            if all(need in self.ended or need in taken for need in self._needs[task.id]):
                taken.add(task.id)
                found.setdefault(cluster, []).append(task)
        return found

    def begin(self, cluster: str, batch: Sequence[Task]) -> Objective:
        """Put a cluster to work on a batch; return the objective of its run."""
        self.at_work[cluster] = tuple(task.id for task in batch)
        objective, passed_s = self._run.objective, self._run.now() - self._started_at
        names = sorted({name for task in batch for name in (*task.arrives_at, *task.waits_for)})
        results = {**self._before, **self.results}
        done = {need: results[need] for task in batch for need in task.after if need in results}
        return Objective(
            description=objective.description,
            tasks=tuple(self._for_child(task, passed_s) for task in batch),
            sync=tuple(self._shared(name, passed_s) for name in names if name in self._meetings),
            data=objective.data,
            done=dict(sorted(done.items())),
        )

    def report(self, cluster: str, outcome: Outcome) -> dict[TaskId, str]:
        """Take a cluster's outcome; return what it has left undone, and why."""
        told = {result.id: result for result in outcome.tasks}
        batch = self.at_work.pop(cluster)
        left: dict[TaskId, str] = {}
        for task in batch:
            result = told.get(task)
            if result is not None:
                self._attempts[task] = self._attempts.get(task, 0) + result.attempts
                self._failures[task] = self._failures.get(task, 0) + result.failures
            if result is not None and result.status == "done":
                self._done(task, result)
            else:
                left[task] = (result.error if result else None) or outcome.reason or "its cluster did not do it"
        for task, reason in left.items():
            self.placed.pop(task, None)
            self.why[task] = reason
        for task in [task for task in left if task not in self.ended]:
            if all(need in self.ended for need in self._needs[task]):  # it could have been done
                self._hand_back(task, cluster, left[task])
        return left

    def fail(self, task: TaskId, reason: str) -> None:
        """Give a task up, and with it whatever comes after it."""
        for one, why in [(task, reason), *self._graph.failed(task)]:
            self.placed.pop(one, None)
            self._end(one, TaskResult(id=one, status="failed", error=why))
            self._run.record("task.failed", ref=one, reason=why)

    def close(self) -> None:
        """Call off what is not decided: the run ends."""
        for task in self._listed:
            if task not in self.ended:
                why = self.why.get(task, "the run ended first")
                self._end(task, TaskResult(id=task, status="cancelled", error=why))
                self._run.record("task.cancelled", ref=task, reason=why)

    def task_results(self) -> tuple[TaskResult, ...]:
        """Return how each task ended, in the order given, once the book is closed."""
        return tuple(self.ended[task] for task in self._listed)

    # how tasks end

    def _done(self, task: TaskId, result: TaskResult) -> None:
        self.placed.pop(task, None)
        self.results[task] = result.result
        self._end(task, result)
        claim = {"epoch": result.epoch, "result": result.result} if self._claimed_here else {}
        self._run.record("task.done", agent=result.agent, ref=task, **claim)
        self._graph.done(task)

    def _end(self, task: TaskId, result: TaskResult) -> None:
        self.ended[task] = msgspec.structs.replace(
            result,
            attempts=self._attempts.get(task, result.attempts),
            failures=self._failures.get(task, result.failures),
        )

    def _hand_back(self, task: TaskId, cluster: str, reason: str) -> None:
        """Open a task again for other clusters, if it may be tried again at all."""
        its = self.tasks[task]
        if self._failures.get(task, 0) > its.retries:
            self.fail(task, reason)
        elif its.deadline_s is not None and self._run.now() >= self._started_at + its.deadline_s:
            self.fail(task, f"its deadline of {its.deadline_s:g} s has passed; {reason}")
        elif self.moves.get(task, 0) >= self._most_moves:
            self.fail(task, f"{self.moves.get(task, 0) + 1} clusters could not do it, the last: {reason}")
        else:
            self.barred.setdefault(task, set()).add(cluster)
            self.moves[task] = self.moves.get(task, 0) + 1

    def _busy(self) -> set[TaskId]:
        return {task for batch in self.at_work.values() for task in batch}

    # what a child is given

    def _for_child(self, task: Task, passed_s: float) -> Task:
        """Return a task with the attempts and the time that it has left, meeting at shared points."""
        left_s = None if task.deadline_s is None else max(0.001, task.deadline_s - passed_s)
        return msgspec.structs.replace(
            task,
            retries=max(0, task.retries - self._failures.get(task.id, 0)),
            deadline_s=left_s,
            arrives_at=tuple(self._point(name) for name in task.arrives_at),
            waits_for=tuple(self._point(name) for name in task.waits_for),
        )

    def _shared(self, name: str, passed_s: float) -> Meeting:
        """Return a meeting as all clusters know it."""
        meeting = self._meetings[name]
        arriving = tuple(task.id for task in self.tasks.values() if name in task.arrives_at)
        left_s = None if meeting.deadline_s is None else max(0.001, meeting.deadline_s - passed_s)
        participants = meeting.participants or arriving
        return msgspec.structs.replace(
            meeting, id=self._point(name), participants=participants, deadline_s=left_s, shared=True
        )

    def _point(self, name: str) -> str:
        meeting = self._meetings.get(name)
        return name if meeting is None or meeting.shared else f"{self._run.id}:{name}"


def _needs_of(tasks: Sequence[Task], before: Mapping[TaskId, Any]) -> dict[TaskId, tuple[TaskId, ...]]:
    """Return what must be over before each task: what it comes after, and what arrives where it waits."""
    arriving: dict[str, list[TaskId]] = {}
    for task in tasks:
        for name in task.arrives_at:
            arriving.setdefault(name, []).append(task.id)
    return {
        task.id: tuple(
            sorted(
                {one for one in task.after if one not in before}
                | {one for name in task.waits_for for one in arriving.get(name, ()) if one != task.id}
            )
        )
        for task in tasks
    }


def _in_order(tasks: Sequence[Task], needs: Mapping[TaskId, Sequence[TaskId]]) -> dict[TaskId, Task]:
    """Sort tasks so that none comes before what it needs, else by priority and as given; circles come last."""
    by_id = {task.id: task for task in tasks}
    left = sorted(by_id.values(), key=lambda task: -task.priority)
    missing = {task.id: len(needs[task.id]) for task in left}
    behind: dict[TaskId, list[TaskId]] = {}
    for task in left:
        for need in needs[task.id]:
            behind.setdefault(need, []).append(task.id)
    front = [task.id for task in left if not missing[task.id]]
    for one in front:  # grows while we go through it
        for dependent in behind.get(one, ()):
            missing[dependent] -= 1
            if not missing[dependent]:
                front.append(dependent)
    front += [task.id for task in left if missing[task.id]]
    return {one: by_id[one] for one in front}
