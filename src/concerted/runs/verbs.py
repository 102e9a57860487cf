"""The verbs of `run`, over one instance: each opens something, arms timers, or writes a row.

Those that ask agents stand in `asks.py`.  Nothing here waits for the world: a verb awaits a future of
the run's own loop, which an input will resolve, now or in a replay.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from concerted.errors import Invalid, NotAllowed, TimedOut
from concerted.kinds import PRIMITIVES
from concerted.messages import Request
from concerted.run import AgentChange, Fact
from concerted.runs.asks import Asking
from concerted.runs.calls import Start, StartChild, StartMeeting, StartReading, StartWork
from concerted.runs.facts import UNWRITABLE
from concerted.values import AgentId, Instant, Objective, Outcome, Profile, RunId, digest, encode

if TYPE_CHECKING:
    from concerted.consensus.agreement import AgreementResult
    from concerted.consensus.decisions.decision import DecisionResult
    from concerted.consensus.decisions.rule import Rule
    from concerted.consensus.validity import Validity
    from concerted.ports.primitive import Ask
    from concerted.runs.instance import Instance
    from concerted.sync.barriers.barrier import BarrierResult
    from concerted.sync.points.predicate import Condition
    from concerted.sync.points.sync_point import SyncResult

__all__ = ["Restarted", "RunHandle"]


ENGINE_KINDS = frozenset((
    "run", "reply", "timer", "claim", "participant", "signal", "cancel", "deadline", "child", "effect", "command",
    "version", "result", "agent", "breaker", "stream", "store", "input", "message", "messages", "principal", "access",
    *(kind.partition(".")[0] for kind in PRIMITIVES),
))  # fmt: skip


class Restarted(BaseException):
    """Unwinds a strategy that has called `run.restart`; not an Exception, so that nothing catches it."""

    def __init__(self, state: Any) -> None:
        super().__init__(state)
        self.state = state


class RunHandle(Asking):
    """`concerted.run.Run`, as the strategy of one instance holds it."""

    def __init__(self, instance: Instance, state: Any = None) -> None:
        super().__init__(instance)
        self.objective: Objective = instance.charter.objective
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
        if kind.partition(".")[0] in ENGINE_KINDS:
            raise NotAllowed(f"run {self.id}: {kind} is written by the engine alone; choose another kind")
        for text in (kind, agent, ref):
            if text is not None and not (text and text.isprintable()):
                raise Invalid(f"run {self.id}: {text!r} cannot stand in the log: use printable characters, at least 1")
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

    async def past(self, kind: str, fold: Callable[[Sequence[Fact]], Any], *, limit: int = 1000) -> Any:
        """Fold what the log says of other runs; see `concerted.run.Run.past`."""
        return await self._value(f"past {kind}", lambda number: StartReading(number, f"past {kind}", kind, fold, limit))

    async def _work(self, name: str, fn: Callable[[], Any], *, inline: bool) -> Any:
        return await self._value(name, lambda number: StartWork(number, name, fn, inline))

    async def _value(self, name: str, effect_of: Callable[[int], Start]) -> Any:
        value = await self._begun(effect_of)
        if value.get("error") is not None:
            raise Invalid(f"run {self.id}: {name} raised {value['error']}", name=name)
        return value.get("value")

    async def _begun(self, effect_of: Callable[[int], Start]) -> dict[str, Any]:
        """Have something done outside the run and return what was recorded of it."""
        of = self._of
        number = of.next_number()
        future: asyncio.Future[dict[str, Any]] = of.loop.create_future()

        def done(value: dict[str, Any]) -> None:
            if not future.done():
                future.set_result(value)

        effect = effect_of(number)
        of.note("effect.started", {"name": effect.name}, ref=str(number))
        of.works[number] = (effect, done)
        of.effects.append(effect)
        try:
            return await future
        finally:
            of.works.pop(number, None)

    # meeting others

    async def sync(
        self, point: str, *, participants: Sequence[AgentId] | None = None, condition: str | int | Condition = "all",
        within_s: float | None = None, arrive_as: AgentId | None = None, data: Any = None,
    ) -> SyncResult:  # fmt: skip
        """Meet others at a sync point; see `concerted.run.Run.sync`."""
        from concerted.runs import meetings

        deadline_at = None if within_s is None else self._of.now + within_s
        arrival = None if arrive_as is None else (arrive_as, data)
        asks = meetings.at_sync_point(point, participants, condition, deadline_at, arrival)
        return meetings.met(await self._begun(lambda number: StartMeeting(number, f"sync point {point}", asks)))

    async def barrier(
        self, barrier: str, *, parties: int | Sequence[AgentId] | None = None, arrive_as: AgentId | None = None,
        data: Any = None,
    ) -> BarrierResult:  # fmt: skip
        """Meet others at a barrier; see `concerted.run.Run.barrier`."""
        from concerted.runs import meetings

        arrival = (AgentId(self.id) if arrive_as is None else arrive_as, data)
        asks = meetings.at_barrier(barrier, parties, arrival, f"{self.id}/{self._of.commands + 1}")
        return meetings.passed(await self._begun(lambda number: StartMeeting(number, f"barrier {barrier}", asks)))

    async def decide(
        self, question: str, voters: Iterable[str] | Mapping[str, int], *,
        rule: str | Rule | Mapping[str, Any] = "majority", within_s: float | None = None, **terms: Any,
    ) -> DecisionResult:  # fmt: skip
        """Have something decided; see `concerted.run.Run.decide`."""
        from concerted.runs import decisions

        def give(name: str, ask: Ask, *, waits: bool = True) -> Awaitable[dict[str, Any]]:
            return self._begun(lambda number: StartMeeting(number, name, (ask,), waits))

        span_s = float(self.config.manager.command_timeout if within_s is None else within_s)
        command = decisions.command_of(f"{self.id}/{self._of.commands + 1}", question, voters, rule, terms)
        command = msgspec.structs.replace(command, deadline_at=self._of.now + span_s)
        return await decisions.decide(self, give, command)

    async def agree(
        self, key: str, value: Any, *, valid: str | Validity | Mapping[str, Any] | None = None,
        propose_as: AgentId | None = None, algorithm: str | None = None,
    ) -> AgreementResult:  # fmt: skip
        """Agree on a value; see `concerted.run.Run.agree`."""
        from concerted.runs import meetings

        proposer = AgentId(self.id) if propose_as is None else propose_as
        ask = meetings.proposal(key, value, valid, proposer, f"{self.id}/{self._of.commands + 1}", algorithm)
        return meetings.agreed(await self._begun(lambda number: StartMeeting(number, f"agreement {key}", (ask,))))

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
        try:
            encode(state)
        except UNWRITABLE as error:
            raise Invalid(f"run {self.id}: the state for a restart has no JSON form: {error}") from error
        raise Restarted(state)


class _Departed:
    """Stands in the place of an instance that has been let go."""

    def __init__(self, run: RunId) -> None:
        self._run = run

    def __getattr__(self, name: str) -> NoReturn:
        raise NotAllowed(f"run {self._run} has been let go here; nothing counts any more")


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
        interrupted: asyncio.CancelledError | None = None
        while not asked.done():
            try:
                await asyncio.shield(asked)
            except asyncio.CancelledError as cancel:
                interrupted = cancel  # it must not leave the effect standing; the ask has a deadline of its own
        if interrupted is not None and not issubclass(kind, asyncio.CancelledError):
            raise interrupted


def _outcome(value: dict[str, Any]) -> Outcome:
    """Read a child's outcome from `child.ended`; a child without one has failed."""
    if value.get("outcome") is not None:
        return msgspec.convert(value["outcome"], Outcome)
    return Outcome(success=False, reason=str(value.get("error") or value.get("status")))
