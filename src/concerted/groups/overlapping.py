"""Overlapping coalitions: agents who split their capacity, to work in several coalitions at once.

Each piece of work needs so much of some capabilities and pays a reward if it gets all of it.  An agent that
gives part f of its capacity to a piece of work brings f of each of its levels there.  Which pieces are worth
doing, and who gives how much to which, is a linear program as long as work may be done in part; where the best
solution does a piece in part, it is looked at with that piece done and with it left (branch and bound).

Source: Chalkiadakis, Elkind, Markakis, Polukarov & Jennings 2010, "Cooperative games with overlapping
coalitions", threshold task games.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, isfinite
from typing import TYPE_CHECKING, Literal

from concerted.errors import Invalid, Overloaded
from concerted.groups.games import Array
from concerted.groups.linear import Program
from concerted.values import AgentId, TaskId

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

__all__ = ["Split", "Work", "split_capacity"]

MOST_PARTS = 400  # agents x pieces of work: each is a variable of the linear programs
MOST_PROGRAMS = 400  # before the best that was found must do
WHOLE = 1e-6  # a piece of work that is done but for this is done
EFFORT = 1e-6  # of the largest reward: what a unit of capacity costs, so that none is given for nothing
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work: what it needs of each capability, above 0, and what it pays."""

    needs: Mapping[str, float]
    reward: float


@dataclass(frozen=True, slots=True)
class Split:
    """Who works on what.

    parts: task -> agent -> the part of its capacity that it gives.  payoffs: agent -> its share of the
    rewards: each reward is divided by what its coalition's members bring of what it needs.  bound: no other
    split pays more.
    """

    parts: Mapping[TaskId, Mapping[AgentId, float]]
    worth: float
    payoffs: Mapping[AgentId, float]
    status: Literal["optimal", "feasible"]
    bound: float


def split_capacity(
    levels: Mapping[AgentId, Mapping[str, float]],
    work: Mapping[TaskId, Work],
    capacity: Mapping[AgentId, float] | None = None,
) -> Split:
    """Return the split of the agents' capacities that earns the most.

    levels: agent -> capability -> what it brings with all of 1.0.  capacity: agent -> how much it has; 1 for
    who is not named.  Ten agents and ten pieces of work take a few tenths of a second.

    Raises:
        Invalid: a level, a need, a reward or a capacity is not finite, or below 0.
        Overloaded: agents times pieces of work are more than MOST_PARTS.
    """
    search = _Search(levels, work, capacity or {})
    search.run()
    return search.split()


