"""What runs must know of agents: who has joined, changed or been lost comes to each as an input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concerted.engine.runs import Input
from concerted.values import AgentId, Profile, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Participants"]


class Participants:
    """Tells the runs of one coordinator."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator

    def joined(self, profile: Profile) -> None:
        """Tell the runs that are open to everybody, and those that have lost this agent."""
        data = encode({"profile": profile})
        for active in list(self._of.rounds.live.values()):
            instance = active.instance
            invited = instance.charter.open or any(p.id == profile.id for p in instance.charter.agents)
            if invited and instance.started_at is not None and profile.id not in instance.agents:
                self._of.rounds.post(active, Input("participant.joined", self._of.clock.now(), profile.id, data=data))

    def changed(self, profile: Profile) -> None:
        """Tell the runs in which the agent takes part."""
        data = encode({"profile": profile})
        for active in list(self._of.rounds.live.values()):
            if profile.id in active.instance.agents:
                self._of.rounds.post(active, Input("participant.changed", self._of.clock.now(), profile.id, data=data))

    def lost(self, agent: AgentId, reason: str) -> None:
        """Tell the runs in which the agent takes part, at once; what is open with it is lost."""
        data = encode({"reason": reason})
        told = set()
        for active in list(self._of.rounds.live.values()):
            if agent in active.instance.agents:
                told.add(active.id)
                self._of.rounds.post(active, Input("participant.lost", self._of.clock.now(), agent, data=data))
        self._of.outbox.agent_lost(agent, reason, told)
