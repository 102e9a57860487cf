"""The handle on a group of replicas beside the agents."""

from __future__ import annotations

from collections.abc import Iterable

from concerted.client.handle import Handle, as_agents
from concerted.consensus.keeping import Replicated
from concerted.consensus.replica_group import ReplicaGroupResult
from concerted.ports import replica_groups
from concerted.values import AgentId

__all__ = ["ReplicaGroup"]


class ReplicaGroup(Handle):
    """Replicas that keep decisions, agreements and logs, each beside an agent."""

    async def create(
        self, algorithm: Replicated = "raft", hosts: Iterable[str] = (), *, count: int | None = None,
        election_timeout_s: float | None = None, heartbeat_interval_s: float | None = None,
        timeout_s: float | None = None,
    ) -> ReplicaGroupResult:  # fmt: skip
        """Have agents host a group, and wait until it is ready.

        hosts: by default `count` of the agents that are here, by their leadership scores.

        Raises:
            Invalid: there cannot be one like this, or too few agents are here.  Conflict: there is another one.
        """
        command = replica_groups.CreateReplicaGroup(
            id=self.id,
            algorithm=algorithm,
            hosts=as_agents(hosts),
            count=count,
            election_timeout_s=election_timeout_s,
            heartbeat_interval_s=heartbeat_interval_s,
        )
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def wait(self, *, timeout_s: float | None = None) -> ReplicaGroupResult:
        """Wait until it is ready, or over."""
        return await self._wait(replica_groups.AwaitReplicaGroup(id=self.id), timeout_s)  # type: ignore[no-any-return]

    async def replace(
        self, old: str, new: str, *, agent: str | None = None, timeout_s: float | None = None
    ) -> ReplicaGroupResult:  # fmt: skip
        """Have an agent host a replica in the place of one that is gone for good, and wait until that is done.

        The group goes on meanwhile.  old and new may be one agent, which is here and has lost its files.  Whatever is
        killed meanwhile, it goes on; asked again, it is the same.

        Raises:
            NotFound: `old` hosts no replica, or nobody is registered as `new`.  Invalid: only raft can do it; or `new`
                hosts a replica already.  NotAllowed: neither the creator of the group nor an admin asks.
            Conflict: another host is being replaced.
        """
        who = None if agent is None else AgentId(agent)
        command = replica_groups.ReplaceReplicaHost(id=self.id, old=AgentId(old), new=AgentId(new), agent=who)
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def end(self, reason: str = "", *, force: bool = False, agent: str | None = None) -> ReplicaGroupResult:
        """Dismiss it: its replicas end, and their files are removed.

        force: also while decisions or agreements that it keeps are open, or it keeps logs.  Nobody can decide them or
        append to them any more: their outcome would have been that of the group's log.

        Raises:
            WrongPhase: something that it keeps is not over.  NotAllowed: neither its creator nor an admin asks.
        """
        who = None if agent is None else AgentId(agent)
        command = replica_groups.EndReplicaGroup(id=self.id, reason=reason, force=force, agent=who)
        return await self._ask(command)  # type: ignore[no-any-return]

    async def get(self) -> ReplicaGroupResult:
        """Return how it stands, with the description by which `open_group` reaches it."""
        return await self._ask(replica_groups.GetReplicaGroup(id=self.id))  # type: ignore[no-any-return]
