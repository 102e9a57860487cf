"""The verbs of `run`, over one instance: each issues commands, arms timers, or writes a row.

Nothing here waits for the world: a verb opens a call and awaits a future of the run's own loop, which
an input will resolve, now or in a replay.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from concerted.config.settings import Coordination
from concerted.engine.calls import Call, Parcel, StartChild, StartWork
from concerted.errors import Invalid, NotAllowed, TimedOut
from concerted.messages import CancelTask, ExecuteTask, Reply, Request
from concerted.run import AgentChange, Replies
from concerted.values import AgentId, Instant, Objective, Outcome, Profile, RunId, Task, TaskId, digest, encode

if TYPE_CHECKING:
    from concerted.engine.runs import Instance

__all__ = ["Restarted", "RunHandle"]


class Restarted(BaseException):
    """Unwinds a strategy that has called `run.restart`; not an Exception, so that nothing catches it."""

    def __init__(self, state: Any) -> None:
        super().__init__(state)
        self.state = state


class RunHandle:
    """`concerted.run.Run`, as the strategy of one instance holds it."""

    def __init__(self, instance: Instance, state: Any = None) -> None:
        self._of = instance
        self.id: RunId = instance.id
        self.objective: Objective = instance.charter.objective
        self.config: Coordination = instance.config
        self.options: Mapping[str, Any] = MappingProxyType(instance.charter.options)
        self.state = state

    def detach(self) -> None:
        """Cut the strategy off: whatever it still tries while its coroutines are closed raises NotAllowed."""
        self._of = _Departed(self.id)  # type: ignore[assignment]

    @property
    def agents(self) -> Mapping[AgentId, Profile]:
        """The agents of this run that are not lost, by id."""
        return MappingProxyType(self._of.agents)

    @property
    def deadline_at(self) -> Instant | None:
        """The run's own deadline."""
        return self._of.deadline_at

    @property
    def random(self) -> random.Random:
        """Dice that fall the same way in every replay."""
        return self._of.random

    def now(self) -> Instant:
        """Return the log's time."""
        return self._of.now

    def uuid(self) -> uuid.UUID:
        """Return a new id, the same in every replay."""
        return uuid.UUID(int=self._of.random.getrandbits(128), version=4)

    # asking

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
        of = self._of
        call = Call(of.next_number(), agent, parcel, done, reply_by=reply_by, since=of.now)
        of.command(call)
        return call

    def _expire(self, call: Call) -> None:
        self._of.close(call, "timeout", Reply(agent=call.agent, status="timeout", epoch=call.epoch))

    def _answered(self, call: Call, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        if call.number in self._of.calls:  # the future was cancelled: nobody waits any more
            self._of.close(call, "cancelled", Reply(agent=call.agent, status="cancelled"))

    # watching, telling, waiting

    async def watch(self, agents: Sequence[AgentId] | None = None) -> AsyncIterator[AgentChange]:
        """Yield what happens to these agents from now on; see `concerted.run.Run.watch`."""
        queue: asyncio.Queue[AgentChange] = asyncio.Queue()
        entry = (None if agents is None else frozenset(agents), queue)
        self._of.watchers.append(entry)
        try:
            while True:
                yield await queue.get()
        finally:
            if entry in self._of.watchers:
                self._of.watchers.remove(entry)

    def record(self, kind: str, *, agent: AgentId | None = None, ref: str | None = None, **facts: Any) -> None:
        """Write a fact of the protocol into the log."""
        self._of.note(kind, facts, agent=agent, ref=ref)

    def progress(self, step: int, of: int, **facts: Any) -> None:
        """Say where the run stands."""
        if not 0 <= step <= of:
            raise Invalid(f"run {self.id}: progress {step} of {of} makes no sense; 0 <= step <= of")
        self._of.progress = {"step": step, "of": of, **facts}
        self._of.note("run.progressed", self._of.progress)

    async def child(
        self, strategy: str, objective: Objective, *, agents: Sequence[AgentId] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Outcome:  # fmt: skip
        """Run another strategy as a child; see `concerted.run.Run.child`."""
        of = self._of
        number = of.next_number()
        run = RunId(f"{self.id}/{number}")
        future: asyncio.Future[Outcome] = of.loop.create_future()

        def done(value: dict[str, Any]) -> None:
            if not future.done():
                future.set_result(_outcome(value))

        effect = StartChild(number, run, strategy, objective, agents, dict(options or {}))
        asked = digest(encode([strategy, objective, list(agents) if agents else None, dict(options or {})]))
        of.note("child.started", {"run": run, "strategy": strategy, "digest": asked}, ref=str(number))
        of.children[number] = (effect, done)
        of.effects.append(effect)
        try:
            return await future
        except asyncio.CancelledError:
            if of.children.pop(number, None) is not None:
                of.stop_child(run, f"its parent {self.id} no longer waits for it")
            raise

    async def signal(self, name: str) -> Any:
        """Wait for the next signal of this name; return its payload."""
        return await self._of.queue(name).get()

    def deadline(self, seconds: float | None = None) -> _Deadline:
        """Bound a block by an absolute deadline; see `concerted.run.Run.deadline`."""
        return _Deadline(self._of.deadline_at if seconds is None else self._of.now + seconds, self.id)

    def compensate(self, agent: AgentId, request: Request) -> _Compensation:
        """Undo what `agent` did if the block fails; see `concerted.run.Run.compensate`."""
        return _Compensation(self, agent, request)

    # the process's own work

    async def do(self, name: str, fn: Callable[[], Any]) -> Any:
        """Perform a local side effect and record its result; see `concerted.run.Run.do`."""
        return await self._work(name, fn, inline=True)

    async def compute(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Compute outside the loop and record the result; see `concerted.run.Run.compute`."""
        return await self._work(getattr(fn, "__qualname__", repr(fn)), lambda: fn(*args), inline=False)

    async def _work(self, name: str, fn: Callable[[], Any], *, inline: bool) -> Any:
        of = self._of
        number = of.next_number()
        future: asyncio.Future[dict[str, Any]] = of.loop.create_future()

        def done(value: dict[str, Any]) -> None:
            if not future.done():
                future.set_result(value)

        effect = StartWork(number, name, fn, inline)
        of.note("effect.started", {"name": name}, ref=str(number))
        of.works[number] = (effect, done)
        of.effects.append(effect)
        try:
            value = await future
        finally:
            of.works.pop(number, None)
        if value.get("error") is not None:
            raise Invalid(f"run {self.id}: {name} raised {value['error']}", name=name)
        return value.get("value")

    # the code's own history

    def version(self, name: str, newest: int) -> int:
        """Return which version of a change this run uses; see `concerted.run.Run.version`."""
        journal = self._of.journal
        chosen = journal.versions.get(name)
        if chosen is None:
            chosen = 0 if journal.passed else newest
            journal.versions[name] = chosen
            self._of.note("version.chosen", {"version": chosen}, ref=name)
        if chosen > newest:
            raise NotAllowed(
                f"run {self.id} was started with version {chosen} of {name!r}; this code knows only {newest}. "
                "Let newer code finish it"
            )
        return chosen

    def restart(self, state: Any) -> NoReturn:
        """Begin anew from `state`; see `concerted.run.Run.restart`."""
        raise Restarted(state)


class _Departed:
    """Stands in the place of an instance that has been let go."""

    def __init__(self, run: RunId) -> None:
        self._run = run

    def __getattr__(self, name: str) -> NoReturn:
        raise NotAllowed(f"run {self._run} has been let go here; nothing counts any more")


class _Crowd:
    """Many agents asked the same, under one deadline; iterate for replies in the order they come."""

    def __init__(self, run: RunHandle, agents: Sequence[AgentId], request: Request, deadline: float | None) -> None:
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


class _Deadline:
    """`asyncio.timeout_at`, with an error that says whose deadline it was."""

    def __init__(self, at: Instant | None, run: RunId) -> None:
        self._timeout = asyncio.timeout_at(at)
        self._at, self._run = at, run

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise TimedOut(f"run {self._run}: a deadline has passed", run=self._run, deadline_at=self._at) from late


class _Compensation:
    """Sends an undoing command when its block ends badly, and waits for the answer, even when cancelled."""

    def __init__(self, run: RunHandle, agent: AgentId, request: Request) -> None:
        self._run, self._agent, self._request = run, agent, request

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Restarted | GeneratorExit):
            return
        asked = asyncio.ensure_future(self._run.ask(self._agent, self._request))
        while not asked.done():
            try:
                await asyncio.shield(asked)
            except asyncio.CancelledError:
                continue  # a second cancel must not leave the effect standing; the ask has a deadline of its own


def _outcome(value: dict[str, Any]) -> Outcome:
    """Read a child's outcome from `child.ended`; a child without one has failed."""
    if value.get("outcome") is not None:
        return msgspec.convert(value["outcome"], Outcome)
    return Outcome(success=False, reason=str(value.get("error") or value.get("status")))
