"""What runs must know of agents: who has joined, changed or been lost comes to each as an input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from concerted.runs.instance import Input
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
        """Tell the runs that are open to everybody, and those that have lost this agent; and the primitives.

        The run of a plan is open to agents that come by themselves, not to those that another plan has started.
        """
        for active in list(self._of.rounds.live.values()):
            if self._may_join(active, profile.id):
                self.invite(active, profile)
        self._of.primitives.found(profile.id)

    def catch_up(self, active: Active) -> None:
        """Tell a run that has slept who of its agents was lost or has changed, and who has joined."""
        members = self._of.roster.members
        told = {given.agent for given in active.inbox}  # it came while the run was waking
        for agent, profile in active.instance.agents.items():
            member = members.get(agent)
            if agent in told:
                continue
            if member is None or member.state == "gone":
                self._tell(active, "lost", agent, {"reason": member.reason if member else "it has left"})
            elif member.profile != profile:
                self._tell(active, "changed", agent, {"profile": member.profile})
        for member in list(members.values()):
            if member.state != "gone" and self._may_join(active, member.profile.id):
                self.invite(active, member.profile)

    def _may_join(self, active: Active, agent: AgentId) -> bool:
        member, charter = self._of.roster.members.get(agent), active.instance.charter
        of_a_plan = member is not None and member.spec is not None
        is_open = charter.open and not (of_a_plan and charter.plan is not None)
        return is_open or any(each.id == agent for each in charter.agents)

    def _tell(self, active: Active, what: str, agent: AgentId, data: dict[str, Any]) -> None:
        given = Input(f"participant.{what}", self._of.clock.now(), agent, data=encode(data))
        self._of.rounds.post(active, given)

    def invite(self, active: Active, profile: Profile) -> None:
        """Have the agent take part in a run, if it does not yet; also in one that still waits for a slot."""
        if not _takes_part(active, profile.id):
            self._tell(active, "joined", profile.id, {"profile": profile})

    def changed(self, profile: Profile) -> None:
        """Tell the runs in which the agent takes part."""
        for active in list(self._of.rounds.live.values()):
            if _takes_part(active, profile.id):
                self._tell(active, "changed", profile.id, {"profile": profile})

    def lost(self, agent: AgentId, reason: str) -> None:
        """Tell the runs in which the agent takes part, at once; what is open with it is lost."""
        told = set()
        for active in list(self._of.rounds.live.values()):
            if _takes_part(active, agent):
                told.add(active.id)
                self._tell(active, "lost", agent, {"reason": reason})
        self._of.outbox.agent_lost(agent, reason, told)
        self._of.primitives.lost(agent, reason)


def _takes_part(active: Active, agent: AgentId) -> bool:
    """Say whether an agent takes part in a run once the run has heard what is on its way to it."""
    for given in reversed(active.inbox):
        if given.agent == agent and given.kind in ("participant.lost", "participant.joined"):
            return given.kind == "participant.joined"
    return agent in active.instance.agents
