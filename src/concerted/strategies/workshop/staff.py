"""The agents of a run as those who give out work see them: who has room, how busy each is, who rests."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

import msgspec

from concerted.errors import Invalid, TimedOut
from concerted.run import Run
from concerted.values import AgentId, Instant, Profile, Task

__all__ = ["Staff", "Standby", "is_able"]

Standby = Mapping[AgentId, Instant | None]
"""Who is next, best first, and until when each may be taken; None: at any time."""


def is_able(profile: Profile, task: Task) -> bool:
    """Say whether an agent may do a task: it has every required capability, and the task is not somebody else's."""
    if task.agent not in (None, profile.id):
        return False
    levels = profile.capabilities
    return all(levels.get(name, -1.0) >= level for name, level in task.required_capabilities.items())


class Staff:
    """Who holds how many tasks of this run.  held: agent -> tasks."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._resting: dict[AgentId, Instant] = {}
        self.held: dict[AgentId, int] = {}
        self._patience_s = _seconds(run.options, "desertion_timeout")
        self._deserted_at = None if run.agents else run.now()

    def free(self, agents: Iterable[AgentId]) -> dict[AgentId, int]:
        """Return how many more tasks each agent may be given; those without room, or resting, are left out."""
        profiles, now, rooms = self._run.agents, self._run.now(), {}
        for agent in agents:
            if agent in profiles and self._resting.get(agent, now) <= now:
                room = profiles[agent].capacity - self.held.get(agent, 0)
                if room > 0:
                    rooms[agent] = room
        return rooms

    def next_of(self, then: dict[AgentId, Instant | None], declined: Container[AgentId]) -> AgentId | None:
        """Take out and return the next who has room, has not declined and may still be taken, and all before it."""
        for agent, until in list(then.items()):
            del then[agent]
            if (until is None or until >= self._run.now()) and agent not in declined and self.free([agent]):
                return agent
        return None

    def load(self, agent: AgentId, reported: float = 0.0) -> float:
        """Return how busy an agent is, 0..1.  reported: how many tasks it says it holds, for whomever."""
        profile = self._run.agents.get(agent)
        return 1.0 if profile is None else min(1.0, max(self.held.get(agent, 0), reported) / profile.capacity)

    def take(self, agent: AgentId) -> None:
        """Count a task more in an agent's hands."""
        self.held[agent] = self.held.get(agent, 0) + 1

    def put_back(self, agent: AgentId) -> None:
        """Count a task less in an agent's hands."""
        self.held[agent] -= 1

    def rest(self, agent: AgentId, seconds: float) -> None:
        """Give an agent nothing for so long."""
        self._resting[agent] = self._run.now() + seconds

    def wake(self, agent: AgentId) -> None:
        """Let an agent rest no more."""
        self._resting.pop(agent, None)

    def look(self) -> None:
        """See whether anybody is here at all."""
        if self._run.agents:
            self._deserted_at = None
        elif self._deserted_at is None:
            self._deserted_at = self._run.now()

    def deserted_until(self) -> Instant | None:
        """Return how long somebody to come back is waited for; None: somebody is here, or without end.

        The option `desertion_timeout` says how long, so that others may do what is left.
        """
        if self._deserted_at is None or self._patience_s is None:
            return None
        return self._deserted_at + self._patience_s

    def check_deserted(self) -> None:
        """See that somebody may still come back.

        Raises:
            TimedOut: all agents have been gone for the `desertion_timeout`.
        """
        until = self.deserted_until()
        if until is not None and self._run.now() >= until:
            run = self._run.id
            raise TimedOut(f"run {run}: all its agents have been gone for {self._patience_s:g} s", run=run)

    def next_up(self) -> Instant | None:
        """Return when the next of those who rest has rested enough, None if nobody rests."""
        now = self._run.now()
        return min((until for until in self._resting.values() if until > now), default=None)


def _seconds(options: Mapping[str, Any], name: str) -> float | None:
    try:
        return msgspec.convert(options.get(name), float | None)
    except msgspec.ValidationError as error:
        raise Invalid(f"the option {name} of the run must be a number of seconds: {error}") from error
