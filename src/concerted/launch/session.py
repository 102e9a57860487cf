"""A session: a coordinator as a program holds it, whoever owns the store.

    open --lock is free--> owner: a coordinator in this process, and a door for the others
    open --lock is held--> client: a connection to the owner
    client --the owner has gone--> whoever takes the lock is the next owner; the others reconnect

Callers see a short pause: every command is given again, and each does its work once.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import msgspec

from concerted.agent.kit import Agent
from concerted.agent.serve import Service
from concerted.agent.wire import socket_path
from concerted.client.connection import Connection, Disconnected
from concerted.config.plan import AgentSpec
from concerted.config.settings import Coordination, StoreSettings
from concerted.engine.commands import serve
from concerted.engine.permissions import LOCAL
from concerted.errors import Conflict, Invalid, TimedOut, Unreachable, WrongPhase
from concerted.launch.owner import Owner, database_path
from concerted.links.local import LocalLink
from concerted.messages import Reply, Request, encode_request, request_type
from concerted.ports.commands import (
    Agents,
    AgentView,
    AskAgent,
    Cancel,
    Command,
    Events,
    EventView,
    GetRun,
    Register,
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
from concerted.run import Replies
from concerted.runs.instance import Coordinate
from concerted.values import AgentId, Objective, RunId, Task, encode

__all__ = ["Session", "open_coordinator"]

SEAT_S = 30.0  # how long an owner may take to answer after it has taken the lock
POLL_S = 0.02  # how often the lock and the socket are tried meanwhile
WAIT_S = 60.0  # how long one waiting command waits before it is given again


def open_coordinator(
    url: str,
    *,
    coordination: Coordination | None = None,
    store: StoreSettings | None = None,
    strategies: Mapping[str, Coordinate] | None = None,
    may_own: bool = True,
) -> Session:
    """Return a session on the store at `url`: `async with open_coordinator("sqlite:///work.db") as coordinator:`.

    strategies: name -> `coordinate`, besides the built-in and installed ones.  may_own: False if this
    process must not become the owner, however the store is found.

    Raises:
        Invalid: the URL names no store that we know.
    """
    return Session(url, coordination or Coordination(), store or StoreSettings(), dict(strategies or {}), may_own)


class Session:
    """The same API as owner and as client."""

    def __init__(
        self, url: str, coordination: Coordination, store: StoreSettings, strategies: dict[str, Coordinate],
        may_own: bool,
    ) -> None:  # fmt: skip
        self.url = url
        self.path = database_path(url)
        self._settings = (coordination, store, strategies)
        self._may_own = may_own
        self._connection: Connection | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._seating = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._closed = False
        self.owner: Owner | None = None

    async def __aenter__(self) -> Session:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Become the owner or its client.

        Raises:
            Unreachable: there is an owner, and it does not answer.  Others as the store's `open` says.
        """
        await self._seat()

    async def close(self) -> None:
        """Leave; as the owner, hand over to whoever waits.  Unfinished runs stay as they are.  Idempotent."""
        self._closed = True
        for task in [*self._serving, *([self._watching] if self._watching else [])]:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()
        if self.owner is not None:
            await self.owner.close()

    @property
    def is_owner(self) -> bool:
        """Whether the coordinator runs in this process."""
        return self.owner is not None

    async def give(self, command: Command) -> Any:
        """Give a command to whoever owns the store now, and to its successor if it goes meanwhile."""
        while True:
            owner, connection = self.owner, self._connection
            if owner is not None:
                return await serve(owner.coordinator, command, LOCAL)
            try:
                if connection is None:
                    raise Disconnected("not connected")
                return await connection.give(command)
            except Disconnected:
                await self._seat()

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

    # agents

    async def register(self, agent: Agent | AgentSpec) -> None:
        """Make an agent known: an `Agent` of this program, or a spec by which the owner starts one."""
        if isinstance(agent, AgentSpec):
            await self.give(Register(specs=(agent,)))
        elif self.owner is not None:
            await self.owner.coordinator.roster.register(agent.profile, LocalLink(agent), kind="local")
        else:
            await self._serve(agent)

    async def _serve(self, agent: Agent) -> None:
        """Join the owner as an independent agent does, for as long as this session is open."""
        service = asyncio.get_running_loop().create_task(Service(agent, self.url).run())
        self._serving.add(service)
        service.add_done_callback(self._serving.discard)
        until = asyncio.get_running_loop().time() + SEAT_S
        while not any(view.id == agent.id and view.state == "alive" for view in await self.agents()):
            if service.done():
                await service
            if asyncio.get_running_loop().time() > until:
                service.cancel()
                raise Unreachable(f"agent {agent.id} has not been let in within {SEAT_S:g} s", agent=agent.id)
            await asyncio.sleep(POLL_S)

    async def ask(self, agent: str, request: Request, *, deadline: float | None = None) -> Reply:
        """Ask an agent outside any run; not durable.  Never raises for the agent's sake."""
        if self.owner is not None:
            return await self.owner.coordinator.asker.ask(AgentId(agent), request, deadline=deadline)
        data = msgspec.json.decode(encode_request(request))
        wire = await self.give(
            AskAgent(agent=AgentId(agent), type=request_type(request), data=data, deadline_s=deadline)
        )
        return msgspec.convert(wire, Reply)

    async def gather(self, agents: Sequence[str], request: Request, *, deadline: float | None = None) -> Replies:
        """Ask many agents the same, outside any run; each has exactly one reply, in the order of asking."""
        if self.owner is not None:
            ids = [AgentId(agent) for agent in agents]
            return await self.owner.coordinator.asker.gather(ids, request, deadline=deadline)
        return Replies(await asyncio.gather(*(self.ask(agent, request, deadline=deadline) for agent in agents)))

    async def agents(self) -> list[AgentView]:
        """Return all agents, by id."""
        return await self.give(Agents())  # type: ignore[no-any-return]

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

    # who owns the store

    async def _seat(self) -> None:
        async with self._seating:
            if self._closed:
                raise WrongPhase("this session is closed; open another")
            if self.owner is not None or (self._connection is not None and not self._connection.lost.done()):
                return
            loop = asyncio.get_running_loop()
            until = loop.time() + SEAT_S
            while not await self._take_seat():
                if loop.time() > until:
                    raise Unreachable(
                        f"somebody holds {self.path}.lock and does not answer at {socket_path(self.path)}; "
                        "see who it is in the lock file, and end that process if it hangs",
                        path=str(self.path),
                    )
                await asyncio.sleep(POLL_S)

    async def _take_seat(self) -> bool:
        if self._may_own:
            coordination, store, strategies = self._settings
            with contextlib.suppress(Conflict):
                self.owner = await Owner.open(self.url, coordination, store, strategies)
                self._connection = None
                return True
        try:
            self._connection = await Connection.open(socket_path(self.path))
        except Unreachable:
            return False
        self._watching = asyncio.get_running_loop().create_task(self._watch(self._connection))
        return True

    async def _watch(self, connection: Connection) -> None:
        """Take over, or reconnect, as soon as the owner has gone, also when nobody is asking anything."""
        await connection.lost
        if not self._closed:
            with contextlib.suppress(Unreachable):
                await self._seat()


def _objective(given: Objective | str | Sequence[Task]) -> Objective:
    if isinstance(given, Objective):
        return given
    if isinstance(given, str):
        return Objective(description=given)
    tasks = tuple(given)
    if not all(isinstance(task, Task) for task in tasks):
        raise Invalid(f"an objective is a text, an Objective or a sequence of Task, not {encode(given)[:100]!r}")
    return Objective(tasks=tasks)
