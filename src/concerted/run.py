"""What a strategy may ask of the engine: the whole of it.

A strategy is `async def coordinate(run) -> Outcome`.  It reads like the protocol in the textbook and
touches the world through `run` alone: whatever comes back through these verbs is in the log before
anything that follows from it leaves the process, so the same function, run again over the log, ends up
in the same place.  Plain `asyncio.sleep`, `gather`, `TaskGroup`, `timeout` and `Event` are durable too.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from concerted.config.settings import Coordination
from concerted.messages import Reply, Request
from concerted.values import AgentId, Instant, Objective, Outcome, Profile, RunId, Task

if TYPE_CHECKING:
    from concerted.consensus.agreement import AgreementResult
    from concerted.consensus.decisions.decision import DecisionResult
    from concerted.consensus.decisions.rule import Rule
    from concerted.consensus.validity import Validity
    from concerted.sync.barriers.barrier import BarrierResult
    from concerted.sync.points.predicate import Condition
    from concerted.sync.points.sync_point import SyncResult

__all__ = ["AgentChange", "Fact", "Replies", "Run", "Strategy"]


class AgentChange(msgspec.Struct, frozen=True, kw_only=True):
    """What `run.watch` tells: an agent of the run has joined, changed or been lost."""

    agent: AgentId
    change: Literal["joined", "changed", "lost"]
    reason: str = ""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of another run in the log, as `run.past` shows it; data: what its kind says."""

    run: RunId
    at: Instant
    agent: AgentId | None
    ref: str | None
    data: Any


class Replies(tuple[Reply, ...]):
    """Exactly one reply for each agent that was asked, in the order of asking."""

    __slots__ = ()

    @property
    def ok(self) -> list[Reply]:
        """Those that answered."""
        return [reply for reply in self if reply.status == "ok"]

    @property
    def missing(self) -> list[AgentId]:
        """Those of whom nothing came in time: timeout or lost."""
        return [reply.agent for reply in self if reply.status in ("timeout", "lost")]

    @property
    def late(self) -> list[AgentId]:
        """Those who may still answer; their answer will be recorded and not applied."""
        return [reply.agent for reply in self if reply.status in ("timeout", "cancelled")]


