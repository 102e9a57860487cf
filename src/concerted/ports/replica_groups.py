"""The commands of groups of replicas: have agents host one, wait until it is ready, replace a host, look, end it."""

from __future__ import annotations

from typing import Any, ClassVar

from concerted.consensus import replica_group
from concerted.consensus.keeping import Bounds, Replicated
from concerted.consensus.replacing import Replace
from concerted.machine import Look
from concerted.ports.commands import Role
from concerted.ports.primitive import Ask, Caller
from concerted.values import AgentId

__all__ = [
    "AwaitReplicaGroup", "CreateReplicaGroup", "EndReplicaGroup", "GetReplicaGroup", "OfReplicaGroup",
    "ReplaceReplicaHost",
]  # fmt: skip


class OfReplicaGroup(Ask, frozen=True, kw_only=True):
    """The root of the commands about groups of replicas."""

    result: ClassVar[Any] = replica_group.ReplicaGroupResult
    kind: ClassVar[str] = "replica_group"


class CreateReplicaGroup(OfReplicaGroup, frozen=True, kw_only=True):
    """Have these agents host a group of replicas, which keeps decisions, agreements and logs without the coordinator.

    hosts: replica 1 first; none named: `count` of the agents that are here, by their leadership scores.  count: None:
    as many as survive one failure.  The durations, in seconds, and the batch are by default those of
    `strategies.consensus`.
    """

    role: ClassVar[Role] = "operator"
    algorithm: Replicated = "raft"
    hosts: tuple[AgentId, ...] = ()
    count: int | None = None
    election_timeout_s: float | None = None
    heartbeat_interval_s: float | None = None
    batch_count: int | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        settings, kept = caller.config.strategies.consensus, caller.config.replica_groups
        timeout_s, heartbeat_s, batch = self.election_timeout_s, self.heartbeat_interval_s, self.batch_count
        return replica_group.Create(
            id=self.id,
            by=caller.agent,
            algorithm=self.algorithm,
            hosts=self.hosts,
            uid=f"{int(caller.now * 1000):x}",
            election_timeout_s=float(settings.election_timeout) if timeout_s is None else timeout_s,
            heartbeat_interval_s=float(settings.heartbeat_interval) if heartbeat_s is None else heartbeat_s,
            batch_count=settings.log_replication_batch_size if batch is None else batch,
            bounds=Bounds(
                objects_count=kept.max_objects,
                size_bytes=kept.max_bytes,
                past_count=kept.max_past,
                past_after_s=float(kept.retention),
            ),
        )


class AwaitReplicaGroup(OfReplicaGroup, frozen=True, kw_only=True):
    """Wait until all replicas have an address, and the group begins."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return replica_group.Await()


class ReplaceReplicaHost(OfReplicaGroup, frozen=True, kw_only=True):
    """Have another agent host a replica in the place of one that is gone for good, as the group's creator or an admin.

    old: a host; new: who takes its place, or `old` itself, if it is here and has lost its files.
    """

    old: AgentId
    new: AgentId

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return Replace(caller.agent, self.old, self.new, caller.is_admin)


class EndReplicaGroup(OfReplicaGroup, frozen=True, kw_only=True):
    """Dismiss a group, as its creator or an admin; what it has kept stays in the coordinator's log.

    force: also while something that it keeps is open; that stays open for ever.
    """

    reason: str = ""
    force: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return replica_group.End(caller.agent, self.reason, caller.is_admin)


class GetReplicaGroup(OfReplicaGroup, frozen=True, kw_only=True):
    """Show who hosts it, who leads as far as is known, and what it keeps."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()
