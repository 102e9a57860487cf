"""The commands of what work is counted by: latches and progress trackers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from concerted.board.latches import latch
from concerted.machine import Look
from concerted.ports.commands import Role
from concerted.ports.primitive import Ask, Caller
from concerted.sync.trackers import progress
from concerted.values import AgentId, Instant

# latches


class OfLatch(Ask, frozen=True, kw_only=True):
    """The root of the commands about latches."""

    result: ClassVar[Any] = latch.LatchResult
    kind: ClassVar[str] = "latch"


class CreateLatch(OfLatch, frozen=True, kw_only=True):
    """Make a latch that opens when it has been counted down from `count`, and stays open."""

    count: int
    name: str = ""
    deadline_at: Instant | None = None
    timeout_s: float | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return latch.Create(
            id=self.id,
            by=caller.agent,
            count=self.count,
            name=self.name or self.id,
            deadline_at=self.deadline_at,
            timeout_s=self.timeout_s,
            metadata=self.metadata,
        )


class CountDownLatch(OfLatch, frozen=True, kw_only=True):
    """Count it down, once for each ticket; by default by what was taken under the ticket, else by 1."""

    ticket: str
    count: int | None = None
    epoch: int | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return latch.CountDown(caller.agent, self.ticket, self.count, self.epoch)


class TakeFromLatch(OfLatch, frozen=True, kw_only=True):
    """Be the one who will count down: if it does not before the time is over, others can take it."""

    ticket: str
    ttl_s: float = 60.0
    count: int = 1

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return latch.Take(caller.agent, self.ticket, self.ttl_s, self.count)


class RenewLatch(OfLatch, frozen=True, kw_only=True):
    """Have another time to live for what was taken."""

    ticket: str
    ttl_s: float | None = None
    epoch: int | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return latch.Renew(caller.agent, self.ticket, self.ttl_s, self.epoch)


class GiveBackToLatch(OfLatch, frozen=True, kw_only=True):
    """Give back what was taken, so that somebody else can take it."""

    ticket: str
    reason: str = ""
    epoch: int | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return latch.GiveBack(caller.agent, self.ticket, self.reason, self.epoch)


class AwaitLatch(OfLatch, frozen=True, kw_only=True):
    """Wait until it is open."""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return latch.Await(caller.agent)


class CancelLatch(OfLatch, frozen=True, kw_only=True):
    """Call it off, as its creator or an admin."""

    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return latch.Cancel(caller.agent, self.reason, caller.is_admin)


class GetLatch(OfLatch, frozen=True, kw_only=True):
    """Show it."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()


# progress trackers


class OfTracker(Ask, frozen=True, kw_only=True):
    """The root of the commands about progress trackers."""

    result: ClassVar[Any] = progress.ProgressResult
    kind: ClassVar[str] = "progress"


class CreateTracker(OfTracker, frozen=True, kw_only=True):
    """Make a progress tracker.

    weights: participant -> how much its share counts.  may_go_back: steps may become fewer.  stalled_after_s:
    without an update for so long it is stalled.  completes_with: whose last step completes it.
    """

    total_steps: int
    participants: tuple[AgentId, ...] = ()
    name: str = ""
    description: str = ""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    weights: dict[AgentId, float] | None = None
    may_go_back: bool = False
    stalled_after_s: float | None = None
    completes_with: Literal["creator", "participants"] = "creator"
    attach: bool = False

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return progress.Create(
            id=self.id,
            by=caller.agent,
            name=self.name or self.id,
            total_steps=self.total_steps,
            participants=self.participants,
            description=self.description,
            metadata=self.metadata,
            weights=self.weights,
            may_go_back=self.may_go_back,
            stalled_after_s=self.stalled_after_s,
            completes_with=self.completes_with,
        )


class UpdateProgress(OfTracker, frozen=True, kw_only=True):
    """Say that a step is reached: the creator for all, a participant for itself."""

    step: int
    data: Any = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return progress.Update(caller.agent, self.step, self.data)


class AwaitProgress(OfTracker, frozen=True, kw_only=True):
    """Wait until a step, or a share 0..1 of the whole, is reached, or it has ended."""

    role: ClassVar[Role] = "viewer"
    step: int | None = None
    percentage: float | None = None

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return progress.Await(caller.agent, self.step, self.percentage)


class CancelTracker(OfTracker, frozen=True, kw_only=True):
    """Call it off, as its creator or an admin."""

    reason: str = ""

    def request(self, caller: Caller) -> Any:
        """Return what is asked of the machine."""
        return progress.Cancel(caller.agent, self.reason, caller.is_admin)


class GetProgress(OfTracker, frozen=True, kw_only=True):
    """Show it."""

    role: ClassVar[Role] = "viewer"

    def request(self, caller: Caller) -> Any:  # noqa: ARG002
        """Return what is asked of the machine."""
        return Look()
