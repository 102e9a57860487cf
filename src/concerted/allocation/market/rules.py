"""The rules by which a market of admissible bids is cleared: who wins, and how good that is known to be.

What is made as large as it can be is the sum of the values of the bids that win.  Where scores count, a value is the
worth of the tasks, so large that a task given out outweighs all scores, and more for a higher priority, and then the
score.  Where money counts, it is the money gained.  Values are integers, so that sums are exact and the same anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from concerted.allocation.market.ascending import ascend
from concerted.allocation.market.bids import SLACK, Bid, Level, Terms
from concerted.allocation.market.cbba import CbbaAgent, share_out
from concerted.allocation.optimum.assignment import UNASSIGNED, assign
from concerted.allocation.optimum.effort import Effort
from concerted.errors import Invalid
from concerted.values import AgentId, Task, TaskId

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FEW", "RULES", "Lots", "Rule", "Solution", "Status"]

Rule = Literal["sequential", "one_to_one", "capacities", "generalised", "combinatorial", "ascending", "cbba"]
Status = Literal["optimal", "feasible"]

FINEST = 10**9  # parts of a score of 1, or of one unit of money; fewer where sums would be too large
LARGEST = 2**57
GRAIN = 10**6  # parts of one unit of capacity
DENSE = 20_000_000  # pairs of task and place up to which a matrix is filled
FEW = 4_096  # pairs up to which it is not worth loading scipy
GOSSIP_ROUNDS = 10_000


@dataclass(frozen=True)
class Lots:
    """What is to be decided.  tasks: in the order in which ties are broken.  bids: admissible, the preferred first."""

    tasks: tuple[Task, ...]
    bids: tuple[Bid, ...]
    levels: tuple[Level, ...]
    terms: Terms

    @cached_property
    def row_of(self) -> dict[TaskId, int]:
        return {task.id: row for row, task in enumerate(self.tasks)}

    @cached_property
    def agents(self) -> list[AgentId]:
        return sorted({bid.agent for bid in self.bids})

    @cached_property
    def unit(self) -> int:
        """How many parts a score of 1, or one unit of money, has in values."""
        highest = max((abs(one) for one in self._amounts), default=0.0) + 1.0
        unit = FINEST
        while unit > 1 and highest * unit * (len(self.tasks) + 1) > LARGEST:
            unit //= 10
        return unit

    @cached_property
    def values(self) -> list[int]:
        """What each bid is worth."""
        pairs = zip(self.bids, self._amounts, strict=True)
        return [round(amount * self.unit) + self.hair * len(bid.tasks) for bid, amount in pairs]

    @property
    def hair(self) -> int:
        """How much more a bid is worth for each of its tasks, so that one by which no money is gained can win."""
        return 1 if self.terms.money_alone else 0

    @cached_property
    def _amounts(self) -> list[float]:
        if self.terms.money_alone:
            return [level.total for level in self.levels]
        grades = {priority: at for at, priority in enumerate(sorted({task.priority for task in self.tasks}), 1)}
        worth = {task.id: float(grades[task.priority] * (len(self.tasks) + 1)) for task in self.tasks}
        return [
            math.fsum(worth[task] for task in bid.tasks) + level.total * len(bid.tasks)
            for bid, level in zip(self.bids, self.levels, strict=True)
        ]

    @cached_property
    def ceiling(self) -> int:
        """No choice of bids is worth more: as if each task went to who offers the most for it."""
        best = [0.0] * len(self.tasks)
        for bid, value in zip(self.bids, self.values, strict=True):
            for task in bid.tasks:
                best[self.row_of[task]] = max(best[self.row_of[task]], value / len(bid.tasks))
        return math.ceil(math.fsum(best))

    def capacity(self, agent: AgentId) -> float:
        """Return how much an agent can be given."""
        return math.inf if self.terms.capacity is None else self.terms.capacity[agent]

    def without(self, agent: AgentId) -> Lots:
        """Return the same market as if one agent had not bid."""
        kept = [at for at, bid in enumerate(self.bids) if bid.agent != agent]
        return replace(self, bids=tuple(self.bids[at] for at in kept), levels=tuple(self.levels[at] for at in kept))

    def singles(self, rule: str) -> dict[tuple[int, AgentId], int]:
        """Return (row of the task, agent) -> the bid that it prefers; of two bids of an agent the better counts.

        Raises: Invalid, if a bid is for several tasks.
        """
        best: dict[tuple[int, AgentId], int] = {}
        for at, bid in enumerate(self.bids):
            if len(bid.tasks) > 1:
                raise Invalid(
                    f"{bid.agent} bids for {', '.join(bid.tasks)} together; rule {rule} gives out single tasks, "
                    "take rule combinatorial"
                )
            best.setdefault((self.row_of[bid.tasks[0]], bid.agent), at)
        return best

    def places(self, rule: str) -> dict[AgentId, int]:
        """Return how many tasks each agent may be given, where each takes up one place.

        Raises: Invalid, if a bid takes up more or less, or an agent's bids exclude each other in part.
        """
        words: dict[AgentId, set[str]] = {}
        for bid in self.bids:
            words.setdefault(bid.agent, set()).add(bid.xor)
            if abs(bid.room - 1.0) > SLACK:
                raise Invalid(
                    f"{bid.agent}'s bid for {bid.tasks[0]} has size {bid.room:g}; rule {rule} counts tasks, "
                    "take rule generalised"
                )
        for agent, said in sorted(words.items()):
            if len(said) > 1:
                raise Invalid(f"only some of {agent}'s bids exclude each other (xor); take rule combinatorial")
        return {
            agent: 1 if words[agent] != {""} else math.floor(min(float(len(self.tasks)), self.capacity(agent)) + SLACK)
            for agent in self.agents
        }


@dataclass(frozen=True)
class Solution:
    """chosen: the bids that win.  bound: no choice is worth more.  paid: what an ascending auction has made of prices.

    table: the matrix and the pairs behind a one-to-one assignment.
    """

    chosen: tuple[int, ...]
    value: int
    bound: int
    rounds: int = 0
    paid: Mapping[int, float] = field(default_factory=dict)
    table: Table | None = None

    @property
    def status(self) -> Status:
        return "optimal" if self.value >= self.bound else "feasible"


@dataclass(frozen=True, eq=False)
class Table:
    """A column for each place of an agent.  bid_of: (row, agent) -> bid.  found: the column of each row."""

    agents: list[AgentId]
    bid_of: Mapping[tuple[int, AgentId], int]
    found: NDArray[np.intp]


def _sequential(lots: Lots, _effort: Effort) -> Solution:
    """Give one task after the other to the best bid that is left."""
    by_task: dict[TaskId, list[int]] = {}
    for at, bid in enumerate(lots.bids):
        for name in bid.tasks:
            by_task.setdefault(name, []).append(at)
    room = {agent: lots.capacity(agent) for agent in lots.agents}
    sold: set[TaskId] = set()
    used: set[tuple[AgentId, str]] = set()
    chosen = []
    for task in lots.tasks:
        for at in by_task.get(task.id, ()):
            bid = lots.bids[at]
            taken = not sold.isdisjoint(bid.tasks) or bid.room > room[bid.agent] + SLACK
            if taken or (bid.xor and (bid.agent, bid.xor) in used):
                continue
            chosen.append(at)
            sold.update(bid.tasks)
            used.add((bid.agent, bid.xor))
            room[bid.agent] -= bid.room
            break
    return _solution(lots, chosen, lots.ceiling)


def _one_to_one(lots: Lots, _effort: Effort) -> Solution:
    """Give each agent at most one task, in the best way."""
    return _assigned(lots, lots.singles("one_to_one"), dict.fromkeys(lots.agents, 1))


def _capacities(lots: Lots, _effort: Effort) -> Solution:
    """Give each agent at most as many tasks as it has capacity for, in the best way."""
    return _assigned(lots, lots.singles("capacities"), lots.places("capacities"))


def _assigned(lots: Lots, bid_of: Mapping[tuple[int, AgentId], int], places: Mapping[AgentId, int]) -> Solution:
    import numpy as np

    from concerted.allocation.optimum.one_to_one import match_best, shadow_prices
    from concerted.allocation.optimum.ties import settle

    wanted: dict[AgentId, int] = {}
    for _, agent in bid_of:
        wanted[agent] = wanted.get(agent, 0) + 1
    places = {agent: min(count, wanted[agent]) for agent, count in places.items()}
    columns = [agent for agent, count in places.items() for _ in range(count)]
    if len(columns) * len(lots.tasks) > DENSE:
        return _assigned_sparsely(lots, bid_of, places)
    ends = np.cumsum(list(places.values())).tolist()
    span = {agent: range(end - count, end) for (agent, count), end in zip(places.items(), ends, strict=True)}
    values = np.full((len(lots.tasks), len(columns)), -1, np.int64)
    likes: list[list[int]] = [[] for _ in lots.tasks]
    for (row, agent), at in sorted(bid_of.items(), key=lambda one: one[1]):
        values[row, span[agent]] = lots.values[at]
        likes[row] += span[agent]
    found = match_best(values, ours=values.size <= FEW)
    found = settle(values, found, shadow_prices(values, found), likes)
    chosen = [bid_of[row, columns[column]] for row, column in enumerate(found.tolist()) if column >= 0]
    solution = _solution(lots, chosen, None)
    return replace(solution, table=Table(columns, bid_of, found))


def _assigned_sparsely(
    lots: Lots, bid_of: Mapping[tuple[int, AgentId], int], places: Mapping[AgentId, int]
) -> Solution:
    columns = {agent: column for column, agent in enumerate(places)}
    edges: list[list[tuple[int, int]]] = [[] for _ in lots.tasks]
    for (row, agent), at in sorted(bid_of.items(), key=lambda one: one[1]):
        edges[row].append((columns[agent], lots.values[at]))
    agents = list(places)
    found = assign(edges, list(places.values()))
    return _solution(
        lots, [bid_of[row, agents[column]] for row, column in enumerate(found) if column != UNASSIGNED], None
    )


def _generalised(lots: Lots, effort: Effort) -> Solution:
    """Give each agent tasks up to its capacity, each with its own size."""
    import numpy as np

    from concerted.allocation.optimum.generalised import FORBIDDEN, assign_generalised

    bid_of = lots.singles("generalised")
    for bid in lots.bids:
        task = bid.tasks[0]
        if bid.xor:
            raise Invalid(f"{bid.agent}'s bids exclude each other (xor); take rule combinatorial")
        if bid.room < lots.bids[bid_of[lots.row_of[task], bid.agent]].room - SLACK:
            raise Invalid(f"{bid.agent} has two bids for {task}, the worse one smaller; take rule combinatorial")
    column_of = {agent: column for column, agent in enumerate(lots.agents)}
    shape = len(lots.tasks), len(column_of)
    best = np.zeros(len(lots.tasks), np.int64)
    for (row, _), at in bid_of.items():
        best[row] = max(best[row], lots.values[at])
    costs, sizes = np.full(shape, FORBIDDEN, np.int64), np.zeros(shape, np.int64)
    for (row, agent), at in bid_of.items():
        costs[row, column_of[agent]] = best[row] - lots.values[at]
        sizes[row, column_of[agent]] = math.ceil((lots.bids[at].room - SLACK) * GRAIN)
    endless = int(sizes.sum())
    room = [min(math.floor(min(lots.capacity(agent), 1e12) * GRAIN + 1e-3), endless) for agent in lots.agents]
    found = assign_generalised(costs, sizes, np.array(room, np.int64), best, effort)
    chosen = [bid_of[row, lots.agents[column]] for row, column in enumerate(found.column_of) if column != UNASSIGNED]
    return _solution(lots, chosen, int(best.sum()) - math.ceil(found.bound - 1e-6))


def _combinatorial(lots: Lots, effort: Effort) -> Solution:
    """Choose among bids on bundles those that are worth the most together."""
    import numpy as np

    from concerted.allocation.optimum.conflicts import Limit
    from concerted.allocation.optimum.packing import pack

    groups: dict[tuple[str, str], list[int]] = {}
    of_agent: dict[AgentId, list[int]] = {}
    for at, bid in enumerate(lots.bids):
        of_agent.setdefault(bid.agent, []).append(at)
        for task in bid.tasks:
            groups.setdefault(("task", task), []).append(at)
        if bid.xor:
            groups.setdefault((f"agent {bid.agent}", bid.xor), []).append(at)
    limits = []
    for agent, own in sorted(of_agent.items()):
        sizes = [math.ceil((lots.bids[at].room - SLACK) * GRAIN) for at in own]
        room = math.floor(min(lots.capacity(agent), 1e12) * GRAIN + 1e-3)
        if sum(sizes) > room:
            limits.append(Limit(tuple(own), tuple(sizes), room))
    shared = [group for _, group in sorted(groups.items()) if len(group) > 1]
    found = pack(np.array(lots.values, np.int64), shared, limits, effort)
    return _solution(lots, list(found.chosen), math.floor(found.bound + 1e-6))


def _ascending(lots: Lots, _effort: Effort) -> Solution:
    """Let prices rise for all tasks at once until nobody bids more; in procurement, what is paid falls."""
    if not lots.terms.money_alone:
        raise Invalid("rule ascending is about money; set surplus in the terms, and give each task a max_budget")
    bid_of = lots.singles("ascending")
    places = lots.places("ascending")
    worth: list[dict[int, int]] = [{} for _ in lots.agents]
    at_agent = {agent: at for at, agent in enumerate(lots.agents)}
    for (row, agent), at in sorted(bid_of.items()):
        worth[at_agent[agent]][row] = lots.values[at] - lots.hair
    step = lots.terms.increment
    increment = max(1, round(step * lots.unit) if step is not None else max(lots.values, default=0) // 100)
    ascent = ascend(worth, [places[agent] for agent in lots.agents], increment)
    paid = {}
    for row, agent_at in sorted(ascent.holder_of.items()):
        at = bid_of[row, lots.agents[agent_at]]
        risen = ascent.price_of[row] / lots.unit
        gain = lots.levels[at].total
        price = lots.bids[at].price
        paid[at] = max(price, price + gain - risen) if lots.terms.direction == "procurement" else price - gain + risen
    solution = _solution(lots, list(paid), None)
    bound = min(lots.ceiling, solution.value + increment * len(lots.tasks))
    return replace(solution, bound=bound, rounds=ascent.rounds, paid=paid)


def _cbba(lots: Lots, _effort: Effort) -> Solution:
    """Let agents share tasks out among themselves, everybody hearing everybody, until nobody has anything new."""
    bid_of = lots.singles("cbba")
    places = lots.places("cbba")
    own: dict[AgentId, dict[TaskId, float]] = {agent: {} for agent in lots.agents}
    for (row, agent), at in bid_of.items():
        own[agent][lots.tasks[row].id] = lots.values[at] / lots.unit

    def worth_to(agent: AgentId) -> Callable[[Sequence[TaskId], TaskId], float]:
        worth = own[agent]
        return lambda _bundle, task: worth.get(task, 0.0)

    agents = [CbbaAgent(agent, lots.row_of, worth_to(agent), places[agent]) for agent in lots.agents]
    rounds = share_out(agents, GOSSIP_ROUNDS)
    chosen = [bid_of[lots.row_of[task], agent.name] for agent in agents for task in agent.bundle]
    return replace(_solution(lots, chosen, lots.ceiling), rounds=rounds)


def _solution(lots: Lots, chosen: Sequence[int], bound: int | None) -> Solution:
    """Add up what was chosen.  bound: None if it is the optimum."""
    value = sum(lots.values[at] for at in chosen)
    return Solution(tuple(sorted(chosen)), value, value if bound is None else max(bound, value))


RULES: Mapping[Rule, Callable[[Lots, Effort], Solution]] = {
    "sequential": _sequential,
    "one_to_one": _one_to_one,
    "capacities": _capacities,
    "generalised": _generalised,
    "combinatorial": _combinatorial,
    "ascending": _ascending,
    "cbba": _cbba,
}
