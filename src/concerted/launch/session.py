"""A session: a coordinator as a program holds it, whoever owns the store.

    open --lock is free--> owner: a coordinator in this process, and a door for the others
    open --lock is held--> client: a connection to the owner
    client --the owner has gone--> whoever takes the lock is the next owner; the others reconnect
    node, on a shared database --the database is away--> waits go on, commands are refused, until it is back

Callers see a short pause: every command is given again, and each does its work once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any

import msgspec

from concerted.agent.addresses import is_shared, shown_url, socket_path
from concerted.agent.inbox import MemoryInbox
from concerted.agent.kit import Agent
from concerted.agent.serve import Service
from concerted.client.calls import Calls
from concerted.client.connection import Connection, Disconnected
from concerted.config.plan import AgentSpec
from concerted.config.settings import Coordination, StoreSettings
from concerted.engine.commands import serve
from concerted.engine.permissions import LOCAL, Principal
from concerted.engine.primitives.actions import Action
from concerted.errors import ConcertedError, Conflict, Unreachable, WrongPhase
from concerted.launch.owner import Owner, Setup, database_path
from concerted.links.local import LocalLink
from concerted.messages import Reply, Request, encode_request, request_type
from concerted.ports.commands import (
    Agents,
    AgentView,
    AskAgent,
    Command,
    Register,
)
from concerted.run import Replies
from concerted.runs.instance import Coordinate
from concerted.values import AgentId

__all__ = ["Session", "open_coordinator"]

SEAT_S = 30.0  # how long an owner may take to answer after it has taken the lock
RETURN_S = 0.25  # how often a database that is away is tried
POLL_S = 0.02  # how often the lock and the socket are tried meanwhile
WAIT_S = 60.0  # how long one waiting command waits before it is given again


def open_coordinator(
    url: str,
    *,
    coordination: Coordination | None = None,
    store: StoreSettings | None = None,
    strategies: Mapping[str, Coordinate] | None = None,
    may_own: bool = True,
    token: str | None = None,
) -> Session:
    """Return a session on the store at `url`: `async with open_coordinator("sqlite:///work.db") as coordinator:`.

    strategies: name -> `coordinate`, besides the built-in and installed ones.  may_own: False if this
    process must not become the owner, however the store is found.  token: who gives the commands, where
    the store has principals (`concerted principal add`).

    Raises:
        Invalid: the URL names no store that we know.
    """
    return Session(
        url, coordination or Coordination(), store or StoreSettings(), dict(strategies or {}), may_own
    ).bearing(token)


class Session(Calls):
    """The same API as owner and as client."""

    def __init__(
        self, url: str, coordination: Coordination, store: StoreSettings, strategies: dict[str, Coordinate],
        may_own: bool,
    ) -> None:  # fmt: skip
        self.url = url
        self.path = None if is_shared(url) else database_path(url)
        node = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._setup = Setup(coordination=coordination, store=store, strategies=strategies, actions={}, node=node)
        self.default_timeout_s = float(coordination.synchronization.default_timeout)
        self._may_own = may_own
        self._connection: Connection | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._local: list[tuple[Agent, MemoryInbox]] = []
        self._seating = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._returning: asyncio.Task[None] | None = None
        self._closed = False
        self._token: str | None = None
        self.owner: Owner | None = None

    def bearing(self, token: str | None) -> Session:
        """Show this token with every command from now on."""
        self._token = token
        return self

    def acting(self, actions: Mapping[str, Action]) -> Session:
        """Do these, by name, for barriers that have the coordinator act, when this process is it.

        Each is called with the action's payload and the names of who has arrived, once per generation; what
        it returns is in everybody's verdict.  To be called before the session is opened.
        """
        self._setup = replace(self._setup, actions=dict(actions))
        return self

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
        for task in [*self._serving, *(task for task in (self._watching, self._returning) if task)]:
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
                try:
                    return await serve(owner.coordinator, command, self._principal(owner))
                except Unreachable:
                    if self.path is not None or not owner.coordinator.failed:
                        raise
                    await self._come_back(wait=getattr(command, "wait_s", 0.0) > 0)
                    continue
            try:
                if connection is None:
                    raise Disconnected("not connected")
                return await connection.give(command)
            except Disconnected:
                await self._seat()

    def _principal(self, owner: Owner) -> Principal:
        """Say who gives the commands of the process that owns the store: without a token, an admin."""
        return LOCAL if self._token is None else owner.coordinator.access.authenticate(self._token)

    # agents

    async def register(self, agent: Agent | AgentSpec) -> None:
        """Make an agent known: an `Agent` of this program, or a spec by which the owner starts one."""
        if isinstance(agent, AgentSpec):
            await self.give(Register(specs=(agent,)))
        elif self.owner is not None:
            inbox = MemoryInbox()
            await self.owner.coordinator.roster.register(agent.profile, LocalLink(agent, inbox), kind="local")
            self._local.append((agent, inbox))
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

    # who owns the store

    async def _come_back(self, *, wait: bool) -> None:
        """The database has gone away: begin anew as soon as it is back; who only waits goes on waiting.

        Raises:
            Unreachable: it is still away, and the caller did not come to wait.
        """
        if self._returning is None or self._returning.done():
            self._returning = asyncio.get_running_loop().create_task(self._return())
        if not wait and not self._returning.done():
            failed = None if self.owner is None else self.owner.coordinator.failed
            raise failed or Unreachable(f"{shown_url(self.url)} is being opened again; try again")
        await asyncio.shield(self._returning)

    async def _return(self) -> None:
        if self.owner is not None:
            with contextlib.suppress(ConcertedError):
                await self.owner.close()
        while not self._closed:
            try:
                owner = await Owner.open(self.url, self._setup)
            except Unreachable:
                await asyncio.sleep(RETURN_S)
            else:
                for agent, inbox in self._local:  # what they have done they remember
                    await owner.coordinator.roster.register(agent.profile, LocalLink(agent, inbox), kind="local")
                self.owner = owner
                return

    async def _seat(self) -> None:
        async with self._seating:
            if self._closed:
                raise WrongPhase("this session is closed; open another")
            if self.owner is not None or (self._connection is not None and not self._connection.lost.done()):
                return
            loop = asyncio.get_running_loop()
            until = loop.time() + SEAT_S
            while not await self._take_seat():
                if loop.time() > until and self.path is not None:
                    raise Unreachable(
                        f"somebody holds {self.path}.lock and does not answer at {socket_path(self.path)}; "
                        "see who it is in the lock file, and end that process if it hangs",
                        path=str(self.path),
                    )
                await asyncio.sleep(POLL_S)

    async def _take_seat(self) -> bool:
        if self._may_own or self.path is None:
            with contextlib.suppress(Conflict):
                self.owner = await Owner.open(self.url, self._setup)
                self._connection = None
                if self.path is None:
                    self._watching = asyncio.get_running_loop().create_task(self._watch_database())
                return True
        if self.path is None:
            return False
        try:
            self._connection = await Connection.open(socket_path(self.path), self._token)
        except Unreachable:
            return False
        self._watching = asyncio.get_running_loop().create_task(self._watch(self._connection))
        return True

    async def _watch_database(self) -> None:
        """Come back as soon as the database does, also when nobody is asking anything."""
        while not self._closed:
            await asyncio.sleep(RETURN_S)
            if self.owner is not None and self.owner.coordinator.failed is not None:
                with contextlib.suppress(ConcertedError):
                    await self._come_back(wait=True)

    async def _watch(self, connection: Connection) -> None:
        """Take over, or reconnect, as soon as the owner has gone, also when nobody is asking anything."""
        await connection.lost
        if not self._closed and connection.refusal is None:  # who was turned away stays so
            with contextlib.suppress(Unreachable):
                await self._seat()
