"""The commands of what agents meet at: sync points, barriers, double barriers, phasers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from concerted.machine import Look
from concerted.ports.commands import Role
from concerted.ports.primitive import Ask, Caller
from concerted.sync.barriers import barrier
from concerted.sync.barriers.barrier import Action
from concerted.sync.double_barriers import double_barrier
from concerted.sync.phasers import phaser
from concerted.sync.points import sync_point
from concerted.sync.points.predicate import ALL, Condition
from concerted.values import AgentId, Instant

# sync points


class OfSyncPoint(Ask, frozen=True, kw_only=True):
    """The root of the commands about sync points."""

    result: ClassVar[Any] = sync_point.SyncResult
    kind: ClassVar[str] = "sync_point"


class CreateSyncPoint(OfSyncPoint, frozen=True, kw_only=True):
    """Make a sync point for at least two participants.

    name: by default the id.  condition: by default all must arrive.  deadline_at: None, and it waits for
    ever.  attach: if there is one of this id, take it as it is.
    """

    participants: tuple[AgentId, ...]
    name: str = ""
    condition: Condition = ALL
    deadline_at: Instant | None = None
    description: str = ""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return sync_point.Create(
            id=self.id,
            by=caller.agent,
            name=self.name or self.id,
            participants=self.participants,
            condition=self.condition,
            deadline_at=self.deadline_at,
            description=self.description,
            metadata=self.metadata,
            check_interval_s=float(caller.config.synchronization.sync_check_interval),
        )


class ArriveAtSyncPoint(OfSyncPoint, frozen=True, kw_only=True):
    """Arrive, with something for the others; a second time changes nothing."""

    data: Any = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return sync_point.Arrive(caller.agent, self.data)


class AwaitSyncPoint(OfSyncPoint, frozen=True, kw_only=True):
    """Wait for its end without arriving."""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return sync_point.Await(caller.agent)


class AddToSyncPoint(OfSyncPoint, frozen=True, kw_only=True):
    """Let more agents take part, as its creator or an admin."""

    agents: tuple[AgentId, ...]

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return sync_point.Add(caller.agent, self.agents, caller.is_admin)


class CompleteSyncPoint(OfSyncPoint, frozen=True, kw_only=True):
    """Complete it by hand, whoever is missing, as its creator or an admin."""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return sync_point.Complete(caller.agent, caller.is_admin)


class CancelSyncPoint(OfSyncPoint, frozen=True, kw_only=True):
    """Call it off, as its creator or an admin."""

    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return sync_point.Cancel(caller.agent, self.reason, caller.is_admin)


class GetSyncPoint(OfSyncPoint, frozen=True, kw_only=True):
    """Show it with everybody who has arrived and who has not."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()


# barriers


class OfBarrier(Ask, frozen=True, kw_only=True):
    """The root of the commands about barriers."""

    result: ClassVar[Any] = barrier.BarrierResult
    kind: ClassVar[str] = "barrier"


class CreateBarrier(OfBarrier, frozen=True, kw_only=True):
    """Make a barrier for so many parties, or for those named.

    timeout_s: of one generation, from its first arrival; by default `synchronization.barrier_timeout`.
    action: what is done once per generation before anybody goes on.  attach: if there is one of this id, take
    it as it is.
    """

    participant_count: int = 0
    participants: tuple[AgentId, ...] = ()
    name: str = ""
    cyclic: bool = True
    timeout_s: float | None = None
    action: Action | None = None
    on_lost: Literal["wait", "break"] = "wait"
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return barrier.Create(
            id=self.id,
            by=caller.agent,
            participant_count=self.participant_count,
            participants=self.participants,
            name=self.name or self.id,
            cyclic=self.cyclic,
            timeout_s=float(caller.config.synchronization.barrier_timeout)
            if self.timeout_s is None
            else self.timeout_s,
            action=self.action,
            on_lost=self.on_lost,
            cleanup_delay_s=float(caller.config.synchronization.barrier_cleanup_delay),
            metadata=self.metadata,
        )


class ArriveAtBarrier(OfBarrier, frozen=True, kw_only=True):
    """Arrive, and wait for the verdict, which is the same for everyone.

    generation, request_id: let a repeated call find the generation of the first.  action_epoch: the elected
    party says that it does the action and now waits.
    """

    data: Any = None
    generation: int | None = None
    request_id: str | None = None
    action_epoch: int | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return barrier.Arrive(caller.agent, self.data, self.generation, self.request_id, self.action_epoch)


class FinishBarrierAction(OfBarrier, frozen=True, kw_only=True):
    """Tell how the action ended; an error breaks the generation."""

    generation: int
    action_epoch: int
    value: Any = None
    error: str | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return barrier.ActionDone(caller.agent, self.generation, self.action_epoch, self.value, self.error)


class BreakBarrier(OfBarrier, frozen=True, kw_only=True):
    """Break a generation for everybody in it."""

    reason: str = ""
    generation: int | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return barrier.Break(caller.agent, self.reason, self.generation, caller.is_admin)


class ResetBarrier(OfBarrier, frozen=True, kw_only=True):
    """Begin a new generation; whoever waits in this one gets the verdict `broken`."""

    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return barrier.Reset(caller.agent, self.reason, caller.is_admin)


class CancelBarrier(OfBarrier, frozen=True, kw_only=True):
    """Call the barrier off for good."""

    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return barrier.Cancel(caller.agent, self.reason, caller.is_admin)


