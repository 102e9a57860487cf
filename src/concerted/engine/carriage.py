"""How commands get through to agents, or why not now: links, and circuit breakers that fail fast.

Implements `outbox.Carrier` over a roster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from concerted.engine.roster import Roster
from concerted.ports.link import Link
from concerted.values import AgentId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Carriage"]


class Carriage:
    """Carries for one coordinator."""

    def __init__(self, coordinator: Coordinator, roster: Roster) -> None:
        self._of = coordinator
        self._roster = roster

    def link_of(self, agent: AgentId) -> Link | None:
        """Return the agent's link, None while it has none."""
        member = self._roster.members.get(agent)
        return None if member is None else member.link

    def refusal(self, agent: AgentId) -> str | None:
        """Say why nothing can be sent to this agent now, None if it can."""
        member = self._roster.members.get(agent)
        if member is None:
            return f"nobody is registered as {agent!r}"
        if member.state == "gone":
            return member.reason or f"{agent} is gone"
        now = self._of.loop.time()
        if not member.breaker.admits(now):
            retry_s = max(0.0, (member.breaker.retry_at or now) - now)
            return f"{agent} has failed {member.breaker.in_a_row} times in a row; it is tried again in {retry_s:.1f} s"
        return None

    def asked(self, agent: AgentId) -> None:
        """Take note that a command leaves for the agent: after a cooldown it is the probe, a notice is none."""
        member = self._roster.members.get(agent)
        if member is not None:
            member.breaker = member.breaker.passed(self._of.loop.time())

    def timed_out(self, agent: AgentId) -> None:
        """Count an unanswered command against the agent."""
        member = self._roster.members.get(agent)
        if member is None:
            return
        before, now = member.breaker, self._of.loop.time()
        member.breaker = before.failed(now)
        if before.opened_at is None and member.breaker.opened_at is not None:
            retry_at = self._of.clock.now() + member.breaker.cooldown_s
            self._roster.write("breaker.opened", member, {"failures": member.breaker.in_a_row, "retry_at": retry_at})

    def answered(self, agent: AgentId) -> None:
        """Count an answered command in the agent's favour."""
        member = self._roster.members.get(agent)
        if member is None or member.breaker.in_a_row == 0:
            return
        if member.breaker.opened_at is not None:
            self._roster.write("breaker.closed", member, {})
        member.breaker = member.breaker.succeeded()
