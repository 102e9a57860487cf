"""All calls that a session turns into commands: runs, looking, and the handles on what agents meet at, hold and share.

The modules of handles are imported when somebody takes one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from concerted.client.waiting import Gathered, wait_for
from concerted.errors import Invalid, TimedOut
from concerted.ports.commands import (
    Cancel,
    Command,
    Events,
    EventView,
    GetRun,
    Resume,
    RunView,
    Signal,
    Status,
    StatusView,
    Submit,
    Submitted,
    Why,
    WhyView,
)
from concerted.values import AgentId, Objective, RunId, Task, encode

if TYPE_CHECKING:
    from concerted.client.agreeing import Agreement, DecisionLog
    from concerted.client.channel import Channel
    from concerted.client.deciding import Decision
    from concerted.client.holding import Budget, Election, Leases, Semaphore
    from concerted.client.meeting import Barrier, DoubleBarrier, Latch, Phaser, SyncPoint, Tracker
    from concerted.client.replicating import ReplicaGroup
    from concerted.client.sharing import Inbox, Membership, Register
    from concerted.consensus.agreement import AgreementResult
    from concerted.consensus.decisions.decision import DecisionResult
    from concerted.consensus.validity import Validity

__all__ = ["Calls"]

WAIT_S = 60.0  # how long one waiting command waits before it is given again


class Calls:
    """What can be asked of whoever owns the store; `give` says how it is reached."""

    default_timeout_s: float = 60.0

    async def give(self, command: Command) -> Any:
        """Give a command and return its answer."""
        raise NotImplementedError

    # runs

    async def submit(
        self, strategy: str, objective: Objective | str | Sequence[Task], *, id: str | None = None,
        agents: Sequence[str] | None = None, options: Mapping[str, Any] | None = None, timeout_s: float | None = None,
    ) -> Submitted:  # fmt: skip
        """Start a run, or attach to the one that has this id; written before it is answered.

        objective: a text, tasks, or both as an `Objective`.  agents: who takes part; by default everybody,
        also those who join later.
        """
        submitted: Submitted = await self.give(
            Submit(
                id=RunId(id or uuid.uuid4().hex[:12]),
                strategy=strategy,
                objective=_objective(objective),
                agents=None if agents is None else tuple(AgentId(agent) for agent in agents),
                options=dict(options or {}),
                timeout_s=timeout_s,
            )
        )
        return submitted

    async def run(
        self, strategy: str, objective: Objective | str | Sequence[Task], *, id: str | None = None,
        agents: Sequence[str] | None = None, options: Mapping[str, Any] | None = None, timeout_s: float | None = None,
    ) -> RunView:  # fmt: skip
        """Start a run (or attach to it), wait for its end and return it."""
        submitted = await self.submit(
            strategy, objective, id=id, agents=agents, options=options, timeout_s=timeout_s
        )  # fmt: skip
        return await self.result(submitted.id)

    async def result(self, id: str, *, within_s: float | None = None) -> RunView:
        """Wait until a run is over (or parked) and return it.

        Raises:
            NotFound: there is no such run.  TimedOut: it still goes on after `within_s` seconds.
        """
        loop = asyncio.get_running_loop()
        until = None if within_s is None else loop.time() + within_s
        while True:
            left = WAIT_S if until is None else until - loop.time()
            view: RunView = await self.give(GetRun(id=RunId(id), wait_s=max(0.0, min(left, WAIT_S))))
            if view.ended_at is not None or view.status == "parked":
                return view
            if until is not None and loop.time() >= until:
                raise TimedOut(f"run {id} still goes on after {within_s:g} s; it is not disturbed by that", run=id)

    async def get(self, id: str) -> RunView:
        """Return a run as it stands."""
        return await self.give(GetRun(id=RunId(id)))  # type: ignore[no-any-return]

    async def cancel(self, id: str, reason: str = "", *, by: str = "operator") -> RunView:
        """Call a run off; a second time changes nothing."""
        return await self.give(Cancel(id=RunId(id), reason=reason, by=by))  # type: ignore[no-any-return]

    async def resume(self, id: str, *, by: str = "operator") -> RunView:
        """Let a parked run go on."""
        return await self.give(Resume(id=RunId(id), by=by))  # type: ignore[no-any-return]

    async def signal(self, id: str, name: str, payload: Any = None, *, request_id: str | None = None) -> None:
        """Send a signal into a run; the same request id counts once, however often it is given."""
        await self.give(Signal(id=RunId(id), name=name, payload=payload, request_id=request_id or uuid.uuid4().hex))

    # looking

    async def status(self, *, everything: bool = False) -> StatusView:
        """Return runs, agents and what is blocked; `everything`: also what is finished."""
        return await self.give(Status(all=everything))  # type: ignore[no-any-return]

    async def why(self, subject: str) -> WhyView:
        """Explain a run, a task (`RUN:TASK`) or an agent."""
        return await self.give(Why(subject=subject))  # type: ignore[no-any-return]

    async def events(
        self, *, after: int = 0, until: int | None = None, stream: str | None = None, kind: str | None = None,
        limit: int = 1000,
    ) -> list[EventView]:  # fmt: skip
        """Return entries of the log with `after < seq <= until`, in order."""
        return await self.give(Events(after=after, until=until, stream=stream, kind=kind, limit=limit))  # type: ignore[no-any-return]

    async def follow(
        self, *, after: int = 0, stream: str | None = None, kind: str | None = None
    ) -> AsyncIterator[EventView]:
        """Yield entries as they are written, from `after` on, without gap or repeat, across changes of owner."""
        while True:
            page: list[EventView] = await self.give(Events(after=after, stream=stream, kind=kind, wait_s=WAIT_S))
            for event in page:
                after = event.seq
                yield event

    # what agents meet at, hold and share

    def sync_point(self, id: str) -> SyncPoint:
        """Return the handle on a sync point."""
        from concerted.client.meeting import SyncPoint

        return SyncPoint(self, id)

    def barrier(self, id: str) -> Barrier:
        """Return the handle on a barrier."""
        from concerted.client.meeting import Barrier

        return Barrier(self, id)

    def double_barrier(self, id: str) -> DoubleBarrier:
        """Return the handle on a double barrier."""
        from concerted.client.meeting import DoubleBarrier

        return DoubleBarrier(self, id)

    def phaser(self, id: str) -> Phaser:
        """Return the handle on a phaser."""
        from concerted.client.meeting import Phaser

        return Phaser(self, id)

    def latch(self, id: str) -> Latch:
        """Return the handle on a latch."""
        from concerted.client.meeting import Latch

        return Latch(self, id)

    def tracker(self, id: str) -> Tracker:
        """Return the handle on a progress tracker."""
        from concerted.client.meeting import Tracker

        return Tracker(self, id)

    @property
    def leases(self) -> Leases:
        """The leases of the store."""
        from concerted.client.holding import Leases

        return Leases(self)

    def election(self, id: str) -> Election:
        """Return the handle on the election of a leader."""
        from concerted.client.holding import Election

        return Election(self, id)

    def semaphore(self, id: str) -> Semaphore:
        """Return the handle on a semaphore."""
        from concerted.client.holding import Semaphore

        return Semaphore(self, id)

    def budget(self, id: str) -> Budget:
        """Return the handle on a budget."""
        from concerted.client.holding import Budget

        return Budget(self, id)

    def group(self, id: str) -> Membership:
        """Return the handle on a group."""
        from concerted.client.sharing import Membership

        return Membership(self, id)

    def register_value(self, id: str) -> Register:
        """Return the handle on a named value."""
        from concerted.client.sharing import Register

        return Register(self, id)

    def inbox(self, agent: str | None = None) -> Inbox:
        """Return the inbox of an agent."""
        from concerted.client.sharing import Inbox

        return Inbox(self, agent)

    def channel(self, name: str, members: Iterable[str], agent: str) -> Channel:
        """Return one member's end of a channel, such as that of a coalition."""
        from concerted.client.channel import Channel

        return Channel(self, name, members, agent)

    # deciding

    def replica_group(self, id: str) -> ReplicaGroup:
        """Return the handle on a group of replicas."""
        from concerted.client.replicating import ReplicaGroup

        return ReplicaGroup(self, id)

    def decision(self, id: str) -> Decision:
        """Return the handle on a decision."""
        from concerted.client.deciding import Decision

        return Decision(self, id)

    async def decide(
        self, question: str, voters: Iterable[str] | Mapping[str, int], *, id: str | None = None,
        timeout_s: float | None = None, **terms: Any,
    ) -> DecisionResult:  # fmt: skip
        """Put a question to voters, wait until it is decided, and return the outcome with its certificate.

        terms: rule, deadline_s, proposal, options, keys, algorithm, group, replicas, agent, attach.  timeout_s: how
        long this call waits; by default until the deadline.  After that it is `pending`, and with the same id the same
        call waits on.
        """
        from concerted.client.deciding import decide

        return await decide(self, question, voters, id=id, timeout_s=timeout_s, **terms)

    def agreement(self, key: str) -> Agreement:
        """Return the handle on an agreement."""
        from concerted.client.agreeing import Agreement

        return Agreement(self, key)

    async def agree(
        self, key: str, value: Any, *, valid: str | Validity | Mapping[str, Any] | None = None, **terms: Any
    ) -> AgreementResult:
        """Propose a value under a key and return the one that is chosen, for ever; `yours` says whose it is.

        valid: which values may be chosen.  terms: proposers, deadline_s, agent, request_id, algorithm, group, replicas.
        """
        from concerted.client.agreeing import agree

        return await agree(self, key, value, valid=valid, **terms)

    def log(self, name: str) -> DecisionLog:
        """Return the handle on a log of decisions: `append`, `read`, `follow`, and `async for`."""
        from concerted.client.agreeing import DecisionLog

        return DecisionLog(self, name)

    async def wait_for(
        self, things: Mapping[str, Awaitable[Any]], until: Literal["all", "any", "majority"] | int = "all", *,
        timeout: float | None = None, min_fraction: float | None = None,  # noqa: ASYNC109 -- no error at the end
    ) -> Gathered:  # fmt: skip
        """Wait for several things at once; see `concerted.client.waiting.wait_for`."""
        limit = self.default_timeout_s if timeout is None else timeout
        return await wait_for(things, until, timeout=limit, min_fraction=min_fraction)


def _objective(given: Objective | str | Sequence[Task]) -> Objective:
    if isinstance(given, Objective):
        return given
    if isinstance(given, str):
        return Objective(description=given)
    tasks = tuple(given)
    if not all(isinstance(task, Task) for task in tasks):
        raise Invalid(f"an objective is a text, an Objective or a sequence of Task, not {encode(given)[:100]!r}")
    return Objective(tasks=tasks)