class GetBarrier(OfBarrier, frozen=True, kw_only=True):
    """Show it."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()


# double barriers


class OfDoubleBarrier(Ask, frozen=True, kw_only=True):
    """The root of the commands about double barriers."""

    result: ClassVar[Any] = double_barrier.DoubleBarrierResult
    kind: ClassVar[str] = "double_barrier"


class CreateDoubleBarrier(OfDoubleBarrier, frozen=True, kw_only=True):
    """Make a double barrier: all enter before anybody goes on, and all leave before anybody has left.

    timeout_s: of one gate of one generation; by default `synchronization.barrier_timeout`.
    """

    participant_count: int = 0
    participants: tuple[AgentId, ...] = ()
    name: str = ""
    cyclic: bool = True
    timeout_s: float | None = None
    on_lost: Literal["wait", "break"] = "wait"
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return double_barrier.Create(
            id=self.id,
            by=caller.agent,
            participant_count=self.participant_count,
            participants=self.participants,
            name=self.name or self.id,
            cyclic=self.cyclic,
            timeout_s=float(caller.config.synchronization.barrier_timeout)
            if self.timeout_s is None
            else self.timeout_s,
            on_lost=self.on_lost,
            cleanup_delay_s=float(caller.config.synchronization.barrier_cleanup_delay),
            metadata=self.metadata,
        )


class EnterDoubleBarrier(OfDoubleBarrier, frozen=True, kw_only=True):
    """Come to the first gate, and wait until all have."""

    data: Any = None
    generation: int | None = None
    request_id: str | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return double_barrier.Enter(caller.agent, self.data, self.generation, self.request_id)


class LeaveDoubleBarrier(OfDoubleBarrier, frozen=True, kw_only=True):
    """Come to the second gate, and wait until all have."""

    data: Any = None
    generation: int | None = None
    request_id: str | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return double_barrier.Leave(caller.agent, self.data, self.generation, self.request_id)


class BreakDoubleBarrier(OfDoubleBarrier, frozen=True, kw_only=True):
    """Break a generation for everybody in it."""

    reason: str = ""
    generation: int | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return double_barrier.Break(caller.agent, self.reason, self.generation, caller.is_admin)


class ResetDoubleBarrier(OfDoubleBarrier, frozen=True, kw_only=True):
    """Begin a new generation."""

    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return double_barrier.Reset(caller.agent, self.reason, caller.is_admin)


class CancelDoubleBarrier(OfDoubleBarrier, frozen=True, kw_only=True):
    """Call it off for good."""

    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return double_barrier.Cancel(caller.agent, self.reason, caller.is_admin)


class GetDoubleBarrier(OfDoubleBarrier, frozen=True, kw_only=True):
    """Show it."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()


# phasers


class OfPhaser(Ask, frozen=True, kw_only=True):
    """The root of the commands about phasers."""

    result: ClassVar[Any] = phaser.PhaserResult
    kind: ClassVar[str] = "phaser"


class CreatePhaser(OfPhaser, frozen=True, kw_only=True):
    """Make a phaser: a barrier whose parties join and leave between and during phases.

    policy: what becomes of a party that is lost, or late by `late_after_s` in a phase.
    """

    participants: tuple[AgentId, ...] = ()
    name: str = ""
    policy: Literal["wait", "shrink", "break", "fail"] = "wait"
    late_after_s: float | None = None
    ends_when_empty: bool = True
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return phaser.Create(
            id=self.id,
            by=caller.agent,
            participants=self.participants,
            name=self.name or self.id,
            policy=self.policy,
            late_after_s=self.late_after_s,
            ends_when_empty=self.ends_when_empty,
            metadata=self.metadata,
        )


class RegisterAtPhaser(OfPhaser, frozen=True, kw_only=True):
    """Become a party, of the current phase on or of the next."""

    from_next: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return phaser.Register(caller.agent, self.from_next)


class DeregisterAtPhaser(OfPhaser, frozen=True, kw_only=True):
    """Be a party no longer."""

    registration: int | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return phaser.Deregister(caller.agent, self.registration)


class RemoveFromPhaser(OfPhaser, frozen=True, kw_only=True):
    """Take a party out, as the creator or an admin."""

    party: AgentId
    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return phaser.Remove(caller.agent, self.party, self.reason, caller.is_admin)


class ArriveAtPhaser(OfPhaser, frozen=True, kw_only=True):
    """Arrive in a phase: and go on, and wait until it is over, or be a party no longer.

    phase, registration, request_id: let a repeated call find the phase of the first.
    """

    then: Literal["go_on", "wait", "deregister"] = "wait"
    data: Any = None
    phase: int | None = None
    registration: int | None = None
    request_id: str | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return _ARRIVALS[self.then](caller.agent, self.data, self.phase, self.registration, self.request_id)


class AwaitPhase(OfPhaser, frozen=True, kw_only=True):
    """Wait until a phase is over; parties and others may."""

    phase: int

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return phaser.Await(caller.agent, self.phase)


class CancelPhaser(OfPhaser, frozen=True, kw_only=True):
    """Terminate the phaser."""

    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return phaser.Cancel(caller.agent, self.reason, caller.is_admin)


class GetPhaser(OfPhaser, frozen=True, kw_only=True):
    """Show it."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()


_ARRIVALS: dict[str, type[phaser.Arrive]] = {
    "go_on": phaser.Arrive,
    "wait": phaser.ArriveAndAwait,
    "deregister": phaser.ArriveAndDeregister,
}