class _Search:
    """Branch and bound over the pieces of work.  Variables: a part for each task and agent, then each task's doing."""

    def __init__(
        self,
        levels: Mapping[AgentId, Mapping[str, float]],
        work: Mapping[TaskId, Work],
        capacity: Mapping[AgentId, float],
    ) -> None:
        self.agents, self.tasks = sorted(levels), sorted(work)
        self.levels, self.work = levels, work
        if len(self.agents) * len(self.tasks) > MOST_PARTS:
            raise Overloaded(
                f"{len(self.agents)} agents and {len(self.tasks)} pieces of work are more than {MOST_PARTS} parts; "
                "give them out in smaller groups",
                most=MOST_PARTS,
            )
        self.capacity = [capacity.get(agent, 1.0) for agent in self.agents]
        _check(levels, work, dict(zip(self.agents, self.capacity, strict=True)))
        self.most = max((work[task].reward for task in self.tasks), default=0.0) or 1.0
        self.best: tuple[float, Array] | None = None
        self.bound = 0.0
        self._open: list[_Node] = []
        self._rows, self._bounds, self._cost = self._program()

    def run(self) -> None:
        """Look at programs, the one that promises most first, until none promises more than has been found."""
        import numpy as np

        if not self.tasks or not self.agents:
            return
        parts, tasks = len(self.tasks) * len(self.agents), len(self.tasks)
        everything = fsum(work.reward for work in self.work.values())
        basis = np.arange(parts + tasks)  # nobody gives anything, and all is done: nothing is cheaper
        self._open = [_Node(everything, {}, basis, np.diag(np.append(np.ones(parts), -np.ones(tasks))))]
        for _ in range(MOST_PROGRAMS):
            worth = self.best[0] if self.best else 0.0
            self._open = [node for node in self._open if node.promise > worth + TOLERANCE * self.most]
            if not self._open:
                self.bound = worth
                return
            self._branch(self._open.pop(max(range(len(self._open)), key=lambda at: self._open[at].promise)))
        self.bound = max([self.best[0] if self.best else 0.0, *(node.promise for node in self._open)])

    def split(self) -> Split:
        """Return the best split that was found."""
        parts: dict[TaskId, dict[AgentId, float]] = {}
        if self.best is not None:
            count = len(self.agents)
            for number, task in enumerate(self.tasks):
                if self.best[1][len(self.tasks) * count + number] > 1.0 - WHOLE:
                    given = self.best[1][number * count : (number + 1) * count]
                    parts[task] = {
                        agent: float(part) for agent, part in zip(self.agents, given, strict=True) if part > TOLERANCE
                    }
        worth = fsum(self.work[task].reward for task in parts)
        bound = max(worth, self.bound)
        optimal = bound <= worth + TOLERANCE * self.most
        return Split(
            parts, worth, self._payoffs(parts), "optimal" if optimal else "feasible", worth if optimal else bound
        )

    def _branch(self, node: _Node) -> None:
        """Solve with some pieces done and some left; note what it finds, or split it in two."""
        import numpy as np

        program = Program(self._cost, self._rows, self._bounds_of(node.fixed), node.basis, (), node.inverse)
        if not program.solve(TOLERANCE):
            return
        y = np.clip(program.y, 0.0, None)
        doing = y[len(self.tasks) * len(self.agents) :]
        rewards = [self.work[task].reward for task in self.tasks]
        promise = fsum(reward * min(1.0, float(done)) for reward, done in zip(rewards, doing, strict=True))
        partly = [number for number, done in enumerate(doing) if WHOLE < done < 1.0 - WHOLE]
        whole = fsum(reward for reward, done in zip(rewards, doing, strict=True) if done > 1.0 - WHOLE)
        if whole > (self.best[0] if self.best else 0.0):
            self.best = (whole, y)
        if partly:
            at = max(partly, key=lambda number: (rewards[number] * min(doing[number], 1.0 - doing[number]), -number))
            fixed = [{**node.fixed, at: done} for done in (False, True)]
            self._open += [_Node(promise, each, program.basis, program.inverse) for each in fixed]

    def _bounds_of(self, fixed: Mapping[int, bool]) -> Array:
        """Turn `doing <= 1` into `doing <= 0` for what is left, and `doing >= 0` into `doing >= 1` for what is done."""
        tasks, parts = len(self.tasks), len(self.tasks) * len(self.agents)
        bounds = self._bounds.copy()
        for number, done in sorted(fixed.items()):
            if done:
                bounds[parts + tasks + number] = 1.0
            else:
                bounds[parts + number] = 0.0
        return bounds

    def _program(self) -> tuple[Array, Array, Array]:
        """Set the rows up: parts >= 0, doing <= 1, doing >= 0, needs are met, capacities are kept."""
        import numpy as np

        agents, tasks = len(self.agents), len(self.tasks)
        parts = agents * tasks
        size = parts + tasks
        every = np.eye(size)
        rows = [every[:parts], -every[parts:], every[parts:]]
        bounds = [0.0] * parts + [-1.0] * tasks + [0.0] * tasks
        for number, task in enumerate(self.tasks):
            for name, need in sorted(self.work[task].needs.items()):
                row = np.zeros(size)
                have = [self.levels[agent].get(name, 0.0) / need for agent in self.agents]
                row[number * agents : (number + 1) * agents] = have
                row[parts + number] = -1.0
                rows.append(row[None, :])
                bounds.append(0.0)
        for place in range(agents):
            row = np.zeros(size)
            row[place:parts:agents] = -1.0
            rows.append(row[None, :])
            bounds.append(-self.capacity[place])
        cost = np.full(size, EFFORT)
        cost[parts:] = [-self.work[task].reward / self.most for task in self.tasks]
        return np.concatenate(rows), np.array(bounds), cost

    def _payoffs(self, parts: Mapping[TaskId, Mapping[AgentId, float]]) -> dict[AgentId, float]:
        payoffs = dict.fromkeys(self.agents, 0.0)
        for task, given in sorted(parts.items()):
            work = self.work[task]
            brought = {
                agent: fsum(
                    part * self.levels[agent].get(name, 0.0) / need for name, need in sorted(work.needs.items())
                )
                for agent, part in given.items()
            }
            whole = fsum(brought.values())
            for agent, amount in brought.items():
                payoffs[agent] += work.reward * amount / whole if whole else 0.0
        return payoffs


@dataclass(frozen=True, slots=True)
class _Node:
    """A program that is still to be looked at: which pieces are done or left, and the basis to start from."""

    promise: float
    fixed: Mapping[int, bool]
    basis: NDArray[int64]
    inverse: Array


def _check(
    levels: Mapping[AgentId, Mapping[str, float]], work: Mapping[TaskId, Work], capacity: Mapping[AgentId, float]
) -> None:
    numbers = [(f"the capacity of {agent}", amount) for agent, amount in sorted(capacity.items())]
    for agent, have in sorted(levels.items()):
        numbers += [(f"{name} of {agent}", level) for name, level in sorted(have.items())]
    for task, each in sorted(work.items()):
        numbers.append((f"the reward of {task}", each.reward))
        numbers += [(f"the need of {task} for {name}", need) for name, need in sorted(each.needs.items())]
        if not each.needs or min(each.needs.values()) <= 0:
            raise Invalid(f"{task} must need something, and more than 0 of it; it needs {dict(each.needs)}")
    for what, number in numbers:
        if not isfinite(number) or number < 0:
            raise Invalid(f"{what} is {number}; it must be finite and at least 0")
