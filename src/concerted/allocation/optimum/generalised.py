"""The generalised assignment: tasks of different sizes to agents with limited room, at the lowest cost.

No polynomial algorithm is known.  What is done here, in this order, until nothing better can be there or the budget
of steps is used up:

1. A price on each agent's room, then one on each task, both by subgradient.  Under prices on tasks each agent fills
   its room as pays best, a knapsack solved exactly: together a lower bound, mostly within a part in a thousand.
2. A beam search, task by task: of all partial answers those are kept whose own bound is the lowest.  The knapsacks'
   tables give that bound by looking it up.
3. The same with a limit just below the best answer, wider and wider.  A beam that never had to throw an answer away
   has looked at everything: then the best answer is the optimum, and that is proved.

Source: Fisher, Jaikumar & Van Wassenhove, "A multiplier adjustment method for the generalized assignment problem",
Management Science 32, 1986, for the bound; Ow & Morton, "Filtered beam search in scheduling", 1988.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from concerted.allocation.optimum.assignment import UNASSIGNED
from concerted.allocation.optimum.effort import DEFAULT, Draws, Effort
from concerted.allocation.optimum.solvers import Program, solve
from concerted.errors import Invalid

__all__ = ["FORBIDDEN", "Generalised", "assign_generalised"]

FORBIDDEN = 2**62  # the cost of a pair that may not be
LARGEST = 2**60  # the sum of the highest costs of all tasks must stay below it

ROOM_ROUNDS, TASK_ROUNDS = 600, 300  # of finding prices on room, on tasks
PER_TASK = 8  # rounds; small problems do not need so many
PATIENCE = 20, 8  # rounds without a better bound before the step is halved
FINEST = 2_000  # entries of a knapsack's table; beyond that sizes are rounded down, which keeps the bound valid
WIDTHS = (300, 1_000, 3_000, 10_000, 30_000)  # partial answers kept
FEW = (3, 4, 5)  # agents in a part
MOST_TASKS = 80  # in a part
PART_STEPS = 300  # for each task and agent of a part
NEAREST = 5  # agents looked at for each task at first, those with the lowest reduced cost

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Generalised:
    """column_of: the agent of each task, UNASSIGNED if it is left out.  cost: of all together.

    bound: no answer costs less.  status: `optimal` if that is proved, else `feasible`.
    """

    column_of: tuple[int, ...]
    cost: int
    bound: float
    status: Literal["optimal", "feasible"]


def assign_generalised(costs: Ints, sizes: Ints, room: Ints, skip: Ints, effort: Effort = DEFAULT) -> Generalised:
    """Return who does which task, so that no agent has more than it has room for and the sum of costs is low.

    costs, sizes: int64[tasks, agents], at least 0; a cost may be FORBIDDEN.  room: int64[agents].  skip: int64[tasks],
    what it costs to leave a task out; where that is more than all the rest together, none is left out if the search
    finds a way.  The answer depends on the arguments alone.  A step is one partial answer looked at.
    Raises: Invalid, if a size is negative or the costs are too large to be added up.
    """
    _check(costs, sizes, room, skip)
    if not len(skip):
        return Generalised((), 0, 0.0, "optimal")
    search = _Search(_Problem(costs, sizes, room, skip, effort.steps // 8), effort)
    search.run()
    if effort.solver_s and not search.proved:
        search.ask_solver(effort.solver_s)
    columns = tuple(UNASSIGNED if one == len(room) else one for one in search.column_of.tolist())
    bound = float(search.cost) if search.proved else min(search.bound, float(search.cost))
    return Generalised(columns, search.cost, bound, "optimal" if search.proved else "feasible")


def _check(costs: Ints, sizes: Ints, room: Ints, skip: Ints) -> None:
    if costs.shape != sizes.shape or costs.shape != (len(skip), len(room)):
        raise Invalid(
            f"costs {costs.shape}, sizes {sizes.shape}, room {room.shape}, skip {skip.shape}: costs and sizes must "
            "have a row for each task and a column for each agent, room an entry per agent, skip one per task"
        )
    if (low := np.argwhere((costs < 0) | (sizes < 0))).size:
        row, column = low[0].tolist()
        raise Invalid(
            f"task {row}, agent {column}: cost {costs[row, column]}, size {sizes[row, column]}; both must be at least 0"
        )
    allowed = np.where(costs >= FORBIDDEN, 0, costs).astype(float)
    if np.maximum(allowed.max(axis=1, initial=0), skip).sum() > LARGEST:
        raise Invalid(f"the highest costs of all tasks add up to more than {LARGEST}; measure them in a larger unit")


class _Problem:
    """The tasks and agents; the last column, with room for all, stands for leaving a task out.

    floor: no answer costs less.  ranked: for each task the columns by reduced cost; above: how much more than the
    floor an answer costs at least in which the task goes there.  order: in which the tasks are placed.
    """

    def __init__(self, costs: Ints, sizes: Ints, room: Ints, skip: Ints, steps: int) -> None:
        self.tasks = len(skip)
        fits = (sizes <= room) & (costs < FORBIDDEN)
        self.costs = np.concatenate([np.where(fits, costs, FORBIDDEN), skip[:, None]], axis=1)
        self.sizes = np.concatenate([np.where(fits, sizes, 0), np.zeros((self.tasks, 1), np.int64)], axis=1)
        self.room = np.append(np.minimum(np.maximum(room, 0), self.sizes[:, :-1].sum(axis=0)), 0)
        possible = self.costs[self.costs < FORBIDDEN]
        self.unit = max(1, int(np.gcd.reduce(possible))) if possible.size else 1  # two sums differ by this at least
        self.scale = float(possible.max(initial=1))
        # As floats a forbidden pair must be dear, and not so dear that nothing else can be told apart.
        self.weights = np.where(self.costs >= FORBIDDEN, 4.0 * self.scale * self.tasks, self.costs.astype(float))
        rounds = min(ROOM_ROUNDS, 20 + PER_TASK * self.tasks, 1 + steps // (200 + self.costs.size // 50))
        self.floor, self.prices = self._price_room(rounds)
        reduced = self.weights + self.prices * self.sizes
        self.ranked = np.argsort(reduced, axis=1, kind="stable")
        ordered = np.take_along_axis(reduced, self.ranked, axis=1)
        self.worth: Floats = ordered[:, 0]  # of each task, at these prices
        self.above = ordered - ordered[:, :1]
        regret, bulk = self.above[:, min(1, len(room))], self.sizes.max(axis=1)
        # First what is clear and what is bulky: the rest then fills the room that is left.
        urgency = regret / (regret.mean() or 1.0) + bulk / (bulk.mean() or 1.0)
        self.order = np.argsort(-urgency, kind="stable")

    def _price_room(self, rounds: int) -> tuple[float, Floats]:
        """Raise the price of room where too much is wanted, lower it where too little is."""
        everyone = np.arange(self.tasks)
        prices = best_prices = np.zeros(len(self.room))
        best, step, waited = -np.inf, 1.0, 0
        for _ in range(rounds):
            reduced = self.weights + prices * self.sizes
            choice = reduced.argmin(axis=1)
            bound = float(reduced[everyone, choice].sum() - prices @ self.room)
            waited += 1
            if bound > best:
                best, best_prices, waited = bound, prices, 0
            elif waited >= PATIENCE[0]:
                step, waited = step / 2, 0
            load = np.bincount(choice, self.sizes[everyone, choice], len(self.room))
            excess = np.where((load < self.room) & (prices <= 0), 0.0, load - self.room)
            norm = float(excess @ excess)
            if not norm or step < 1e-5:
                break
            prices = np.maximum(0.0, prices + step * (best + 0.05 * abs(best) - bound) / norm * excess)
        return best, best_prices


class _Knapsacks:
    """What each agent makes of its room under prices on tasks: tables by how far we are and how much room is left.

    left[k]: what the tasks from place k on are worth together, so that nothing is counted twice:
    an answer that has k tasks placed costs at least its own cost + left[k] + one entry of each agent's k-th table.
    """

    def __init__(self, problem: _Problem, worth: Floats) -> None:
        tasks, columns = problem.costs.shape
        self._grain = np.maximum(1, -(-problem.room // FINEST))
        room = problem.room // self._grain
        gains = (problem.weights - worth[:, None])[problem.order]
        sizes = (problem.sizes // self._grain)[problem.order]
        self.left = np.append(np.cumsum(worth[problem.order][::-1])[::-1], 0.0)
        self.bound = float(self.left[0])
        self.taken = np.zeros(tasks, np.int64)  # by how many agents each task would be taken
        self.cells = 0
        self._tables: list[list[Floats]] = []
        for column in range(columns):
            table = np.zeros(int(room[column]) + 1)
            here = [table] * (tasks + 1)
            wanted = np.flatnonzero(gains[:, column] < 0)
            last = tasks
            for place in wanted[::-1].tolist():
                here[place + 1 : last] = [table] * (last - place - 1)
                size, without = int(sizes[place, column]), table
                table = without.copy()
                np.minimum(without[size:], without[: len(without) - size] + gains[place, column], out=table[size:])
                here[place] = table
                last = place
            here[:last] = [table] * last
            self.cells += len(wanted) * (len(table) + 2_000) + 20 * tasks
            self.bound += float(table[-1])
            free = len(table) - 1
            for place in wanted.tolist():
                if here[place][free] != here[place + 1][free]:
                    self.taken[problem.order[place]] += 1
                    free -= int(sizes[place, column])
            self._tables.append(here)

    def bounds(self, place: int, room: Ints, columns: Ints, sizes: Ints) -> Floats:
        """Return float64[partial answers, columns]: what is still to come costs at least, if the task goes there.

        room: what is left before.  place: how many tasks are placed with this one.  Meaningless where it does not fit.
        """
        idle = np.full(len(room), self.left[place])
        for column, tables in enumerate(self._tables):
            idle += tables[place][room[:, column] // self._grain[column]]
        bounds = np.empty((len(room), len(columns)))
        for at, (column, size) in enumerate(zip(columns.tolist(), sizes.tolist(), strict=True)):
            table, grain, free = self._tables[column][place], self._grain[column], room[:, column]
            bounds[:, at] = idle + table[np.maximum(free - size, 0) // grain] - table[free // grain]
        return bounds


class _Search:
    """The best answer so far, and the steps that are left.  proved: there is none better.

    below: the cost of an answer that is known already; only better ones count.
    """

    def __init__(self, problem: _Problem, effort: Effort, below: int | None = None) -> None:
        self._problem = problem
        self._left = effort.steps
        self._draws = Draws(effort.seed)
        self._smaller = below is not None
        self._marks = self._draws.below(2**31 - 1, len(problem.room))  # to tell equal rooms by one number
        self._truncated = self._out_of_steps = False
        self.column_of = np.full(problem.tasks, len(problem.room) - 1)
        self.cost = int(problem.costs[:, -1].sum()) if below is None else below
        self._knapsacks = self._price_tasks(effort.steps // 3)
        self.bound = self._round_up(max(self._knapsacks.bound, problem.floor))
        self.proved = self.cost <= self.bound

    @property
    def steps_left(self) -> int:
        return self._left

    def run(self) -> None:
        """Search wider and wider, until the best is proved or the budget is used up."""
        problem = self._problem
        if self.proved:
            return
        skip = len(problem.room) - 1
        nearest = [ranked[:NEAREST] for ranked in problem.ranked[problem.order]]
        options = [one if skip in one else np.append(one, skip) for one in nearest]
        affordable = self._left // (3 * problem.tasks * (NEAREST + len(problem.room) // 20))
        self._beam(options, max(1, min(WIDTHS[1], affordable)), None)
        for width in WIDTHS:
            while not self.proved and self._left > 0:
                before = self.cost
                self._beam(self._promising(), width, before - problem.unit)
                if self.cost == before:
                    self.proved = not self._truncated
                    break
            if self._out_of_steps:
                break  # nor would a wider one get through
        self._rearrange()

    def _rearrange(self) -> None:
        """Look at a few agents at a time: the best way to divide their tasks among them is a small problem."""
        problem = self._problem
        agents = len(problem.room) - 1
        if agents <= FEW[0] or self._smaller:
            return
        while not self.proved and self._left > 0:
            count = FEW[int(self._draws.below(len(FEW), 1)[0])]
            chosen = np.sort(self._draws.shuffled(agents)[:count])
            tasks = np.flatnonzero(np.isin(self.column_of, chosen) | (self.column_of == agents))[:MOST_TASKS]
            held = self.column_of[tasks]
            room = problem.room[chosen] - [problem.sizes[self.column_of == one, one].sum() for one in chosen.tolist()]
            room += [problem.sizes[tasks[held == one], one].sum() for one in chosen.tolist()]
            pick = np.ix_(tasks, chosen)
            costs, sizes, skip = problem.costs[pick], problem.sizes[pick], problem.costs[tasks, agents]
            before = int(problem.costs[tasks, held].sum())
            steps = PART_STEPS * len(tasks) * count
            part = _Search(_Problem(costs, sizes, room, skip, steps // 8), Effort(steps), below=before)
            part.run()
            self._left -= steps - part.steps_left + len(tasks) * 50
            if part.cost < before:
                self.cost += part.cost - before
                self.column_of[tasks] = np.append(chosen, agents)[part.column_of]
                self.proved = self.cost <= self.bound

    def ask_solver(self, seconds: float) -> None:
        """Let HiGHS look as well, if it is there; what it finds counts only if it is allowed and better."""
        problem = self._problem
        tasks, agents = np.nonzero(problem.costs < FORBIDDEN)
        sizes = problem.sizes[tasks, agents].astype(float)
        rows = [(np.flatnonzero(tasks == task), np.ones(int((tasks == task).sum()))) for task in range(problem.tasks)]
        held = [np.flatnonzero(agents == agent) for agent in range(len(problem.room))]
        rows += [(pairs, sizes[pairs]) for pairs in held]
        highest = np.append(np.ones(problem.tasks), problem.room.astype(float))
        lowest = np.append(np.ones(problem.tasks), np.full(len(problem.room), -np.inf))
        start = (self.column_of[tasks] == agents).astype(float)
        solved = solve(Program(problem.costs[tasks, agents].astype(float), rows, lowest, highest, start), seconds)
        if solved is None:
            return
        if solved.answer is not None and (np.bincount(tasks[solved.answer], minlength=problem.tasks) == 1).all():
            chosen = agents[solved.answer]
            load = np.bincount(chosen, problem.sizes[tasks, agents][solved.answer], len(problem.room))
            cost = int(problem.costs[tasks, agents][solved.answer].sum())
            if cost < self.cost and (load <= problem.room).all():
                self.cost, self.column_of = cost, chosen.astype(np.int64)
        self.bound = max(self.bound, self._round_up(solved.bound - 1e-9 * abs(solved.bound)))
        self.proved = self.cost <= self.bound

    def _price_tasks(self, budget: int) -> _Knapsacks:
        """Raise the price of tasks that nobody takes, lower it of those that several take."""
        worth = best_worth = self._problem.worth
        best = knapsacks = _Knapsacks(self._problem, worth)
        step, waited = 1.0, 0
        for _ in range(min(TASK_ROUNDS, 20 + PER_TASK * self._problem.tasks)):
            self._left -= knapsacks.cells // 400
            budget -= knapsacks.cells // 400
            missing = 1 - knapsacks.taken
            norm = float(missing @ missing)
            if not norm or step < 1e-4 or budget < 0:
                break
            worth = worth + step * (best.bound + 0.005 * abs(best.bound) - knapsacks.bound) / norm * missing
            knapsacks = _Knapsacks(self._problem, worth)
            waited += 1
            if knapsacks.bound > best.bound:
                best, best_worth, waited = knapsacks, worth, 0
            elif waited >= PATIENCE[1]:
                step, waited, worth, knapsacks = step / 2, 0, best_worth, best
        return best

    def _round_up(self, bound: float) -> float:
        """Costs are multiples of a unit, so a bound between two of them may go up to the next."""
        unit = self._problem.unit
        return float(np.ceil((bound - 1e-9 * self._problem.scale) / unit - 1e-6)) * unit

    def _promising(self) -> list[NDArray[np.int64]]:
        """Return for each task the columns it can have in an answer that is better than the best so far."""
        problem = self._problem
        slack = self.cost - problem.unit - problem.floor + 1e-9 * problem.scale
        near = problem.above[problem.order] <= slack
        return [ranked[ok] for ranked, ok in zip(problem.ranked[problem.order], near, strict=True)]

    def _beam(self, options: list[NDArray[np.int64]], width: int, limit: int | None) -> None:
        """Place the tasks one after the other, with at most `width` partial answers kept; keep what is better.

        limit: the most that an answer may cost.  It ends without an answer once half of all steps are used up.
        """
        problem = self._problem
        self._truncated = self._out_of_steps = False
        reserve = -np.inf if limit is None else self._left / 2
        spent, room = np.zeros(1, np.int64), problem.room[None]
        trail: list[tuple[NDArray[np.intp], Ints]] = []
        cut = np.inf if limit is None else limit + 1e-9 * problem.scale
        for place, (task, columns) in enumerate(zip(problem.order.tolist(), options, strict=True), 1):
            costs, sizes = problem.costs[task, columns], problem.sizes[task, columns]
            bounds = self._knapsacks.bounds(place, room, columns, sizes) + (spent[:, None] + costs)
            good = (room[:, columns] >= sizes) & (costs < FORBIDDEN) & (bounds <= cut)
            parents, which = np.nonzero(good)
            self._left -= len(parents) + len(problem.room) * (5 + len(room) // 100) + bounds.size // 8
            spent_then = spent[parents] + costs[which]
            keep = np.arange(len(parents))
            if len(parents) > width:
                marks = (room @ self._marks)[parents] - (sizes * self._marks[columns])[which]
                keep = self._thin(marks, spent_then, bounds[parents, which], width)
            self._out_of_steps = self._left < reserve
            self._truncated = self._truncated or self._out_of_steps
            if not len(keep) or self._out_of_steps:
                return
            parents, choices, spent = parents[keep], columns[which[keep]], spent_then[keep]
            room = room[parents]
            room[np.arange(len(parents)), choices] -= problem.sizes[task, choices]
            trail.append((parents, choices))
        end = int(spent.argmin())
        if spent[end] < self.cost:
            self.cost = int(spent[end])
            self.column_of[problem.order] = _go_back(trail, end)
            self.proved = self.cost <= self.bound

    def _thin(self, marks: Ints, costs: Ints, bounds: Floats, width: int) -> NDArray[np.intp]:
        """Keep of those with the same room left the cheapest, and of these the most promising."""
        keep: NDArray[np.intp] = np.lexsort((costs, marks))
        same = marks[keep]
        keep = keep[np.concatenate([[True], same[1:] != same[:-1]])]
        if len(keep) <= width:
            return keep
        self._truncated = True
        return keep[np.argsort(bounds[keep], kind="stable")[:width]]


def _go_back(trail: list[tuple[NDArray[np.intp], Ints]], end: int) -> Ints:
    """Return the choice of each step that led to one partial answer."""
    choices = np.empty(len(trail), np.int64)
    for at in range(len(trail) - 1, -1, -1):
        parents, columns = trail[at]
        choices[at] = columns[end]
        end = int(parents[end])
    return choices
