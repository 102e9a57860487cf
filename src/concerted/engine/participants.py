"""What runs must know of agents: who has joined, changed or been lost comes to each as an input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concerted.engine.runs import Input
from concerted.values import AgentId, Profile, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator
    from concerted.engine.rounds import Active

__all__ = ["Participants"]


class Participants:
    """Tells the runs of one coordinator."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator

    def joined(self, profile: Profile) -> None:
        """Tell the runs that are open to everybody, and those that have lost this agent.

        The run of a plan is open to agents that come by themselves, not to those that another plan has started.
        """
        member = self._of.roster.members.get(profile.id)
        of_a_plan = member is not None and member.spec is not None
        for active in list(self._of.rounds.live.values()):
            charter = active.instance.charter
            is_open = charter.open and not (of_a_plan and charter.plan is not None)
            if is_open or any(each.id == profile.id for each in charter.agents):
                self.invite(active, profile)

    def invite(self, active: Active, profile: Profile) -> None:
        """Have the agent take part in a run, if it does not yet; also in one that still waits for a slot."""
        if not _takes_part(active, profile.id):
            data = encode({"profile": profile})
            self._of.rounds.post(active, Input("participant.joined", self._of.clock.now(), profile.id, data=data))

    def changed(self, profile: Profile) -> None:
        """Tell the runs in which the agent takes part."""
        data = encode({"profile": profile})
        for active in list(self._of.rounds.live.values()):
            if _takes_part(active, profile.id):
                self._of.rounds.post(active, Input("participant.changed", self._of.clock.now(), profile.id, data=data))

    def lost(self, agent: AgentId, reason: str) -> None:
        """Tell the runs in which the agent takes part, at once; what is open with it is lost."""
        data = encode({"reason": reason})
        told = set()
        for active in list(self._of.rounds.live.values()):
            if _takes_part(active, agent):
                told.add(active.id)
                self._of.rounds.post(active, Input("participant.lost", self._of.clock.now(), agent, data=data))
        self._of.outbox.agent_lost(agent, reason, told)


def _takes_part(active: Active, agent: AgentId) -> bool:
    """Say whether an agent takes part in a run once the run has heard what is on its way to it."""
    for given in reversed(active.inbox):
        if given.agent == agent and given.kind in ("participant.lost", "participant.joined"):
            return given.kind == "participant.joined"
    return agent in active.instance.agents
