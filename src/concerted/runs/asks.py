"""The verbs of `run` that ask agents: one, many, as a stream, or to do a task under a claim.

Each opens calls of the instance and awaits a future of the run's own loop, which a reply, a timer or the
loss of the agent resolves, now or in a replay.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from concerted.config.settings import Coordination
from concerted.errors import Invalid
from concerted.messages import CancelTask, ExecuteTask, Reply, Request
from concerted.run import Replies
from concerted.runs.calls import Call, Parcel
from concerted.values import AgentId, Instant, RunId, Task, TaskId

if TYPE_CHECKING:
    from concerted.runs.instance import Instance

__all__ = ["Asking"]


class Asking:
    """The half of a run's handle that speaks with agents."""

    def __init__(self, instance: Instance) -> None:
        self._of = instance
        self.id: RunId = instance.id
        self.config: Coordination = instance.config

    def ask(self, agent: AgentId, request: Request, *, deadline: float | None = None) -> Awaitable[Reply]:
        """Ask one agent; see `concerted.run.Run.ask`."""
        future: asyncio.Future[Reply] = self._of.loop.create_future()

        def done(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        call = self._open(agent, Parcel(request), done, self._reply_by(deadline))
        timer = self._of.loop.call_at(call.reply_by or 0.0, self._expire, call)
        future.add_done_callback(lambda _: self._answered(call, timer))
        return future

    async def gather(
        self, agents: Sequence[AgentId], request: Request, *, deadline: float | None = None,
        quorum: int | None = None, until: Callable[[Reply], bool] | None = None,
    ) -> Replies:  # fmt: skip
        """Ask many the same; see `concerted.run.Run.gather`."""
        crowd = _Crowd(self, agents, request, deadline)
        oks = 0
        try:
            if quorum is None and until is None:
                await crowd.everybody()
            else:
                async for reply in crowd:
                    oks += reply.ok
                    if oks == quorum or (until is not None and until(reply)):
                        break
        finally:
            crowd.dismiss()
        return Replies(crowd.replies[agent] for agent in agents)

    async def stream(
        self, agents: Sequence[AgentId], request: Request, *, deadline: float | None = None
    ) -> AsyncIterator[Reply]:
        """Ask many the same and yield replies as they come; see `concerted.run.Run.stream`."""
        crowd = _Crowd(self, agents, request, deadline)
        try:
            async for reply in crowd:
                yield reply
        finally:
            crowd.dismiss()

    def inform(self, agents: Sequence[AgentId], notice: Request) -> None:
        """Tell agents something that needs no answer."""
        if agents:
            self._of.inform(list(agents), Parcel(notice))

    async def execute(
        self, task: Task, agent: AgentId, *, deadline: float | None = None, results: Mapping[str, Any] | None = None
    ) -> Reply:
        """Claim a task for an agent and have it done; see `concerted.run.Run.execute`."""
        of = self._of
        epoch = of.epochs[task.id] = of.epochs.get(task.id, 0) + 1
        of.tally.retries += epoch > 1
        lease_s = float(of.config.manager.task_lease)
        of.note("task.claimed", {"epoch": epoch, "attempt": epoch, "lease_s": lease_s}, agent=agent, ref=task.id)
        request = ExecuteTask(
            task=task,
            epoch=epoch,
            lease_s=lease_s,
            results={TaskId(name): value for name, value in (results or {}).items()},
        )
        future: asyncio.Future[Reply] = of.loop.create_future()

        def done(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        limit = min((s for s in (task.max_duration_s, deadline) if s is not None), default=None)
        call = self._open(agent, Parcel(request), done, None if limit is None else of.now + limit)
        call.task, call.epoch, call.lease_s = task.id, epoch, lease_s
        timer = None if call.reply_by is None else of.loop.call_at(call.reply_by, self._expire, call)
        try:
            reply = await future
        except asyncio.CancelledError:
            of.close(call, "cancelled", Reply(agent=agent, status="cancelled", epoch=epoch))
            self._call_back(task, agent, epoch, "nobody waits for it any more")
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if reply.status in ("timeout", "lost"):
            self._call_back(task, agent, epoch, reply.error or reply.status)
        return reply

    def _call_back(self, task: Task, agent: AgentId, epoch: int, reason: str) -> None:
        if self._of.ending is None:
            self._of.inform([agent], Parcel(CancelTask(task=task.id, epoch=epoch, reason=reason)))

    def _reply_by(self, deadline: float | None) -> Instant:
        return self._of.now + float(self.config.manager.command_timeout if deadline is None else deadline)

    def _open(self, agent: AgentId, parcel: Parcel, done: Callable[[Reply], None], reply_by: Instant | None) -> Call:
        of, bound = self._of, self.config.manager.max_envelope_bytes
        if len(parcel.payload) > bound:
            raise Invalid(
                f"run {self.id}: {parcel.type} to {agent} has {len(parcel.payload)} bytes, over "
                f"manager.max_envelope_bytes ({bound}); pass a reference instead"
            )
        call = Call(of.next_number(), agent, parcel, done, reply_by=reply_by, since=of.now)
        of.command(call)
        return call

    def _expire(self, call: Call) -> None:
        self._of.close(call, "timeout", Reply(agent=call.agent, status="timeout", epoch=call.epoch))

    def _answered(self, call: Call, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        if call.number in self._of.calls:  # the future was cancelled: nobody waits any more
            self._of.close(call, "cancelled", Reply(agent=call.agent, status="cancelled"))


class _Crowd:
    """Many agents asked the same, under one deadline; iterate for replies in the order they come."""

    def __init__(self, run: Asking, agents: Sequence[AgentId], request: Request, deadline: float | None) -> None:
        if len(set(agents)) != len(agents):
            raise Invalid(f"run {run.id}: the same agent is asked twice at once; each has exactly one reply")
        self._run = run
        self.replies: dict[AgentId, Reply] = {}
        self._come: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._everybody = False
        self._left = len(agents)
        reply_by = run._reply_by(deadline)
        parcel = Parcel(request)
        self._calls = [run._open(agent, parcel, self._take, reply_by) for agent in agents]
        self._timer = run._of.loop.call_at(reply_by, self.dismiss, "timeout") if agents else None

    def _take(self, reply: Reply) -> None:
        self.replies[reply.agent] = reply
        self._come.append(reply)
        self._left -= 1
        if self._left == 0 and self._timer is not None:
            self._timer.cancel()
        waiter = self._waiter
        if waiter is not None and not waiter.done() and (self._left == 0 or not self._everybody):
            waiter.set_result(None)

    async def everybody(self) -> None:
        """Wait until each has a reply."""
        self._everybody = True
        if self._left:
            self._waiter = self._run._of.loop.create_future()
            await self._waiter

    def __aiter__(self) -> _Crowd:
        return self

    async def __anext__(self) -> Reply:
        while not self._come:
            if not self._left:
                raise StopAsyncIteration
            self._waiter = self._run._of.loop.create_future()
            await self._waiter
        return self._come.popleft()

    def dismiss(self, why: str = "cancelled") -> None:
        """Wait no longer: whoever has not answered gets the reply `cancelled` (or `timeout`)."""
        if self._timer is not None:
            self._timer.cancel()
        if self._left:
            for call in self._calls:
                if call.agent not in self.replies:
                    self._run._of.close(call, why, Reply(agent=call.agent, status=why))  # type: ignore[arg-type]