class Run(Protocol):
    """One coordination, as its strategy sees it."""

    id: RunId
    objective: Objective
    config: Coordination
    options: Mapping[str, Any]
    state: Any  # what `restart` was given, else None
    deadline_at: Instant | None

    @property
    def agents(self) -> Mapping[AgentId, Profile]:
        """The agents of this run that are not lost, by id; changes as they join, change and leave."""

    @property
    def random(self) -> random.Random:
        """Dice that fall the same way in every replay."""

    def now(self) -> Instant:
        """Return the log's time: the instant of the newest input."""

    def uuid(self) -> uuid.UUID:
        """Return a new id, the same in every replay."""

    def ask(self, agent: AgentId, request: Request, *, deadline: float | None = None) -> Awaitable[Reply]:
        """Ask one agent.  Never raises for the agent's sake: the reply says what came of it.

        deadline: seconds from now; by default `manager.command_timeout`.
        """

    async def gather(
        self, agents: Sequence[AgentId], request: Request, *, deadline: float | None = None,
        quorum: int | None = None, until: Callable[[Reply], bool] | None = None,
    ) -> Replies:  # fmt: skip
        """Ask many the same; return when all have answered or enough have, or at the deadline.

        quorum: return at so many `ok` replies.  until: return at the first reply for which it is true.
        Who has not answered by then has the reply `cancelled`, at the deadline `timeout`; nobody is
        missing from the result.
        """

    def stream(
        self, agents: Sequence[AgentId], request: Request, *, deadline: float | None = None
    ) -> AsyncIterator[Reply]:
        """Ask many the same; yield each one's reply as it comes, timeouts last."""

    def inform(self, agents: Sequence[AgentId], notice: Request) -> None:
        """Tell agents something that needs no answer; it travels with the next commands."""

    async def execute(
        self, task: Task, agent: AgentId, *, deadline: float | None = None, results: Mapping[str, Any] | None = None
    ) -> Reply:
        """Have one agent do one task: claim it under a fresh epoch and lease, return the reply.

        The claim ends with the answer, the time limit (`task.max_duration_s` or `deadline`), the loss
        of the agent or of the lease.  A result that comes after that is refused and kept as evidence.
        """

    def watch(self, agents: Sequence[AgentId] | None = None) -> AsyncIterator[AgentChange]:
        """Yield what happens to these agents (to all, by default) from now on."""

    def record(self, kind: str, *, agent: AgentId | None = None, ref: str | None = None, **facts: Any) -> None:
        """Write a fact of the protocol into the log: `auction.closed`, `leader.elected`."""

    def progress(self, step: int, of: int, **facts: Any) -> None:
        """Say where the run stands."""

    async def child(
        self, strategy: str, objective: Objective, *, agents: Sequence[AgentId] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Outcome:  # fmt: skip
        """Run another strategy as a child; its outcome comes back even if it has not succeeded."""

    async def signal(self, name: str) -> Any:
        """Wait for the next signal of this name from outside; return its payload."""

    def deadline(self, seconds: float | None = None) -> AbstractAsyncContextManager[None]:
        """Bound a block by an absolute deadline, which survives restarts; without an argument, by the run's own.

        Raises (at the end of the block):
            TimedOut: the deadline came first; the block was cancelled where it waited.
        """

    def compensate(self, agent: AgentId, request: Request) -> AbstractAsyncContextManager[None]:
        """If the block fails or is cancelled, send `request` to undo what `agent` did, and wait for the answer."""

    async def do(self, name: str, fn: Callable[[], Any]) -> Any:
        """Perform a local side effect and record its result; at least once, if the process dies in it.

        Raises:
            Invalid: `fn` raised; the message has its error.
        """

    async def compute(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Compute outside the loop and record the result, which must have a JSON form."""

    async def past(self, kind: str, fold: Callable[[Sequence[Fact]], Any], *, limit: int = 1000) -> Any:
        """Fold what the log says of other runs into one value, and record that; it must have a JSON form.

        fold: gets the newest `limit` entries of a kind, oldest first, from the newest 100,000 entries of the log;
        archived runs are not in it.

        Raises:
            Invalid: `fold` raised; the message has its error.
        """

    async def sync(
        self, point: str, *, participants: Sequence[AgentId] | None = None, condition: str | int | Condition = "all",
        within_s: float | None = None, arrive_as: AgentId | None = None, data: Any = None,
    ) -> SyncResult:  # fmt: skip
        """Meet others at a sync point: agents, shell scripts, other runs; return how it ended.

        participants: makes the point if there is none; condition (all, majority, a number, or an expression)
        and within_s (its deadline, from now) are of the point that is made.  arrive_as: arrive under this name, for
        instance the run's id; None only waits.

        Raises:
            NotFound: there is no such point.  NotAllowed, WrongPhase: it does not let us arrive.
        """

    async def barrier(
        self, barrier: str, *, parties: int | Sequence[AgentId] | None = None, arrive_as: AgentId | None = None,
        data: Any = None,
    ) -> BarrierResult:  # fmt: skip
        """Arrive at a barrier, by default under the run's id, and return its verdict, the same for everyone.

        parties: makes the barrier, for so many or for those named, if there is none.
        """

    async def decide(
        self, question: str, voters: Iterable[str] | Mapping[str, int], *,
        rule: str | Rule | Mapping[str, Any] = "majority", within_s: float | None = None, **terms: Any,
    ) -> DecisionResult:  # fmt: skip
        """Put a question to voters and return what they decide, with its certificate.

        Those of them who are agents of this run are asked to judge (`Judge`), and what they answer is their ballot;
        the others vote by themselves.  within_s: how long they have, from now; by default `manager.command_timeout`.
        terms: id, proposal, options, keys, algorithm.

        Raises:
            Invalid: as the message says.  Conflict: there is another one of this id.
        """

    async def agree(
        self, key: str, value: Any, *, valid: str | Validity | Mapping[str, Any] | None = None,
        propose_as: AgentId | None = None, algorithm: str | None = None,
    ) -> AgreementResult:  # fmt: skip
        """Propose a value under a key and return the one that is chosen, for ever: this one, or who was first.

        valid: which values may be chosen; frozen when the agreement is opened, which the first proposal does.
        propose_as: by default under the run's id.

        Raises:
            Invalid: the value is not valid.  Conflict: it was opened with another rule.  NotAllowed: proposing is
            restricted to others.  WrongPhase: it has lapsed.
        """

    def version(self, name: str, newest: int) -> int:
        """Return which version of a change this run uses: `newest` if it first comes here now, 0 if it
        passed this place before the change existed.  Keep both branches until no older run is left.
        """

    def restart(self, state: Any) -> None:
        """End this history and call `coordinate` again with `run.state = state`; does not return."""


class Strategy(Protocol):
    """What `concerted.strategies` entry points provide: a module with this function."""

    async def coordinate(self, run: Run) -> Outcome:
        """Bring the run to its outcome."""
