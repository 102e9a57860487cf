"""Replicas that are to go, of a group that is over or that they have left: their hosts end them and remove their files.

A host that is away does it when it joins again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from concerted.consensus.replica_group import Dismissed, ReplicaGroup
from concerted.messages import DismissReplica
from concerted.values import AgentId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Dismissing"]

KIND = "replica_group"
DISMISS_S = 10.0  # how long an agent may take to end a replica, before it is asked again when it joins


class Dismissing:
    """For one coordinator.  pending: groups that are over, and of which a host may still have a replica."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self.pending: set[str] = set()

    async def all(self, id: str) -> None:
        """Have all hosts that are here end what is to go of a group; the others, when they join."""
        state: ReplicaGroup = (await self._of.primitives.host.reach(KIND, id)).state
        agents = sorted(set(state.to_dismiss.values()))
        await asyncio.gather(*(self.at(id, agent) for agent in agents))

    async def at(self, id: str, agent: AgentId) -> None:
        """Have one host end what is to go of its replicas, if it is here; else when it joins."""
        host = self._of.primitives.host
        state: ReplicaGroup = (await host.reach(KIND, id)).state
        member = self._of.roster.members.get(agent)
        if member is None or member.link is None:
            return
        for node in [node for node, beside in state.to_dismiss.items() if beside == agent]:
            request = DismissReplica(group=f"{id}-{state.terms.uid}", node=node, folder=str(self._of.world.replicas))
            if (await self._of.asker.ask(agent, request, deadline=DISMISS_S)).ok:
                held = await host.decide(KIND, id, Dismissed(node))
                if held.state.status == "ended":
                    self.pending.discard(id)
