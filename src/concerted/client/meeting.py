"""Handles on what agents meet at: sync points, barriers, double barriers, phasers, latches, trackers."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from concerted.board.latches.latch import LatchResult
from concerted.client.handle import Handle, as_agent, as_agents, from_now
from concerted.errors import Conflict
from concerted.ports import meeting, tracking
from concerted.sync.barriers.barrier import Action, BarrierResult
from concerted.sync.double_barriers.double_barrier import DoubleBarrierResult
from concerted.sync.phasers.phaser import PhaserResult
from concerted.sync.points.predicate import Condition, condition_of
from concerted.sync.points.sync_point import SyncResult
from concerted.sync.trackers.progress import ProgressResult
from concerted.values import AgentId, Instant

__all__ = ["Barrier", "DoubleBarrier", "Latch", "Phaser", "SyncPoint", "Tracker"]

CLOCKS_S = 1.0  # how far a deadline from now may be from the same one by the coordinator's clock


class SyncPoint(Handle):
    """A point at which named participants meet."""

    async def create(
        self, participants: Iterable[str], *, condition: str | int | Condition = "all", deadline_s: float | None = None,
        deadline_at: Instant | None = None, agent: str | None = None, attach: bool = False, **facts: Any,
    ) -> SyncResult:  # fmt: skip
        """Make it, for at least two participants.

        deadline_s: from the creation; deadline_at: as an instant.  attach: take one of this id as it is.  facts: name,
        description, metadata.

        Raises:
            Invalid: as the message says.  Conflict: there is another one of this id.
        """
        if deadline_s is not None:
            deadline_at = from_now(deadline_s)
        command = meeting.CreateSyncPoint(
            id=self.id,
            agent=as_agent(agent),
            participants=as_agents(participants),
            condition=condition_of(condition),
            deadline_at=deadline_at,
            attach=attach,
            **facts,
        )
        try:
            result: SyncResult = await self._ask(command)
        except Conflict as error:
            if deadline_s is None or error.facts.get("differences") != ["deadline_at"]:
                raise
            result = await self.get()  # the same again is later, and its deadline with it
            if not _is_span(result, deadline_s):
                raise
        return result

    async def arrive(self, agent: str | None = None, data: Any = None, *, timeout_s: float | None = None) -> SyncResult:
        """Arrive, and wait until the point is settled; `timeout_s=0` does not wait.  Again, it goes on waiting.

        Raises:
            NotAllowed: the agent is no participant.  WrongPhase: the point is over, or its deadline has passed.
            Deadlock: it would wait for who waits for it; it has arrived all the same.
        """
        command = meeting.ArriveAtSyncPoint(id=self.id, agent=as_agent(agent), data=data)
        result: SyncResult = await self._wait(command, timeout_s)
        return result

    async def wait(self, *, agent: str | None = None, timeout_s: float | None = None) -> SyncResult:
        """Wait until it is settled, without arriving."""
        result: SyncResult = await self._wait(meeting.AwaitSyncPoint(id=self.id, agent=as_agent(agent)), timeout_s)
        return result

    async def add(self, agents: Iterable[str], *, agent: str | None = None) -> SyncResult:
        """Let more agents take part."""
        command = meeting.AddToSyncPoint(id=self.id, agent=as_agent(agent), agents=as_agents(agents))
        return await self._ask(command)  # type: ignore[no-any-return]

    async def complete(self, *, agent: str | None = None) -> SyncResult:
        """Complete it by hand."""
        return await self._ask(meeting.CompleteSyncPoint(id=self.id, agent=as_agent(agent)))  # type: ignore[no-any-return]

    async def cancel(self, reason: str = "", *, agent: str | None = None) -> SyncResult:
        """Call it off."""
        command = meeting.CancelSyncPoint(id=self.id, agent=as_agent(agent), reason=reason)
        return await self._ask(command)  # type: ignore[no-any-return]

    async def get(self) -> SyncResult:
        """Return how it stands."""
        return await self._ask(meeting.GetSyncPoint(id=self.id))  # type: ignore[no-any-return]


class Barrier(Handle):
    """A barrier for n parties, generation after generation."""

    async def create(
        self, parties: int | Iterable[str], *, cyclic: bool = True, timeout_s: float | None = None,
        action: Action | None = None, agent: str | None = None, **facts: Any,
    ) -> BarrierResult:  # fmt: skip
        """Make it, for so many parties or for those named.

        timeout_s: of one generation.  facts: name, metadata, on_lost (`wait` or `break`), attach.
        """
        command = meeting.CreateBarrier(
            id=self.id,
            agent=as_agent(agent),
            participant_count=parties if isinstance(parties, int) else 0,
            participants=() if isinstance(parties, int) else as_agents(parties),
            cyclic=cyclic,
            timeout_s=timeout_s,
            action=action,
            **facts,
        )
        return await self._ask(command)  # type: ignore[no-any-return]

    async def arrive(
        self, agent: str | None = None, data: Any = None, *, timeout_s: float | None = None, **which: Any
    ) -> BarrierResult:
        """Arrive, and wait for the verdict, the same for everyone.

        which: generation, request_id, action_epoch.  An elected party is answered at once with `is_elected`:
        it does the action, says `finish_action`, and arrives again.
        """
        if "request_id" not in which and "generation" not in which:
            which["request_id"] = uuid.uuid4().hex  # so that going on waiting is no second arrival
        command = meeting.ArriveAtBarrier(id=self.id, agent=as_agent(agent), data=data, **which)
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def finish_action(self, result: BarrierResult, value: Any = None, *, error: str | None = None,
                            agent: str | None = None) -> BarrierResult:  # fmt: skip
        """Tell how the action ended for which `result` elected this agent."""
        command = meeting.FinishBarrierAction(
            id=self.id,
            agent=as_agent(agent),
            generation=result.generation,
            action_epoch=result.action_epoch or 0,
            value=value,
            error=error,
        )
        return await self._ask(command)  # type: ignore[no-any-return]

    async def reset(self, reason: str = "", *, agent: str | None = None) -> BarrierResult:
        """Begin a new generation; whoever waits in this one gets the verdict `broken`."""
        return await self._ask(meeting.ResetBarrier(id=self.id, agent=as_agent(agent), reason=reason))  # type: ignore[no-any-return]

    async def cancel(self, reason: str = "", *, agent: str | None = None) -> BarrierResult:
        """Call it off for good."""
        return await self._ask(meeting.CancelBarrier(id=self.id, agent=as_agent(agent), reason=reason))  # type: ignore[no-any-return]

    async def get(self) -> BarrierResult:
        """Return how it stands."""
        return await self._ask(meeting.GetBarrier(id=self.id))  # type: ignore[no-any-return]


class DoubleBarrier(Handle):
    """A barrier with two gates: all enter before anybody goes on, and all leave before anybody has left."""

    async def create(
        self, parties: int | Iterable[str], *, cyclic: bool = True, timeout_s: float | None = None,
        agent: str | None = None, **facts: Any,
    ) -> DoubleBarrierResult:  # fmt: skip
        """Make it, for so many parties or for those named.  facts: name, metadata, on_lost, attach."""
        command = meeting.CreateDoubleBarrier(
            id=self.id,
            agent=as_agent(agent),
            participant_count=parties if isinstance(parties, int) else 0,
            participants=() if isinstance(parties, int) else as_agents(parties),
            cyclic=cyclic,
            timeout_s=timeout_s,
            **facts,
        )
        return await self._ask(command)  # type: ignore[no-any-return]

    async def enter(self, agent: str | None = None, data: Any = None, *, timeout_s: float | None = None,
                    generation: int | None = None) -> DoubleBarrierResult:  # fmt: skip
        """Come to the first gate, and wait until all have."""
        command = meeting.EnterDoubleBarrier(
            id=self.id, agent=as_agent(agent), data=data, generation=generation, request_id=uuid.uuid4().hex
        )
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def leave(self, agent: str | None = None, data: Any = None, *, timeout_s: float | None = None,
                    generation: int | None = None) -> DoubleBarrierResult:  # fmt: skip
        """Come to the second gate, and wait until all have."""
        command = meeting.LeaveDoubleBarrier(
            id=self.id, agent=as_agent(agent), data=data, generation=generation, request_id=uuid.uuid4().hex
        )
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def get(self) -> DoubleBarrierResult:
        """Return how it stands."""
        return await self._ask(meeting.GetDoubleBarrier(id=self.id))  # type: ignore[no-any-return]


class Phaser(Handle):
    """A barrier whose parties join and leave between and during phases."""

    async def create(
        self, participants: Iterable[str] = (), *, policy: Literal["wait", "shrink", "break", "fail"] = "wait",
        late_after_s: float | None = None, agent: str | None = None, **facts: Any,
    ) -> PhaserResult:  # fmt: skip
        """Make it.  policy: what becomes of who is lost, or late by `late_after_s`.  facts: name, metadata, attach."""
        command = meeting.CreatePhaser(
            id=self.id,
            agent=as_agent(agent),
            participants=as_agents(participants),
            policy=policy,
            late_after_s=late_after_s,
            **facts,
        )
        return await self._ask(command)  # type: ignore[no-any-return]

    async def register(self, agent: str | None = None, *, from_next: bool = False) -> PhaserResult:
        """Become a party."""
        command = meeting.RegisterAtPhaser(id=self.id, agent=as_agent(agent), from_next=from_next)
        return await self._ask(command)  # type: ignore[no-any-return]

    async def deregister(self, agent: str | None = None) -> PhaserResult:
        """Be a party no longer."""
        return await self._ask(meeting.DeregisterAtPhaser(id=self.id, agent=as_agent(agent)))  # type: ignore[no-any-return]

    async def arrive(
        self, agent: str | None = None, data: Any = None, *, then: Literal["go_on", "wait", "deregister"] = "wait",
        phase: int | None = None, timeout_s: float | None = None,
    ) -> PhaserResult:  # fmt: skip
        """Arrive in a phase, by default the current one, and by default wait until it is over."""
        command = meeting.ArriveAtPhaser(
            id=self.id, agent=as_agent(agent), data=data, then=then, phase=phase, request_id=uuid.uuid4().hex
        )
        return await self.give_until(command, timeout_s=timeout_s)

    async def give_until(self, command: meeting.ArriveAtPhaser, *, timeout_s: float | None = None) -> PhaserResult:
        """Give an `ArriveAtPhaser` until its phase is over, or time is."""
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def wait(self, phase: int, *, agent: str | None = None, timeout_s: float | None = None) -> PhaserResult:
        """Wait until a phase is over."""
        return await self._wait(meeting.AwaitPhase(id=self.id, agent=as_agent(agent), phase=phase), timeout_s)  # type: ignore[no-any-return]

    async def get(self) -> PhaserResult:
        """Return how it stands."""
        return await self._ask(meeting.GetPhaser(id=self.id))  # type: ignore[no-any-return]


class Latch(Handle):
    """A latch that opens when it has been counted down, and stays open."""

    async def create(self, count: int, *, deadline_s: float | None = None, agent: str | None = None,
                     **facts: Any) -> LatchResult:  # fmt: skip
        """Make it.  deadline_s: after which, from its creation, it expires.  facts: name, metadata, attach."""
        command = tracking.CreateLatch(id=self.id, agent=as_agent(agent), count=count, timeout_s=deadline_s, **facts)
        return await self._ask(command)  # type: ignore[no-any-return]

    async def count_down(self, ticket: str | None = None, *, agent: str | None = None) -> LatchResult:
        """Count it down, once for each ticket."""
        command = tracking.CountDownLatch(id=self.id, agent=as_agent(agent), ticket=ticket or uuid.uuid4().hex)
        return await self._ask(command)  # type: ignore[no-any-return]

    async def take(self, ticket: str, *, ttl_s: float = 60.0, agent: str | None = None) -> LatchResult:
        """Be the one who will count down; without it before the time is over, others can take it."""
        return await self._ask(  # type: ignore[no-any-return]
            tracking.TakeFromLatch(id=self.id, agent=as_agent(agent), ticket=ticket, ttl_s=ttl_s)
        )

    async def wait(self, *, agent: str | None = None, timeout_s: float | None = None) -> LatchResult:
        """Wait until it is open."""
        return await self._wait(tracking.AwaitLatch(id=self.id, agent=as_agent(agent)), timeout_s)  # type: ignore[no-any-return]

    async def get(self) -> LatchResult:
        """Return how it stands."""
        return await self._ask(tracking.GetLatch(id=self.id))  # type: ignore[no-any-return]


class Tracker(Handle):
    """A progress tracker."""

    async def create(
        self, total_steps: int, participants: Iterable[str] = (), *, weights: Mapping[str, float] | None = None,
        stalled_after_s: float | None = None, agent: str | None = None, **facts: Any,
    ) -> ProgressResult:  # fmt: skip
        """Make it.  facts: name, description, metadata, may_go_back, completes_with, attach."""
        command = tracking.CreateTracker(
            id=self.id,
            agent=as_agent(agent),
            total_steps=total_steps,
            participants=as_agents(participants),
            weights=None if weights is None else {AgentId(name): weight for name, weight in weights.items()},
            stalled_after_s=stalled_after_s,
            **facts,
        )
        return await self._ask(command)  # type: ignore[no-any-return]

    async def update(self, step: int, data: Any = None, *, agent: str | None = None) -> ProgressResult:
        """Say that a step is reached."""
        return await self._ask(tracking.UpdateProgress(id=self.id, agent=as_agent(agent), step=step, data=data))  # type: ignore[no-any-return]

    async def cancel(self, reason: str = "", *, agent: str | None = None) -> ProgressResult:
        """Call it off."""
        return await self._ask(tracking.CancelTracker(id=self.id, agent=as_agent(agent), reason=reason))  # type: ignore[no-any-return]

    async def wait(
        self, step: int | None = None, *, percentage: float | None = None, timeout_s: float | None = None
    ) -> ProgressResult:
        """Wait until a step, or a share 0..1 of the whole, is reached, or the tracker has ended."""
        command = tracking.AwaitProgress(id=self.id, step=step, percentage=percentage)
        return await self._wait(command, timeout_s)  # type: ignore[no-any-return]

    async def get(self) -> ProgressResult:
        """Return how it stands."""
        return await self._ask(tracking.GetProgress(id=self.id))  # type: ignore[no-any-return]


def _is_span(point: SyncResult, deadline_s: float) -> bool:
    """Say whether a point was made with this span, as far as two clocks and the way to the coordinator allow."""
    return point.deadline_at is not None and abs(point.deadline_at - point.created_at - deadline_s) <= CLOCKS_S
