"""What is free of each agent where one task may take more of it than another.

The workshop counts tasks.  Here stands how much more than one place each of them takes, until it is done or open again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from concerted.strategies.workshop.tasks import Workshop
from concerted.values import AgentId, TaskId

__all__ = ["Shares"]

SLACK = 1e-9  # by how much sums of sizes may be over, for they are rounded


class Shares:
    """The parts of agents that their tasks take."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._more: dict[TaskId, tuple[AgentId, float]] = {}

    def take(self, task: TaskId, agent: AgentId, size: float) -> None:
        """Take note of a task that is about to be awarded.  size: how much of the agent's capacity it takes, from 1."""
        self._more.pop(task, None)
        if size > 1.0:
            self._more[task] = agent, size - 1.0

    def free(self, agents: Iterable[AgentId]) -> Mapping[AgentId, float]:
        """Return how much of each agent is free; those without room for any task, or resting, are left out."""
        free = self._shop.staff.free(agents)
        more = self._taken()
        if not more:
            return free
        left = {agent: room - more.get(agent, 0.0) for agent, room in free.items()}
        return {agent: room for agent, room in left.items() if room >= 1.0 - SLACK}

    def load(self, agent: AgentId, reported: float) -> float:
        """Return how busy an agent is, 0..1.  reported: how many tasks it says it holds, for whomever."""
        held = self._shop.staff.held.get(agent, 0) + self._taken().get(agent, 0.0)
        return self._shop.staff.load(agent, max(reported, held))

    def _taken(self) -> dict[AgentId, float]:
        """Return what is taken beyond one place for each task that is in hand."""
        taken: dict[AgentId, float] = {}
        for task, (agent, more) in list(self._more.items()):
            if task in self._shop.open or self._shop.states[task].is_over:
                del self._more[task]
            else:
                taken[agent] = taken.get(agent, 0.0) + more
        return taken
